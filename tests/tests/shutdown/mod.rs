//! The end of a runtime: bounded, every future dropped once, every handle answered, nothing left behind.

#![allow(clippy::waker_clone_wake, reason = "every way to wake is tested")]

mod after;
mod flight;
mod limit;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use pirn::task::{JoinError, JoinHandle};
use pirn::{Builder, Runtime};

use crate::support::{Guard, PATIENCE, entries, eventually, hold, isolated, runtime, within};

/// What a handle says now; None: nothing yet.
pub(crate) fn answer<T>(task: JoinHandle<T>) -> Option<Result<T, JoinError>> {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[track_caller]
fn assert_cancelled<T>(task: JoinHandle<T>) {
    assert!(task.is_finished());
    let result = answer(task).expect("a handle of an ended runtime has an answer");
    assert!(result.is_err_and(|error| error.is_cancelled()));
}

#[test]
fn a_runtime_that_never_ran_drops_its_tasks() {
    within(PATIENCE, || {
        for workers in 1..=4 {
            let live = Arc::new(AtomicUsize::new(0));
            let runtime = runtime(workers);
            let tasks: Vec<_> = (0..1000).map(|_| runtime.spawn(hold(Guard::new(&live)))).collect();
            drop(runtime);
            assert_eq!(live.load(Ordering::SeqCst), 0, "{workers} workers");
            tasks.into_iter().for_each(assert_cancelled);
        }
    });
}

#[test]
fn finished_tasks_keep_their_results() {
    let runtime = runtime(2);
    let done = runtime.spawn(async { vec![1, 2, 3] });
    let call = runtime.spawn_blocking(|| "called");
    eventually("both ran", || done.is_finished() && call.is_finished());
    drop(runtime);
    assert_eq!(answer(done).unwrap().unwrap(), [1, 2, 3]);
    assert_eq!(answer(call).unwrap().unwrap(), "called");
}

#[test]
fn local_tasks_end_on_their_own_thread() {
    struct Home(thread::ThreadId, Arc<AtomicUsize>);
    impl Drop for Home {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0, "a !Send future is dropped where it lives");
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    within(PATIENCE, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let runtime = runtime(3);
        let spawn = |drops: &Arc<AtomicUsize>, polled| {
            let home = Home(thread::current().id(), drops.clone());
            let task = pirn::spawn_local(hold(home));
            async move {
                if polled {
                    pirn::yield_now().await;
                }
                task.detach();
            }
        };
        runtime.block_on(async {
            for number in 0..10 {
                spawn(&drops, number % 2 == 0).await;
                let drops = drops.clone();
                let inner = pirn::spawn(async move { spawn(&drops, number % 2 == 0).await });
                inner.await.unwrap();
            }
        });
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 20);
    });
}

/// The tasks that a thread left on seat 0 must not be dropped by another thread, which ends the runtime: their memory is
/// given up, their handles are answered, and their wakers, which may outlive the runtime, do nothing.
#[test]
#[cfg_attr(pirn_asan, ignore = "nobody else may drop these futures: a leak that is meant")]
fn local_tasks_of_another_thread_are_given_up() {
    isolated("shutdown::local_tasks_of_another_thread_are_given_up", || {
        struct Never;
        impl Drop for Never {
            fn drop(&mut self) {
                panic!("a !Send future was dropped on a foreign thread");
            }
        }
        for workers in 1..=2 {
            let runtime = runtime(workers);
            let (wakers, kept) = mpsc::channel();
            let (idle, queued, aborted) = runtime.block_on(async {
                let idle = pirn::spawn_local(async move {
                    let never = Never;
                    std::future::poll_fn(|cx| {
                        wakers.send(cx.waker().clone()).unwrap();
                        Poll::<()>::Pending
                    })
                    .await;
                    drop(never);
                });
                let aborted = pirn::spawn_local(hold(Never));
                pirn::yield_now().await;
                pirn::yield_now().await;
                pirn::yield_now().await;
                aborted.abort();
                (idle, pirn::spawn_local(hold(Never)), aborted)
            });
            let waker = kept.recv().unwrap();
            let ended = thread::spawn(move || runtime.shutdown_timeout(PATIENCE));
            ended.join().unwrap().unwrap();
            waker.wake_by_ref();
            idle.abort();
            waker.clone().wake();
            assert_cancelled(queued);
            assert_cancelled(aborted);
            assert_cancelled(idle);
            waker.wake();
        }
    });
}

