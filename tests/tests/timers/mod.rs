//! Timers: never early, seldom late, gone when dropped, served by whoever has time.

#![allow(clippy::async_yields_async, reason = "sleeps that change hands are what is tested")]

mod crowd;
mod interval;
mod reset;

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use pirn::Handle;
use pirn::time::{Elapsed, Instant, Sleep, sleep, sleep_until, timeout, timeout_at};

use crate::support::{PATIENCE, eventually, runtime, within};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Timers armed on all wheels.
pub(crate) fn armed(handle: &Handle) -> usize {
    handle.metrics().workers.iter().map(|worker| worker.timers_armed).sum()
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls once with the task's own waker.
pub(crate) async fn arm(sleep: &mut Sleep) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *sleep).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn nothing_to_wait_for_is_ready_at_once() {
    let runtime = runtime(1);
    runtime.block_on(async {
        let now = Instant::now();
        assert_eq!(poll_once(&mut sleep(Duration::ZERO)), Poll::Ready(()));
        assert_eq!(poll_once(&mut sleep_until(now)), Poll::Ready(()));
        assert_eq!(poll_once(&mut sleep_until(Instant::from_nanos(0))), Poll::Ready(()));
        assert_eq!(armed(&Handle::current()), 0);
        for _ in 0..10_000 {
            sleep(Duration::ZERO).await;
        }
    });
}

#[test]
fn a_sleep_ends_after_its_deadline() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            runtime(workers).block_on(async {
                for us in [1, 10, 65, 66, 131, 500, 1_000, 4_194, 4_195, 9_000] {
                    let start = Instant::now();
                    let span = Duration::from_micros(us);
                    let sleep = sleep(span);
                    assert!(sleep.deadline() >= start + span);
                    sleep.await;
                    assert!(start.elapsed() >= span, "early");
                    assert!(start.elapsed() < PATIENCE);
                }
            });
        }
    });
}

/// Deadlines beyond all clocks saturate, wait, and are given up like any other.
#[test]
fn the_far_future_is_far() {
    within(PATIENCE, || {
        for workers in 1..=2 {
            let runtime = runtime(workers);
            let handle = runtime.handle();
            runtime.block_on(async {
                let year = 365 * 24 * HOUR;
                let mut far = vec![
                    sleep(year),
                    sleep(100 * year),
                    sleep(580 * year),
                    sleep(10_000 * year),
                    sleep(Duration::MAX),
                    sleep_until(Instant::from_nanos(u64::MAX)),
                    sleep_until(Instant::from_nanos(u64::MAX - 1)),
                ];
                assert_eq!(far[4].deadline(), Instant::from_nanos(u64::MAX), "saturated");
                for sleep in &mut far {
                    arm(sleep).await;
                }
                assert_eq!(armed(&handle), far.len());
                // They are in nobody's way.
                sleep(2 * MS).await;
                assert_eq!(timeout(MS, pending::<()>()).await.map_err(drop), Err(()));
                assert!(far.iter_mut().all(|sleep| poll_once(sleep).is_pending()));
                assert_eq!(timeout(Duration::MAX, async { 1 }).await, Ok(1));
                far.truncate(3);
                assert_eq!(armed(&handle), 3);
            });
            assert_eq!(armed(&handle), 0);
        }
    });
}

#[test]
fn all_due_at_one_look_fire_in_order_of_deadline() {
    /// None: arming took longer than `lead`.
    fn order(lead: Duration) -> Option<Vec<u32>> {
        let (tell, told) = mpsc::channel();
        let armed_in_time = runtime(1).block_on(async move {
            let first = Instant::now() + lead;
            // In an order of its own: 7 is prime to 200.
            let tasks: Vec<_> = (0..200u32)
                .map(|number| {
                    let (place, tell) = (number * 7 % 200, tell.clone());
                    pirn::spawn(async move {
                        sleep_until(first + place * Duration::from_micros(137)).await;
                        tell.send(place).unwrap();
                    })
                })
                .collect();
            let handle = Handle::current();
            while armed(&handle) < 200 && Instant::now() < first {
                pirn::yield_now().await;
            }
            let in_time = Instant::now() < first;
            // Busy until all are due.
            thread::sleep(lead + 40 * MS);
            for task in tasks {
                task.await.unwrap();
            }
            in_time
        });
        armed_in_time.then(|| told.iter().collect())
    }
    within(2 * PATIENCE, || {
        let order = [30, 300, 3_000, 20_000].iter().find_map(|&ms| order(ms * MS));
        assert!(order.expect("a machine that arms 200 timers in 20 s").into_iter().eq(0..200));
    });
}

