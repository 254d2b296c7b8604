//! The simulator of Pirn: the real scheduler in a world that owns every thread, clock, socket and random number.
//!
//! A [`Simulation`] is a program: hosts, each a full runtime on simulated machinery. [`Simulation::run`] executes it once,
//! from a seed; [`Simulation::explore`] executes it for many seeds and stops at the first failure; [`Simulation::replay`] repeats a recorded [`Trace`] to the bit,
//! in this process or another.
//!
//! ```
//! use std::time::Duration;
//! use pirn_sim::{Explore, Simulation};
//!
//! let naps = Simulation::new("naps").host("only", || async {
//!     let start = pirn::time::Instant::now();
//!     pirn::time::sleep(Duration::from_secs(3600)).await;
//!     assert!(pirn::time::Instant::now() - start >= Duration::from_secs(3600));
//! });
//! let report = naps.explore(Explore { seeds: 20, ..Explore::default() });
//! assert!(report.failure.is_none());
//!
//! let outcome = naps.run(7);
//! let again = naps.replay(&outcome.trace).expect("the same program does the same again");
//! assert_eq!(outcome.digest, again.digest);
//! ```
//!
//! [`book`] is for people who test programs of their own: it begins with a first test and ends with traces that last, by way of worked
//! examples. A failure is shrunk ([`Simulation::shrink`]) and told ([`Simulation::story`]); `#[pirn_sim::test]` does both by itself.
//!
//! # How it works
//! - Simulated threads are coroutines on one OS thread (`thread`). On x86-64 each has thread-locals of its own (`tls`).
//! - At each operation of `pirn::sync` and each OS call is a *point*, where the world may let another thread run (`hook`, `world`).
//! - Programs may say what they expect: [`always!`], [`sometimes!`] and [`eventually!`]; a [`Summary`] tells what no execution reached.
//! - User code reaches the world through libc: std and parking_lot locks, sleeps, clocks and random numbers (`interpose`, `guard`, `real_io`).
//! - Everything that can go two ways is a *choice* (`choice`), made by a strategy (`strategy`) or followed from a trace
//!   (`replay`, `rerun`); choices other than the default are recorded (`trace`).
//! - A failing trace is made smaller by deleting choices (`shrink`) and told from the steps of a replay (`log`, `story`).
//! - A run may follow from what things cost instead, to compare topologies ([`cost`]).
//! - What goes wrong is drawn from the seed ([`Faults`]; `fault`, `strike`, `link`, `partition`); after a while faults stop, and the
//!   program has to get on.
//! - Time jumps to what is due next when all threads wait (`clock`); network and disks are part of the world (`net`, `stream`, `disk`, `driver`).
//! - A host may run on Pirn's own drivers over a model of epoll and io_uring ([`Kernel`]; `kernel`).
//! - The [`check`]ers see every event. A broken invariant, a panic of a host's program, a deadlock and a livelock end the run.
//!
//! # What is not simulated
//! - OS threads that user code starts itself: the run ends with a message. Processes, multicast, standard input; the file of a Unix socket's path (the name goes with its socket); files that are not opened through `pirn::fs`.
//! - Global variables are shared by all executions of a process. Atomics of std in user code are no points (those of `pirn::sync` are).
//! - Elsewhere than on x86-64 Linux, simulated threads share thread-locals: user thread-locals and panics across a switch are not true to life.
//! - A call that blocks in the real machine stops everything; the watchdog says so after 10 s ([`watchdog`]).

pub use pirn_macros::sim_test as test;

pub use self::choice::{Entry, Kind};
pub use self::disk::Storage;
pub use self::entry::{
    busy, clog, crash, crash_disk, heal, heal_one_way, host_addr, host_name, is_simulated, jump_clock,
    lookup, open_descriptors, os, partition, partition_one_way, pause, raise, random, rot_disk, say, unclog,
};
pub use self::explore::{Explore, Failure, Progress, Ran, Report};
pub use self::fault::Faults;
pub use self::interpose::is_linked;
pub use self::kernel::Kernel;
pub use self::layout::Layout;
pub use self::log::{Did, Leaving, Step};
pub use self::options::{Datagrams, Network, Preempt, Sizes, Tso};
pub use self::plan::Shard;
pub use self::replay::{Fit, Mismatch, ReplayError};
pub use self::report::{Outcome, Verdict};
pub use self::rerun::Walk;
pub use self::shrink::{Measure, Shrink, Shrunk};
pub use self::simulation::{Returned, Simulation};
pub use self::story::{Line, Story, Turn};
pub use self::strategy::Strategy;
pub use self::summary::{Asserted, Failed, Summary, SummaryError};
pub use self::trace::{FORMAT, Trace, TraceError};
pub use self::watchdog::watchdog;

pub mod assertion;
pub mod check;
pub mod cost;

#[doc = include_str!("../../docs/simulator.md")]
pub mod book {}

pub mod test;

mod choice;
mod clock;
mod disk;
mod draw;
mod driver;
mod entry;
mod explore;
mod fault;
mod guard;
mod hook;
mod interpose;
mod kernel;
mod layout;
mod link;
mod log;
mod memory;
mod net;
mod options;
mod os;
mod overflow;
mod partition;
mod plan;
mod real_io;
mod replay;
mod report;
mod rerun;
mod rng;
mod schedule;
mod set;
mod shrink;
mod simulation;
mod socket;
mod story;
mod strategy;
mod stream;
mod strike;
mod summary;
mod tally;
mod thread;
mod tls;
mod trace;
mod tso;
mod udp;
mod unix;
mod waiting;
mod watchdog;
mod world;
