//! Resetting and dropping sleeps.

use std::future::Future;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use pirn::Handle;
use pirn::time::{Instant, sleep, sleep_until};

use super::{HOUR, MS, arm, armed, poll_once};
use crate::support::{CountWaker, PATIENCE, eventually, runtime, within};

#[test]
fn reset_earlier_later_before_and_after() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let handle = Handle::current();
                // Before the first poll: nothing is armed.
                let mut timer = sleep(HOUR);
                timer.reset(Instant::now() + MS);
                assert_eq!(armed(&handle), 0);
                (&mut timer).await;
                // Earlier.
                timer.reset(Instant::now() + HOUR);
                arm(&mut timer).await;
                assert_eq!(armed(&handle), 1);
                timer.reset(Instant::now() + 2 * MS);
                assert_eq!(armed(&handle), 0, "armed again at the next poll");
                (&mut timer).await;
                // Later: the first deadline passes unnoticed.
                timer.reset(Instant::now() + MS);
                arm(&mut timer).await;
                let later = Instant::now() + 8 * MS;
                timer.reset(later);
                arm(&mut timer).await;
                (&mut timer).await;
                assert!(Instant::now() >= later);
                // After the firing, before anybody looked.
                timer.reset(Instant::now() + MS);
                arm(&mut timer).await;
                eventually_async(|| armed(&handle) == 0).await;
                let later = Instant::now() + 4 * MS;
                timer.reset(later);
                assert_eq!(timer.deadline(), later);
                (&mut timer).await;
                assert!(Instant::now() >= later);
                // Put off, armed anew when the first deadline has passed, and brought forward again.
                let mut timer = sleep(MS);
                arm(&mut timer).await;
                timer.reset(Instant::now() + HOUR);
                eventually_async(|| armed(&handle) == 0).await;
                arm(&mut timer).await;
                assert_eq!(armed(&handle), 1);
                timer.reset(Instant::now() + MS);
                (&mut timer).await;
                // To the past.
                timer.reset(Instant::now() + HOUR);
                arm(&mut timer).await;
                timer.reset(Instant::from_nanos(0));
                assert_eq!(poll_once(&mut timer), Poll::Ready(()));
                assert_eq!(armed(&handle), 0);
            });
        }
    });
}

async fn eventually_async(mut condition: impl FnMut() -> bool) {
    while !condition() {
        sleep(MS / 10).await;
        // This sleep is a timer too: look when it is gone.
    }
}

#[test]
fn a_dropped_sleep_is_disarmed_wherever_it_is_dropped() {
    within(PATIENCE, || {
        for workers in 1..=4 {
            let runtime = runtime(workers);
            let handle = runtime.handle();
            // On its own worker, on other workers, on a plain thread.
            runtime.block_on(async {
                let mut tasks = Vec::new();
                for number in 0..100 {
                    let mut timer = sleep(HOUR);
                    if number % 3 != 0 {
                        arm(&mut timer).await;
                    }
                    tasks.push(pirn::spawn(async move {
                        let mut own = sleep(HOUR);
                        arm(&mut own).await;
                        pirn::yield_now().await;
                        drop(timer);
                        own
                    }));
                }
                let mut others = Vec::new();
                for task in tasks {
                    others.push(task.await.unwrap());
                }
                assert_eq!(armed(&handle), 100);
                let kept = others.split_off(50);
                thread::spawn(move || drop(others)).join().unwrap();
                assert_eq!(armed(&handle), 50);
                drop(kept);
                assert_eq!(armed(&handle), 0);
            });
        }
    });
}

/// Neither early nor twice nor for nobody: wakes of a reset timer are those of its last arming.
#[test]
fn a_reset_timer_wakes_once() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let (count, waker) = CountWaker::new();
        runtime.block_on(async {
            let mut cx = std::task::Context::from_waker(&waker);
            let mut timer = sleep(HOUR);
            for _ in 0..1_000 {
                timer.reset(Instant::now() + HOUR);
                assert!(std::pin::Pin::new(&mut timer).poll(&mut cx).is_pending());
            }
            timer.reset(Instant::now() + MS);
            assert!(std::pin::Pin::new(&mut timer).poll(&mut cx).is_pending());
            while count.wakes() == 0 {
                sleep(MS).await;
            }
            assert_eq!(poll_once(&mut timer), Poll::Ready(()));
            sleep(3 * MS).await;
            assert_eq!(count.wakes(), 1);
            assert_eq!(armed(&Handle::current()), 0);
        });
    });
}

/// Timers that never fire, armed and given up a million times from all workers: none is left behind.
#[test]
fn a_million_deadlines_that_never_fire() {
    within(2 * PATIENCE, || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let (tell, told) = mpsc::channel();
        for _ in 0..8 {
            let tell = tell.clone();
            handle
                .spawn(async move {
                    let mut moved = Vec::new();
                    for round in 0..62_500u32 {
                        let mut timer = sleep_until(Instant::now() + HOUR + round * MS);
                        arm(&mut timer).await;
                        timer.reset(Instant::now() + HOUR);
                        arm(&mut timer).await;
                        if round % 64 == 0 {
                            moved.push(timer);
                            pirn::yield_now().await;
                        }
                    }
                    tell.send(moved).unwrap();
                })
                .detach();
        }
        drop(tell);
        let moved: Vec<_> = told.iter().flatten().collect();
        assert_eq!(armed(&handle), moved.len());
        drop(moved);
        eventually("no timer is left", || armed(&handle) == 0);
    });
}