#[test]
fn timeouts() {
    within(PATIENCE, || {
        let runtime = runtime(1);
        let handle = runtime.handle();
        runtime.block_on(async {
            // In time, at once, and both at once: the future comes first.
            assert_eq!(
                timeout(HOUR, async {
                    sleep(MS).await;
                    1
                })
                .await,
                Ok(1)
            );
            assert_eq!(timeout(HOUR, async { 2 }).await, Ok(2));
            assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3));
            assert_eq!(timeout_at(Instant::from_nanos(0), async { 4 }).await, Ok(4));
            // Too late, with zero and more.
            assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
            let start = Instant::now();
            assert!(timeout(3 * MS, pending::<()>()).await.is_err());
            assert!(start.elapsed() >= 3 * MS);
            // The inner and the outer one.
            let inner: Result<Result<(), Elapsed>, Elapsed> = timeout(HOUR, timeout(MS, pending())).await;
            assert!(inner.unwrap().is_err());
            let outer: Result<Result<(), Elapsed>, Elapsed> = timeout(MS, timeout(HOUR, pending())).await;
            let error: std::io::Error = outer.unwrap_err().into();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            assert!(!error.to_string().is_empty());
            // What timed out is dropped with the Timeout.
            let kept = Arc::new(());
            let inside = kept.clone();
            assert!(
                timeout(MS, async move {
                    pending::<()>().await;
                    drop(inside)
                })
                .await
                .is_err()
            );
            assert_eq!(Arc::strong_count(&kept), 1);
            assert_eq!(armed(&handle), 0, "whatever came first, no timer is left");
        });
    });
}

/// A sleep armed by one task and awaited by another, on any worker: it wakes the one that polled it last.
#[test]
fn a_sleep_changes_tasks() {
    within(PATIENCE, || {
        for workers in 1..=4 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let tasks: Vec<_> = (0..200u64)
                    .map(|number| {
                        let span = Duration::from_micros(number * 53 % 4_000);
                        pirn::spawn(async move {
                            let start = Instant::now();
                            let mut first = sleep(span);
                            let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll(cx))).await;
                            let second = pirn::spawn(async move {
                                let mut sleep = first;
                                let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut sleep).poll(cx))).await;
                                pirn::yield_now().await;
                                sleep
                            });
                            let sleep = second.await.unwrap();
                            pirn::spawn(sleep).await.unwrap();
                            assert!(start.elapsed() >= span);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            eventually("no timer is left", || armed(&runtime.handle()) == 0);
        }
    });
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn from_guests_and_plain_threads() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            let handle = runtime.handle();
            let (stop, stopped) = mpsc::channel::<()>();
            // Somebody on seat 0, so that one worker is enough.
            let seated = handle.clone();
            let main = thread::spawn(move || {
                seated.block_on(async {
                    while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                        sleep(MS).await;
                    }
                });
            });
            let others: Vec<_> = (0..4)
                .map(|number| {
                    let handle = handle.clone();
                    thread::spawn(move || {
                        for round in 0..20u64 {
                            let span = Duration::from_micros(round * 97 % 2_000);
                            if number % 2 == 0 {
                                handle.block_on(async {
                                    let start = Instant::now();
                                    sleep(span).await;
                                    assert!(start.elapsed() >= span);
                                });
                                continue;
                            }
                            // The first poll needs to know its runtime; the others do not.
                            let waker = Waker::from(Arc::new(Unpark(thread::current())));
                            let mut cx = Context::from_waker(&waker);
                            let (start, mut sleep) = handle.enter(|| (Instant::now(), sleep(span)));
                            let mut ready = handle.enter(|| Pin::new(&mut sleep).poll(&mut cx));
                            while ready.is_pending() {
                                thread::park();
                                ready = Pin::new(&mut sleep).poll(&mut cx);
                            }
                            assert!(handle.enter(|| start.elapsed()) >= span);
                        }
                    })
                })
                .collect();
            for other in others {
                other.join().unwrap();
            }
            drop(stop);
            main.join().unwrap();
            eventually("no timer is left", || armed(&handle) == 0);
        }
    });
}

