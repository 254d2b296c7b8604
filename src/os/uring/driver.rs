//! The reaping half of a driver over a ring.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::{opcode, squeue, types};

use super::away::Away;
use super::files::FileRing;
use super::outbox::{Outbox, Request};
use super::probe::refused;
use super::ring::{Event, Ring};
use super::{buffers, sys as calls};
use crate::os::alarm::Alarm;
use crate::os::epoll::driver::Submitter;
use crate::os::epoll::home::{Direction, Want, Wants};
use crate::os::epoll::socket::{self, Socket, Stage};
use crate::os::epoll::sys::{READ, WRITE};
use crate::os::file::pool::Pool;
use crate::os::sys::RawAddress;
use crate::os::{Completion, DriverConfig, DriverParts, Fd, Reap, Wait, thread};

/// User data of entries whose completion says nothing.
const NOTHING: u64 = 0;
/// User data of the poll of the eventfd.
const WAKE: u64 = u64::MAX;
/// User data of the poll of the alarm.
const ALARM: u64 = u64::MAX - 1;
/// Entries that one request makes at most.
const ENTRIES: usize = 6;
/// Enters at most that a driver makes to empty its queue in one go: enough for several queues full of completions, and no end is waited for.
const MOST_ENTERS: usize = 32;
/// A registration's key has 60 bits; above it stands which of its requests it is.
const KIND: u32 = 60;

/// Makes the parts.
pub(super) fn parts(files: &Arc<Pool>, config: &DriverConfig) -> io::Result<DriverParts> {
    let outbox = Arc::new(Outbox::new(config.near)?);
    let alarm = Alarm::new()?;
    let files = Arc::new(FileRing::new(Arc::clone(files), &outbox));
    let reap = UringReap {
        files: Arc::clone(&files),
        away: Away::new(&outbox, &alarm)?,
        outbox: Arc::clone(&outbox),
        ring: Ring::new().map_err(refused)?,
        owner: None,
        alarm,
        watches_event: false,
        watches_alarm: false,
        batch: config.batch.max(1),
        requests: VecDeque::new(),
        closes: VecDeque::new(),
        addresses: VecDeque::new(),
        events: Vec::new(),
        sockets: Vec::new(),
        stage: Stage::default(),
    };
    Ok(DriverParts {
        submit: Box::new(Submitter::new(outbox.clone(), files, outbox.clone())),
        reap: Box::new(reap),
        unpark: outbox,
    })
}

/// The half. Its methods run on one thread at a time, mostly the ring's own.
pub(super) struct UringReap {
    pub(super) outbox: Arc<Outbox>,
    pub(super) files: Arc<FileRing>,
    pub(super) ring: Ring,
    /// The thread that may enter the ring.
    owner: Option<u64>,
    /// The poll of the eventfd is in the ring.
    watches_event: bool,
    pub(super) alarm: Alarm,
    /// The poll of the alarm is in the ring.
    watches_alarm: bool,
    pub(super) batch: usize,
    /// Taken from the outbox and not carried out yet.
    pub(super) requests: VecDeque<Request>,
    /// Descriptors that are closed by entries which the kernel may not have taken, each with its entry's number.
    closes: VecDeque<(u64, RawFd)>,
    /// What entries that connect point to until the kernel has taken them, with their numbers. Behind `ring`, so that it is dropped later.
    addresses: VecDeque<(u64, Box<RawAddress>)>,
    events: Vec<Event>,
    sockets: Vec<Option<Fd>>,
    pub(super) stage: Stage,
    pub(super) away: Away,
}

/// Which of a registration's requests it is: 1 and up.
fn kind(want: Want) -> u64 {
    1 + u64::from((want as u8).trailing_zeros())
}

/// The user data of a request of a registration.
fn data(want: Want, key: u64) -> u64 {
    kind(want) << KIND | key
}

