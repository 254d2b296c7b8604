//! The world's drivers: ops in flight, looks, unparks.
//!
//! An op that can't be done at once waits at its socket. When the socket changes it is *due*, and the next look
//! ([`Reap::poll`]) plays it: does it then, or lets it wait on. A file op takes effect when its time has come; the next
//! look finds what it came to.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use pirn::os::{
    Address, Completion, DriverConfig, DriverParts, Fd, FileOp, Interest, Op, Reap, Submit, Submitted, Token,
    Unpark, Wait, Yielded,
};

use crate::check::Violation;
use crate::choice::Kind;
use crate::clock::Due;
use crate::disk::Outcome;
use crate::kernel::InFlight;
use crate::net::{Errno, OpRef};
use crate::os::{SimFd, socket_of};
use crate::thread::{Executor, here};
use crate::unix::Family;
use crate::world::{Why, World};

mod laws;

/// One driver.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) host: u32,
    pub(crate) worker: u32,
    /// Its host crashed.
    dead: bool,
    batch: usize,
    ops: Vec<Slot>,
    free: Vec<u32>,
    serial: u64,
    /// Slots that are due, in the order in which they became so.
    due: Vec<u32>,
    /// Since when there are any.
    due_since: u64,
    /// Cancels that met no op, the latest ones.
    early: VecDeque<Token>,
    unparked: bool,
    /// The thread inside a look, and whether it is blocked.
    looking: Option<u32>,
    blocked: bool,
    /// Ops inside a driver of Pirn's own.
    pub(crate) in_flight: Vec<InFlight>,
    /// The queue was full at the last submission: the next look empties it.
    full: bool,
}

#[derive(Debug)]
struct Slot {
    serial: u64,
    token: Token,
    op: Option<Op>,
    /// What a file op came to; until then it is under way.
    outcome: Option<Outcome>,
    socket: u32,
    sent: usize,
    cancelled: bool,
    /// Cancelled when it was due: it is tried once more first.
    last_try: bool,
    due: bool,
    /// Since when only this op holds its descriptor; `u64::MAX`: it does not.
    alone_since: u64,
}

/// What playing an op came to.
enum Played {
    Done(Completion),
    Waits,
}

impl Driver {
    /// A host is gone: nobody will look here, and what ops hold is leaked until the end of the run.
    pub(crate) fn crashed(&mut self, host: u32) {
        if self.host == host {
            self.dead = true;
            self.due.clear();
            self.in_flight.clear();
        }
    }

    /// The thread inside a look.
    pub(crate) fn looking(&self) -> Option<u32> {
        self.looking
    }

    /// A thread is inside a look and does not wait there.
    pub(crate) fn is_at_work(&self) -> bool {
        self.looking.is_some() && !self.blocked
    }

    pub(crate) fn stop_looking(&mut self) {
        self.looking = None;
    }

    /// That thread waits, and may be interrupted.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Whether the next look finds something.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether an op with this token is in flight.
    pub(crate) fn has_in_flight(&self, token: Token) -> bool {
        self.in_flight.iter().any(|op| op.token == token) || self.has_file_op(token)
    }

    /// The same of ops that the world plays.
    pub(crate) fn has_file_op(&self, token: Token) -> bool {
        self.ops.iter().any(|slot| slot.op.is_some() && slot.token == token)
    }
}

impl World {
    pub(crate) fn driver(&mut self, driver: u32) -> &mut Driver {
        &mut self.drivers[driver as usize]
    }

    /// A socket changed under an op: it is due.
    pub(crate) fn op_ready(&mut self, op: OpRef) {
        let now = self.now;
        let driver = self.driver(op.driver);
        let slot = &mut driver.ops[op.slot as usize];
        if driver.dead || slot.serial != op.serial || slot.op.is_none() || slot.due {
            return;
        }
        slot.due = true;
        if driver.due.is_empty() {
            driver.due_since = now;
        }
        driver.due.push(op.slot);
        self.interrupt(op.driver);
    }

