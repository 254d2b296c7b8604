//! Looking at a driver and its wheel: who holds them, and what a look brings.
//!
//! The hold word of a seat says who has its Reap half: FREE, or a worker's number with HELD or PARKED. The owner takes it for
//! a look or a park and lets go before it runs any task, so that any other worker may take it meanwhile. Wakers, which
//! are foreign code, are called after it was let go. `model/src/models/hold.rs` checks the owner against a takeover.

use core::task::Waker;

use super::shared::{Seat, Shared};
use super::worker::Worker;
use crate::os::{Completion, Wait};
use crate::sync::{Ghost, Ordering, Which, ghost, spin_until};
use crate::task;
use crate::timer::Key;
use crate::trace::Event;

/// Nobody has the Reap half.
pub(crate) const FREE: u32 = 0;
const HELD: u32 = 1 << 30;
const PARKED: u32 = 1 << 31;

impl Shared {
    /// Takes the hold of `seat` for the worker `by`, if it is free.
    pub(crate) fn try_hold(&self, seat: u32, by: u32, parked: bool) -> bool {
        let word = by | if parked { PARKED } else { HELD };
        // Acquire: pairs with `let_go`; the Reap half is as the last holder left it.
        let taken =
            self.seat(seat).hold.compare_exchange(FREE, word, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            ghost(|| Ghost::HoldTake { worker: seat, by, parked });
        }
        taken
    }

    /// Takes the hold of one's own seat: a peer that has it gives it up after one look that does not wait.
    pub(crate) fn hold_own(&self, seat: u32, parked: bool) {
        spin_until(|| self.try_hold(seat, seat, parked));
    }

    /// Lets go.
    pub(crate) fn let_go(&self, seat: u32, by: u32) {
        // Release: pairs with `try_hold`.
        self.seat(seat).hold.store(FREE, Ordering::Release);
        ghost(|| Ghost::HoldFree { worker: seat, by });
    }
}

impl Worker<'_> {
    /// The first thing on the thread that owns the driver from now on.
    pub(crate) fn attach(&self) -> std::io::Result<()> {
        self.shared.hold_own(self.number, false);
        // SAFETY: the hold was just taken; the borrow ends with the call.
        let attached = unsafe { self.seat.reap() }.attach();
        self.shared.let_go(self.number, self.number);
        attached
    }

    /// The last thing on that thread.
    pub(crate) fn detach(&self) {
        self.shared.hold_own(self.number, false);
        // SAFETY: the hold was just taken; the borrow ends with the call.
        unsafe { self.seat.reap() }.detach();
        self.shared.let_go(self.number, self.number);
    }

    /// One look at the own driver and wheel that does not wait.
    pub(crate) fn look(&self) {
        // A peer that holds them is looking for us.
        if self.shared.try_hold(self.number, self.number, false) {
            let found = self.reap(self.number, Wait::No);
            self.shared.let_go(self.number, self.number);
            self.dispatch(found);
        }
        self.fire(self.number);
    }

    /// Polls the Reap half of `seat`, which the caller holds.
    pub(crate) fn reap(&self, seat: u32, wait: Wait) -> Vec<Completion> {
        let mut found = self.core.completions.take();
        debug_assert!(found.is_empty());
        self.before_step();
        // SAFETY: the caller holds the hold word; the borrow ends with the call.
        let outcome = unsafe { self.shared.seat(seat).reap() }.poll(wait, &mut found);
        self.after_step();
        self.seat.pulse.stats.looks.add(1);
        self.core.emit(Event::Reap { worker: seat as u16, by: self.number, completions: found.len() as u64 });
        if let Err(error) = outcome {
            // A driver that cannot be polled can serve nobody: going on would be a silent hang.
            panic!("the driver of worker {seat} failed: {error}; the runtime cannot go on without it");
        }
        found
    }

    /// Hands completions to their ops and wakes who waits.
    pub(crate) fn dispatch(&self, mut found: Vec<Completion>) {
        if !found.is_empty() {
            self.core.now.set(0);
        }
        for completion in found.drain(..) {
            let table = &self.shared.seat(completion.token.worker()).ops;
            if let Some(waker) = table.complete(completion) {
                task::wake_contained(waker);
            }
        }
        self.core.completions.set(found);
    }

    /// Fires what is due on the wheel of `seat`. Whether anything was.
    pub(crate) fn fire(&self, seat: u32) -> bool {
        let other = self.shared.seat(seat);
        if other.armed.get() == 0 {
            return false;
        }
        let now = self.shared.os.now().as_nanos();
        self.core.emit(Event::Clock { now });
        let mut fired = self.core.fired.take();
        {
            let mut wheel = other.wheel.lock();
            wheel.advance(now, &mut fired);
            other.armed.set(wheel.len() as u64);
            for (key, waker) in &fired {
                let key = key.index();
                ghost(|| Ghost::TimerWake { worker: seat, key, waker: Which::woken_by(waker) });
                self.core.emit(Event::TimerFire { worker: seat as u16, key, now });
            }
            note_next(seat, other, &mut wheel);
        }
        let any = !fired.is_empty();
        for (_, waker) in fired.drain(..) {
            task::wake_contained(waker);
        }
        self.core.fired.set(fired);
        any
    }
}

/// Tells the checkers the earliest deadline of a wheel that changed, and how many timers it has; under its lock.
pub(crate) fn note_next(worker: u32, seat: &Seat, wheel: &mut crate::timer::Wheel<Waker>) {
    ghost(|| Ghost::WheelNext { worker, deadline: wheel.next().unwrap_or(u64::MAX) });
    ghost(|| Ghost::Armed { worker, count: seat.armed.get() });
}

/// A fired timer's key and waker, for the buffer of a look.
pub(crate) type Fired = Vec<(Key, Waker)>;

impl Seat {
    /// Whether this seat's driver or wheel has anything that could become ready, or its commit anything to send.
    pub(crate) fn anything_outside(&self) -> bool {
        self.ops.in_flight() > 0 || self.armed.get() > 0 || !self.staging.is_empty()
    }
}
