//! The door of a driver of Pirn's own: what goes in and comes out is held to the laws, and file ops are the world's.

use std::io;
use std::sync::Arc;

use pirn::os::{
    Completion, DriverConfig, DriverParts, Fd, FileOp, Interest, Op, Os, Reap, Submit, Submitted, Token, Wait,
};
use pirn::time::Instant;

use super::{BASE, Kind};
use crate::check::Violation;
use crate::cost::Call;
use crate::driver::{Handle, register};
use crate::world::World;

/// An op that went in.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) token: Token,
    pub(crate) send: bool,
    /// Its descriptor may go: it is being submitted, has been cancelled, or was lent the descriptor.
    lets_go: bool,
    fd: i32,
    /// Which side of the descriptor it waits for.
    reads: bool,
    /// Since when what it waits for has been there.
    ready_since: Option<u64>,
    /// Looks of each worker at its own driver since then.
    looks: Vec<u8>,
    /// Drivers, a bit each, whose last look had more than it could hand out: it may be among that, and done with its descriptor.
    kept_back: u64,
}

/// Looks of every worker at its own driver within which what is there is dispatched: a few, for what has to be armed anew first, and
/// those that were interrupted.
const SLICE: u8 = 24;

/// The parts of a driver, with the door before them.
pub(super) fn around(inner: DriverParts, config: &DriverConfig, live: Arc<dyn Os>) -> DriverParts {
    let handle = register(config);
    DriverParts {
        submit: Box::new(Door { handle, inner: inner.submit }),
        reap: Box::new(Exit { handle, inner: inner.reap, live, batch: config.batch.max(1), owner: None }),
        unpark: inner.unpark,
    }
}

struct Door {
    handle: Handle,
    inner: Box<dyn Submit>,
}

fn in_flight(token: Token, op: &Op) -> InFlight {
    let (fd, reads) = match op {
        Op::Accept { fd }
        | Op::Recv { fd, .. }
        | Op::Ready { fd, interest: Interest::Read }
        | Op::Settle { fd } => (fd.raw(), true),
        Op::Connect { fd, .. } | Op::Send { fd, .. } | Op::Ready { fd, interest: Interest::Write } => {
            (fd.raw(), false)
        }
        _ => (-1, false),
    };
    let send = matches!(op, Op::Send { .. });
    InFlight { token, send, lets_go: true, fd, reads, ready_since: None, looks: Vec::new(), kept_back: 0 }
}

impl Submit for Door {
    fn submit(&mut self, token: Token, op: Op) -> Submitted {
        if !self.admits(token) {
            return Submitted::Full(op);
        }
        match op {
            Op::File(op) => self.submit_file(token, op),
            op => self.goes_in(in_flight(token, &op), false, |inner| inner.submit(token, op)),
        }
    }

    fn wait(&mut self, token: Token, fd: &Fd, interest: Interest) -> Submitted {
        let op = Op::Ready { fd: Arc::clone(fd), interest };
        if !self.admits(token) {
            return Submitted::Full(op);
        }
        self.goes_in(in_flight(token, &op), true, |inner| inner.wait(token, fd, interest))
    }

    fn cancel(&mut self, token: Token) {
        let executor = self.handle.here("Submit::cancel");
        let number = self.handle.number;
        if executor.world().driver(number).has_file_op(token) {
            self.handle.cancel(token);
            return;
        }
        executor.os_point();
        let world = executor.world();
        let met = world.driver(number).in_flight.iter_mut().find(|op| op.token == token).map(|op| {
            op.lets_go = true;
            op.send
        });
        world.check_cancel(number, token, met);
        executor.settle();
        self.inner.cancel(token);
    }
}

impl Door {
    /// Whether an op may go in now. One whose token is in use ends the run.
    fn admits(&self, token: Token) -> bool {
        let executor = self.handle.here("Submit::submit");
        executor.os_point();
        let (world, number) = (executor.world(), self.handle.number);
        if world.refuses_for_now(number) {
            return false;
        }
        world.check_submit(number, token);
        executor.settle();
        if world.driver(number).has_in_flight(token) {
            let message =
                format!("token {:#x} was submitted while an op with it was in flight", token.bits());
            world.violates("S17", number, message);
            executor.stop();
        }
        true
    }

