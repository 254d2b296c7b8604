//! The world itself, by hand-written programs without a runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Real, Ordering::Relaxed};
use std::time::Duration;

use pirn::os::{Os, ThreadSpec};
use pirn::sync::{AtomicU32, AtomicUsize, Condvar, Mutex, Ordering, fence};
use pirn_sim::{Explore, Faults, Simulation, Strategy, Verdict};

fn os() -> Arc<dyn Os> {
    pirn_sim::os()
}

fn thread(body: impl FnOnce() + Send + 'static) -> Box<dyn pirn::os::ThreadHandle> {
    os().spawn_thread(ThreadSpec { name: "t".into(), stack: None }, Box::new(body)).expect("a thread")
}

fn explore(simulation: &Simulation, seeds: u64) -> Option<Verdict> {
    simulation.explore(Explore { seeds, ..Explore::default() }).failure.map(|failure| {
        assert_eq!(failure.confirmed, Ok(()), "{}", failure.outcome.verdict);
        failure.outcome.verdict
    })
}

#[test]
fn the_interposition_is_linked() {
    pirn_sim::is_linked().expect("libc symbols are not ours");
}

#[test]
fn threads_run_and_end() {
    let simulation = Simulation::new("threads").bare_host("a", || {
        let count = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..5)
            .map(|_| {
                let count = Arc::clone(&count);
                thread(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(count.load(Ordering::Relaxed), 5);
    });
    assert_eq!(explore(&simulation, 500), None);
}

#[test]
fn a_lost_update_is_found_and_replays() {
    let simulation = Simulation::new("lost").bare_host("a", || {
        let count = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread(move || {
                    let seen = count.load(Ordering::Relaxed);
                    count.store(seen + 1, Ordering::Relaxed);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(count.load(Ordering::Relaxed), 2, "an update was lost");
    });
    match explore(&simulation, 500) {
        Some(Verdict::Panic(text)) => {
            assert!(text.contains("an update was lost") && text.contains("world.rs"), "{text}")
        }
        other => panic!("{other:?}"),
    }
}

fn store_buffering(fenced: bool) -> Simulation {
    Simulation::new("sb").bare_host("a", move || {
        let cells = Arc::new([const { AtomicU32::new(0) }; 4]);
        let threads: Vec<_> = (0..2)
            .map(|me| {
                let cells = Arc::clone(&cells);
                thread(move || {
                    cells[me].store(1, Ordering::Relaxed);
                    if fenced {
                        fence(Ordering::SeqCst);
                    }
                    let other = cells[1 - me].load(Ordering::Relaxed);
                    cells[2 + me].store(other, Ordering::Relaxed);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        let read: Vec<u32> = cells[2..].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        assert_ne!(read, [0, 0], "both read 0");
    })
}

#[test]
fn store_buffering_shows_in_tso_mode_only() {
    for strategy in [Strategy::Mix, Strategy::Stay, Strategy::Pct] {
        assert_eq!(explore(&store_buffering(false).strategy(strategy), 2000), None);
        let found = explore(&store_buffering(false).strategy(strategy).tso(true), 2000);
        assert!(matches!(&found, Some(Verdict::Panic(text)) if text.contains("both read 0")), "{found:?}");
        assert_eq!(explore(&store_buffering(true).strategy(strategy).tso(true), 2000), None);
    }
}

#[test]
fn core_locks_and_conditions_block_in_the_world() {
    let simulation = Simulation::new("locks").bare_host("a", || {
        let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread(move || {
                    *shared.0.lock() += 1;
                    shared.1.notify_one();
                })
            })
            .collect();
        let mut count = shared.0.lock();
        while *count < 3 {
            count = shared.1.wait(count);
        }
        drop(count);
        threads.into_iter().for_each(|thread| thread.join());
        let (guard, timed_out) = shared.1.wait_timeout(shared.0.lock(), Duration::from_millis(5));
        assert!(timed_out && *guard == 3);
        drop(guard);
        assert!(os().now().as_nanos() >= 5_000_000);
    });
    assert_eq!(explore(&simulation, 500), None);
}

#[test]
fn user_locks_parking_and_thread_locals_are_true_to_life() {
    thread_local! {
        static MINE: std::cell::RefCell<Vec<u32>> = const { std::cell::RefCell::new(Vec::new()) };
        static LAST: std::cell::RefCell<Option<Bell>> = const { std::cell::RefCell::new(None) };
    }
    struct Bell(Arc<Real>);
    impl Drop for Bell {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let simulation = Simulation::new("user").bare_host("a", || {
        let rung = Arc::new(Real::new(0));
        let sum = Arc::new(std::sync::Mutex::new(0u64));
        let point = Arc::new(AtomicUsize::new(0));
        let main = std::thread::current();
        let threads: Vec<_> = (0..4)
            .map(|n: u32| {
                let (rung, sum, point, main) =
                    (Arc::clone(&rung), Arc::clone(&sum), Arc::clone(&point), main.clone());
                thread(move || {
                    LAST.with(|last| *last.borrow_mut() = Some(Bell(rung)));
                    for _ in 0..3 {
                        let mut sum = sum.lock().unwrap();
                        point.fetch_add(1, Ordering::Relaxed);
                        *sum += 1;
                        drop(sum);
                        MINE.with(|mine| {
                            let mut mine = mine.borrow_mut();
                            point.fetch_add(1, Ordering::Relaxed);
                            mine.push(n);
                        });
                    }
                    MINE.with(|mine| assert_eq!(*mine.borrow(), [n; 3]));
                    assert!(
                        std::panic::catch_unwind(|| {
                            struct Switch<'a>(&'a AtomicUsize);
                            impl Drop for Switch<'_> {
                                fn drop(&mut self) {
                                    assert!(std::thread::panicking());
                                    self.0.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            let _switch = Switch(&point);
                            panic!("expected");
                        })
                        .is_err()
                    );
                    assert!(!std::thread::panicking());
                    if n == 0 {
                        main.unpark();
                    }
                })
            })
            .collect();
        std::thread::park();
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(*sum.lock().unwrap(), 12);
        assert_eq!(rung.load(Relaxed), 4, "thread-local destructors did not run");
        let seeds: std::collections::HashMap<u32, u32> = (0..8).map(|n| (n, n)).collect();
        let order: Vec<u32> = seeds.keys().copied().collect();
        for key in order {
            point.fetch_add(key as usize, Ordering::Relaxed);
            if key > 3 {
                os().entropy();
            }
        }
    });
    assert_eq!(explore(&simulation, 500), None);
    for seed in 0..20 {
        let outcome = simulation.run(seed);
        assert_eq!(simulation.replay(&outcome.trace).expect("replays").digest, outcome.digest);
    }
}

#[test]
fn sleeping_and_clocks_are_virtual() {
    let simulation = Simulation::new("sleep").bare_host("a", || {
        let before = std::time::Instant::now();
        let wall = std::time::SystemTime::now();
        std::thread::sleep(Duration::from_secs(100));
        pirn_sim::busy(Duration::from_secs(7));
        let spent = before.elapsed();
        assert!((107..108).contains(&spent.as_secs()), "{spent:?}");
        assert!(wall.elapsed().unwrap() >= Duration::from_secs(107));
        let until = std::time::Instant::now() + Duration::from_millis(20);
        while std::time::Instant::now() < until {}
    });
    let started = std::time::Instant::now();
    assert_eq!(explore(&simulation, 20), None);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_deadlock_is_reported_with_who_waits() {
    let simulation = Simulation::new("deadlock").bare_host("a", || {
        let locks = Arc::new((std::sync::Mutex::new(()), std::sync::Mutex::new(())));
        let other = Arc::clone(&locks);
        let helper = thread(move || {
            let _second = other.1.lock().unwrap();
            os().entropy();
            pirn_sim::busy(Duration::from_nanos(10));
            let _first = other.0.lock().unwrap();
        });
        let first = locks.0.lock().unwrap();
        pirn_sim::busy(Duration::from_nanos(10));
        let second = locks.1.lock().unwrap();
        drop((first, second));
        helper.join();
    });
    match explore(&simulation, 500) {
        Some(Verdict::Deadlock(text)) => {
            assert!(text.contains("a/main: waits for a user's lock"), "{text}");
            assert!(text.contains("a/t: waits for a user's lock"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_livelock_is_found() {
    let simulation = Simulation::new("livelock").bare_host("a", || {
        let flag = AtomicU32::new(0);
        pirn::sync::spin_until(|| flag.load(Ordering::Acquire) != 0);
    });
    assert!(matches!(explore(&simulation, 1), Some(Verdict::Livelock(_))));
    let yields = Simulation::new("yields").bare_host("a", || {
        let other = thread(|| {
            loop {
                std::thread::yield_now();
            }
        });
        other.join();
    });
    assert!(matches!(explore(&yields, 1), Some(Verdict::Livelock(_))));
    let waits = Simulation::new("waits").bare_host("a", || {
        let flag = Arc::new(AtomicU32::new(0));
        let setter = Arc::clone(&flag);
        let setter = thread(move || {
            pirn_sim::busy(Duration::from_secs(1));
            setter.store(1, Ordering::Release);
        });
        pirn::sync::spin_until(|| flag.load(Ordering::Acquire) != 0);
        setter.join();
    });
    assert_eq!(explore(&waits.tso(true), 200), None);
}

#[test]
fn a_real_thread_stops_the_run_with_a_message() {
    let simulation = Simulation::new("real").bare_host("a", || {
        let _ = std::thread::spawn(|| {});
    });
    match explore(&simulation, 1) {
        Some(Verdict::Unsupported(text)) => assert!(text.contains("pirn::spawn_blocking"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn thousands_of_failures_do_not_wear_the_simulator_out() {
    let simulation = Simulation::new("failing").faults(Faults::none()).bare_host("a", || {
        let held = Box::new([0u8; 100]);
        let _threads: Vec<_> = (0..3).map(|_| thread(|| pirn_sim::busy(Duration::from_secs(1)))).collect();
        panic!("always {}", held[0]);
    });
    for seed in 0..3000 {
        let outcome = simulation.run(seed);
        assert!(matches!(outcome.verdict, Verdict::Panic(_)), "{}", outcome.verdict);
    }
}

#[test]
fn jobs_explore_in_parallel_and_agree() {
    let simulation = store_buffering(false).tso(true);
    let one = simulation.explore(Explore { seeds: 2000, ..Explore::default() });
    let two = simulation.explore(Explore { seeds: 2000, jobs: 2, ..Explore::default() });
    let seed = |report: pirn_sim::Report| report.failure.expect("found").outcome.seed;
    let (one, two) = (seed(one), seed(two));
    assert!(two >= one, "a job found seed {two}, but {one} fails, too");
    let again = simulation.run(one);
    assert!(matches!(again.verdict, Verdict::Panic(_)));
}

#[test]
fn a_lock_that_executions_share_is_no_deadlock() {
    static SHARED: std::sync::Mutex<u64> = std::sync::Mutex::new(0);
    let simulation = Simulation::new("shared").bare_host("a", || {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                thread(|| {
                    let mut shared = SHARED.lock().unwrap();
                    pirn_sim::busy(Duration::from_nanos(10));
                    *shared += 1;
                    // Long enough in real time for the other job to meet it.
                    let spun: u64 = (0..20_000u64).map(std::hint::black_box).sum();
                    assert!(spun > 0);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
    });
    let report = simulation.explore(Explore { seeds: 200, jobs: 2, ..Explore::default() });
    assert!(report.failure.is_none(), "{}", report.failure.unwrap().outcome.verdict);
    assert_eq!(*SHARED.lock().unwrap(), 2 * (report.executions + 1));
}