    /// Wakes the thread that is blocked in a look.
    fn interrupt(&mut self, driver: u32) {
        let record = self.driver(driver);
        if record.blocked
            && let Some(thread) = record.looking
        {
            record.blocked = false;
            self.make_ready(thread, true);
        }
    }

    fn add_op(&mut self, driver: u32, token: Token, op: Op, socket: u32, sent: usize) -> OpRef {
        let record = self.driver(driver);
        record.serial += 1;
        let serial = record.serial;
        let slot = Slot {
            serial,
            token,
            op: Some(op),
            outcome: None,
            socket,
            sent,
            cancelled: false,
            last_try: false,
            due: false,
            alone_since: u64::MAX,
        };
        let number = match record.free.pop() {
            Some(number) => {
                record.ops[number as usize] = slot;
                number
            }
            None => {
                record.ops.push(slot);
                record.ops.len() as u32 - 1
            }
        };
        OpRef { driver, slot: number, serial }
    }

    /// Starts a file op: done at once, or under way until its time has come.
    pub(crate) fn start_file(&mut self, driver: u32, token: Token, mut op: FileOp) -> Submitted {
        let hot = self.file_op_is_hot(&op);
        let otherwise = self.options.spurious > 0 && self.rarely(Kind::Inline, 2, 100) != 0;
        if hot != otherwise {
            let (result, yielded) = self.play_file(self.my_host(), &mut op);
            let result = result.map_err(io::Error::from_raw_os_error);
            return Submitted::Done(Completion { token, result, yielded });
        }
        let at = self.now + self.file_op_span(&op);
        // The host stands where the socket of other ops does.
        let host = self.my_host();
        let op = self.add_op(driver, token, Op::File(op), host, 0);
        self.due.push(at, Due::File(op));
        Submitted::Pending
    }

    /// The time of a file op has come: it takes effect.
    pub(crate) fn file_op_ends(&mut self, at: OpRef) {
        let driver = self.driver(at.driver);
        let slot = &mut driver.ops[at.slot as usize];
        if driver.dead || slot.serial != at.serial || slot.cancelled {
            return;
        }
        let host = slot.socket;
        let Some(Op::File(mut op)) = slot.op.take() else { return };
        let outcome = self.play_file(host, &mut op);
        let slot = &mut self.driver(at.driver).ops[at.slot as usize];
        // It keeps its descriptors until a look takes it.
        slot.op = Some(Op::File(op));
        slot.outcome = Some(outcome);
        self.op_ready(at);
    }

    /// The op waits at its socket.
    fn wait_at_socket(&mut self, driver: u32, slot: u32) {
        let record = &self.driver(driver).ops[slot as usize];
        let op = OpRef { driver, slot, serial: record.serial };
        let reads = matches!(
            record.op,
            Some(Op::Recv { .. } | Op::Accept { .. } | Op::Ready { interest: Interest::Read, .. })
        );
        let socket = record.socket;
        let socket = self.net.socket(socket);
        let list = if reads { &mut socket.readers } else { &mut socket.writers };
        if !list.contains(&op) {
            list.push(op);
        }
    }

