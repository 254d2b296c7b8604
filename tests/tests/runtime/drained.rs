//! The end of a turn.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use pirn::{Builder, DrainedHook};

use crate::support::{CountWaker, PATIENCE, eventually, runtime, within};

#[test]
fn it_comes_when_nothing_is_left_to_run() {
    runtime(1).block_on(async {
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what| {
            let order = order.clone();
            async move { order.lock().unwrap().push(what) }
        };
        let waits = [1, 2].map(|_| {
            let end = note("end");
            pirn::spawn(async move {
                pirn::drained().await;
                end.await;
            })
        });
        let others: Vec<_> = (0..10).map(|_| pirn::spawn(note("task"))).collect();
        for task in others.into_iter().chain(waits) {
            task.await.expect("no panic");
        }
        let order = order.lock().unwrap().clone();
        assert_eq!(order[..10], ["task"; 10]);
        assert_eq!(order[10..], ["end"; 2]);
    });
}

#[test]
fn under_load_it_comes_all_the_same() {
    for set in
        [|b: Builder| b.poll_interval(5), |b: Builder| b.poll_interval(u32::MAX).turn_limit(Duration::ZERO)]
    {
        let runtime = set(Builder::new().workers(1)).build().expect("a runtime");
        runtime.block_on(async {
            let stop = Arc::new(AtomicBool::new(false));
            let load: Vec<_> = (0..3)
                .map(|_| {
                    let stop = stop.clone();
                    pirn::spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            pirn::yield_now().await;
                        }
                    })
                })
                .collect();
            pirn::time::timeout(PATIENCE, pirn::drained()).await.expect("it comes");
            stop.store(true, Ordering::Relaxed);
            for task in load {
                task.await.expect("no panic");
            }
        });
    }
}

#[test]
fn one_that_was_dropped_or_polled_twice_does_no_harm() {
    runtime(1).block_on(async {
        let (count, waker) = CountWaker::new();
        {
            let mut dropped = pin!(pirn::drained());
            assert!(dropped.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut twice = pin!(pirn::drained());
        for _ in 0..2 {
            assert!(twice.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        pirn::drained().await;
        assert_eq!(count.wakes(), 3);
        assert!(twice.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    });
}

#[test]
fn without_a_worker_it_is_ready_at_once() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    // A guest: the only seat is taken.
    runtime.block_on(async {
        pirn::spawn_blocking(move || {
            handle.block_on(async {
                pirn::drained().await;
                let ran = Arc::new(AtomicUsize::new(0));
                let hook = hook(&ran);
                hook.ask();
                assert_eq!(ran.load(Ordering::Relaxed), 1);
            });
        })
        .await
        .expect("no panic");
    });
}

fn hook(ran: &Arc<AtomicUsize>) -> DrainedHook {
    let ran = ran.clone();
    DrainedHook::new(move || {
        ran.fetch_add(1, Ordering::Relaxed);
    })
}

#[test]
fn a_hook_runs_once_a_turn() {
    runtime(1).block_on(async {
        let ran = Arc::new(AtomicUsize::new(0));
        let hook = hook(&ran);
        for turn in 0..3 {
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let hook = hook.clone();
                    pirn::spawn(async move { hook.ask() })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            pirn::drained().await;
            assert_eq!(ran.load(Ordering::Relaxed), turn + 1);
        }
        pirn::drained().await;
        assert_eq!(ran.load(Ordering::Relaxed), 3, "nobody asked");
    });
}

#[test]
fn a_hook_that_asks_for_itself_or_panics_stops_nobody() {
    within(PATIENCE, || {
        let runtime = runtime(1);
        let ran = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(Mutex::new(None::<DrainedHook>));
        let hook = DrainedHook::new({
            let (ran, again) = (ran.clone(), again.clone());
            move || {
                ran.fetch_add(1, Ordering::Relaxed);
                let hook = again.lock().unwrap().clone();
                if let Some(hook) = hook {
                    hook.ask();
                }
            }
        });
        *again.lock().unwrap() = Some(hook.clone());
        runtime.block_on(async {
            hook.ask();
            for _ in 0..20 {
                pirn::drained().await;
            }
            let bad = DrainedHook::new(|| panic!("on purpose"));
            bad.ask();
            pirn::drained().await;
        });
        assert!(ran.load(Ordering::Relaxed) >= 20);
        *again.lock().unwrap() = None;
    });
}

#[test]
fn hooks_of_many_workers_lose_nothing() {
    let runtime = runtime(3);
    let items = Arc::new(Mutex::new(Vec::new()));
    let flushed = Arc::new(AtomicUsize::new(0));
    let hook = DrainedHook::new({
        let (items, flushed) = (items.clone(), flushed.clone());
        move || {
            let batch = std::mem::take(&mut *items.lock().unwrap());
            flushed.fetch_add(batch.len(), Ordering::Relaxed);
        }
    });
    const TASKS: usize = 2_000;
    for number in 0..TASKS {
        let (items, hook) = (items.clone(), hook.clone());
        runtime
            .spawn(async move {
                items.lock().unwrap().push(number);
                hook.ask();
            })
            .detach();
    }
    runtime.block_on(async {
        while flushed.load(Ordering::Relaxed) < TASKS {
            pirn::time::sleep(Duration::from_millis(1)).await;
        }
    });
    eventually("all items are flushed", || flushed.load(Ordering::Relaxed) == TASKS);
}

#[cfg(feature = "sim")]
#[test]
fn in_the_simulator() {
    for seed in 0..60 {
        let simulation = pirn_sim::Simulation::new("drained").host("host", async || {
            let done = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    let done = done.clone();
                    pirn::spawn(async move {
                        for _ in 0..number {
                            pirn::yield_now().await;
                        }
                        pirn::drained().await;
                        let count = move || {
                            done.fetch_add(1, Ordering::Relaxed);
                        };
                        DrainedHook::new(count).ask();
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            while done.load(Ordering::Relaxed) < 8 {
                pirn::time::sleep(Duration::from_millis(1)).await;
            }
            std::io::Result::Ok(())
        });
        let verdict = simulation.tso(seed % 2 == 1).run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
