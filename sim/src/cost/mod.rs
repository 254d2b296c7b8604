//! The cost model: a run in which the schedule follows from what things cost, and not from choices.
//!
//! Each thread has a CPU of its own (or a share of so many, [`Model::cpus`]). An operation of `pirn::sync`, a system call and computing take time,
//! and the thread whose time is earliest runs next: a discrete-event simulation of the real scheduler, the same for every seed but for what the
//! program draws itself. What is modelled:
//!
//! - **Contention.** The word behind an operation is a cache line of its own (`lines`). A read-modify-write or lock of a line that another worker
//!   wrote or read waits until the line is free, and for its transfer; so does a load of what another one wrote. A store goes on at once,
//!   and the line is busy until it has moved.
//! - **Distance.** A transfer between nodes takes a multiple of one inside a node.
//! - **Sleeping.** Who is woken out of a system call or a held lock runs some time later.
//! - **Migration.** A task that is polled on another worker than last time reads its memory anew.
//! - **System calls**, each kind with its own cost, counted; those of epoll and io_uring over the simulated kernel, as the drivers make them.
//!
//! Not modelled: plain memory accesses (their share is in the cost of an operation), what several words on one line cost or save, locks inside of the
//! kernel, interrupts, and the order in which a kernel gives CPUs to more threads than there are: they share evenly.
//!
//! The checkers are off, as is TSO; a broken invariant is none here, because threads see one another's actions with delays.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::lines::Lines;
use crate::memory::Spread;
use crate::world::Why;

mod lines;
mod run;

/// What things cost, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// An operation of `pirn::sync` on a line that is the worker's own, with the plain instructions around it.
    pub operation: f64,
    /// Moving a cache line from one core to another.
    pub transfer: f64,
    /// How many times longer a transfer, a refill or a wake takes between nodes.
    pub node_factor: f64,
    /// Workers of a node.
    pub node_workers: u32,
    /// What a task's memory costs that is polled on another worker than last time.
    pub refill: f64,
    /// From a wake to the sleeping thread's first instruction.
    pub wake: f64,
    /// A reading of the clock.
    pub clock: f64,
    /// A system call that does next to nothing.
    pub call: f64,
    /// What calls cost beyond that: receiving a message, sending one (and delivering it, over the loopback interface).
    pub receive: f64,
    /// See `receive`.
    pub send: f64,
    /// A look at an epoll set.
    pub wait: f64,
    /// Changing an epoll set.
    pub control: f64,
    /// Writing or reading an eventfd.
    pub event: f64,
    /// Accepting a connection.
    pub accept: f64,
    /// Opening a socket and connecting it.
    pub connect: f64,
    /// Closing a connection.
    pub close: f64,
    /// Reading 4 KiB of a file from memory.
    pub read: f64,
    /// From the submission of a read of 4 KiB that is not in memory to its completion.
    pub cold_read: f64,
    /// An io_uring_enter with nothing to do.
    pub enter: f64,
    /// An entry of a submission queue.
    pub entry: f64,
}

impl Default for Costs {
    /// What `pirn calibrate` measured on a virtual machine with two CPUs of an Intel Xeon (Linux 6.18) while other programs ran; `wake` was
    /// measured there by itself, on a quiet machine. `node_factor`, `node_workers` and `entry` are assumed.
    fn default() -> Self {
        Self {
            operation: 7.0,
            transfer: 68.0,
            node_factor: 2.0,
            node_workers: 32,
            refill: 580.0,
            wake: 5_600.0,
            clock: 25.0,
            call: 110.0,
            receive: 1_115.0,
            send: 1_350.0,
            wait: 128.0,
            control: 73.0,
            event: 65.0,
            accept: 1_283.0,
            connect: 8_039.0,
            close: 1_925.0,
            read: 141.0,
            cold_read: 81_865.0,
            enter: 13.0,
            entry: 100.0,
        }
    }
}

/// Costs, and the machines that have them.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What things cost.
    pub costs: Costs,
    /// CPUs that the threads of all hosts share. `None`: one for each thread.
    pub cpus: Option<u32>,
    /// Hosts on which everything is free, such as load generators.
    pub free_hosts: Vec<String>,
}

/// A kind of system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Receive,
    Send,
    Wait,
    Control,
    Event,
    Accept,
    Connect,
    Close,
    Read,
    Enter,
    Entry,
}

/// What a host has spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// System calls.
    pub calls: u64,
}

/// What the host called `host` has spent. All zero without a cost model. Panics if there is no such host, and outside a simulation.
#[track_caller]
pub fn spent(host: &str) -> Spent {
    let number = crate::entry::known(host);
    let world = crate::thread::here("pirn_sim::cost::spent").world();
    world.cost.as_ref().map_or_else(Spent::default, |cost| cost.hosts[number as usize].spent())
}

/// A host's account.
#[derive(Debug, Default)]
struct Account {
    free: bool,
    busy_ps: u128,
    calls: u64,
    threads: u32,
}

impl Account {
    fn spent(&self) -> Spent {
        Spent {
            cpu: Duration::from_nanos(u64::try_from(self.busy_ps / 1_000).unwrap_or(u64::MAX)),
            calls: self.calls,
        }
    }
}

