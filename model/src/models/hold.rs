//! The hold of a Reap half: its owner's look against a peer that takes over. The steps of `sched/look.rs` (`try_hold`, `hold_own`,
//! `let_go`) over a cell that loom watches, and the real op table behind it.

use std::sync::Arc;

use loom::thread;

use super::explore;
use crate::ops::{Awaits, Ops, Polled};
use crate::os::{Completion, Token};
use crate::sync::{AtomicU32, Ordering, UnsafeCell, spin_until};

const FREE: u32 = 0;

struct Seat {
    hold: AtomicU32,
    /// The driver: completions that are ready.
    ready: UnsafeCell<Vec<Token>>,
    ops: Ops,
}

// SAFETY: `ready` is the holder's alone, which is what the models check.
unsafe impl Sync for Seat {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Seat {}

impl Seat {
    fn try_hold(&self, by: u32) -> bool {
        self.hold.compare_exchange(FREE, by, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn let_go(&self) {
        self.hold.store(FREE, Ordering::Release);
    }

    /// Collects under the hold, dispatches after it.
    fn reap(&self) -> usize {
        // SAFETY: watched by loom; the caller holds.
        let found = self.ready.with_mut(|ready| unsafe { std::mem::take(&mut *ready) });
        self.let_go();
        for token in &found {
            drop(self.ops.complete(Completion { token: *token, result: Ok(0), yielded: Arc::new(()) }));
        }
        found.len()
    }
}

/// The owner takes its own hold, waiting for a peer; the peer tries once. Each completion is dispatched once (S13, S19). Every interleaving.
#[test]
fn owner_against_takeover() {
    explore(None, || {
        let ops = Ops::new(0);
        let tokens = [ops.open(Awaits::Unknown).0, ops.open(Awaits::Unknown).0];
        let ready = UnsafeCell::new(tokens.to_vec());
        let seat = Arc::new(Seat { hold: AtomicU32::new(FREE), ready, ops });
        let peer = thread::spawn({
            let seat = seat.clone();
            move || if seat.try_hold(2) { seat.reap() } else { 0 }
        });
        spin_until(|| seat.try_hold(1));
        let own = seat.reap();
        let other = peer.join().unwrap();
        assert_eq!(own + other, 2, "a completion was lost or doubled");
        for token in tokens {
            let polled = seat.ops.poll(token, std::task::Waker::noop(), &mut None, |_| None);
            assert!(matches!(polled, Polled::Ready(_)), "it was not dispatched");
        }
        assert_eq!(seat.ops.in_flight(), 0);
    });
}