    /// `lent`: its descriptor is its owner's, and may go at any time.
    fn goes_in(
        &mut self,
        op: InFlight,
        lent: bool,
        go: impl FnOnce(&mut dyn Submit) -> Submitted,
    ) -> Submitted {
        let (token, number) = (op.token, self.handle.number);
        let executor = self.handle.here("Submit::submit");
        executor.world().driver(number).in_flight.push(op);
        let submitted = go(self.inner.as_mut());
        let ops = &mut executor.world().driver(number).in_flight;
        if matches!(submitted, Submitted::Pending) {
            ops.iter_mut().filter(|op| op.token == token).for_each(|op| op.lets_go = lent);
        } else {
            ops.retain(|op| op.token != token);
        }
        submitted
    }

    fn submit_file(&mut self, token: Token, op: FileOp) -> Submitted {
        let executor = self.handle.here("Submit::submit");
        executor.world().charge_call();
        executor.world().charge(Call::Event);
        executor.world().start_file(self.handle.number, token, op)
    }
}

struct Exit {
    handle: Handle,
    inner: Box<dyn Reap>,
    live: Arc<dyn Os>,
    batch: usize,
    /// The thread on its seat.
    owner: Option<u32>,
}

impl Reap for Exit {
    fn attach(&mut self) -> io::Result<()> {
        let executor = self.handle.here("Reap::attach");
        executor.os_point();
        self.owner = Some(executor.world().current);
        self.inner.attach()
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        let (executor, number) = (self.handle.here("Reap::poll"), self.handle.number);
        executor.os_point();
        executor.world().enters_look(number);
        executor.settle();
        let before = out.len();
        let wait = self.wait(wait);
        let result = self.inner.poll(wait, out);
        let mut ended = Vec::new();
        let world = executor.world();
        world.leaves_look(number, &out[before..]);
        let room = (before + self.batch).saturating_sub(out.len());
        world.keeps_back(number, room == 0);
        if room > 0 && self.owner == Some(world.current) {
            world.counts_look(number);
        }
        world.collect(number, room, out, &mut ended);
        executor.settle();
        drop(ended);
        result
    }

    fn detach(&mut self) {
        self.handle.here("Reap::detach").os_point();
        self.inner.detach();
    }
}

impl Exit {
    /// The wait in the driver's own clock, which started elsewhere.
    fn wait(&self, wait: Wait) -> Wait {
        let world = self.handle.here("Reap::poll").world();
        if world.driver(self.handle.number).has_due() {
            return Wait::No;
        }
        match wait {
            Wait::Until(until) => {
                let theirs = self.live.now().as_nanos();
                let left = until.as_nanos().saturating_sub(world.now);
                Wait::Until(Instant::from_nanos(theirs.saturating_add(left)))
            }
            wait => wait,
        }
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.handle.drop_driver();
    }
}

impl World {
    /// Ops that came out went in, once.
    fn leaves_look(&mut self, number: u32, out: &[Completion]) {
        let host = self.driver(number).host;
        self.driver(number).stop_looking();
        for completion in out {
            let token = completion.token;
            // Whoever reaps a socket's home finds the ops of all workers that wait there.
            let found = self.drivers.iter_mut().filter(|driver| driver.host == host).find_map(|driver| {
                let at = driver.in_flight.iter().position(|op| op.token == token)?;
                Some(driver.in_flight.swap_remove(at))
            });
            if found.is_none() {
                let what = format!(
                    "op {}.{} of worker {} resolved, and is not in flight: twice, or it was never submitted",
                    token.slot(),
                    token.generation(),
                    token.worker()
                );
                self.violates("S19", number, what);
                return;
            }
        }
    }