    /// Tries an op. What it delivers is in the completion; the op's buffer too.
    fn play(&mut self, token: Token, op: &mut Op, socket: u32, sent: &mut usize) -> Played {
        let (result, yielded) = match op {
            Op::Recv { max, .. } => {
                let mut bytes = Vec::new();
                match self.receive(socket, *max, false, |part| bytes.extend_from_slice(part)) {
                    Ok(None) => return Played::Waits,
                    Ok(Some(count)) => (Ok(count), Yielded::Bytes(bytes)),
                    Err(errno) => (Err(errno), Yielded::Nothing),
                }
            }
            Op::Send { bytes, from, .. } => loop {
                let left = &bytes[*from + *sent..];
                match self.send(socket, left.len(), |count| left[..count].to_vec()) {
                    Ok(None) => return Played::Waits,
                    Ok(Some(count)) => {
                        *sent += count;
                        if *from + *sent == bytes.len() {
                            break (Ok(*sent), Yielded::Bytes(std::mem::take(bytes)));
                        }
                    }
                    Err(errno) => break (Err(errno), Yielded::Bytes(std::mem::take(bytes))),
                }
            },
            Op::Accept { .. } => match self.accept(socket) {
                Ok(None) => return Played::Waits,
                Ok(Some((fd, peer))) => (Ok(0), Yielded::Accepted((SimFd::open(self, fd), peer).into())),
                Err(errno) => (Err(errno), Yielded::Nothing),
            },
            Op::Connect { .. } => match self.connected(socket) {
                Ok(None) => return Played::Waits,
                Ok(Some(())) => (Ok(0), Yielded::Nothing),
                Err(errno) => (Err(errno), Yielded::Nothing),
            },
            // Nothing is ever taken ahead here.
            Op::Settle { .. } => (Ok(0), Yielded::Nothing),
            // Now and then without a reason, as the kernel may.
            Op::Ready { interest, .. } => {
                if !self.is_ready(socket, *interest)
                    && self.rarely(Kind::Spurious, 2, self.options.spurious) == 0
                {
                    return Played::Waits;
                }
                (Ok(0), Yielded::Nothing)
            }
            _ => (Err(libc::ENOSYS), Yielded::Nothing),
        };
        self.note(result.map_or_else(|errno| (1 << 40) | errno as u64, |count| count as u64));
        Played::Done(Completion { token, result: result.map_err(io::Error::from_raw_os_error), yielded })
    }

    /// Plays what is due, `room` ops at most; appends completions. The ops that ended are returned for dropping, because their descriptors may close.
    pub(crate) fn collect(
        &mut self,
        driver: u32,
        room: usize,
        out: &mut Vec<Completion>,
        ended: &mut Vec<Op>,
    ) {
        let mut left = self.driver(driver).due.len().min(room);
        if left > 1 {
            left -= self.rarely(Kind::Count, left as u32, self.options.spurious) as usize;
        }
        while left > 0 {
            let options = self.driver(driver).due.len() as u32;
            if options == 0 {
                break;
            }
            let rank = if self.options.spurious > 0 { self.rarely(Kind::Order, options, 300) } else { 0 };
            let number = self.driver(driver).due.remove(rank as usize);
            let slot = &mut self.driver(driver).ops[number as usize];
            slot.due = false;
            let Some(mut op) = slot.op.take() else { continue };
            let (token, socket, mut sent) = (slot.token, slot.socket, slot.sent);
            let (cancelled, tried) = (slot.cancelled, !slot.cancelled || slot.last_try);
            let mut played = match slot.outcome.take() {
                Some((result, yielded)) => {
                    let result = result.map_err(io::Error::from_raw_os_error);
                    Played::Done(Completion { token, result, yielded })
                }
                None if tried => self.play(token, &mut op, socket, &mut sent),
                None => Played::Waits,
            };
            if cancelled && matches!(played, Played::Waits) {
                played = Played::Done(Completion {
                    token,
                    result: Err(io::Error::from_raw_os_error(libc::ECANCELED)),
                    yielded: buffer_of(&mut op),
                });
            }
            match played {
                Played::Done(completion) => {
                    out.push(completion);
                    ended.push(op);
                    self.driver(driver).free.push(number);
                    left -= 1;
                }
                Played::Waits => {
                    let slot = &mut self.driver(driver).ops[number as usize];
                    slot.op = Some(op);
                    slot.sent = sent;
                    self.wait_at_socket(driver, number);
                }
            }
        }
    }

    pub(crate) fn violates(&mut self, invariant: &'static str, driver: u32, message: String) {
        let worker = self.driver(driver).worker;
        self.violated(Violation::new(invariant, message).worker(worker));
    }
}

/// Makes a driver for a worker of the calling thread's host.
pub(crate) fn driver(config: &DriverConfig) -> DriverParts {
    let handle = register(config);
    DriverParts { submit: Box::new(handle), reap: Box::new(Looker(handle)), unpark: Arc::new(handle) }
}

