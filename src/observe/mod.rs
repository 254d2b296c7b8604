//! What a runtime tells of itself: counters, times, slow polls, its tasks, dumps. `docs/observing.md` shows how to read them.
//!
//! | what | how | cost |
//! |---|---|---|
//! | counters | [`Handle::metrics`](crate::Handle::metrics); [`Metrics::write_prometheus`] | always counted, a few adds a poll |
//! | times of polls, of waits in queues and of parks | [`Builder::timing`](crate::Builder::timing) | the clock is read once or twice a poll and once a wake |
//! | all tasks: where from, in which state, waiting for what | [`Handle::tasks`](crate::Handle::tasks) | none until it is called |
//! | the last events of each worker | [`Builder::recorder`](crate::Builder::recorder) | 16 bytes an event; the clock is read once or twice a poll |
//! | tasks and events as a file for `pirn view` | [`Handle::dump`](crate::Handle::dump), [`Builder::dump_on_signal`](crate::Builder::dump_on_signal), [`Builder::dump_on_panic`](crate::Builder::dump_on_panic) | a thread, for the signal |
//! | polls that took too long | [`Builder::slow_poll`](crate::Builder::slow_poll) | the clock is read once or twice a poll |
//! | a span a task, and events, for subscribers of `tracing` | the feature `tracing` | without the feature none; with it 40 bytes a task, and what the subscriber does |
//!
//! What reads the clock shares its readings: a second such option adds none. A dump is taken without stopping anybody.

pub(crate) use self::dump::take;
pub use self::dump::{Dump, DumpError, Site, WorkerDump};
pub use self::histogram::Histogram;
pub(crate) use self::metrics::collect;
pub use self::metrics::{BlockingMetrics, Metrics, WorkerMetrics};
pub(crate) use self::signal::{Listener, listen, save};
pub(crate) use self::sites::{Origin, Seen, Sites};
pub use self::slow::SlowPoll;
pub(crate) use self::slow::SlowPolls;
pub(crate) use self::tasks::collect as collect_tasks;
pub use self::tasks::{TaskInfo, TaskState};

use self::histogram::Buckets;
use crate::sync::Counter;

mod dump;
mod histogram;
mod metrics;
mod prometheus;
mod signal;
mod sites;
mod slow;
mod tasks;
pub(crate) mod tell;

/// What one worker measures when the clock is read. Written by the thread on its seat.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    pub(crate) poll_time: Buckets,
    pub(crate) schedule_delay: Buckets,
    pub(crate) parked_ns: Counter,
    /// When the last poll began (ns).
    pub(crate) began: Counter,
    pub(crate) slow_polls: Counter,
}