    /// A look brought as much as it may, or less.
    fn keeps_back(&mut self, number: u32, full: bool) {
        let host = self.driver(number).host;
        let bit = 1 << (self.driver(number).worker % 64);
        for driver in self.drivers.iter_mut().filter(|driver| driver.host == host) {
            for op in &mut driver.in_flight {
                op.kept_back = if full { op.kept_back | bit } else { op.kept_back & !bit };
            }
        }
    }

    /// A worker has looked at its own driver, and had room for more: what has been there for an op through so many looks of all workers
    /// should have been found by one.
    fn counts_look(&mut self, number: u32) {
        let host = self.driver(number).host;
        let workers: Vec<usize> = self
            .drivers
            .iter()
            .filter(|driver| driver.host == host)
            .map(|driver| driver.worker as usize)
            .collect();
        let looker = self.driver(number).worker as usize;
        for at in (0..self.drivers.len()).filter(|&at| self.drivers[at].host == host).collect::<Vec<_>>() {
            let mut ops = std::mem::take(&mut self.drivers[at].in_flight);
            let mut late = None;
            for op in &mut ops {
                if !self.is_ready_for(host, op) {
                    op.looks.clear();
                    continue;
                }
                if op.looks.len() <= looker {
                    op.looks.resize(looker + 1, 0);
                }
                op.looks[looker] = op.looks[looker].saturating_add(1);
                if workers.iter().all(|&worker| op.looks.get(worker).is_some_and(|&looks| looks >= SLICE)) {
                    late = Some(op.token);
                }
            }
            self.drivers[at].in_flight = ops;
            if let Some(token) = late.filter(|_| !self.hosts[host as usize].checker.is_closing()) {
                let what = format!(
                    "what op {}.{} of worker {} waits for has been there while every worker looked at its driver {SLICE} times, and it is not dispatched",
                    token.slot(),
                    token.generation(),
                    token.worker()
                );
                self.violates("L7", number, what);
                return;
            }
        }
    }

    /// A descriptor closes: no op needs it any more.
    pub(crate) fn check_descriptor_closed(&mut self, fd: i32) {
        let host = self.my_host();
        if self.drivers.iter().any(|driver| driver.host == host && driver.is_at_work()) {
            // What a look finishes it lets go of, before it hands its completions out.
            return;
        }
        let uses = self.drivers.iter().filter(|driver| driver.host == host).find_map(|driver| {
            let op = driver.in_flight.iter().find(|op| op.fd == fd && !op.lets_go && op.kept_back == 0)?;
            Some((driver.worker, op.token))
        });
        if let Some((worker, token)) = uses {
            let what = format!(
                "descriptor {} was closed under op {}.{} of worker {worker}, which is in flight on it",
                fd - BASE,
                token.slot(),
                token.generation()
            );
            self.violated(Violation::new("S18", what).worker(worker));
        }
    }

    /// All threads are blocked: what has been ready for an op is dispatched soon.
    pub(crate) fn check_in_flight(&mut self, at: usize) {
        let (host, worker) = (self.drivers[at].host, self.drivers[at].worker);
        let now = self.now;
        let mut ops = std::mem::take(&mut self.drivers[at].in_flight);
        for op in &mut ops {
            let ready = self.is_ready_for(host, op);
            op.ready_since = if ready { op.ready_since.or(Some(now)) } else { None };
        }
        let since = ops.iter().filter_map(|op| op.ready_since).min();
        self.drivers[at].in_flight = ops;
        let host = &self.hosts[host as usize];
        if let Some(since) = since
            && !host.returned
            && let Err(violation) = host.checker.readiness_waits(worker, since)
        {
            self.violated(violation);
        }
    }

    fn is_ready_for(&mut self, host: u32, op: &InFlight) -> bool {
        let Some(file) = self.file_of_host(host, op.fd) else { return false };
        let Kind::Socket(socket) = self.file_at(file).kind else { return false };
        // Room to write is told of when the other end's word of it arrives, not when it is there.
        op.reads && self.is_ready(socket, pirn::os::Interest::Read)
    }
}