/// The record of a driver.
pub(crate) fn register(config: &DriverConfig) -> Handle {
    let executor = here("Os::driver");
    executor.os_point();
    let world = executor.world();
    let (run, number) = (world.run, world.drivers.len() as u32);
    let host = world.my_host();
    world.drivers.push(Driver { host, worker: config.worker, batch: config.batch, ..Driver::default() });
    Handle { run, number }
}

/// All three parts of a driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    run: u64,
    pub(crate) number: u32,
}

impl Handle {
    pub(crate) fn here(self, what: &str) -> &'static Executor {
        let executor = here(what);
        assert!(
            executor.world().run == self.run,
            "{what} was called on a driver of another execution: something outlived its simulation"
        );
        executor
    }
}

fn op_fd(op: &Op) -> Option<&Fd> {
    match op {
        Op::Accept { fd }
        | Op::Connect { fd, .. }
        | Op::Recv { fd, .. }
        | Op::Send { fd, .. }
        | Op::Ready { fd, .. }
        | Op::Settle { fd } => Some(fd),
        _ => None,
    }
}

fn failed(token: Token, mut op: Op, errno: Errno) -> Submitted {
    let (result, yielded) = (Err(io::Error::from_raw_os_error(errno)), buffer_of(&mut op));
    Submitted::Done(Completion { token, result, yielded })
}

/// The buffer of an op that is not played.
fn buffer_of(op: &mut Op) -> Yielded {
    match op {
        Op::Send { bytes, .. }
        | Op::File(FileOp::Write { bytes, .. } | FileOp::Read { buffer: bytes, .. }) => {
            Yielded::Bytes(std::mem::take(bytes))
        }
        _ => Yielded::Nothing,
    }
}

impl Submit for Handle {
    fn submit(&mut self, token: Token, mut op: Op) -> Submitted {
        let executor = self.here("Submit::submit");
        executor.os_point();
        let world = executor.world();
        let number = self.number;
        if world.refuses_for_now(number) {
            return Submitted::Full(op);
        }
        world.check_submit(number, token);
        executor.settle();
        if world.driver(number).ops.iter().any(|slot| slot.op.is_some() && slot.token == token) {
            let message =
                format!("token {:#x} was submitted while an op with it was in flight", token.bits());
            world.violates("S17", number, message);
            executor.stop();
        }
        if let Op::File(op) = op {
            return world.start_file(number, token, op);
        }
        let Some(socket) = op_fd(&op).map(socket_of) else { return failed(token, op, libc::ENOSYS) };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return failed(token, op, error.raw_os_error().unwrap_or(libc::EBADF)),
        };
        if let Op::Connect { address, .. } = &op {
            let address = address.clone();
            let begun = match (address, world.net.socket(socket).family) {
                (Address::Unix(name), _) => world.connect_name(socket, &name),
                (Address::Ip(address), Family::Tcp) => world.connect_socket(socket, address),
                (Address::Ip(address), Family::Udp) => world.connect_udp(socket, address),
                (Address::Ip(_), _) => Err(libc::EINVAL),
            };
            if let Err(errno) = begun {
                return failed(token, op, errno);
            }
        }
        let mut sent = 0;
        let at_once = world.options.spurious == 0 || world.rarely(Kind::Inline, 2, 100) == 0;
        if at_once && let Played::Done(completion) = world.play(token, &mut op, socket, &mut sent) {
            return Submitted::Done(completion);
        }
        let op = world.add_op(number, token, op, socket, sent);
        world.wait_at_socket(number, op.slot);
        if !at_once {
            // It may be ready already: the next look tries it.
            world.op_ready(op);
        }
        Submitted::Pending
    }

    fn cancel(&mut self, token: Token) {
        let executor = self.here("Submit::cancel");
        executor.os_point();
        let world = executor.world();
        let number = self.number;
        let found =
            world.driver(number).ops.iter_mut().position(|slot| slot.op.is_some() && slot.token == token);
        let send = found.map(|slot| matches!(world.driver(number).ops[slot].op, Some(Op::Send { .. })));
        world.check_cancel(number, token, send);
        executor.settle();
        let Some(slot) = found else { return };
        let due = world.driver(number).ops[slot].due;
        // What is due may win against its cancel.
        let last_try = due && world.options.spurious > 0 && world.uniform(Kind::Inline, 2) != 0;
        let record = &mut world.driver(number).ops[slot];
        if matches!(record.op, Some(Op::File(_))) {
            // What has come to its end is not undone, and what is under way may not be stopped.
            let over = record.outcome.is_some() || record.cancelled;
            if over || (world.options.spurious > 0 && world.uniform(Kind::Inline, 2) != 0) {
                return;
            }
        }
        let record = &mut world.driver(number).ops[slot];
        record.cancelled = true;
        record.last_try = last_try;
        let serial = record.serial;
        world.op_ready(OpRef { driver: number, slot: slot as u32, serial });
    }
}