/// The timers of seat 0 do not wait for its next block_on while other workers are there; with one worker they do.
#[test]
fn timers_of_a_vacant_seat() {
    within(PATIENCE, || {
        for workers in 2..=3 {
            let runtime = runtime(workers);
            let (tell, told) = mpsc::channel();
            runtime.block_on(async {
                // Armed on seat 0, by the main future, for a task elsewhere.
                let mut timer = sleep(20 * MS);
                arm(&mut timer).await;
                pirn::spawn(async move {
                    timer.await;
                    tell.send(()).unwrap();
                })
                .detach();
            });
            told.recv_timeout(PATIENCE).expect("it fires while nobody is on its seat");
        }
        let runtime = runtime(1);
        let task = runtime.block_on(async {
            let task = pirn::spawn(async { sleep(MS).await });
            pirn::yield_now().await;
            pirn::yield_now().await;
            task
        });
        thread::sleep(5 * MS);
        assert!(!task.is_finished(), "nobody was there to run it");
        runtime.block_on(task).unwrap();
    });
}

/// A task inside a long poll, until the sender goes; it gives up after a while, and then what is asserted of it fails.
fn hog(handle: &Handle, armed_before: bool) -> (mpsc::Sender<()>, pirn::task::JoinHandle<()>) {
    let (inside, entered) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let hog = handle.spawn(async move {
        let mut own = sleep(5 * MS);
        if armed_before {
            arm(&mut own).await;
            pirn::spawn(own).detach();
            pirn::yield_now().await;
        }
        inside.send(()).unwrap();
        let _ = gate.recv_timeout(PATIENCE);
    });
    entered.recv().unwrap();
    (open, hog)
}

/// Arms `count` timers from outside and sees them fire while `hog` is at it.
fn fire_beside(handle: &Handle, count: usize, hog: &pirn::task::JoinHandle<()>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let arm_one = |_| {
        let mut timer = handle.enter(|| sleep(5 * MS));
        assert!(handle.enter(|| poll_with(&mut timer, &waker)).is_pending());
        timer
    };
    let mut timers: Vec<_> = (0..count).map(arm_one).collect();
    eventually("all fire while a worker is busy", || {
        timers.retain_mut(|timer| poll_with(timer, &waker).is_pending());
        timers.is_empty() && armed(handle) == 0
    });
    assert!(!hog.is_finished(), "the timers waited for the busy worker");
}

/// A worker inside a long poll keeps neither its own timers nor those that other threads armed on its wheel.
#[test]
fn a_busy_worker_keeps_no_timer() {
    within(3 * PATIENCE, || {
        for workers in [3, 4] {
            for count in [0, 1, 6] {
                let runtime = runtime(workers);
                let (open, hog) = hog(&runtime.handle(), true);
                fire_beside(&runtime.handle(), count, &hog);
                drop(open);
                eventually("the hog ends", || hog.is_finished());
            }
        }
    });
}

/// The same when nothing was armed before and all others have gone to sleep for good.
#[test]
fn a_busy_worker_among_sleepers_keeps_no_timer() {
    within(3 * PATIENCE, || {
        for _ in 0..3 {
            // The first timer from outside goes to seat 1. The worker that fell asleep last gets the first task: seat 2, mostly.
            let runtime = runtime(3);
            let handle = runtime.handle();
            let (open_first, first) = hog(&handle, false);
            let (open, second) = hog(&handle, false);
            drop(open_first);
            eventually("the first one ends", || first.is_finished());
            thread::sleep(40 * MS);
            fire_beside(&handle, 1, &second);
            drop(open);
            eventually("the hog ends", || second.is_finished());
        }
    });
}

fn poll_with(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(waker))
}
