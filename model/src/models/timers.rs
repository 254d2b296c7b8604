//! Timers across workers: arm and cancel from elsewhere against the owner's park and a peer's fire. The real wheel and the real
//! park word, with the steps of `sched/timers.rs`, `sched/park.rs` and `sched/look.rs` around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering as Plain};

use loom::thread;

use super::explore;
use crate::sleep::Sleep;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::timer::{Key, Wheel, WheelConfig};

const WHEEL: WheelConfig = WheelConfig { levels: 2, slot_bits: 2, tick_ns_log2: 0 };

struct Seat {
    wheel: Mutex<Wheel<u32>>,
    parked_until: AtomicU64,
    sleep: Sleep,
    fired: Tally,
    tokens: Tally,
}

impl Seat {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            wheel: Mutex::new(Wheel::new(WHEEL, 0)),
            parked_until: AtomicU64::new(0),
            sleep: Sleep::new(0..1),
            fired: Tally::new(0),
            tokens: Tally::new(0),
        })
    }

    /// `timer_arm`: under the wheel's lock, insert and look at the park's deadline; a token if this one comes before it.
    fn arm(&self, deadline: u64, number: u32) -> Key {
        let (key, parked_until) = {
            let mut wheel = self.wheel.lock();
            let key = wheel.insert(deadline, number);
            (key, self.parked_until.load(Ordering::Relaxed))
        };
        if deadline < parked_until && self.sleep.give_token(0) {
            self.tokens.fetch_add(1, Plain::Relaxed);
        }
        key
    }

    /// `timer_cancel`; false: it has fired.
    fn cancel(&self, key: Key) -> bool {
        self.wheel.lock().remove(key).is_some()
    }

    /// `block`, up to the block itself: until when, or nothing if a token was there.
    fn park(&self) -> Option<u64> {
        let deadline = {
            let mut wheel = self.wheel.lock();
            let deadline = wheel.next().unwrap_or(u64::MAX);
            self.parked_until.store(deadline, Ordering::Relaxed);
            deadline
        };
        self.sleep.park_begin(0).then_some(deadline)
    }

    /// `fire`.
    fn fire(&self, now: u64) {
        let mut fired = Vec::new();
        self.wheel.lock().advance(now, &mut fired);
        self.fired.fetch_add(fired.len() as u32, Plain::Relaxed);
    }
}

/// A timer armed from outside against the owner's park: the park ends in time, or a token interrupts it (S25). Every interleaving.
#[test]
fn arm_against_park() {
    explore(None, || {
        let seat = Seat::new();
        seat.arm(9, 0);
        let arming = thread::spawn({
            let seat = seat.clone();
            move || seat.arm(5, 1)
        });
        let until = seat.park();
        arming.join().unwrap();
        let interrupted = seat.tokens.load(Plain::Relaxed) > 0;
        assert!(
            until.is_none_or(|until| until <= 5) || interrupted,
            "it sleeps until {until:?} over a timer for 5"
        );
    });
}

/// A cancel against a peer's fire: one of both has the timer (S24). Every interleaving.
#[test]
fn cancel_against_fire() {
    explore(None, || {
        let seat = Seat::new();
        let key = seat.arm(5, 0);
        let firing = thread::spawn({
            let seat = seat.clone();
            move || seat.fire(7)
        });
        let cancelled = seat.cancel(key);
        // The place may be another timer's by now; the old key names nothing.
        let next = seat.arm(20, 1);
        assert!(!seat.cancel(key), "a key names one timer");
        firing.join().unwrap();
        assert_eq!(seat.fired.load(Plain::Relaxed), u32::from(!cancelled), "fired and cancelled, or neither");
        assert!(seat.cancel(next), "the next timer stands");
    });
}
