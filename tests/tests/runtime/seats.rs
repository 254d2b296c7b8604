//! Seat 0, main futures, guests, local tasks.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use pirn::time::sleep;

use crate::support::{PATIENCE, eventually, runtime, text, with_waker, within, yields};

#[test]
fn a_main_future_is_neither_send_nor_static() {
    let runtime = runtime(2);
    let local = Rc::new(RefCell::new(Vec::new()));
    let borrowed = Cell::new(0);
    let length = runtime.block_on(async {
        for number in 0..10 {
            pirn::yield_now().await;
            local.borrow_mut().push(number);
            borrowed.set(borrowed.get() + number);
        }
        local.borrow().len()
    });
    assert_eq!((length, borrowed.get(), Rc::strong_count(&local)), (10, 45, 1));
}

#[test]
fn block_on_inside_async_code_panics_with_a_sentence() {
    within(PATIENCE, || {
        let (runtime, other) = (runtime(2), runtime(1));
        let (own, other) = (runtime.handle(), other.handle());
        fn sentence(handle: &pirn::Handle) -> bool {
            let caught = catch_unwind(AssertUnwindSafe(|| handle.block_on(async {})));
            text(&*caught.expect_err("inside")).contains("block_on was called inside a task")
        }
        runtime.block_on(async {
            assert!(sentence(&own) && sentence(&other), "in a main future");
            let (own, other) = (own.clone(), other.clone());
            let in_task = pirn::spawn(async move { sentence(&own) && sentence(&other) });
            assert!(in_task.await.unwrap());
            assert!(pirn::spawn_local(async { sentence(&pirn::Handle::current()) }).await.unwrap());
        });
        // A guest's future too; the guest goes on.
        let (leave, left) = mpsc::channel::<()>();
        let (seated, is_seated) = mpsc::channel();
        let handle = runtime.handle();
        let first = thread::spawn(move || {
            handle.block_on(async {
                seated.send(()).unwrap();
                pirn::spawn_blocking(move || _ = left.recv()).await.unwrap();
            });
        });
        is_seated.recv().unwrap();
        assert!(runtime.block_on(async { sentence(&pirn::Handle::current()) }));
        drop(leave);
        first.join().unwrap();
        // Blocking work may: it stops no worker.
        let handle = runtime.handle();
        assert_eq!(
            runtime.block_on(runtime.spawn_blocking(move || handle.block_on(async { 8 }))).unwrap(),
            8
        );
    });
}

/// With one worker the tasks of a guest can run only while somebody has the seat: the guest gets it when the first one leaves.
#[test]
fn a_guest_takes_the_seat() {
    within(PATIENCE, || {
        for round in 0..200 {
            let runtime = runtime(1);
            let (inside, entered) = mpsc::channel();
            let both = Barrier::new(2);
            thread::scope(|scope| {
                let runtime = &runtime;
                let both = &both;
                scope.spawn(move || {
                    runtime.block_on(async {
                        inside.send(()).unwrap();
                        both.wait();
                        yields(round % 7).await;
                    });
                });
                entered.recv().unwrap();
                runtime.block_on(async {
                    both.wait();
                    yields(round % 5).await;
                    assert_eq!(pirn::spawn(async { 3 }).await.unwrap(), 3);
                    sleep(Duration::from_micros(50)).await;
                });
            });
        }
    });
}

#[test]
fn eight_callers_at_once() {
    within(2 * PATIENCE, || {
        for workers in 1..=4 {
            let runtime = runtime(workers);
            thread::scope(|scope| {
                for caller in 0..8u64 {
                    let runtime = &runtime;
                    scope.spawn(move || {
                        for round in 0..50 {
                            let sum = runtime.block_on(async {
                                let task = pirn::spawn(async move {
                                    pirn::yield_now().await;
                                    caller
                                });
                                let call = pirn::spawn_blocking(move || round);
                                if round % 10 == 0 {
                                    sleep(Duration::from_micros(200)).await;
                                }
                                task.await.unwrap() + call.await.unwrap()
                            });
                            assert_eq!(sum, caller + round);
                        }
                    });
                }
            });
        }
    });
}

#[test]
fn a_main_future_woken_from_everywhere() {
    within(PATIENCE, || {
        for workers in 1..=2 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                for round in 0..300 {
                    with_waker(|waker| match round % 3 {
                        0 => drop(thread::spawn(move || waker.wake())),
                        1 => pirn::spawn(async move { waker.wake_by_ref() }).detach(),
                        _ => pirn::spawn_blocking(move || waker.wake()).detach(),
                    })
                    .await;
                }
            });
        }
    });
}