/// A thread's own clock and place.
#[derive(Debug)]
struct Local {
    host: u32,
    node: u32,
    /// Time that it owes and has not spent, in picoseconds.
    debt_ps: u64,
    blocked_at: u64,
}

type Tasks = HashMap<u64, u32, BuildHasherDefault<Spread>>;

/// The state of a run with costs.
#[derive(Debug)]
pub(crate) struct Cost {
    model: Model,
    hosts: Vec<Account>,
    threads: Vec<Local>,
    /// Who goes on when: time, order of entry, thread.
    ready: BinaryHeap<Reverse<(u64, u64, u32)>>,
    entries: u64,
    /// Threads that run or could, on hosts that are not free.
    runnable: u32,
    lines: Lines,
    /// The last thread that polled each task, by host and task.
    tasks: Tasks,
}

/// A thread spins so long for a lock before it sleeps.
const SPIN_NS: u64 = 2_000;
/// A turn of a spin loop.
const PAUSE_NS: f64 = 40.0;

fn ps(ns: f64) -> u64 {
    (ns * 1e3) as u64
}

impl Cost {
    pub(crate) fn new(model: Model) -> Self {
        Self {
            model,
            hosts: Vec::new(),
            threads: Vec::new(),
            ready: BinaryHeap::new(),
            entries: 0,
            runnable: 0,
            lines: Lines::default(),
            tasks: Tasks::default(),
        }
    }

    /// A host, in order.
    pub(crate) fn host(&mut self, name: &str) {
        let free = self.model.free_hosts.iter().any(|host| host == name);
        self.hosts.push(Account { free, ..Account::default() });
    }

    /// A thread, in order; it is ready.
    pub(crate) fn thread(&mut self, number: u32, host: u32, now: u64) {
        let account = &mut self.hosts[host as usize];
        let node = account.threads / self.model.costs.node_workers.max(1);
        account.threads += 1;
        self.runnable += u32::from(!account.free);
        self.threads.push(Local { host, node, debt_ps: 0, blocked_at: 0 });
        self.push(now, number);
    }

    fn push(&mut self, at: u64, thread: u32) {
        self.entries += 1;
        self.ready.push(Reverse((at, self.entries, thread)));
    }

    fn is_free(&self, thread: u32) -> bool {
        self.hosts[self.threads[thread as usize].host as usize].free
    }

    /// A thread waits, or ended.
    pub(crate) fn blocked(&mut self, thread: u32, now: u64) {
        self.runnable -= u32::from(!self.is_free(thread));
        self.threads[thread as usize].blocked_at = now;
    }

    /// It goes on.
    pub(crate) fn woken(&mut self, thread: u32, why: Why, now: u64) {
        let free = self.is_free(thread);
        self.runnable += u32::from(!free);
        let costs = &self.model.costs;
        let waited = now - self.threads[thread as usize].blocked_at.min(now);
        let delay = match why {
            Why::Busy => 0.0,
            Why::Address(_) if waited < SPIN_NS => costs.transfer,
            _ => costs.wake,
        };
        self.push(if free { now } else { now + delay as u64 }, thread);
    }

    /// Something that the thread pays for at its next point.
    fn owe(&mut self, thread: u32, ns: f64) {
        if !self.is_free(thread) {
            self.threads[thread as usize].debt_ps += ps(ns);
        }
    }

    /// A system call of the thread.
    pub(crate) fn call(&mut self, thread: u32) {
        let host = self.threads[thread as usize].host as usize;
        self.hosts[host].calls += 1;
        self.owe(thread, self.model.costs.call);
    }

    /// What a kind of call costs beyond that.
    pub(crate) fn beyond(&mut self, thread: u32, call: Call) {
        let costs = &self.model.costs;
        let ns = match call {
            Call::Receive => costs.receive,
            Call::Send => costs.send,
            Call::Wait => costs.wait,
            Call::Control => costs.control,
            Call::Event => costs.event,
            Call::Accept => costs.accept,
            Call::Connect => costs.connect,
            Call::Close => costs.close,
            Call::Read => costs.read,
            Call::Enter => costs.enter,
            Call::Entry => costs.entry,
        };
        self.owe(thread, ns);
    }

    /// A thread polls a task.
    fn polls(&mut self, thread: u32, task: u64) {
        let host = u64::from(self.threads[thread as usize].host);
        let before = self.tasks.insert(task | host << 56, thread);
        if let Some(before) = before.filter(|before| *before != thread) {
            let factor = self.factor(before, thread);
            self.owe(thread, self.model.costs.refill * factor);
        }
    }

    fn task_gone(&mut self, thread: u32, task: u64) {
        let host = u64::from(self.threads[thread as usize].host);
        self.tasks.remove(&(task | host << 56));
    }

    fn factor(&self, one: u32, other: u32) -> f64 {
        let same = self.threads[one as usize].node == self.threads[other as usize].node;
        if same { 1.0 } else { self.model.costs.node_factor }
    }

    /// Memory that is used for something else from now on.
    pub(crate) fn forget(&mut self, address: usize, bytes: usize) {
        self.lines.forget(address, bytes);
    }
}
