//! The runtime as a whole: options, seats and guests, fairness, panics, quiet.

#![allow(
    clippy::async_yields_async,
    clippy::waker_clone_wake,
    reason = "handles and wakers are what is tested"
)]

mod drained;
mod fairness;
mod fallback;
mod groups;
mod quiet;
mod seats;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use pirn::trace::Event;
use pirn::{Backend, Builder, Handle, Runtime};

use crate::support::{PATIENCE, eventually, runtime, text, with_waker, within, yields};

#[test]
fn impossible_options_are_named() {
    type Set = fn(Builder) -> Builder;
    let cases: [(&str, Set); 17] = [
        ("workers(0)", |b| b.workers(0)),
        ("workers(4096)", |b| b.workers(4096)),
        ("ring_capacity(0)", |b| b.ring_capacity(0)),
        ("ring_capacity(1)", |b| b.ring_capacity(1)),
        ("ring_capacity(3)", |b| b.ring_capacity(3)),
        ("ring_capacity(65536)", |b| b.ring_capacity(65536)),
        ("look_batch(0)", |b| b.look_batch(0)),
        ("lifo_limit(0)", |b| b.lifo_limit(0)),
        ("lifo_limit(256)", |b| b.lifo_limit(256)),
        ("poll_interval(0)", |b| b.poll_interval(0)),
        ("injector_interval(0)", |b| b.injector_interval(0)),
        ("budget(0)", |b| b.budget(0)),
        ("blocking_threads(0)", |b| b.blocking_threads(0)),
        ("recorder(67108865)", |b| b.recorder((1 << 26) + 1)),
        ("watch_interval(0)", |b| b.watch_interval(Duration::ZERO)),
        ("ring_capacity(100)", |b| b.ring_capacity(100).backend(Backend::Epoll)),
        ("workers(0)", |b| b.workers(4).workers(0)),
    ];
    for (name, set) in cases {
        let error = set(Builder::new()).build().expect_err(name);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

#[test]
fn extreme_options_work() {
    type Set = fn(Builder) -> Builder;
    let cases: [Set; 10] = [
        |b| b.ring_capacity(2),
        |b| b.ring_capacity(32768),
        |b| b.lifo_limit(1).poll_interval(1).injector_interval(1),
        |b| b.lifo_limit(255).poll_interval(u32::MAX).injector_interval(u32::MAX),
        |b| b.budget(1),
        |b| b.watch_interval(Duration::from_nanos(1)),
        |b| b.watch_interval(Duration::from_secs(3600)),
        |b| b.share_delay(Duration::ZERO),
        |b| b.share_delay(Duration::MAX),
        |b| b.recorder(1),
    ];
    within(PATIENCE, move || {
        for set in cases {
            for workers in 1..=3 {
                let runtime = set(Builder::new().workers(workers)).build().unwrap();
                let sum = runtime.block_on(async {
                    let tasks: Vec<_> = (0..300u64)
                        .map(|number| {
                            pirn::spawn(async move {
                                yields(3).await;
                                number
                            })
                        })
                        .collect();
                    let mut sum = 0;
                    for task in tasks {
                        sum += task.await.unwrap();
                    }
                    pirn::time::sleep(Duration::from_micros(100)).await;
                    sum
                });
                assert_eq!(sum, 299 * 300 / 2);
            }
        }
    });
}

#[test]
fn defaults() {
    let runtime = Runtime::new().unwrap();
    let cpus = thread::available_parallelism().unwrap().get();
    assert_eq!(runtime.handle().metrics().workers.len(), cpus);
    let chosen = pirn::os::choose().expect("a backend");
    assert_eq!(runtime.handle().os().name(), chosen.name());
    assert_eq!(runtime.block_on(async { 5 }), 5);
    assert!(format!("{runtime:?} {:?}", Runtime::builder()).contains("workers"));
}

#[test]
fn the_current_runtime_is_known_inside_and_only_there() {
    within(PATIENCE, || {
        assert!(Handle::try_current().is_none());
        let sentence = |f: fn()| text(&*catch_unwind(f).expect_err("outside"));
        assert!(sentence(|| drop(Handle::current())).contains("no Pirn runtime"));
        assert!(sentence(|| pirn::spawn(async {}).detach()).contains("no Pirn runtime"));
        assert!(sentence(|| pirn::spawn_blocking(|| ()).detach()).contains("no Pirn runtime"));
        assert!(sentence(|| pirn::spawn_local(async {}).detach()).contains("no worker"));
        assert!(sentence(|| _ = pirn::time::Instant::now()).contains("no Pirn runtime"));
        let runtime = runtime(2);
        runtime.block_on(async {
            assert!(Handle::try_current().is_some());
            pirn::spawn(async { drop(Handle::current()) }).await.unwrap();
            pirn::spawn_local(async { drop(Handle::current()) }).await.unwrap();
            pirn::spawn_blocking(|| drop(Handle::current())).await.unwrap();
        });
        assert!(Handle::try_current().is_none(), "left with block_on");
        runtime.handle().enter(|| drop(Handle::current()));
        // The inner one of two.
        let other = Builder::new().workers(3).build().unwrap();
        let inner =
            other.handle().enter(|| runtime.handle().enter(|| Handle::current().metrics().workers.len()));
        assert_eq!(inner, 2);
        assert!(Handle::try_current().is_none());
    });
}

#[test]
fn panics_are_contained() {
    within(PATIENCE, || {
        for workers in 1..=2 {
            let runtime = runtime(workers);
            let main = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..50)
                        .map(|number| {
                            pirn::spawn(async move {
                                yields(number % 3).await;
                                assert!(number % 2 == 0, "odd");
                                number
                            })
                        })
                        .collect();
                    for (number, task) in tasks.into_iter().enumerate() {
                        match task.await {
                            Ok(value) => assert_eq!((value, number % 2), (number, 0)),
                            Err(error) => {
                                assert!(error.is_panic() && number % 2 == 1);
                                assert!(format!("{error:?} {error}").contains("odd"));
                            }
                        }
                    }
                    panic!("the main future's own");
                })
            }));
            assert_eq!(text(&*main.unwrap_err()), "the main future's own");
            // The seat is free, the workers are there.
            assert_eq!(runtime.block_on(async { pirn::spawn(async { 1 }).await.unwrap() }), 1);
            runtime.shutdown_timeout(PATIENCE).unwrap();
        }
    });
}

