//! io_uring_enter(2): submissions, deferred work, waits; and how requests end.

use std::panic::Location;

use super::calls::answer;
use super::request::{self, DRAIN, Entry, FIXED_FILE, HARD_LINK, LINK, Request, SKIP_SUCCESS};
use super::ring::{Cqe, SETUP_SUBMIT_ALL};
use super::{Watcher, sleep_in, work};
use crate::choice::Kind as Choice;
use crate::clock::Due;
use crate::cost::Call;
use crate::net::Errno;
use crate::thread::Executor;
use crate::world::World;

const GETEVENTS: u32 = 1;
const EXT_ARG: u32 = 1 << 3;
/// Requests whose work one enter does before it looks at what it has.
const WORK: usize = 20;

const TIMEOUT_ABS: u32 = 1;

/// io_uring_enter(2).
///
/// # Safety
/// As the call.
pub(super) unsafe fn enter(
    executor: &'static Executor,
    fd: i32,
    submit: u32,
    least: u32,
    flags: u32,
    argument: usize,
    size: usize,
) -> isize {
    executor.world().charge_call();
    executor.world().charge(Call::Enter);
    executor.os_point_at(Location::caller());
    // SAFETY: the caller's duty.
    let result = unsafe { entered(executor, fd, submit, least, flags, argument, size) };
    answer(executor, result)
}

/// # Safety
/// As `enter`.
unsafe fn entered(
    executor: &'static Executor,
    fd: i32,
    submit: u32,
    least: u32,
    flags: u32,
    argument: usize,
    size: usize,
) -> Result<usize, Errno> {
    let world = executor.world();
    let me = world.current;
    let file = world.open_file_of(fd)?;
    let ring = world.ring(file).ok_or(libc::EOPNOTSUPP)?;
    if flags & !(GETEVENTS | EXT_ARG) != 0 {
        return Err(libc::EINVAL);
    }
    if !ring.enabled {
        return Err(libc::EBADFD);
    }
    if ring.owner != me {
        return Err(libc::EEXIST);
    }
    let mut submitted = 0;
    if submit > 0 {
        if world.rarely(Choice::Spurious, 2, world.options.spurious / 4) != 0 {
            // No memory for a request right now.
            return Err(libc::EAGAIN);
        }
        submitted = world.submit(file, submit);
        if submitted < submit as usize {
            return Ok(submitted);
        }
    }
    if flags & GETEVENTS == 0 {
        return Ok(submitted);
    }
    // SAFETY: the caller's duty.
    let until = match unsafe { limit(flags, argument, size) }? {
        Some(span) => executor.world().now.saturating_add(span),
        None => u64::MAX,
    };
    let waited = wait(executor, file, least, until);
    if submitted > 0 { Ok(submitted) } else { waited.map(|()| 0) }
}

/// How long a wait may last.
///
/// # Safety
/// As the arguments of `enter`.
unsafe fn limit(flags: u32, argument: usize, size: usize) -> Result<Option<u64>, Errno> {
    if flags & EXT_ARG == 0 || argument == 0 {
        return Ok(None);
    }
    if size != 24 {
        return Err(libc::EINVAL);
    }
    // SAFETY: 24 bytes, the last 8 of which point to a timespec or to nothing.
    unsafe {
        let at = (argument as *const u64).add(2).read() as *const libc::timespec;
        Ok(at.as_ref().map(crate::interpose::nanos))
    }
}

fn wait(executor: &'static Executor, file: u32, least: u32, until: u64) -> Result<(), Errno> {
    loop {
        let world = executor.world();
        world.do_work(file);
        let ring = world.ring(file).ok_or(libc::EBADF)?;
        ring.flush();
        if ring.ready() >= least {
            return Ok(());
        }
        if !ring.work.is_empty() {
            continue;
        }
        if world.is_interrupted() || world.rarely(Choice::Spurious, 2, world.options.spurious) != 0 {
            return Err(libc::EINTR);
        }
        if until <= world.now {
            return Err(libc::ETIME);
        }
        world.check_wake_source(file);
        executor.settle();
        sleep_in(executor, file, until);
    }
}

