//! Takeover: idle workers look after busy ones.
//!
//! A worker that parks while a peer is awake, and there is anything a peer could keep waiting (an op in flight, a timer
//! armed, LIFO slots in use), parks for a watch interval at most.
//! The interval is multiplied by the number of sleepers, so that all of them together look about once per interval.
//! When all sleep, and none has run since the last look, it doubles each time, and after [`QUIET_LIMIT`] looks the worker
//! parks without limit. While others run it is four times as long, for few sleepers, once [`CALM_LIMIT`] looks found nobody
//! overdue for long. A look that served an overdue peer has the next one come [`SOONER`]. `watching` counts those that will
//! look; a worker that leaves a park (or makes the first thing to serve) and finds it zero wakes a sleeper.
//!
//! A look compares each peer's beat with the one seen before: odd and unchanged means that it has been inside one poll
//! for the whole interval. Its driver is polled once without waiting, its wheel advanced, its LIFO slot emptied; all
//! that wakes goes to the looker's ring. A vacant seat 0 counts as overdue; while looks at it find nothing they are up to 4 ms apart.
//! `model/src/models/watch.rs` checks that nobody relies on a watch that nobody keeps.
//!
//! Rejected: one watcher by election (its hand-over wakes a sleeper at every turn of an almost idle runtime); nested
//! epoll sets that wake the idle for every event of the healthy; a monitor thread (one more wake at each start of work).

use core::time::Duration;

use super::group::Group;
use super::shared::Shared;
use super::worker::Worker;
use crate::observe::tell;
use crate::os::Wait;
use crate::sync::{Debt, Ghost, Ordering, debt, fence, ghost};
use crate::time::Instant;
use crate::trace::{Event, Place};

/// Looks in a row, each twice as far away as the one before, after which an all-asleep runtime is left alone: 250 µs to 16 ms.
const QUIET_LIMIT: u32 = 7;
/// The same for looks at a vacant seat 0, which go on: 4 ms apart. (Its timers have looks of their own.)
const VACANT_LIMIT: u32 = 4;
/// Looks since the last one that found somebody overdue for long, after which the next ones are at least [`CALM_FACTOR`] intervals
/// apart: 64 ms of the default interval, so that who computes for long every now and then keeps its peers attentive.
const CALM_LIMIT: u32 = 256;
/// A look interrupts whatever the kernel runs on the looker's CPU: the fewer, the less they cost. Four sleepers and more look that rarely,
/// each of them, as it is.
const CALM_FACTOR: u32 = 4;
/// So many intervals in one poll are long: who is overdue for less was taken off its CPU by the kernel, as likely as not.
const OVERDUE_FOR_LONG: u32 = 4;
/// How much sooner the next look comes after one that served an overdue peer: what goes on there waits for looks alone.
const SOONER: u32 = 4;

/// What an idle worker leaves between two looks at most, for each worker of its group.
fn longest(interval: Duration) -> Duration {
    interval.saturating_mul(1 << (QUIET_LIMIT - 1).max(VACANT_LIMIT))
}

