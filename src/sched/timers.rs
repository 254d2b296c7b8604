//! Timers on the wheels: arm, look, cancel, from any thread.
//!
//! A timer lives on the wheel of the seat whose thread armed it, behind that wheel's lock, so that any thread may cancel it
//! and any worker may fire it. A sleep that is put off stays armed as it is until it fires; one that is brought forward is
//! cancelled and armed on the resetter's own wheel: timers follow their task.
//! `model/src/models/timers.rs` checks arm against park and cancel against fire.

use core::task::{Poll, Waker};

use super::context::with_context;
use super::look::note_next;
use super::shared::Shared;
use crate::sync::{Ghost, Ordering, Which, ghost};
use crate::time::Instant;
use crate::timer::Key;
use crate::trace::Event;

/// An armed timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    seat: u32,
    key: Key,
}

impl Shared {
    /// Arms a timer that wakes `waker` at `deadline` or soon after.
    pub(crate) fn timer_arm(&self, deadline: Instant, waker: Waker) -> Armed {
        let which = Which::woken_by(&waker);
        let own = with_context(|cx| self.here(cx).map(|(_, seat)| seat));
        let number = own.unwrap_or_else(|| self.pick_seat());
        let seat = self.seat(number);
        let (key, first, parked_until) = {
            let mut wheel = seat.wheel.lock();
            let first = wheel.len() == 0;
            let key = wheel.insert(deadline.as_nanos(), waker);
            seat.armed.set(wheel.len() as u64);
            super::emit(Event::TimerArm {
                worker: number as u16,
                key: key.index(),
                deadline: deadline.as_nanos(),
            });
            ghost(|| Ghost::TimerKey { worker: number, key: key.index(), generation: key.generation() });
            ghost(|| Ghost::TimerAwait { worker: number, key: key.index(), waker: which });
            note_next(number, seat, &mut wheel);
            // Relaxed: written under this lock before each park.
            (key, first, seat.parked_until.load(Ordering::Relaxed))
        };
        if deadline.as_nanos() < parked_until {
            self.give_token(number);
        }
        // A seat that is awake may be inside a long poll. From the second timer on somebody watches already.
        if first && (own.is_some() || parked_until == 0) {
            self.see_to_watch(self.group_of(number));
        }
        Armed { seat: number, key }
    }

    /// Ready once the timer has fired; else it wakes `waker` from now on.
    pub(crate) fn timer_poll(&self, armed: Armed, waker: &Waker) -> Poll<()> {
        let (worker, key) = (armed.seat, armed.key.index());
        let note = |waker: &Waker| ghost(|| Ghost::TimerAwait { worker, key, waker: Which::woken_by(waker) });
        let mut spare = None;
        loop {
            let mut wheel = self.seat(armed.seat).wheel.lock();
            let Some(kept) = wheel.get_mut(armed.key) else { return Poll::Ready(()) };
            if kept.will_wake(waker) {
                note(waker);
                return Poll::Pending;
            }
            if let Some(new) = spare.take() {
                note(&new);
                let old = core::mem::replace(kept, new);
                drop(wheel);
                drop(old);
                return Poll::Pending;
            }
            // Cloned and dropped outside of the lock: that is foreign code.
            drop(wheel);
            spare = Some(waker.clone());
        }
    }

    /// Disarms; false: it has fired.
    pub(crate) fn timer_cancel(&self, armed: Armed) -> bool {
        let seat = self.seat(armed.seat);
        let waker = {
            let mut wheel = seat.wheel.lock();
            let waker = wheel.remove(armed.key);
            if waker.is_some() {
                seat.armed.set(wheel.len() as u64);
                super::emit(Event::TimerCancel { worker: armed.seat as u16, key: armed.key.index() });
                note_next(armed.seat, seat, &mut wheel);
            }
            waker
        };
        if waker.is_none() {
            let (worker, key) = (armed.seat, armed.key);
            ghost(|| Ghost::TimerGone { worker, key: key.index(), generation: key.generation() });
        }
        waker.is_some()
    }
}
