//! What a runtime counts, as one copy of all counters.

use std::time::Duration;

use super::Histogram;
use crate::sched::{Seat, Shared};

/// Counters of a runtime, read without stopping it: each is exact, but they are not of one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// One entry a worker.
    pub workers: Vec<WorkerMetrics>,
    /// Tasks that wait in the injectors, the queues of the groups for what comes from outside and for what overflows.
    pub injector_len: usize,
    /// The threads of `spawn_blocking`.
    pub blocking: BlockingMetrics,
    /// How long polls of tasks and main futures took. Empty unless [`Builder::timing`](crate::Builder::timing) is on.
    pub poll_time: Histogram,
    /// How long tasks waited from a wake (or spawn) to the start of the poll it asked for. Empty unless
    /// [`Builder::timing`](crate::Builder::timing) is on.
    pub schedule_delay: Histogram,
}

/// Counters of one worker since the start, and what it has now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Polls of tasks and main futures, the drop of a finished one included.
    pub polls: u64,
    /// Polls that took longer than [`Builder::slow_poll`](crate::Builder::slow_poll) says; 0 if that is off.
    pub slow_polls: u64,
    /// Tasks spawned from this worker.
    pub tasks_spawned: u64,
    /// Tasks that finished here.
    pub tasks_finished: u64,
    /// Tasks whose poll panicked here.
    pub tasks_panicked: u64,
    /// Successful steals.
    pub steals: u64,
    /// Tasks moved by them.
    pub tasks_stolen: u64,
    /// Searches through the other workers' queues, successful or not.
    pub searches: u64,
    /// Parks in the driver.
    pub parks: u64,
    /// Parks that another thread ended.
    pub wakes: u64,
    /// Of these, those after which nothing was polled before the next park.
    pub wakes_wasted: u64,
    /// Looks at a driver, own or taken over.
    pub looks: u64,
    /// Takeovers of a busy peer.
    pub takeovers: u64,
    /// Time spent in parks. Zero unless the clock is read (see [`observe`](crate::observe)).
    pub parked: Duration,
    /// Tasks in its ring now.
    pub ring_len: usize,
    /// Ops in flight now that were submitted here.
    pub ops_in_flight: usize,
    /// Timers armed on its wheel now.
    pub timers_armed: usize,
    /// Coroutines that started here and have not ended.
    #[cfg(feature = "coro")]
    pub coroutines: usize,
    /// The most of them at a time.
    #[cfg(feature = "coro")]
    pub coroutines_most: usize,
    /// Stacks of coroutines here, idle ones included.
    #[cfg(feature = "coro")]
    pub stacks: usize,
    /// Mappings of memory that these lie in.
    #[cfg(feature = "coro")]
    pub stack_mappings: usize,
}

/// The pool of `spawn_blocking`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingMetrics {
    /// Threads there are now.
    pub threads: usize,
    /// Of these, those that wait for a call.
    pub idle: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
    /// Calls that a thread has begun, since the start.
    pub calls: u64,
}

/// All counters of a runtime.
pub(crate) fn collect(shared: &Shared) -> Metrics {
    let mut metrics = Metrics {
        workers: shared.seats.iter().map(worker).collect(),
        injector_len: shared.groups.iter().map(|group| group.injector.len()).sum(),
        blocking: shared.blocking.metrics(),
        ..Metrics::default()
    };
    for measures in shared.seats.iter().filter_map(|seat| seat.measures.as_ref()) {
        measures.poll_time.add_to(&mut metrics.poll_time);
        measures.schedule_delay.add_to(&mut metrics.schedule_delay);
    }
    metrics
}

fn worker(seat: &Seat) -> WorkerMetrics {
    let stats = &seat.pulse.stats;
    let measured = |read: fn(&super::Measures) -> u64| seat.measures.as_ref().map_or(0, |all| read(all));
    WorkerMetrics {
        polls: stats.polls.get(),
        slow_polls: measured(|all| all.slow_polls.get()),
        tasks_spawned: stats.tasks.get(),
        tasks_finished: stats.finished.get(),
        tasks_panicked: stats.panicked.get(),
        steals: stats.steals.get(),
        tasks_stolen: stats.stolen.get(),
        searches: stats.searches.get(),
        parks: stats.parks.get(),
        wakes: stats.wakes.get(),
        wakes_wasted: stats.wasted.get(),
        looks: stats.looks.get(),
        takeovers: stats.takeovers.get(),
        parked: Duration::from_nanos(measured(|all| all.parked_ns.get())),
        ring_len: seat.ring.len(),
        ops_in_flight: seat.ops.in_flight(),
        timers_armed: seat.armed.get() as usize,
        #[cfg(feature = "coro")]
        coroutines: seat.coroutines.live.get() as usize,
        #[cfg(feature = "coro")]
        coroutines_most: seat.coroutines.most.get() as usize,
        #[cfg(feature = "coro")]
        stacks: seat.coroutines.stacks.get() as usize,
        #[cfg(feature = "coro")]
        stack_mappings: seat.coroutines.slabs.get() as usize,
    }
}
