//! The three parts of a driver over an epoll set. The first one serves a ring as well.

use std::io;
use std::sync::{Arc, Weak};

use super::home::{Direction, Home};
use super::set::Set;
use super::socket::{Socket, Stage};
use super::thread;
use crate::os::alarm::Alarm;
use crate::os::file::handle::play_now;
use crate::os::file::pool::{Files, Pool, PoolOf, Sink, give_back};
use crate::os::{
    Completion, Descriptor, DriverConfig, DriverParts, Fd, FileOp, Interest, Op, Reap, Submit, Submitted,
    Token, Wait,
};

/// Makes the parts.
pub(super) fn parts(files: &Arc<Pool>, config: &DriverConfig) -> io::Result<DriverParts> {
    let (set, alarm) = (Arc::new(Set::new(config.near)?), Alarm::new()?);
    set.register_alarm(&alarm)?;
    let batch = config.batch.max(1);
    let files = Arc::new(PoolOf { pool: Arc::clone(files), sink: set.clone() });
    Ok(DriverParts {
        submit: Box::new(Submitter::new(set.clone(), files, set.clone())),
        reap: Box::new(EpollReap {
            set: Arc::clone(&set),
            alarm,
            batch,
            events: Vec::with_capacity(batch),
            ready: Vec::with_capacity(batch),
            stage: Stage::default(),
        }),
        unpark: set,
    })
}

/// The owner's half, on either live machine.
pub(in crate::os) struct Submitter {
    home: Arc<dyn Home>,
    stage: Stage,
    /// Where the pending op of a slot waits, for its cancel. Stale entries stay until their slot is used again.
    places: Vec<Option<Place>>,
    files: Arc<dyn Files>,
    /// Where the completion of a cancelled op goes.
    sink: Arc<dyn Sink>,
}

struct Place {
    generation: u32,
    direction: Direction,
    socket: Weak<dyn Descriptor>,
}

impl Submitter {
    pub(in crate::os) fn new(home: Arc<dyn Home>, files: Arc<dyn Files>, sink: Arc<dyn Sink>) -> Self {
        Self { home, stage: Stage::default(), places: Vec::new(), files, sink }
    }

    #[inline]
    fn note(&mut self, token: Token, direction: Direction, fd: &Fd) {
        let slot = token.slot() as usize;
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        let generation = token.generation();
        match &mut self.places[slot] {
            // A wait after the other: the reference count is left alone. The old one keeps the memory, so that the address says who it is.
            Some(place) if core::ptr::addr_eq(place.socket.as_ptr(), Arc::as_ptr(fd)) => {
                (place.generation, place.direction) = (generation, direction);
            }
            place => *place = Some(Place { generation, direction, socket: Arc::downgrade(fd) }),
        }
    }

    fn place(&mut self, token: Token) -> Option<Place> {
        let entry = self.places.get_mut(token.slot() as usize)?;
        if entry.as_ref()?.generation == token.generation() { entry.take() } else { None }
    }

    /// A read or write that needs no wait is made here, everything else about files elsewhere.
    fn submit_file(&mut self, token: Token, mut op: FileOp) -> Submitted {
        if let Some((result, yielded)) = play_now(&mut op) {
            return Submitted::Done(Completion { token, result, yielded });
        }
        match self.files.start(token, op) {
            Ok(()) => Submitted::Pending,
            Err((op, error)) => {
                Submitted::Done(Completion { token, result: Err(error), yielded: give_back(op) })
            }
        }
    }
}

impl Submit for Submitter {
    fn submit(&mut self, token: Token, op: Op) -> Submitted {
        let op = match op {
            Op::File(op) => return self.submit_file(token, op),
            op => op,
        };
        // Keeps the socket open across the call, whatever becomes of the op in it.
        let fd = Arc::clone(super::side::socket_of(&op));
        let socket = match Socket::of(&fd) {
            Ok(socket) => socket,
            Err(error) => return Submitted::Done(refused(token, op, error)),
        };
        let direction = Direction::of(&op);
        let submitted = socket.submit(&self.home, token, op, &mut self.stage);
        if matches!(submitted, Submitted::Pending) {
            self.note(token, direction, &fd);
        }
        submitted
    }

    fn wait(&mut self, token: Token, fd: &Fd, interest: Interest) -> Submitted {
        let waits = Socket::of(fd).ok().and_then(|socket| socket.wait(&self.home, token, fd, interest));
        match waits {
            Some(submitted) => {
                if matches!(submitted, Submitted::Pending) {
                    self.note(token, Direction::to(interest), fd);
                }
                submitted
            }
            None => self.submit(token, Op::Ready { fd: Arc::clone(fd), interest }),
        }
    }

    fn cancel(&mut self, token: Token) {
        if let Some(place) = self.place(token)
            && let Some(fd) = place.socket.upgrade()
            && let Ok(socket) = Socket::of(&fd)
            && let Some((completion, held)) = socket.cancel(place.direction, token)
        {
            self.sink.deliver(completion);
            drop(held);
            return;
        }
        self.files.cancel(token);
    }
}

/// The answer of an op that can't be started.
fn refused(token: Token, op: Op, error: io::Error) -> Completion {
    let (mut completion, _) = super::side::Waiting::new(token, op).cancelled();
    completion.result = Err(error);
    completion
}

struct EpollReap {
    set: Arc<Set>,
    alarm: Alarm,
    batch: usize,
    events: Vec<libc::epoll_event>,
    ready: Vec<(Fd, u32)>,
    stage: Stage,
}

impl EpollReap {
    fn collect(&mut self, block: bool, out: &mut Vec<Completion>) -> io::Result<()> {
        self.set.wait(&mut self.events, block)?;
        self.set.resolve(&self.events, &mut self.ready);
        for (fd, bits) in self.ready.drain(..) {
            if let Ok(socket) = Socket::of(&fd) {
                socket.event(bits, &mut self.stage, out);
            }
        }
        Ok(())
    }
}

impl Reap for EpollReap {
    fn attach(&mut self) -> io::Result<()> {
        // A set belongs to no thread.
        thread::settle();
        Ok(())
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        let before = out.len();
        let full = before + self.batch;
        let block = self.alarm.may_block(wait);
        let staged = self.set.take_staged(out, self.batch, block);
        if out.len() == full {
            return Ok(());
        }
        let result = self.collect(block && !staged, out);
        if block && !staged {
            self.set.take_staged(out, full.saturating_sub(out.len()), false);
        }
        if out.len() > full {
            self.set.stage_all(out.drain(full..));
        }
        result
    }
}

impl Drop for EpollReap {
    fn drop(&mut self) {
        for fd in self.set.close() {
            if let Ok(socket) = Socket::of(&fd) {
                socket.orphan();
            }
        }
    }
}