/// The reaping part: when it goes, the ops in flight go too, and what they hold.
#[derive(Debug)]
struct Looker(Handle);

impl Drop for Looker {
    fn drop(&mut self) {
        self.0.drop_driver();
    }
}

impl Handle {
    /// The driver goes, and what it holds.
    pub(crate) fn drop_driver(self) {
        let Some(executor) = crate::thread::current().filter(|executor| executor.world().run == self.run)
        else {
            return;
        };
        let driver = executor.world().driver(self.number);
        driver.due.clear();
        driver.in_flight.clear();
        let left: Vec<_> = driver.ops.iter_mut().map(|slot| (slot.op.take(), slot.outcome.take())).collect();
        drop(left);
    }
}

impl World {
    /// Whether a driver's queue is full, for a change: the next look empties it.
    pub(crate) fn refuses_for_now(&mut self, number: u32) -> bool {
        // Full stays full until a look makes room.
        let full = self.driver(number).full || self.rarely(Kind::Spurious, 2, self.options.spurious / 2) != 0;
        self.driver(number).full = full;
        full
    }

    /// The running thread looks at a driver.
    pub(crate) fn enters_look(&mut self, number: u32) {
        let me = self.current;
        if let Some(other) = self.driver(number).looking {
            let message = format!("thread {me} looks at a driver inside which thread {other} is looking");
            self.violates("S13", number, message);
        }
        self.driver(number).looking = Some(me);
        self.driver(number).full = false;
    }
}

impl Reap for Looker {
    fn attach(&mut self) -> io::Result<()> {
        self.0.here("Reap::attach").os_point();
        Ok(())
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        let executor = self.0.here("Reap::poll");
        executor.os_point();
        let number = self.0.number;
        executor.world().enters_look(number);
        executor.settle();
        let mut ended = Vec::new();
        self.0.look(executor, wait, out, &mut ended);
        executor.world().driver(number).looking = None;
        executor.settle();
        drop(ended);
        Ok(())
    }
}

impl Handle {
    fn look(self, executor: &'static Executor, wait: Wait, out: &mut Vec<Completion>, ended: &mut Vec<Op>) {
        let number = self.number;
        let before = out.len();
        loop {
            let world = executor.world();
            let room = world.driver(number).batch.max(1);
            world.collect(number, room, out, ended);
            let unparked = std::mem::take(&mut world.driver(number).unparked);
            let until = match wait {
                Wait::No => return,
                Wait::Until(until) => until.as_nanos(),
                Wait::Forever => u64::MAX,
            };
            if out.len() > before || unparked || until <= world.now {
                return;
            }
            if world.rarely(Kind::Spurious, 2, world.options.spurious) != 0 {
                return;
            }
            world.driver(number).blocked = true;
            executor.block(Why::Driver(number), until, 0);
            executor.world().driver(number).blocked = false;
        }
    }
}

impl Unpark for Handle {
    fn unpark(&self) {
        let executor = self.here("Unpark::unpark");
        executor.os_point();
        let world = executor.world();
        world.driver(self.number).unparked = true;
        world.interrupt(self.number);
    }

    fn at_home(&self) -> usize {
        // Here a descriptor is at home where an op of it waits.
        let driver = self.here("Unpark::at_home").world().driver(self.number);
        driver.ops.len() - driver.free.len()
    }
}
