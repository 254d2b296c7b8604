//! Pirn: an async runtime for Linux whose production scheduler is also its own test bed.
#![doc = ""]
#![doc = include_str!("../README.md")]

extern crate alloc;

pub use pirn_macros::{main, test};

pub use self::drained::{Drained, DrainedHook, drained};
pub use self::graph::spawn_after;
pub use self::group::{Group, GroupSpec, Hop, HopError, Topology, UnknownGroup, hop};
pub use self::observe::{Metrics, WorkerMetrics};
pub use self::runtime::{Backend, Builder, Handle, Runtime, ShutdownError};
pub use self::spawn::{spawn, spawn_blocking, spawn_local, yield_now};

mod blocking;
#[cfg(feature = "coro")]
pub mod coro;
mod drained;
pub mod fs;
pub mod graph;
mod group;
mod io;
pub mod net;
pub mod observe;
pub mod os;
pub mod process;
pub(crate) mod queue;
mod runtime;
mod sched;
pub mod signal;
pub(crate) mod sleep;
mod spawn;
pub mod stdio;
pub mod sync;
pub mod task;
pub mod time;
pub(crate) mod timer;
pub mod trace;
