//! Falling asleep, parking in the own driver, getting up.

use super::worker::Worker;
use crate::os::Wait;
use crate::sleep::Up;
use crate::sync::{Ghost, Ordering, ghost};
use crate::time::Instant;
use crate::trace::Event;

impl Worker<'_> {
    /// Nothing to run: sleep until there may be. Steps as in `sleep/README.md`.
    pub(crate) fn park(&self) {
        if self.core.woken.replace(false) && self.core.fresh.get() {
            self.seat.pulse.stats.wasted.add(1);
        }
        #[cfg(feature = "coro")]
        self.core.stacks.trim();
        // The ring is empty.
        self.shared.withdraw_offer(self.core, self.number);
        let searching = self.core.searching.replace(false);
        if self.group.sleep.fall_asleep(self.number, searching) {
            let found = self.anything_to_find();
            if found {
                self.get_up();
                if !self.core.searching.get() && self.group.sleep.try_search(self.number) {
                    self.core.searching.set(true);
                }
            }
            self.group.sleep.recheck_done();
            if found {
                return;
            }
        }
        let watch = self.start_watch();
        self.block(watch);
        self.get_up();
        self.core.fresh.set(true);
        if let Some(look_at) = watch {
            // Relaxed: a count that `see_to_watch` reads behind its fence.
            self.group.watching.fetch_sub(1, Ordering::Relaxed);
            if self.shared.os.now() >= look_at {
                self.core.look_at.set(0);
                self.watch();
            }
        }
    }

    /// Leaves the sleepers; whoever was taken off by another is a searcher now.
    fn get_up(&self) {
        if self.group.sleep.get_up(self.number) == Up::Taken {
            self.core.searching.set(true);
        }
    }

    /// Blocks in the own driver until there is something for this worker, or `watch`.
    fn block(&self, watch: Option<Instant>) {
        let (shared, seat, number) = (self.shared, self.seat, self.number);
        shared.hold_own(number, true);
        let deadline = {
            let mut wheel = seat.wheel.lock();
            let timer = wheel.next().unwrap_or(u64::MAX);
            let deadline = timer.min(watch.map_or(u64::MAX, Instant::as_nanos));
            // Under the wheel's lock, before it is let go: an earlier timer armed from outside sees it and sends a token.
            // Relaxed: the lock orders it.
            seat.parked_until.store(deadline, Ordering::Relaxed);
            ghost(|| Ghost::WheelNext { worker: number, deadline: timer });
            deadline
        };
        let asleep = self.group.sleep.park_begin(number);
        let wait = match (asleep, deadline) {
            (false, _) => Wait::No,
            (true, u64::MAX) => Wait::Forever,
            (true, at) => Wait::Until(Instant::from_nanos(at)),
        };
        if asleep {
            seat.pulse.stats.parks.add(1);
            self.core.parked_at.set(self.before_step());
            ghost(|| Ghost::ParkBegin { worker: number, deadline });
            self.core.emit(Event::Park { worker: number as u16, deadline });
        }
        self.note_sleep();
        let found = self.reap(number, wait);
        self.note_slept();
        if asleep {
            let token = self.group.sleep.park_end(number);
            ghost(|| Ghost::ParkEnd { worker: number });
            self.core.emit(Event::Unparked { worker: number as u16, token });
            self.note_parked(token);
        }
        // Relaxed: a late token for a timer that is about to be seen does no harm.
        seat.parked_until.store(0, Ordering::Relaxed);
        shared.let_go(number, number);
        self.dispatch(found);
        self.fire(number);
    }
}
