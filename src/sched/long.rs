//! Tasks with long polls run where few descriptors wait for a look.
//!
//! What a stuck worker's driver tells is seen by its peers' looks only, up to two of a watcher's parks late ([`watch`](super::watch)); what
//! another one's tells is seen at once. So a poll that a watcher finds overdue marks its task as *long* (the next one that nobody finds
//! so takes the mark off), and a worker that comes to a long task leaves it to a sleeping peer that is home to at most half as many
//! descriptors: in its LIFO slot, where it runs next, and from where it is rescued if that peer gets stuck first. Nothing hangs on the mark
//! but where a task runs.
//!
//! Rejected: moving the connections to the worker that served them in a takeover. Two system calls for each, and a stuck ring does not let go.

use super::shared::Shared;
use super::worker::Worker;
use crate::sync::{Debt, Ghost, Ordering, debt, ghost};
use crate::task::Task;
use crate::trace::{Event, Place};

impl Worker<'_> {
    /// A poll of the task just ended.
    #[inline]
    pub(crate) fn note_length(&self, task: &Task) {
        let pulse = &self.seat.pulse;
        let long = pulse.overdue.get() + 1 == pulse.beat.get();
        if long != task.header().is_long() {
            task.header().set_long(long);
        }
    }

    /// The task that is about to run, unless it is long and a peer was given it.
    #[inline]
    pub(crate) fn keep_or_pass(&self, task: Task) -> Option<Task> {
        if task.header().is_long()
            && let Some(peer) = self.who_waits_for_less()
        {
            self.shared.pass_long(self, peer, task);
            return None;
        }
        Some(task)
    }

    /// A peer that sleeps and is home to few descriptors. Not seat 0, whose thread may leave.
    #[cold]
    fn who_waits_for_less(&self) -> Option<u32> {
        let own = self.seat.unpark.at_home();
        if own == 0 {
            return None;
        }
        self.group.seats().filter(|&peer| peer != 0 && peer != self.number).find(|&peer| {
            let seat = self.shared.seat(peer);
            // Relaxed: a look; the token that follows finds it awake or wakes it.
            seat.parked_until.load(Ordering::Relaxed) != 0
                && seat.lifo.is_empty()
                && 2 * seat.unpark.at_home() <= own
        })
    }
}

impl Shared {
    /// Leaves a task in the LIFO slot of a peer, and wakes it.
    #[cold]
    fn pass_long(&self, worker: &Worker<'_>, peer: u32, task: Task) {
        let (core, id) = (worker.core, task.id());
        ghost(|| Ghost::Passed { task: id });
        // Its owner may have put one there meanwhile: that one is anybody's.
        let evicted = self.seat(peer).lifo.put(task);
        if let Some(evicted) = &evicted {
            let (task, by) = (evicted.id(), worker.number);
            core.emit(Event::Dequeue { task, place: Place::Lifo, worker: peer as u16, by });
        }
        debt(Debt::Push, -1);
        core.emit(Event::Enqueue { task: id, place: Place::Lifo, worker: peer as u16 });
        if let Some(evicted) = evicted {
            debt(Debt::Push, 1);
            self.push_ring(core, worker.number, evicted, false);
        }
        self.rely_on_watch(worker.group);
        self.give_token(peer);
    }
}
