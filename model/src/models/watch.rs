//! Who watches: a worker that comes to rely on the watch (`rely_on_watch`, `see_to_watch`) against one that falls asleep
//! (`start_watch`). The steps of `sched/worker.rs` and `sched/watch.rs` over the real sleep protocol.

use std::sync::Arc;

use loom::thread;

use super::explore;
use crate::sleep::Sleep;
use crate::sync::{AtomicBool, AtomicU32, Ordering, fence};

struct Shared {
    sleep: Sleep,
    asked: AtomicBool,
    watching: AtomicU32,
}

/// How a worker parked.
#[derive(Debug, PartialEq, Eq)]
enum Parked {
    /// It will look after its peers.
    Watching,
    /// Until somebody wakes it.
    ForEver,
    /// A token kept it awake.
    Not,
}

impl Shared {
    /// A LIFO slot or a kept ring holds work: true if a sleeper was taken off and given a token.
    fn rely_on_watch(&self) -> bool {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        if self.watching.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let taken = self.sleep.notify();
        taken.is_some_and(|worker| {
            self.sleep.deliver(worker);
            true
        })
    }

    fn park(&self, worker: u32) -> Parked {
        // Nobody pushes anything that a recheck could find.
        if self.sleep.fall_asleep(worker, false) {
            self.sleep.recheck_done();
        }
        let watches = self.asked.load(Ordering::Relaxed);
        if watches {
            self.watching.fetch_add(1, Ordering::Relaxed);
        }
        match (self.sleep.park_begin(worker), watches) {
            (false, _) => Parked::Not,
            (true, true) => Parked::Watching,
            (true, false) => Parked::ForEver,
        }
    }
}

/// After both, somebody watches or is awake to: a worker never relies on a watch that nobody keeps (L6, L7, L8). Every interleaving.
#[test]
fn rely_against_park() {
    explore(None, || {
        let shared = Arc::new(Shared {
            sleep: Sleep::new(0..2),
            asked: AtomicBool::new(false),
            watching: AtomicU32::new(0),
        });
        let parking = thread::spawn({
            let shared = shared.clone();
            move || shared.park(1)
        });
        let woken = shared.rely_on_watch();
        let parked = parking.join().unwrap();
        assert!(woken || parked != Parked::ForEver, "nobody watches: {parked:?}");
    });
}
