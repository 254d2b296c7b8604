//! The file ops of a driver: a second ring, beside the one of its sockets.
//!
//! The sockets' ring completes nothing unless its owner enters it, so a worker stuck in a task would hold the file ops of all
//! others up. This ring has none of its flags: threads of the kernel complete its entries by themselves, and any thread may
//! enter it. So whoever holds the Reap half sends what was staged and collects what is done, the owner or a peer.
//!
//! Ops are staged by a submit and leave at the next look, all in one enter. Each completion is also a write to the outbox' eventfd,
//! which ends a wait in the sockets' ring. The ring is made for the first op: a driver that has none pays a load from memory a look.
//!
//! What the ring does not take goes to the side threads (`../file/pool.rs`): ops that io_uring does not know, ops beyond its
//! bounds, and those of a process that gets no ring.
//!
//! **The end.** An op that a shutdown did not wait for may still write to its buffer. The ring, its jobs and their buffers then
//! go to a thread that waits for the last completion.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use io_uring::{IoUring, Probe, opcode, squeue};

use super::entry::{Finished, Job, code};
use super::outbox::Outbox;
use crate::os::file::pool::{Files, Pool, Sink, give_back};
use crate::os::{Completion, FileOp, ThreadSpec, Token, thread};
use crate::sync::Mutex;

/// Entries that one enter can take.
const SUBMISSIONS: u32 = 64;
/// Completions that the kernel has room for.
const COMPLETIONS: u32 = 1024;
/// Ops in the ring at most: each has at most two completions, its own and that of a cancel that came too late.
const MOST: usize = COMPLETIONS as usize / 2;
/// Threads of the kernel's that work on the ops of one worker at most: as many as there may be side threads.
const THREADS: u32 = 64;
/// User data of cancels. No job stands at this place.
const CANCEL: u64 = u64::MAX;

/// The ring, once there is one, and what stands in for it.
pub(super) struct FileRing {
    pool: Arc<Pool>,
    sink: Arc<dyn Sink>,
    event: i32,
    /// There is a ring.
    used: AtomicBool,
    state: Mutex<State>,
}

enum State {
    /// No op came yet.
    Unused,
    /// The kernel gave no ring.
    Refused,
    Made(Box<Ring>),
}

/// The ring, and the jobs that its entries point into.
struct Ring {
    // Closed before the jobs go. That does not end what runs: see `FileRing::drop`.
    io: IoUring,
    knows: Probe,
    jobs: Vec<Option<Job>>,
    free: Vec<u32>,
    in_flight: usize,
}

impl FileRing {
    pub(super) fn new(pool: Arc<Pool>, outbox: &Arc<Outbox>) -> Self {
        let (event, sink) = (outbox.event(), Arc::clone(outbox) as Arc<dyn Sink>);
        Self { pool, sink, event, used: AtomicBool::new(false), state: Mutex::new(State::Unused) }
    }

    /// Sends what was staged, and collects at most `room` of what is done. True: nothing is left to be sent.
    pub(super) fn look(&self, room: usize, out: &mut Vec<Completion>) -> io::Result<bool> {
        // Relaxed: its owner sees it at once, and a peer that does not sees it at its next look.
        if !self.used.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let mut finished = Vec::new();
        let sent = {
            let mut state = self.state.lock();
            let State::Made(ring) = &mut *state else { return Ok(true) };
            let sent = ring.send()?;
            ring.collect(room, &mut finished);
            sent
        };
        for (job, result) in finished {
            match job.finish(result) {
                Finished::Done(completion) => out.push(completion),
                Finished::Again(token, op) => {
                    if let Err((op, error)) = self.pool.start(token, op, &self.sink) {
                        out.push(Completion { token, result: Err(error), yielded: give_back(op) });
                    }
                }
            }
        }
        Ok(sent)
    }

    /// Stages an op. It comes back if the ring does not take it.
    fn stage(&self, token: Token, mut op: FileOp) -> Option<FileOp> {
        let Some(code) = code(&mut op) else { return Some(op) };
        let mut state = self.state.lock();
        if let State::Unused = *state {
            *state = match Ring::new(self.event) {
                Ok(ring) => State::Made(Box::new(ring)),
                Err(_) => State::Refused,
            };
            self.used.store(matches!(*state, State::Made(_)), Ordering::Relaxed);
        }
        let State::Made(ring) = &mut *state else { return Some(op) };
        if !ring.takes(code) {
            return Some(op);
        }
        ring.push(Job::new(token, op));
        None
    }
}