/// What seat 0 had to do waits for its next block_on if there is no other worker, and is run by the others if there are any.
#[test]
fn tasks_left_by_block_on() {
    within(PATIENCE, || {
        let runtime = runtime(1);
        let runs = Arc::new(AtomicUsize::new(0));
        let spawn_some = || {
            (0..100)
                .map(|number| {
                    let runs = runs.clone();
                    pirn::spawn(async move {
                        yields(number % 4).await;
                        runs.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect::<Vec<_>>()
        };
        let mut left = runtime.block_on(async { spawn_some() });
        left.extend(runtime.handle().enter(spawn_some));
        thread::sleep(Duration::from_millis(2));
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        runtime.block_on(async {
            for task in left {
                task.await.unwrap();
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 200);
        let others = self::runtime(2);
        others.block_on(async { spawn_some() }).into_iter().for_each(|task| task.detach());
        eventually("the other worker runs them", || runs.load(Ordering::SeqCst) == 300);
    });
}

#[test]
fn local_tasks_live_across_calls_of_block_on() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            let home = thread::current().id();
            let steps = Rc::new(Cell::new(0));
            let inner = steps.clone();
            let (send, wakers) = mpsc::channel();
            let local = runtime.block_on(async move {
                pirn::spawn_local(async move {
                    for _ in 0..5 {
                        with_waker(|waker| send.send(waker).unwrap()).await;
                        assert_eq!(thread::current().id(), home);
                        inner.set(inner.get() + 1);
                    }
                    inner
                })
            });
            for round in 0..5 {
                runtime.block_on(async {
                    // Its poll comes when the main future waits.
                    while let Err(mpsc::TryRecvError::Empty) = wakers.try_recv().map(|waker| {
                        thread::spawn(move || waker.wake()).join().unwrap();
                    }) {
                        pirn::yield_now().await;
                    }
                });
                assert!(steps.get() >= round);
            }
            let steps = runtime.block_on(local).unwrap();
            assert_eq!((steps.get(), Rc::strong_count(&steps)), (5, 2));
        }
    });
}

/// Local tasks wait on seat 0 for their thread: another thread that comes meanwhile is a guest, and the tasks stay put.
#[test]
fn another_thread_is_a_guest_while_local_tasks_wait() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let home = thread::current().id();
        let (send, wakers) = mpsc::channel();
        let local = runtime.block_on(async {
            let local = pirn::spawn_local(async move {
                let rc = Rc::new(thread::current().id());
                assert_eq!(*rc, home);
                with_waker(|waker| send.send(waker).unwrap()).await;
                assert_eq!((thread::current().id(), *rc), (home, home));
            });
            yields(3).await;
            local
        });
        thread::scope(|scope| {
            let runtime = &runtime;
            scope.spawn(move || {
                runtime.block_on(async {
                    let refused = catch_unwind(AssertUnwindSafe(|| pirn::spawn_local(async {}).detach()));
                    assert!(text(&*refused.expect_err("a guest has no worker")).contains("no worker"));
                    // Its own things work, and the local task is not run by it.
                    pirn::spawn(yields(3)).await.unwrap();
                    wakers.recv().unwrap().wake();
                    sleep(Duration::from_millis(2)).await;
                });
            });
        });
        assert!(!local.is_finished());
        runtime.block_on(local).unwrap();
        // With the last local task gone the seat is anybody's.
        thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(async { pirn::spawn_local(async {}).await.unwrap() }));
        });
    });
}

/// Local tasks on workers with threads: at home for good.
#[test]
fn local_tasks_of_tasks_stay_on_their_worker() {
    within(PATIENCE, || {
        for workers in 1..=4 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let tasks: Vec<_> = (0..40u64)
                    .map(|number| {
                        pirn::spawn(async move {
                            // No await between the two: the same worker.
                            let home = thread::current().id();
                            let local = pirn::spawn_local(async move {
                                let rc = Rc::new(number);
                                for _ in 0..20 {
                                    pirn::yield_now().await;
                                    sleep(Duration::from_micros(number)).await;
                                    let other = pirn::spawn(yields(1));
                                    other.await.unwrap();
                                    assert_eq!(thread::current().id(), home);
                                }
                                *rc
                            });
                            assert_eq!(local.await.unwrap(), number);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
    });
}

/// A future dropped by its block_on's panic, on the thread that called it.
#[test]
fn a_main_future_that_panics_is_dropped_at_once() {
    let runtime = runtime(1);
    let kept = Rc::new(());
    for _ in 0..3 {
        let inside = kept.clone();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async move {
                pirn::spawn_local(pending::<()>()).detach();
                pirn::yield_now().await;
                poll_fn(|_| -> Poll<()> { panic!("main") }).await;
                drop(inside);
            });
        }));
        assert_eq!(text(&*caught.unwrap_err()), "main");
        assert_eq!(Rc::strong_count(&kept), 1);
    }
}
