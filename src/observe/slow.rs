//! Polls that took too long: who they were, and where they came from.

use core::fmt;
use core::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use crate::task::Id;

/// A poll that took longer than [`Builder::slow_poll`](crate::Builder::slow_poll) allows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SlowPoll {
    /// The task, or `None` for the main future of a `block_on`.
    pub task: Option<Id>,
    /// The type of its future, which names the function it came from.
    pub name: &'static str,
    /// Where it was spawned, or `None` for a main future.
    pub spawned_at: Option<&'static Location<'static>>,
    /// On which worker.
    pub worker: usize,
    /// How long the poll took.
    pub took: Duration,
}

impl fmt::Display for SlowPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.task, self.spawned_at) {
            (Some(task), Some(at)) => write!(f, "{task} ({}), spawned at {at},", self.name)?,
            _ => write!(f, "the main future ({})", self.name)?,
        }
        write!(
            f,
            " held worker {} for {:.1?} in one poll; use spawn_blocking for what blocks, and yield_now in what computes",
            self.worker, self.took
        )
    }
}

/// What is done about slow polls.
#[derive(Clone)]
pub(crate) struct SlowPolls {
    pub(crate) threshold: Duration,
    pub(crate) handler: Arc<dyn Fn(&SlowPoll) + Send + Sync>,
}

impl fmt::Debug for SlowPolls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowPolls").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl SlowPolls {
    /// One line on standard error for each place that spawned such a task (and each type of main future), at its first slow poll.
    pub(crate) fn told_once(threshold: Duration) -> Self {
        let told: Mutex<Vec<(Option<&'static Location<'static>>, &'static str)>> = Mutex::new(Vec::new());
        let handler = move |slow: &SlowPoll| {
            let place = (slow.spawned_at, if slow.spawned_at.is_some() { "" } else { slow.name });
            let mut told = told.lock();
            if !told.contains(&place) {
                told.push(place);
                drop(told);
                eprintln!("pirn: {slow}");
            }
        };
        Self { threshold, handler: Arc::new(handler) }
    }

    /// Calls the handler; a panic in it ends there.
    pub(crate) fn tell(&self, slow: &SlowPoll) {
        let _ = catch_unwind(AssertUnwindSafe(|| (self.handler)(slow)));
    }
}
