//! A runtime used through its handles when it has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use pirn::Handle;
use pirn::time::{Instant, interval, sleep, timeout};

use super::assert_cancelled;
use crate::support::{Guard, PATIENCE, hold, runtime, text, within};

fn ended(workers: usize) -> Handle {
    let runtime = runtime(workers);
    runtime.block_on(async { pirn::spawn(async {}).await.unwrap() });
    let handle = runtime.handle();
    runtime.shutdown_timeout(PATIENCE).unwrap();
    handle
}

#[test]
fn spawns_are_cancelled_at_once() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let handle = ended(workers);
            let live = Arc::new(AtomicUsize::new(0));
            let guard = || Guard::new(&live);
            assert_cancelled(handle.spawn(hold(guard())));
            let captured = guard();
            assert_cancelled(handle.spawn_blocking(move || drop(captured)));
            handle.enter(|| {
                assert_cancelled(pirn::spawn(hold(guard())));
                let captured = guard();
                assert_cancelled(pirn::spawn_blocking(move || drop(captured)));
            });
            assert_eq!(live.load(Ordering::SeqCst), 0);
            assert_eq!(handle.metrics().workers.len(), workers);
        }
    });
}

#[test]
fn block_on_still_polls_its_future() {
    within(PATIENCE, || {
        let handle = ended(2);
        let all = handle.block_on(async {
            let before = Instant::now();
            pirn::yield_now().await;
            let refused = pirn::spawn(async {}).await.unwrap_err();
            let (send, receive) = mpsc::channel();
            thread::spawn(move || send.send(7).unwrap());
            (refused.is_cancelled(), receive.recv().unwrap(), before <= Instant::now())
        });
        assert_eq!(all, (true, 7, true));
        let local = catch_unwind(AssertUnwindSafe(|| {
            handle.block_on(async { pirn::spawn_local(async {}).detach() });
        }));
        assert!(text(&*local.unwrap_err()).contains("spawn_local"));
    });
}

/// There is nobody to fire a timer any more: to wait for one is a mistake that must not look like a hang.
#[test]
fn timers_panic_with_a_sentence() {
    within(PATIENCE, || {
        let handle = ended(2);
        let long = Duration::from_secs(3600);
        let refused = |what: &str, f: &dyn Fn()| {
            let text = text(&*catch_unwind(AssertUnwindSafe(f)).expect_err(what));
            assert!(text.contains("shut down"), "{what}: {text}");
        };
        refused("sleep", &|| handle.block_on(async { sleep(long).await }));
        refused("timeout", &|| {
            handle.block_on(async { timeout(long, std::future::pending::<()>()).await.unwrap_err() });
        });
        refused("interval", &|| {
            handle.block_on(async {
                let mut ticks = interval(long);
                ticks.tick().await;
                ticks.tick().await;
            });
        });
        // What has nothing to wait for still works.
        handle.block_on(async { sleep(Duration::ZERO).await });
        assert_eq!(handle.block_on(async { timeout(long, async { 3 }).await }), Ok(3));
    });
}

/// The same for timers that were armed when the runtime ended, in a main future and in guests.
#[test]
fn sleepers_outside_of_tasks_are_told_of_the_end() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            let (ready, wait) = mpsc::channel();
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (handle, ready) = (runtime.handle(), ready.clone());
                    thread::spawn(move || {
                        handle.block_on(async {
                            let mut first = true;
                            let mut sleep = std::pin::pin!(sleep(Duration::from_secs(3600)));
                            std::future::poll_fn(|cx| {
                                let polled = sleep.as_mut().poll(cx);
                                if std::mem::take(&mut first) {
                                    ready.send(()).unwrap();
                                }
                                polled
                            })
                            .await;
                        });
                    })
                })
                .collect();
            callers.iter().for_each(|_| wait.recv().unwrap());
            runtime.shutdown_timeout(PATIENCE).unwrap();
            for caller in callers {
                let text = text(&*caller.join().expect_err("the sleep cannot end"));
                assert!(text.contains("shut down"), "{text}");
            }
        }
    });
}
