//! Reading the clock around polls, looks and parks, for whoever asked: times, slow polls, the flight recorder.
//!
//! A reading is good for the next step too, until something else has taken time: `Core::now` is 0 then. So a row of polls
//! reads the clock once a poll, where it ends.

use std::time::Duration;

use super::shared::Shared;
use super::worker::Worker;
use crate::observe::{SlowPoll, tell};
use crate::sync::Ordering;
use crate::task::{Id, Task};
use crate::trace::Event;

/// Whose poll is measured.
#[derive(Clone, Copy)]
pub(crate) enum Polled<'a> {
    Task(&'a Task),
    /// A main future, by its type's name.
    Main(&'static str),
}

impl Worker<'_> {
    /// Reads the clock, and has the recorder know the time.
    #[cold]
    fn read_clock(&self) -> u64 {
        let now = self.shared.os.now().as_nanos();
        self.core.record(&Event::Clock { now });
        self.core.now.set(now);
        now
    }

    /// Now, by the last reading if nothing took time since.
    fn recent(&self) -> u64 {
        match self.core.now.get() {
            0 => self.read_clock(),
            now => now,
        }
    }

    /// Something that takes time comes next: the time before it. 0 if nobody asks.
    #[inline]
    pub(crate) fn before_step(&self) -> u64 {
        if self.core.clocked { self.recent() } else { 0 }
    }

    /// Something took time: the time after it. 0 if nobody asks.
    #[inline]
    pub(crate) fn after_step(&self) -> u64 {
        if self.core.clocked { self.read_clock() } else { 0 }
    }

    /// A poll starts; the answer is for [`poll_ended`](Self::poll_ended).
    #[inline]
    pub(crate) fn poll_starts(&self, polled: Polled<'_>) -> u64 {
        if self.core.clocked { self.start_poll(polled) } else { 0 }
    }

    fn start_poll(&self, polled: Polled<'_>) -> u64 {
        if let Polled::Task(task) = polled {
            // Who is stuck in its first poll is to be found in a dump.
            self.list(task);
        }
        let now = self.recent();
        if let Some(measures) = &self.seat.measures {
            measures.began.set(now);
        }
        if self.shared.config.timing
            && let Polled::Task(task) = polled
        {
            let header = task.header();
            let since = header.since();
            if since != 0
                && let Some(measures) = &self.seat.measures
            {
                measures.schedule_delay.add(now.saturating_sub(since));
            }
            header.set_since(now);
        }
        now
    }

    /// The poll that started at `start` ended. Before the task comes to rest: it is the caller's still.
    #[inline]
    pub(crate) fn poll_ended(&self, start: u64, polled: Polled<'_>) {
        if self.core.clocked {
            self.end_poll(start, polled);
        }
    }

    fn end_poll(&self, start: u64, polled: Polled<'_>) {
        let now = self.read_clock();
        let took = now.saturating_sub(start);
        let config = &self.shared.config;
        if config.timing {
            if let Some(measures) = &self.seat.measures {
                measures.poll_time.add(took);
            }
            if let Polled::Task(task) = polled {
                task.header().set_since(now);
            }
        }
        if let Some(slow) = &config.slow_poll
            && u128::from(took) > slow.threshold.as_nanos()
        {
            self.tell_slow(took, polled);
        }
    }

    /// A park ended, by a token or by itself; the clock was read since.
    pub(crate) fn note_parked(&self, token: bool) {
        if let Some(measures) = &self.seat.measures {
            measures.parked_ns.add(self.core.now.get().saturating_sub(self.core.parked_at.get()));
        }
        if token {
            self.seat.pulse.stats.wakes.add(1);
            self.core.woken.set(true);
        }
    }

    #[cold]
    fn tell_slow(&self, took: u64, polled: Polled<'_>) {
        let (Some(slow), Some(measures)) = (&self.shared.config.slow_poll, &self.seat.measures) else {
            return;
        };
        measures.slow_polls.add(1);
        let (task, name, spawned_at) = match polled {
            Polled::Main(name) => (None, name, None),
            Polled::Task(task) => {
                let header = task.header();
                (Some(Id(header.id)), header.name(), Some(header.spawned_at()))
            }
        };
        let worker = self.number as usize;
        let poll = SlowPoll { task, name, spawned_at, worker, took: Duration::from_nanos(took) };
        tell::slow_poll(&poll);
        slow.tell(&poll);
        self.core.now.set(0);
    }
}

impl Shared {
    /// Leaves a dump of the runtime's first panic, if that was asked for.
    pub(crate) fn dump_panic(&self, reason: impl FnOnce() -> String) {
        // Relaxed: one of those who come at once does it.
        if let Some(folder) = &self.config.dump_on_panic
            && !self.panic_dumped.swap(true, Ordering::Relaxed)
        {
            crate::observe::save(self, &reason(), folder);
        }
    }
}
