//! Who runs next: at a point, when the running thread can't go on, and when it spins.

use crate::choice::{Key, Kind, Source, offer};
use crate::draw::Pending;
use crate::report::Verdict;
use crate::set::NOBODY;
use crate::world::{NONE, World};

/// Rounds in which every runnable thread spun before that counts as a livelock, or time is moved.
const SPIN_ROUNDS: u32 = 100;

/// The longest time that passes at once while threads are runnable.
const SLOW_NS: u64 = 2_000_000;

impl World {
    /// Who runs at this point, where the running thread is about to do `pending`: [`NONE`] if the run is over.
    #[inline]
    pub(crate) fn decide(&mut self, pending: Pending) -> u32 {
        if self.options.slow > 0 && self.due_soon() {
            self.slow();
        }
        if self.urgent {
            return self.attend_at_point();
        }
        if self.failure.is_some() {
            return NONE;
        }
        if self.ready.count() < 2 {
            return self.current;
        }
        let key = self.key();
        let stays = match &mut self.source {
            Source::Draw(draw) => draw.stays(&self.ready, &self.spun, self.points),
            Source::Follow(follow) => follow.passes(key),
        };
        if stays { self.current } else { self.decide_slowly(key, pending) }
    }

    #[inline(never)]
    fn decide_slowly(&mut self, key: Key, pending: Pending) -> u32 {
        let current = self.current;
        let others = self.ready.count_but(&self.spun, current);
        if others == 0 {
            return current;
        }
        let what = |world: &Self| offer(others + 1, world.ready.hash_but(&world.spun, current));
        let next = match &mut self.source {
            Source::Draw(draw) => draw.switch(current, pending, &self.ready, &self.spun, self.points),
            Source::Follow(_) => {
                let possible = |world: &Self, pick| world.may_run(pick, current);
                match self.recorded(key, Kind::Switch, what, possible) {
                    _ if self.failure.is_some() => return NONE,
                    0 => current,
                    pick => pick - 1,
                }
            }
        };
        if next != current {
            let what = what(self);
            self.record(key, Kind::Switch, what, 1 + next);
        }
        next
    }

    /// Whether 1 + `pick` is a thread that could run now, other than `except`.
    fn may_run(&self, pick: u32, except: u32) -> bool {
        let Some(thread) = pick.checked_sub(1) else { return false };
        thread != except && self.ready.contains(thread) && !self.spun.contains(thread)
    }

    /// Whether something is due within what a slow thread may miss.
    fn due_soon(&mut self) -> bool {
        self.next_due().is_some_and(|at| at <= self.now + SLOW_NS)
    }

    #[inline(never)]
    fn slow(&mut self) {
        if self.rarely(Kind::Slow, 2, self.options.slow) != 0 {
            self.advance_up_to(self.now + SLOW_NS);
            // Threads that could run did not: nobody was idle meanwhile.
            let now = self.now;
            self.hosts.iter_mut().for_each(|host| host.checker.stood_still(now));
        }
    }

    /// Who runs now that the running thread can't: time moves if it must. [`NONE`] if the run is over.
    pub(crate) fn pick(&mut self) -> u32 {
        if self.cost.is_some() {
            return self.pick_by_cost();
        }
        loop {
            if self.urgent {
                self.attend();
            }
            if self.failure.is_some() || self.hosts_left == 0 {
                return NONE;
            }
            if self.ready.count() > 0 {
                return self.pick_ready();
            }
            if !self.anybody_frozen() {
                self.check_all(|checker, now| checker.idle(now));
                self.check_drivers();
            }
            if self.failure.is_some() {
                return NONE;
            }
            if !self.advance() && !self.shared_lock_freed() {
                self.check_all(|checker, now| checker.quiescent(now));
                if self.failure.is_none() {
                    let report = self.describe_threads();
                    self.fail(Verdict::Deadlock(format!(
                        "every thread is blocked and nothing is due\n{report}"
                    )));
                }
                return NONE;
            }
        }
    }

    fn pick_ready(&mut self) -> u32 {
        let mut count = self.ready.count_but(&self.spun, NOBODY);
        if count == 0 {
            self.spun.clear();
            count = self.ready.count();
        }
        if count == 1 {
            return self.ready.nth_but(&self.spun, NOBODY, 0).unwrap_or(NONE);
        }
        let key = self.key();
        let base = self.ready.rank_but(&self.spun, NOBODY, self.current + 1) % count;
        let usual = self.ready.nth_but(&self.spun, NOBODY, base).unwrap_or(NONE);
        let what = |world: &Self| offer(count, world.ready.hash_but(&world.spun, NOBODY));
        let next = match &mut self.source {
            Source::Draw(draw) => draw.next(self.current, &self.ready, &self.spun).unwrap_or(usual),
            Source::Follow(_) => {
                match self.recorded(key, Kind::Next, what, |world, pick| world.may_run(pick, usual)) {
                    _ if self.failure.is_some() => return NONE,
                    0 => usual,
                    pick => pick - 1,
                }
            }
        };
        if next != usual {
            let what = what(self);
            self.record(key, Kind::Next, what, 1 + next);
        }
        next
    }

    /// A turn of a spin loop of the running thread: who runs.
    pub(crate) fn spin(&mut self) -> u32 {
        let current = self.current;
        self.spun.insert(current);
        if let Source::Draw(draw) = &mut self.source {
            draw.spun(current);
        }
        if self.ready.count_but(&self.spun, NOBODY) == 0 {
            self.spun.clear();
            self.spin_rounds += 1;
            if self.spin_rounds >= SPIN_ROUNDS {
                self.spin_rounds = 0;
                if !self.advance() {
                    let report = self.describe_threads();
                    self.fail(Verdict::Livelock(format!(
                        "every runnable thread has spun {SPIN_ROUNDS} times and nothing is due\n{report}"
                    )));
                }
            }
        }
        self.pick()
    }
}
