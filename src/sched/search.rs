//! Looking for work that others have.

use super::worker::Worker;
use crate::sync::{Debt, Ordering, debt};
use crate::task::Task;
use crate::trace::{Event, Place};

impl Worker<'_> {
    /// Becomes a searcher, unless half of the workers search, and looks through every other ring and the injector.
    /// Goes to sleep as a searcher if it finds nothing.
    pub(crate) fn search(&self) -> Option<Task> {
        if self.group.len() == 1 {
            return None;
        }
        if !self.core.searching.get() {
            if !self.group.sleep.try_search(self.number) {
                return None;
            }
            self.core.searching.set(true);
        }
        self.seat.pulse.stats.searches.add(1);
        self.before_step();
        self.core.now.set(0);
        self.core.emit(Event::Search { worker: self.number as u16 });
        let workers = if self.group.config.steals { self.group.len() } else { 0 };
        let start = self.core.random() as u32 % self.group.len();
        for step in 0..workers {
            let victim = self.group.first + (start + step) % workers;
            // Relaxed: `fall_asleep` has a fence before the recheck, which counts.
            if victim != self.number
                && !self.shared.seat(victim).kept.load(Ordering::Relaxed)
                && let Some(task) = self.steal(victim)
            {
                return Some(task);
            }
        }
        self.take_injector()
    }

    /// Half of the ring of `victim`: one task to run now, the others into the own ring.
    fn steal(&self, victim: u32) -> Option<Task> {
        let (by, worker) = (self.number, victim as u16);
        let mut count = 0u64;
        let first = self.core.ring.steal_from(&self.shared.seat(victim).ring, |task: &Task, kept| {
            count += 1;
            let task = task.id();
            self.core.emit(Event::Dequeue { task, place: Place::Ring, worker, by });
            if kept {
                self.core.emit(Event::Enqueue { task, place: Place::Ring, worker: by as u16 });
            } else {
                debt(Debt::Push, 1);
            }
        })?;
        self.seat.pulse.stats.steals.add(1);
        self.seat.pulse.stats.stolen.add(count);
        self.core.emit(Event::Steal { victim: worker, by, count });
        Some(first)
    }

    /// Whether a worker that is about to sleep would find work: the final recheck.
    pub(crate) fn anything_to_find(&self) -> bool {
        if !self.group.injector.is_empty() {
            return true;
        }
        self.group.config.steals
            && self.group.seats().filter(|&peer| peer != self.number).any(|peer| {
                let seat = self.shared.seat(peer);
                // Relaxed: S3 pairs with the fence of `offer_kept`'s notify. A kept ring is its owner's, who will offer it.
                !seat.kept.load(Ordering::Relaxed) && !seat.ring.is_empty()
            })
    }
}