impl World {
    /// Takes submissions; how many.
    fn submit(&mut self, ring: u32, most: u32) -> usize {
        let mut taken = 0;
        let mut chain: Vec<Entry> = Vec::new();
        let Some(record) = self.ring(ring) else { return 0 };
        let (count, all) = (record.staged().min(most), record.flags & SETUP_SUBMIT_ALL != 0);
        while taken < count as usize {
            let Some(at) = self.ring(ring).and_then(|ring| ring.next_entry()) else { break };
            // SAFETY: inside of the ring's memory.
            let entry = unsafe { Entry::read(at) };
            taken += 1;
            let links = entry.flags & (LINK | HARD_LINK) != 0;
            let wrong = entry.flags & (FIXED_FILE | DRAIN) != 0 || !request::OPS.contains(&entry.op);
            if wrong {
                // Not modelled, or no op at all.
                self.complete(ring, entry, Err(libc::EINVAL), 0);
                for entry in std::mem::take(&mut chain) {
                    self.complete(ring, entry, Err(libc::ECANCELED), 0);
                }
                if !all {
                    break;
                }
                continue;
            }
            chain.push(entry);
            if !links {
                self.begin(ring, std::mem::take(&mut chain));
            }
        }
        if !chain.is_empty() {
            self.begin(ring, chain);
        }
        taken
    }

    /// Begins the first of a chain.
    fn begin(&mut self, ring: u32, mut chain: Vec<Entry>) {
        if chain.is_empty() {
            return;
        }
        let entry = chain.remove(0);
        let request = self.add_request(ring, entry, chain);
        self.issue(ring, request);
    }

    fn add_request(&mut self, ring: u32, entry: Entry, chain: Vec<Entry>) -> u32 {
        let Some(record) = self.ring(ring) else { return 0 };
        record.serial += 1;
        let mut request = Request::new(entry, record.serial);
        request.chain = chain;
        let at = record.requests.iter().position(Option::is_none).unwrap_or(record.requests.len());
        if at == record.requests.len() {
            record.requests.push(None);
        }
        record.requests[at] = Some(request);
        at as u32
    }

    /// Tries a request for the first time.
    fn issue(&mut self, ring: u32, request: u32) {
        self.charge(Call::Entry);
        let Some(record) = self.ring(ring).and_then(|ring| ring.requests[request as usize].as_mut()) else {
            return;
        };
        record.fresh = false;
        let entry = record.entry;
        // The limit behind it runs from now on.
        if record.chain.first().is_some_and(|next| next.op == request::LINK_TIMEOUT) {
            let limit = record.chain.remove(0);
            let number = self.add_request(ring, limit, Vec::new());
            if let Some(ring) = self.ring(ring) {
                if let Some(limit) = ring.requests[number as usize].as_mut() {
                    (limit.limits, limit.fresh) = (Some(request), false);
                }
                if let Some(limited) = ring.requests[request as usize].as_mut() {
                    limited.limit = Some(number);
                }
            }
            self.start_clock(ring, number);
        }
        match entry.op {
            request::NOP => self.finish(ring, request, Ok(0), 0),
            request::TIMEOUT if entry.offset != 0 => self.finish(ring, request, Err(libc::EINVAL), 0),
            request::TIMEOUT => self.start_clock(ring, request),
            request::LINK_TIMEOUT => self.finish(ring, request, Err(libc::EINVAL), 0),
            request::CLOSE => {
                let result = self.close_descriptor(entry.fd).map(|()| 0);
                self.finish(ring, request, result, 0);
            }
            request::ASYNC_CANCEL => {
                let result = self.cancel_requests(ring, request, entry);
                self.finish(ring, request, result, 0);
            }
            _ if self.issue_work(ring, request, entry) => {}
            _ => match self.open_file_of(entry.fd) {
                Ok(file) => {
                    self.hold(file);
                    if let Some(record) =
                        self.ring(ring).and_then(|ring| ring.requests[request as usize].as_mut())
                    {
                        record.file = Some(file);
                    }
                    self.try_request(ring, request);
                }
                Err(errno) => self.finish(ring, request, Err(errno), 0),
            },
        }
    }

    /// A timeout runs.
    fn start_clock(&mut self, ring: u32, request: u32) {
        let now = self.now;
        let Some(record) = self.ring(ring).and_then(|ring| ring.requests[request as usize].as_mut()) else {
            return;
        };
        let (entry, serial) = (record.entry, record.serial);
        record.armed = true;
        // SAFETY: the submitter's promise: a timespec at its submission.
        let ns =
            unsafe { (entry.address as *const libc::timespec).as_ref() }.map_or(0, crate::interpose::nanos);
        let at = if entry.how & TIMEOUT_ABS == 0 {
            now.saturating_add(ns)
        } else {
            ns.saturating_sub(crate::interpose::MONOTONIC_START)
        };
        self.due.push(at.max(now), Due::Request { ring, request, serial });
    }

