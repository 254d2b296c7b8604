//! The sleep protocol, by the step names of `src/sleep/README.md`.
//!
//! A worker that would block ends its thread; when all threads are done, those that have a token in their park word go on, one after
//! another, as they would after their block. A worker that took work is *stuck* in it and never looks again. So at the end every piece of
//! work must have been taken (L1, L4), as long as there is a worker for each.

use std::sync::Arc;

use loom::thread;

use super::explore;
use crate::queue::{Injector, ring};
use crate::sleep::{Sleep, Up};
use crate::sync::{AtomicBool, Ordering};

/// What the workers share: places where one piece of work may lie each.
struct Shared {
    sleep: Sleep,
    places: Vec<AtomicBool>,
}

/// How a worker's turn ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Stuck,
    Parked,
}

impl Shared {
    fn new(workers: u32, places: usize) -> Arc<Self> {
        let places = (0..places).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self { sleep: Sleep::new(0..workers), places })
    }

    /// P: publishes a piece of work, then looks at the sleepers.
    fn push(&self, place: usize) {
        self.places[place].store(true, Ordering::Release);
        self.notify();
    }

    /// N1 to N4.
    fn notify(&self) {
        if let Some(worker) = self.sleep.notify() {
            self.sleep.deliver(worker);
        }
    }

    fn see_work(&self) -> bool {
        self.places.iter().any(|place| place.load(Ordering::Relaxed))
    }

    fn take_work(&self) -> bool {
        self.places.iter().any(|place| {
            place.load(Ordering::Relaxed)
                && place.compare_exchange(true, false, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }

    /// A worker, until it is stuck in a piece of work or parked.
    fn work(&self, worker: u32, mut searching: bool) -> End {
        let sleep = &self.sleep;
        loop {
            searching = searching || sleep.try_search(worker);
            // Who is refused a permit looks at nothing: the worst case.
            if searching && self.take_work() {
                if sleep.found_work(worker) {
                    self.notify();
                }
                return End::Stuck;
            }
            if sleep.fall_asleep(worker, searching) {
                let found = self.see_work();
                sleep.recheck_done();
                if found {
                    searching = sleep.get_up(worker) == Up::Taken;
                    continue;
                }
            }
            if sleep.park_begin(worker) {
                return End::Parked;
            }
            searching = sleep.get_up(worker) == Up::Taken;
        }
    }

    /// After all threads are done: parked workers with a token go on, until nothing moves. Then all work must be gone.
    fn settle(&self, mut ends: Vec<End>) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for (worker, end) in ends.iter_mut().enumerate() {
                let worker = worker as u32;
                if *end == End::Parked && self.sleep.park_end(worker) {
                    *end = self.work(worker, self.sleep.get_up(worker) == Up::Taken);
                    moved = true;
                }
            }
        }
        let parked = ends.iter().filter(|end| **end == End::Parked).count();
        assert!(!self.see_work() || parked == 0, "work is left, and nobody is on the way to it: {ends:?}");
        assert_eq!(self.sleep.counts(), (parked as u32, 0), "the counts differ from the truth: {ends:?}");
    }
}

fn spawn(shared: &Arc<Shared>, worker: u32) -> thread::JoinHandle<End> {
    let shared = shared.clone();
    thread::spawn(move || shared.work(worker, false))
}

/// One worker on its way to sleep, one push from outside: N1 against S3. Every interleaving.
#[test]
fn push_against_falling_asleep() {
    explore(None, || {
        let shared = Shared::new(1, 1);
        let worker = spawn(&shared, 0);
        shared.push(0);
        shared.settle(vec![worker.join().unwrap()]);
    });
}