#[test]
fn a_panic_in_a_futures_drop_is_contained() {
    struct Bad(#[allow(dead_code, reason = "held for its drop")] Guard);
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    within(PATIENCE, || {
        let live = Arc::new(AtomicUsize::new(0));
        let runtime = runtime(2);
        let bad: Vec<_> = (0..50).map(|_| runtime.spawn(hold(Bad(Guard::new(&live))))).collect();
        let good: Vec<_> = (0..50).map(|_| runtime.spawn(hold(Guard::new(&live)))).collect();
        runtime.block_on(crate::support::yields(10));
        runtime.shutdown_timeout(PATIENCE).unwrap();
        assert_eq!(live.load(Ordering::SeqCst), 0);
        good.into_iter().for_each(assert_cancelled);
        for task in bad {
            assert!(answer(task).unwrap().unwrap_err().is_panic());
        }
    });
}

#[test]
fn five_hundred_runtimes_leave_no_thread_and_no_descriptor() {
    isolated("shutdown::five_hundred_runtimes_leave_no_thread_and_no_descriptor", || {
        let one = |number: usize| {
            let runtime = runtime(1 + number % 3);
            let task = runtime.spawn(async { pirn::spawn_blocking(|| 1).await.unwrap() });
            runtime.spawn(async { pirn::time::sleep(PATIENCE).await }).detach();
            if !number.is_multiple_of(4) {
                assert_eq!(runtime.block_on(task).unwrap(), 1);
            }
        };
        one(0);
        let before = (entries("task"), entries("fd"));
        (0..500).for_each(one);
        assert_eq!((entries("task"), entries("fd")), before);
    });
}

/// What a runtime's handles keep alive after its end is memory and descriptors, and not for longer than themselves.
#[test]
fn a_handle_kept_is_no_leak() {
    isolated("shutdown::a_handle_kept_is_no_leak", || {
        let before = (entries("task"), entries("fd"));
        let runtime = runtime(3);
        let handle = runtime.handle();
        let task = runtime.spawn(std::future::pending::<()>());
        let abort = task.abort_handle();
        runtime.block_on(crate::support::yields(3));
        drop(runtime);
        assert_eq!(entries("task"), before.0, "the threads are gone");
        drop(handle);
        abort.abort();
        assert_cancelled(task);
        assert!(abort.is_finished());
        assert_eq!((entries("task"), entries("fd")), before);
    });
}

#[test]
fn dropped_inside_async_code() {
    isolated("shutdown::dropped_inside_async_code", || {
        let before = entries("task");
        // Another runtime, in a task and in a main future.
        let outer = runtime(2);
        let live = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let inner = runtime(2);
            inner.spawn(hold(Guard::new(&live))).detach();
            outer.block_on(async { drop(inner) });
            let inner = runtime(1);
            inner.spawn(hold(Guard::new(&live))).detach();
            outer.block_on(outer.spawn(async move { drop(inner) })).unwrap();
        }
        // Itself, in a task of its own; and while its main future runs, which goes on without the seat.
        let own = runtime(2);
        let handle = own.handle();
        handle.spawn(hold(Guard::new(&live))).detach();
        let task = handle.spawn(async move {
            drop(own);
            "went on"
        });
        eventually("the task ends", || task.is_finished());
        assert_eq!(answer(task).unwrap().unwrap(), "went on");
        let own = runtime(2);
        let went_on = own.handle().block_on(async move {
            let task = own.spawn(hold(Guard::new(&live)));
            drop(own);
            (task.await.unwrap_err().is_cancelled(), live)
        });
        assert!(went_on.0);
        drop(outer);
        eventually("all is over", || entries("task") == before);
        assert_eq!(went_on.1.load(Ordering::SeqCst), 0);
    });
}

/// Inside blocking work a runtime may be dropped too; its own would wait for that very call, up to its limit.
#[test]
fn dropped_inside_blocking_work() {
    within(PATIENCE, || {
        let outer = runtime(1);
        let inner = runtime(2);
        outer.block_on(outer.spawn_blocking(move || drop(inner))).unwrap();
        let own: Runtime =
            Builder::new().workers(2).shutdown_limit(Duration::from_millis(20)).build().unwrap();
        let (done, wait) = mpsc::channel();
        own.handle()
            .spawn_blocking(move || {
                drop(own);
                done.send(()).unwrap();
            })
            .detach();
        wait.recv().unwrap();
    });
}