impl UringReap {
    /// Puts an entry into the ring, which has room.
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: no entry made here points to memory, for the buffers of receives are the ring's own; or to an address, which
        // stays until the kernel has taken the entry, and by then has copied it (SUBMIT_STABLE, Linux 5.5).
        unsafe { self.ring.push(entry) }
    }

    /// Has the ring watch the eventfd and the alarm: every look sees to it (law 8). What was written before counts.
    fn watch_event(&mut self) -> io::Result<()> {
        if !self.watches_event && self.ring.has_room(1)? {
            let event = types::Fd(self.outbox.event());
            let entry = opcode::PollAdd::new(event, libc::POLLIN as u32).multi(true).build();
            self.push(&entry.user_data(WAKE));
            self.watches_event = true;
        }
        if !self.watches_alarm && self.ring.has_room(1)? {
            let alarm = types::Fd(self.alarm.as_raw_fd());
            let entry = opcode::PollAdd::new(alarm, libc::POLLIN as u32).multi(true).build();
            self.push(&entry.user_data(ALARM));
            self.watches_alarm = true;
        }
        Ok(())
    }

    /// Turns requests into entries, in order. What the kernel has no room for stays for the next look (law 7).
    fn carry_out(&mut self) -> io::Result<()> {
        while !self.requests.is_empty() && self.ring.has_room(ENTRIES)? {
            match self.requests.pop_front() {
                Some(Request::Watch { key, fd, want }) => self.watch(key, types::Fd(fd), want),
                Some(Request::Connect { key, fd, address }) => self.connect(key, types::Fd(fd), address),
                Some(Request::Pause { key, want }) => self.end(key, want),
                Some(Request::Leave { key, fd, watched, .. }) => self.leave(key, fd, watched),
                None => {}
            }
        }
        Ok(())
    }

    fn watch(&mut self, key: u64, fd: types::Fd, want: Want) {
        let entry = match want {
            Want::Bytes => opcode::RecvMulti::new(fd, buffers::GROUP).build(),
            Want::Connections => {
                opcode::AcceptMulti::new(fd).flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC).build()
            }
            Want::Writable => opcode::PollAdd::new(fd, WRITE).multi(true).build(),
            Want::Readable => opcode::PollAdd::new(fd, READ).multi(true).build(),
            Want::Connected => unreachable!("a connect has an address: Request::Connect"),
        };
        self.push(&entry.user_data(data(want, key)));
    }

    fn connect(&mut self, key: u64, fd: types::Fd, address: Box<RawAddress>) {
        let entry = opcode::Connect::new(fd, address.pointer(), address.length()).build();
        self.push(&entry.user_data(data(Want::Connected, key)));
        self.addresses.push_back((self.ring.pushed(), address));
    }

    fn end(&mut self, key: u64, want: Want) {
        // All of them: a request that is left behind would keep the file open.
        let which = types::CancelBuilder::user_data(data(want, key)).all();
        let entry = opcode::AsyncCancel2::new(which).build().user_data(NOTHING);
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS));
    }

    fn leave(&mut self, key: u64, fd: OwnedFd, watched: Wants) {
        for want in [Want::Writable, Want::Bytes, Want::Connections, Want::Readable, Want::Connected] {
            if watched.has(want) {
                self.end(key, want);
            }
        }
        // Behind the entries that name it, and with them.
        let fd = fd.into_raw_fd();
        let entry = opcode::Close::new(types::Fd(fd)).build().user_data(NOTHING);
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS));
        self.closes.push_back((self.ring.pushed(), fd));
    }

    /// Forgets the closes and addresses that the kernel has taken.
    fn note_taken(&mut self) {
        if !self.closes.is_empty() || !self.addresses.is_empty() {
            let taken = self.ring.taken();
            while self.closes.pop_front_if(|(number, _)| *number <= taken).is_some() {}
            while self.addresses.pop_front_if(|(number, _)| *number <= taken).is_some() {}
        }
    }

    /// Closes what entries should have closed that a ring will not take any more.
    fn close_here(&mut self) {
        self.note_taken();
        for (_, fd) in self.closes.drain(..) {
            // SAFETY: `leave` gave the descriptor to an entry, and nobody carries that out.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }

    /// Collects what the kernel completed, until `out` has `full`.
    pub(super) fn collect(&mut self, full: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        while out.len() < full && self.ring.has_events() {
            self.ring.collect(full - out.len(), &mut self.events);
            {
                let mut registry = self.outbox.registry().lock();
                let key = |event: &Event| event.data & ((1 << KIND) - 1);
                self.sockets.extend(self.events.iter().map(|event| registry.get(key(event))));
            }
            let mut events = std::mem::take(&mut self.events);
            let mut sockets = std::mem::take(&mut self.sockets);
            for (event, socket) in events.drain(..).zip(sockets.drain(..)) {
                self.file(event, socket, out)?;
            }
            (self.events, self.sockets) = (events, sockets);
        }
        self.ring.buffers.end_of_look();
        if out.len() > full {
            self.outbox.stage_all(out.drain(full..));
        }
        Ok(())
    }

    /// Hands an event to its socket. A socket that is gone wants nothing of it.
    fn file(&mut self, event: Event, fd: Option<Fd>, out: &mut Vec<Completion>) -> io::Result<()> {
        if event.data == WAKE {
            self.watches_event &= event.more();
            return Ok(());
        }
        if event.data == ALARM {
            self.watches_alarm &= event.more();
            return Ok(());
        }
        let socket = fd.as_ref().and_then(|fd| Socket::of(fd).ok());
        match event.data >> KIND {
            one if one == kind(Want::Bytes) => {
                if event.result == -libc::ENOBUFS {
                    self.ring.buffers.ran_dry();
                }
                let count = event.result.max(0) as usize;
                if let Some(id) = event.buffer() {
                    if count > 0
                        && let Some(socket) = socket
                    {
                        let chunk = self.ring.buffers.take(id, count);
                        socket.bytes(chunk, &mut self.stage, out);
                    } else {
                        self.ring.buffers.put_back(id);
                    }
                }
                self.over(event, socket, Direction::Read, out);
            }
            one if one == kind(Want::Connections) => {
                if event.result >= 0 {
                    // SAFETY: the kernel just opened it for this process, and nobody else knows its number.
                    let accepted = unsafe { OwnedFd::from_raw_fd(event.result) };
                    // A connection that broke while it waited has no peer: passed over, as accept(2) advises.
                    if let Some(socket) = socket
                        && let Ok(peer) = calls::peer_addr(event.result)
                    {
                        socket.connection(
                            socket::fresh(accepted, socket::Kind::Stream),
                            peer,
                            &mut self.stage,
                            out,
                        );
                    }
                }
                // An error is no connection's: the call that the next accept makes meets it again.
                self.over(Event { result: 0, ..event }, socket, Direction::Read, out);
            }
            one if one == kind(Want::Connected) => {
                if let Some(socket) = socket {
                    socket.connected(event.result, &mut self.stage, out);
                }
            }
            other => {
                let direction = match other {
                    one if one == kind(Want::Writable) => Direction::Write,
                    one if one == kind(Want::Readable) => Direction::Read,
                    _ => return Ok(()),
                };
                if event.result > 0
                    && let Some(socket) = socket
                {
                    socket.edge(direction, event.result as u32, &mut self.stage, out);
                }
                self.over(Event { result: 0, ..event }, socket, direction, out);
            }
        }
        Ok(())
    }

    /// Tells a socket that its request has ended, if it has.
    fn over(
        &mut self,
        event: Event,
        socket: Option<&Socket>,
        direction: Direction,
        out: &mut Vec<Completion>,
    ) {
        if !event.more()
            && let Some(socket) = socket
        {
            let told = [0, -libc::ECANCELED, -libc::ENOBUFS];
            let error = (event.result < 0 && !told.contains(&event.result)).then_some(-event.result);
            socket.ended(direction, error, &mut self.stage, out);
        }
    }

    /// One look on the ring's own thread.
    fn look(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        let before = out.len();
        let full = before + self.batch;
        // Half of the batch is the sockets'.
        let sent = self.files.look(self.batch.div_ceil(2), out)?;
        let may_block = sent && out.len() == before && self.alarm.may_block(wait);
        let block = self.outbox.take(&mut self.requests, out, full - out.len(), may_block);
        self.watch_event()?;
        self.carry_out()?;
        // Not with a wake source or a request still outside (law 8).
        let all_in = self.watches_event && self.watches_alarm && self.requests.is_empty();
        if block && all_in && !self.ring.has_events() {
            self.ring.enter_and_wait()?;
        } else if self.ring.has_work() {
            self.ring.enter()?;
        }
        self.note_taken();
        self.collect(full, out)?;
        self.bring_in()?;
        if block {
            self.outbox.take(&mut self.requests, out, full - out.len(), false);
            self.files.look(full - out.len(), out)?;
        }
        Ok(())
    }

    /// Brings in what the kernel had no room for: only this thread may, and a peer that takes over while some is left could serve
    /// nobody in order. What comes is for the next looks.
    fn bring_in(&mut self) -> io::Result<()> {
        for _ in 0..MOST_ENTERS {
            if !self.ring.has_overflowed() {
                break;
            }
            let mut rest = Vec::new();
            self.collect(usize::MAX, &mut rest)?;
            self.ring.enter()?;
            self.note_taken();
            self.collect(usize::MAX, &mut rest)?;
            self.outbox.stage_all(rest.into_iter());
        }
        Ok(())
    }
}

impl Reap for UringReap {
    fn attach(&mut self) -> io::Result<()> {
        let here = thread::thread_id();
        match self.owner {
            Some(owner) if owner == here => return Ok(()),
            Some(_) => self.move_here()?,
            None => {}
        }
        self.ring.enable()?;
        thread::settle();
        self.owner = Some(here);
        Ok(())
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        if self.owner == Some(thread::thread_id()) {
            self.look(wait, out)
        } else {
            self.look_from_elsewhere(wait, out)
        }
    }

    fn detach(&mut self) {
        self.let_go();
    }
}

impl UringReap {
    /// Begins anew with a ring for another thread. Nothing is lost: what the old ring completed is collected first, and what
    /// it had not taken is still the kernel's; a closed ring takes nothing more.
    fn move_here(&mut self) -> io::Result<()> {
        let fresh = Ring::new().map_err(refused)?;
        let mut out = Vec::new();
        self.collect(usize::MAX, &mut out)?;
        self.close_here();
        self.ring = fresh;
        // The ring that they were for is gone.
        self.addresses.clear();
        (self.watches_event, self.watches_alarm) = (false, false);
        self.outbox.forget(|_, _| true);
        self.requests.retain(|request| matches!(request, Request::Leave { .. }));
        let sockets = self.outbox.registry().lock().keys();
        for (key, fd) in sockets {
            let Some(fd) = fd.upgrade() else { continue };
            let Ok(socket) = Socket::of(&fd) else { continue };
            for direction in [Direction::Read, Direction::Write] {
                // A thread may have had it watched since: a socket that is asked for twice loses the order of its bytes.
                let forget = || self.outbox.forget(|of, want| of == key && want.direction() == direction);
                socket.moved(direction, forget, &mut self.stage, &mut out);
            }
        }
        self.outbox.stage_all(out.into_iter());
        Ok(())
    }
}

impl Drop for UringReap {
    fn drop(&mut self) {
        self.let_go();
        // Nobody enters the ring any more.
        self.close_here();
    }
}

impl UringReap {
    /// Closes what is held for sockets that are gone, and the connections that nobody collected: their listeners take them
    /// along, those too that the queue had no room for. A second time it finds nothing.
    fn let_go(&mut self) {
        let may_enter = self.owner == Some(thread::thread_id());
        for _ in 0..MOST_ENTERS {
            let mut out = Vec::new();
            self.outbox.take(&mut self.requests, &mut out, usize::MAX, false);
            let carried = may_enter && self.carry_out().is_ok();
            drop(self.collect(usize::MAX, &mut out));
            if !(carried && self.ring.has_work() && self.ring.enter().is_ok()) {
                break;
            }
        }
        self.requests.clear();
        for fd in self.outbox.close() {
            if let Ok(socket) = Socket::of(&fd) {
                socket.orphan();
            }
        }
    }
}
