//! The caller of a block_on: a wake against its change between the seat and the door. The steps of `sched/entry.rs`.

use std::sync::Arc;

use loom::thread;

use super::explore;
use crate::sleep::Sleep;
use crate::sync::{AtomicBool, Mutex, Ordering, fence};

struct Caller {
    woken: AtomicBool,
    seated: AtomicBool,
    knock: Mutex<bool>,
    sleep: Sleep,
}

impl Caller {
    fn new(seated: bool) -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicBool::new(false),
            seated: AtomicBool::new(seated),
            knock: Mutex::new(false),
            sleep: Sleep::new(0..1),
        })
    }

    /// From another thread.
    fn wake(&self) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        fence(Ordering::SeqCst);
        if self.seated.load(Ordering::Relaxed) {
            self.sleep.give_token(0);
        } else {
            *self.knock.lock() = true;
        }
    }

    fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire) && self.woken.swap(false, Ordering::AcqRel)
    }
}

fn wake(caller: &Arc<Caller>) -> thread::JoinHandle<()> {
    let caller = caller.clone();
    thread::spawn(move || caller.wake())
}

/// A guest sits down while it is woken: its first turn sees the wake, or a token comes to the seat (L3). Every interleaving.
#[test]
fn sits_down_against_wake() {
    explore(None, || {
        let caller = Caller::new(false);
        let waking = wake(&caller);
        caller.seated.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let seen = caller.take_woken();
        let parked = !seen && caller.sleep.park_begin(0);
        waking.join().unwrap();
        // A token now is an interrupt of its block.
        assert!(
            seen || !parked || caller.sleep.park_end(0),
            "the wake went to the door, and it sleeps on the seat"
        );
    });
}

/// A guest waits at the door while it is woken: it sees the wake, or the knock. Every interleaving.
#[test]
fn waits_at_the_door_against_wake() {
    explore(None, || {
        let caller = Caller::new(false);
        let waking = wake(&caller);
        let seen = caller.take_woken();
        waking.join().unwrap();
        assert!(seen || *caller.knock.lock(), "nobody knocks");
    });
}