impl Worker<'_> {
    /// Whether and until when this worker, now among the sleepers, watches. Counts it in.
    pub(crate) fn start_watch(&self) -> Option<Instant> {
        let shared = self.shared;
        let group = self.group;
        if group.len() == 1 || !(self.seat.anything_outside() || shared.anything_to_watch(group)) {
            return None;
        }
        // Relaxed: whoever reads zero here wakes a sleeper, which may be this worker; it then finds its token.
        group.watching.fetch_add(1, Ordering::Relaxed);
        let parked = group.sleep.counts().0;
        let mut all_asleep = parked >= shared.occupied(group);
        let quiet = self.core.quiet.get();
        let vacant = all_asleep && shared.vacant_seat_waits(group);
        if all_asleep && quiet >= QUIET_LIMIT && !vacant {
            // Relaxed: as above. Whoever uses a slot next says so again, and then finds nobody watching.
            group.watch_asked.store(false, Ordering::Relaxed);
            group.watching.fetch_sub(1, Ordering::Relaxed);
            self.core.look_at.set(0);
            // Pairs with the fence of `see_to_watch`: who got up meanwhile sees that nobody watches, or is seen here.
            fence(Ordering::SeqCst);
            if group.sleep.counts().0 >= shared.occupied(group) {
                return None;
            }
            group.watch_asked.store(true, Ordering::Relaxed);
            group.watching.fetch_add(1, Ordering::Relaxed);
            all_asleep = false;
        }
        // Whoever is awake may begin a long poll at any time, and what it keeps waiting waits up to two of these.
        let limit = if vacant { VACANT_LIMIT } else { QUIET_LIMIT };
        let apart = match all_asleep {
            true => parked.max(1) << quiet.min(limit),
            false if group.calm.get() >= CALM_LIMIT => parked.max(CALM_FACTOR),
            false => parked.max(1),
        };
        let once = shared.config.watch_interval / if self.core.serving.get() { SOONER } else { 1 };
        let interval = once.saturating_mul(apart);
        // A look that is due stays due through the parks that end early: traffic of its own must not keep a worker from it.
        let mut look_at = (shared.os.now() + interval).as_nanos();
        if vacant && let Some(timer) = shared.seat(0).wheel.lock().next() {
            look_at = look_at.min(timer);
        }
        if self.core.look_at.get() != 0 {
            look_at = look_at.min(self.core.look_at.get());
        }
        self.core.look_at.set(look_at);
        Some(Instant::from_nanos(look_at))
    }

    /// The watch interval passed with nothing for this worker: look after the others.
    pub(crate) fn watch(&self) {
        self.core.quiet.set(self.core.quiet.get().saturating_add(1));
        self.core.serving.set(false);
        let (now, mut any_overdue) = (self.shared.os.now().as_nanos(), false);
        let long = self.shared.config.watch_interval.saturating_mul(OVERDUE_FOR_LONG);
        for peer in self.group.seats() {
            if peer == self.number {
                continue;
            }
            let beat = self.shared.seat(peer).pulse.beat.get();
            let (seen, since) = self.core.beats.borrow()[peer as usize];
            let overdue = beat % 2 == 1 && beat == seen;
            if beat != seen {
                self.core.beats.borrow_mut()[peer as usize] = (beat, now);
                // It ran: its next poll may be a long one, and it tells nobody.
                self.core.quiet.set(0);
            }
            let vacant = peer == 0 && self.shared.vacant_seat_waits(self.group);
            if overdue {
                self.shared.seat(peer).pulse.overdue.set(beat);
                any_overdue = true;
                if Duration::from_nanos(now.saturating_sub(since)) >= long {
                    self.group.calm.set(0);
                }
            }
            if overdue || vacant {
                let found = self.take_over(peer);
                if overdue || found {
                    self.core.quiet.set(0);
                }
                if overdue && found {
                    tell::took_over(peer, self.number);
                    self.core.serving.set(true);
                }
                self.shared.commit_for(peer);
            }
        }
        if !any_overdue {
            // Lookers may undo one another's counts, and a return to 0: the next look at who is stuck for long makes up for it.
            self.group.calm.set(self.group.calm.get().saturating_add(1));
        }
    }

    /// One look at what an overdue worker cannot serve. Whether it found anything.
    fn take_over(&self, victim: u32) -> bool {
        // Relaxed: what this misses the next look finds.
        if self.shared.seat(victim).kept.load(Ordering::Relaxed) {
            self.shared.offer_for(victim);
        }
        if !self.shared.try_hold(victim, self.number, false) {
            return false;
        }
        self.seat.pulse.stats.takeovers.add(1);
        self.core.emit(Event::Takeover { victim: victim as u16, by: self.number });
        let found = self.reap(victim, Wait::No);
        self.shared.let_go(victim, self.number);
        let completed = !found.is_empty();
        self.dispatch(found);
        let fired = self.fire(victim);
        let Some(task) = self.shared.seat(victim).lifo.take() else { return completed || fired };
        let (worker, by) = (victim as u16, self.number);
        self.core.emit(Event::Dequeue { task: task.id(), place: Place::Lifo, worker, by });
        debt(Debt::Push, 1);
        self.shared.push_ring(self.core, self.number, task, false);
        true
    }
}

impl Shared {
    /// Tells the checkers what they may expect of the watch.
    pub(crate) fn note_watches(&self) {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let interval = self.config.watch_interval;
        ghost(|| Ghost::Watches { interval: nanos(interval), longest: nanos(longest(interval)) });
    }

    /// Whether a worker of the group that stays in one poll could keep anything waiting.
    pub(crate) fn anything_to_watch(&self, group: &Group) -> bool {
        // Relaxed: who sets it calls `see_to_watch` after it.
        // What is outside for another group may be at home in this one.
        group.watch_asked.load(Ordering::Relaxed) || self.anything_outside()
    }

    /// Seats of the group with a thread on them.
    fn occupied(&self, group: &Group) -> u32 {
        group.len() - u32::from(group.first == 0 && !self.seat_zero_is_taken())
    }

    /// Whether seat 0 is the group's and has nobody on it, but something of its own waits there, or may: a descriptor stays at home when
    /// its task has moved, and its op is in another table then.
    pub(crate) fn vacant_seat_waits(&self, group: &Group) -> bool {
        if group.first != 0 || self.seat_zero_is_taken() {
            return false;
        }
        let zero = self.seat(0);
        zero.anything_outside() || self.anything_outside() && zero.unpark.at_home() > 0
    }
}