impl Files for FileRing {
    fn start(&self, token: Token, op: FileOp) -> Result<(), (FileOp, io::Error)> {
        match self.stage(token, op) {
            None => Ok(()),
            Some(op) => self.pool.start(token, op, &self.sink),
        }
    }

    fn cancel(&self, token: Token) {
        if let State::Made(ring) = &mut *self.state.lock()
            && ring.cancel(token)
        {
            return;
        }
        self.pool.cancel(token, &self.sink);
    }
}

impl Ring {
    fn new(event: i32) -> io::Result<Self> {
        let io = IoUring::builder().dontfork().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
        let mut knows = Probe::new();
        io.submitter().register_probe(&mut knows)?;
        io.submitter().register_eventfd(event)?;
        // The bound of this thread's ops; a refusal leaves the kernel's own, a few for each CPU.
        drop(io.submitter().register_iowq_max_workers(&mut [THREADS, 0]));
        Ok(Self { io, knows, jobs: Vec::new(), free: Vec::new(), in_flight: 0 })
    }

    /// Whether it takes one more op, of this code.
    fn takes(&mut self, code: u8) -> bool {
        self.in_flight < MOST && self.knows.is_supported(code) && self.has_room()
    }

    /// Whether one more entry finds room, if need be after the kernel has taken those that are there.
    fn has_room(&mut self) -> bool {
        !self.io.submission().is_full() || (self.send().is_ok() && !self.io.submission().is_full())
    }

    /// Appends the entry of a job, for which there is room.
    fn push(&mut self, job: Job) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            (self.jobs.len() - 1) as u32
        });
        let entry = self.jobs[index as usize].insert(job).entry().user_data(u64::from(index));
        self.in_flight += 1;
        self.push_entry(&entry);
    }

    fn push_entry(&mut self, entry: &squeue::Entry) {
        // SAFETY: it points into a job, which stays until its completion (invariants of `entry.rs`), or to nothing.
        let pushed = unsafe { self.io.submission().push(entry) };
        pushed.expect("there was room");
    }

    /// Asks for an early end. False: the op is not here.
    fn cancel(&mut self, token: Token) -> bool {
        let found = self.jobs.iter().position(|job| job.as_ref().is_some_and(|job| job.token == token));
        let Some(index) = found else { return false };
        let asked = self.jobs[index].as_mut().is_some_and(|job| std::mem::replace(&mut job.cancelled, true));
        if !asked && self.has_room() {
            let entry = opcode::AsyncCancel::new(index as u64).build().user_data(CANCEL);
            self.push_entry(&entry.flags(squeue::Flags::SKIP_SUCCESS));
        }
        true
    }

    /// Sends what was staged. False: the kernel did not take all of it now.
    fn send(&mut self) -> io::Result<bool> {
        {
            let submissions = self.io.submission();
            if submissions.is_empty() && !submissions.cq_overflow() {
                return Ok(true);
            }
        }
        match self.io.submit() {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(error) => return Err(error),
        }
        Ok(self.io.submission().is_empty())
    }

    /// Moves at most `room` finished jobs out.
    fn collect(&mut self, room: usize, finished: &mut Vec<(Job, i32)>) {
        while finished.len() < room
            && let Some(event) = self.io.completion().next()
        {
            if event.user_data() == CANCEL {
                continue;
            }
            let index = event.user_data() as u32;
            let job = self.jobs.get_mut(index as usize).and_then(Option::take);
            let job = job.expect("each entry completes once");
            self.free.push(index);
            self.in_flight -= 1;
            finished.push((job, event.result()));
        }
    }

    /// Ends all that can be ended, and waits for the rest.
    fn bury(mut self) {
        for index in 0..self.jobs.len() {
            if let Some(token) = self.jobs[index].as_ref().map(|job| job.token) {
                self.cancel(token);
            }
        }
        while self.in_flight > 0 {
            let waited = self.io.submit_and_wait(1);
            if waited.is_err_and(|error| error.raw_os_error() != Some(libc::EINTR)) {
                // What the kernel may still write to must stay.
                return std::mem::forget(self);
            }
            let mut finished = Vec::new();
            self.collect(usize::MAX, &mut finished);
            for (job, result) in finished {
                drop(job.finish(result));
            }
        }
    }
}

impl Drop for FileRing {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Refused);
        if let State::Made(ring) = state
            && ring.in_flight > 0
        {
            let spec = ThreadSpec { name: "pirn-file-end".to_owned(), stack: Some(128 << 10) };
            let ring = std::mem::ManuallyDrop::new(ring);
            // A thread that can't be had leaves them where they are.
            drop(thread::spawn(spec, Box::new(move || std::mem::ManuallyDrop::into_inner(ring).bury())));
        }
    }
}