/// The same with what the runtime pushes into, and looks at in S4: a ring and the injector. Every interleaving.
#[test]
fn real_sources() {
    fn check<R: 'static>(push: impl FnOnce() -> R + 'static, see: impl Fn() -> bool, sleep: &Arc<Sleep>) {
        let pushing = thread::spawn({
            let sleep = sleep.clone();
            move || {
                let kept = push();
                sleep.notify().map(|worker| sleep.deliver(worker));
                kept
            }
        });
        let found = sleep.fall_asleep(0, false) && see();
        sleep.recheck_done();
        let _kept = pushing.join().unwrap();
        assert!(found || !sleep.park_begin(0), "it sleeps beside the work, and no token is on its way");
    }
    explore(None, || {
        let sleep = Arc::new(Sleep::new(0..1));
        let (owner, source) = ring(1, 2);
        let push = move || {
            owner.push(0).expect("an empty ring has room");
            owner
        };
        check(push, || !source.is_empty(), &sleep);
    });
    explore(None, || {
        let sleep = Arc::new(Sleep::new(0..1));
        let source = Arc::new(Injector::new());
        let pushed = source.clone();
        check(move || pushed.push(0, |_| ()).expect("it is open"), || !source.is_empty(), &sleep);
    });
}

/// Two workers, of which one may search, two pushes from outside: F1, and the recheck of who was refused a permit. Bound: 2 preemptions.
#[test]
fn two_pushes_two_workers() {
    explore(Some(2), || {
        let shared = Shared::new(2, 2);
        let workers = [spawn(&shared, 0), spawn(&shared, 1)];
        shared.push(0);
        shared.push(1);
        let ends = workers.map(|worker| worker.join().unwrap());
        shared.settle(ends.into());
    });
}

/// A worker pushes twice and is stuck; one peer sleeps, one is on its way: N3, F1. Bound: 3 preemptions.
#[test]
fn stuck_pusher_with_sleeper() {
    explore(Some(3), || {
        let shared = Shared::new(3, 2);
        assert!(shared.sleep.fall_asleep(2, false), "nobody searches yet");
        shared.sleep.recheck_done();
        assert!(shared.sleep.park_begin(2), "nobody gave a token yet");
        let worker = spawn(&shared, 1);
        shared.push(0);
        shared.push(1);
        shared.settle(vec![End::Stuck, worker.join().unwrap(), End::Parked]);
    });
}

/// Two pushers at once and one sleeper: taken once, given one token (S11). Every interleaving.
#[test]
fn two_pushers_one_sleeper() {
    explore(None, || {
        let shared = Shared::new(1, 2);
        assert_eq!(shared.work(0, false), End::Parked);
        let other = thread::spawn({
            let shared = shared.clone();
            move || shared.push(1)
        });
        shared.push(0);
        other.join().unwrap();
        // One worker for two pieces of work: it takes one and is stuck.
        shared.settle(vec![End::Parked]);
    });
}

/// A block that times out against a token: K1, K2, K3. A token is consumed or still there, and a blocked worker is interrupted. Every
/// interleaving.
#[test]
fn token_against_timeout() {
    explore(None, || {
        let sleep = Arc::new(Sleep::new(0..1));
        let giving = thread::spawn({
            let sleep = sleep.clone();
            move || sleep.give_token(0)
        });
        let mut consumed = 0;
        let mut blocked = false;
        // The first block times out at once, the second one would last.
        if sleep.park_begin(0) {
            consumed += u32::from(sleep.park_end(0));
        } else {
            consumed += 1;
        }
        if consumed == 0 {
            blocked = sleep.park_begin(0);
            consumed += u32::from(!blocked);
        }
        let interrupted = giving.join().unwrap();
        assert!(!blocked || interrupted, "a blocked worker got a token and was not interrupted");
        consumed += u32::from(blocked && sleep.park_end(0));
        assert_eq!(consumed, 1, "a token was lost or doubled");
        assert!(sleep.park_begin(0), "a consumed token is there again");
    });
}

/// A worker gets up by itself while a pusher takes it: exactly one of both, and the token stays. Every interleaving.
#[test]
fn get_up_against_taken() {
    explore(None, || {
        let shared = Shared::new(1, 1);
        assert_eq!(shared.work(0, false), End::Parked);
        let pushing = thread::spawn({
            let shared = shared.clone();
            move || shared.push(0)
        });
        // The block times out.
        let mut tokens = u32::from(shared.sleep.park_end(0));
        let up = shared.sleep.get_up(0);
        pushing.join().unwrap();
        tokens += u32::from(shared.sleep.park_end(0));
        assert_eq!(
            tokens,
            u32::from(up == Up::Taken),
            "taken off without a token, or a token without being taken off"
        );
        assert_eq!(shared.sleep.counts(), (0, tokens));
    });
}