    /// The time of a timeout is over; whether that concerns anybody.
    pub(crate) fn request_is_over(&mut self, ring: u32, request: u32, serial: u64) -> bool {
        if self.kernel.files.len() <= ring as usize {
            return false;
        }
        let Some(record) = self.ring(ring).and_then(|ring| ring.requests.get_mut(request as usize)?.as_mut())
        else {
            return false;
        };
        if record.serial != serial || record.ends.is_some() {
            return false;
        }
        record.ends = Some(libc::ETIME);
        let limited = record.limits;
        if let Some(limited) = limited {
            self.cancel_request(ring, limited);
        }
        self.queue_work(ring, request);
        true
    }

    /// Does the work that waits, for so many requests at most.
    fn do_work(&mut self, ring: u32) {
        for _ in 0..WORK {
            let Some(request) = self.ring(ring).and_then(|ring| ring.work.pop_front()) else { break };
            let Some(record) = self.ring(ring).and_then(|ring| ring.requests[request as usize].as_mut())
            else {
                continue;
            };
            record.queued = false;
            match (record.outcome, record.ends, record.fresh) {
                (Some(result), ..) => self.finish(ring, request, result, 0),
                (None, Some(errno), _) => self.finish(ring, request, Err(errno), 0),
                (None, None, true) => self.issue(ring, request),
                (None, None, false) => self.try_request(ring, request),
            }
        }
        if let Some(ring) = self.ring(ring) {
            ring.tell_work();
        }
    }

    /// A completion that is a request's last.
    fn complete(&mut self, ring: u32, entry: Entry, result: Result<usize, Errno>, flags: u32) {
        if result.is_ok() && entry.flags & SKIP_SUCCESS != 0 {
            return;
        }
        let result = result.map_or_else(|errno| -errno, |count| count as i32);
        if let Some(ring) = self.ring(ring) {
            ring.post(Cqe { data: entry.data, result, flags });
        }
    }

    /// A request ends; what is linked behind it begins, or is cancelled.
    pub(super) fn finish(&mut self, ring: u32, request: u32, result: Result<usize, Errno>, flags: u32) {
        let Some(record) = self.ring(ring).and_then(|ring| ring.requests[request as usize].take()) else {
            return;
        };
        if let Some(ring) = self.ring(ring) {
            ring.work.retain(|&one| one != request);
        }
        self.complete(ring, record.entry, result, flags);
        if let Some(limit) = record.limit {
            self.cancel_request(ring, limit);
        }
        if let Some(file) = record.file {
            if record.armed {
                self.unwatch_file(file, Watcher::Request { ring, request });
            }
            self.let_go(file);
        }
        self.go_on(ring, record, result);
    }

    fn go_on(&mut self, ring: u32, record: Request, result: Result<usize, Errno>) {
        let hard = record.entry.flags & HARD_LINK != 0;
        let mut chain = record.chain;
        if chain.is_empty() {
            return;
        }
        let fails = match result {
            Ok(_) => false,
            Err(libc::ECANCELED) => true,
            Err(_) => !work::fails_quietly(record.entry.op),
        };
        if fails && !hard {
            for entry in chain {
                self.complete(ring, entry, Err(libc::ECANCELED), 0);
            }
            return;
        }
        let next = chain.remove(0);
        let request = self.add_request(ring, next, chain);
        self.queue_work(ring, request);
    }

    /// A thread has ended: the requests of the rings that it alone may enter end with it.
    pub(crate) fn issuer_is_gone(&mut self, thread: u32) {
        for ring in 0..self.kernel.files.len() as u32 {
            let requests = match self.ring(ring) {
                Some(record) if record.enabled && record.owner == thread => record.requests.len() as u32,
                _ => continue,
            };
            for request in 0..requests {
                if let Some(record) =
                    self.ring(ring).and_then(|ring| ring.requests[request as usize].as_mut())
                {
                    record.chain.clear();
                    self.finish(ring, request, Err(libc::ECANCELED), 0);
                }
            }
        }
    }
}