#[test]
fn spawned_and_woken_from_outside() {
    within(PATIENCE, || {
        for workers in 2..=4 {
            let runtime = runtime(workers);
            for number in 0..2_000 {
                let (send, wakers) = mpsc::channel();
                let task = runtime.spawn(async move {
                    with_waker(|waker| send.send(waker).unwrap()).await;
                    number
                });
                wakers.recv().unwrap().wake();
                eventually("the task ends", || task.is_finished());
                if number % 100 == 0 {
                    assert_eq!(runtime.block_on(task).unwrap(), number);
                }
            }
        }
    });
}

/// Work that its pusher does not drain itself: a task that spins until what it spawned has run elsewhere.
#[test]
fn a_peer_runs_what_a_busy_worker_spawned() {
    within(2 * PATIENCE, || {
        for workers in 2..=4 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                for _ in 0..500 {
                    let ran = Arc::new(AtomicBool::new(false));
                    let seen = ran.clone();
                    let child = pirn::spawn(async move { ran.store(true, Ordering::SeqCst) });
                    // Inside the main future's poll: seat 0 is busy.
                    eventually("the child runs", || seen.load(Ordering::SeqCst));
                    child.await.unwrap();
                }
            });
        }
    });
}

#[test]
fn many_tasks_from_everywhere_each_run_once() {
    within(2 * PATIENCE, || {
        for (workers, ring) in [(1, 2), (2, 4), (3, 256), (4, 8)] {
            let runtime = Builder::new().workers(workers).ring_capacity(ring).build().unwrap();
            let runs = Arc::new(AtomicUsize::new(0));
            let outside: Vec<_> = (0..2)
                .map(|_| {
                    let (handle, runs) = (runtime.handle(), runs.clone());
                    thread::spawn(move || {
                        let spawn = |_| {
                            let runs = runs.clone();
                            handle.spawn(async move { _ = runs.fetch_add(1, Ordering::SeqCst) })
                        };
                        (0..5_000).map(spawn).collect::<Vec<_>>()
                    })
                })
                .collect();
            runtime.block_on(async {
                let parents: Vec<_> = (0..100)
                    .map(|_| {
                        let runs = runs.clone();
                        pirn::spawn(async move {
                            let mut children = Vec::new();
                            for _ in 0..100 {
                                let runs = runs.clone();
                                children.push(pirn::spawn(async move {
                                    pirn::yield_now().await;
                                    runs.fetch_add(1, Ordering::SeqCst);
                                }));
                            }
                            for child in children {
                                child.await.unwrap();
                            }
                        })
                    })
                    .collect();
                for parent in parents {
                    parent.await.unwrap();
                }
                for thread in outside {
                    for task in thread.join().unwrap() {
                        task.await.unwrap();
                    }
                }
            });
            assert_eq!(runs.load(Ordering::SeqCst), 20_000);
            let metrics = runtime.handle().metrics();
            assert_eq!(metrics.injector_len + metrics.workers.iter().map(|w| w.ring_len).sum::<usize>(), 0);
            // Those spawned outside belong to no worker.
            assert_eq!(metrics.workers.iter().map(|w| w.tasks_spawned).sum::<u64>(), 10_100);
            assert_eq!(metrics.workers.iter().map(|w| w.tasks_finished).sum::<u64>(), 20_100);
            assert!(metrics.workers.iter().map(|w| w.polls).sum::<u64>() >= 30_100);
            assert!(workers > 1 || metrics.workers[0].tasks_stolen == 0);
        }
    });
}

#[test]
fn the_recorder_remembers_what_happened() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).recorder(512).build().unwrap();
        runtime.block_on(async {
            for _ in 0..1_000 {
                pirn::spawn(yields(2)).await.unwrap();
            }
            pirn::time::sleep(Duration::from_millis(1)).await;
        });
        let dump = runtime.handle().recorded();
        assert_eq!(dump.len(), 2);
        let events: Vec<Event> = dump[0].iter().map(|event| event.expect("decodes")).collect();
        assert!(!events.is_empty() && events.len() <= 512);
        for name in ["Spawn", "TimerArm", "TimerFire", "MainPoll"] {
            assert!(
                events.iter().any(|event| event.name() == name),
                "no {name} among {} events",
                events.len()
            );
        }
        // A ring that turned over is as long as it can be.
        assert_eq!(events.len(), 512);
        // Off: nothing, for each worker.
        let off = self::runtime(3);
        off.block_on(yields(10));
        assert_eq!(off.handle().recorded().iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0]);
    });
}
