//! `spawn_blocking`: a pool that grows to its bound and shrinks again, and calls that are tasks.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use pirn::{Builder, Handle, Runtime};

use crate::alone::{alone, refuse};
use crate::support::{Guard, PATIENCE, entries, eventually, isolated, runtime, text, within};

fn pool(threads: usize, keep_alive: Duration) -> Runtime {
    Builder::new()
        .workers(1)
        .blocking_threads(threads)
        .blocking_keep_alive(keep_alive)
        .build()
        .expect("a runtime")
}

#[test]
fn calls_run_side_by_side_up_to_the_bound() {
    within(PATIENCE, || {
        const BOUND: usize = 6;
        let runtime = pool(BOUND, PATIENCE);
        // A barrier of as many calls as the bound passes only if all of them run at once.
        let barrier = Arc::new(Barrier::new(BOUND));
        let calls: Vec<_> = (0..4 * BOUND)
            .map(|_| {
                let barrier = barrier.clone();
                runtime.spawn_blocking(move || {
                    barrier.wait();
                    thread::current().id()
                })
            })
            .collect();
        let threads: HashSet<_> = runtime.block_on(async { join_all(calls).await.into_iter().collect() });
        assert!(threads.len() <= BOUND, "{} threads with a bound of {BOUND}", threads.len());
        assert!(!threads.contains(&thread::current().id()), "a call ran on the worker");
    });
}

async fn join_all<T>(tasks: Vec<pirn::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.expect("the call returns"));
    }
    all
}

#[test]
fn never_more_calls_at_once_than_the_bound() {
    within(PATIENCE, || {
        let runtime = pool(3, Duration::from_millis(1));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..300)
            .map(|_| {
                let (now, most) = (now.clone(), most.clone());
                runtime.spawn_blocking(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        runtime.block_on(join_all(calls));
        assert!(most.load(Ordering::SeqCst) <= 3);
    });
}

/// A thread that is about to end for want of work must not be counted as one that will take the next call.
#[test]
fn a_call_is_not_lost_to_a_thread_that_ends() {
    within(PATIENCE, || {
        // One pool a thread, so that the machine's load spreads the moments at which calls meet ending threads.
        let pools = (0..4u64).map(|salt| {
            thread::spawn(move || {
                let runtime = pool(1, Duration::from_micros(salt));
                let mut random = salt;
                for number in 0..6_000u64 {
                    let call = runtime.spawn_blocking(move || number);
                    eventually("the call has run", || call.is_finished());
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (0..random >> 54).for_each(|_| std::hint::spin_loop());
                }
            })
        });
        pools.collect::<Vec<_>>().into_iter().for_each(|pool| pool.join().unwrap());
    });
}

#[test]
fn idle_threads_end_after_keep_alive_and_serve_again_before() {
    isolated("blocking::idle_threads_end_after_keep_alive_and_serve_again_before", || {
        let before = entries("task");
        let runtime = pool(8, Duration::from_millis(50));
        let barrier = Arc::new(Barrier::new(8));
        let call = |barrier: Arc<Barrier>| move || _ = barrier.wait();
        let calls: Vec<_> = (0..8).map(|_| runtime.spawn_blocking(call(barrier.clone()))).collect();
        runtime.block_on(join_all(calls));
        eventually("the pool's threads end", || entries("task") == before);
        // And the pool grows once more.
        let calls: Vec<_> = (0..8).map(|_| runtime.spawn_blocking(call(barrier.clone()))).collect();
        runtime.block_on(join_all(calls));

        let kept = pool(8, PATIENCE);
        let first = kept.block_on(kept.spawn_blocking(|| thread::current().id())).unwrap();
        for _ in 0..20 {
            // The thread counts as idle a moment after its call's result is there.
            thread::sleep(Duration::from_millis(2));
            let next = kept.block_on(kept.spawn_blocking(|| thread::current().id())).unwrap();
            assert!(next == first || entries("task") <= before + 8 + 8);
        }
        drop(kept);
        drop(runtime);
        eventually("no thread is left", || entries("task") == before);
    });
}

#[test]
fn a_panic_is_the_callers_news_and_the_thread_goes_on() {
    let runtime = pool(1, PATIENCE);
    runtime.block_on(async {
        let error = pirn::spawn_blocking(|| -> u32 { panic!("out of {}", "cheese") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("out of cheese"), "{error}");
        assert_eq!(text(&*error.into_panic().unwrap()), "out of cheese");
        let error = pirn::spawn_blocking(|| std::panic::panic_any(17u8)).await.unwrap_err();
        assert_eq!(error.into_panic().unwrap().downcast_ref::<u8>(), Some(&17));
        assert_eq!(pirn::spawn_blocking(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn abort_works_until_the_call_starts() {
    within(PATIENCE, || {
        let runtime = pool(1, PATIENCE);
        let live = Arc::new(AtomicUsize::new(0));
        let (open, gate) = mpsc::channel::<()>();
        let (inside, started) = mpsc::channel();
        let running = runtime.spawn_blocking(move || {
            inside.send(()).unwrap();
            gate.recv().unwrap();
            "ran"
        });
        let guard = Guard::new(&live);
        let queued = runtime.spawn_blocking(move || drop(guard));
        let behind = runtime.spawn_blocking(|| "behind");
        started.recv().unwrap();
        running.abort();
        queued.abort();
        queued.abort();
        assert!(!running.is_finished() && !queued.is_finished());
        open.send(()).unwrap();
        runtime.block_on(async {
            assert_eq!(running.await.unwrap(), "ran", "an abort after the start is ignored");
            assert!(queued.await.unwrap_err().is_cancelled());
            assert_eq!(behind.await.unwrap(), "behind");
        });
        assert_eq!(live.load(Ordering::SeqCst), 0, "the cancelled call's captures are dropped");
    });
}

#[test]
fn results_need_not_be_sync_and_may_be_large() {
    let runtime = runtime(1);
    let cell = runtime.block_on(runtime.spawn_blocking(|| Cell::new([7u64; 4096]))).unwrap();
    assert!(cell.get().iter().all(|&word| word == 7));
    let (send, receive) = mpsc::channel();
    let receive = runtime.block_on(runtime.spawn_blocking(move || receive)).unwrap();
    send.send(3).unwrap();
    assert_eq!(receive.recv(), Ok(3));
}

#[test]
fn inside_a_call_the_runtime_is_the_current_one() {
    within(PATIENCE, || {
        let runtime = pool(4, PATIENCE);
        let seen = runtime.block_on(async {
            pirn::spawn_blocking(|| {
                let handle = Handle::current();
                let task = pirn::spawn(async { 1 });
                let nested = pirn::spawn_blocking(|| pirn::spawn_blocking(|| 2));
                // The pool's thread may wait: as a guest, or on seat 0.
                handle.block_on(async { task.await.unwrap() + nested.await.unwrap().await.unwrap() })
            })
            .await
            .unwrap()
        });
        assert_eq!(seen, 3);
        let refused = runtime.block_on(pirn_local_refused());
        assert!(refused.contains("spawn_local"), "{refused}");
    });
}

async fn pirn_local_refused() -> String {
    pirn::spawn_blocking(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| pirn::spawn_local(async {}).detach()));
        text(&*caught.expect_err("a pool thread is no worker"))
    })
    .await
    .unwrap()
}

#[test]
fn a_thousand_calls_from_tasks_and_threads_each_run_once() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).blocking_threads(4).build().unwrap();
        let runs = Arc::new(Mutex::new(vec![0u8; 1000]));
        let call = |at: usize, runs: &Arc<Mutex<Vec<u8>>>| {
            let runs = runs.clone();
            move || runs.lock().unwrap()[at] += 1
        };
        let outside: Vec<_> = (0..500).map(|at| runtime.spawn_blocking(call(at, &runs))).collect();
        let inner = runs.clone();
        runtime.block_on(async move {
            let inside: Vec<_> = (500..1000)
                .map(|at| {
                    let body = call(at, &inner);
                    pirn::spawn(async move { pirn::spawn_blocking(body).await.unwrap() })
                })
                .collect();
            join_all(inside).await;
            join_all(outside).await;
        });
        assert!(runs.lock().unwrap().iter().all(|&times| times == 1));
    });
}

/// Handles of finished threads are let go while the pool lives: a pool that breathes does not grow.
#[test]
fn detached_calls_run_too() {
    within(PATIENCE, || {
        let runtime = pool(2, Duration::from_millis(1));
        let (done, wait) = mpsc::channel();
        for number in 0..200 {
            let done = done.clone();
            runtime.spawn_blocking(move || done.send(number).unwrap()).detach();
        }
        let mut all: Vec<_> = wait.iter().take(200).collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn a_thread_that_is_refused_leaves_its_call_to_the_others() {
    alone("blocking::a_thread_that_is_refused_leaves_its_call_to_the_others", || {
        within(PATIENCE, || {
            let runtime = pool(4, PATIENCE);
            let (inside, entered) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let first = runtime.spawn_blocking(move || {
                inside.send(()).unwrap();
                gate.recv().unwrap();
            });
            entered.recv().unwrap();
            for call in [libc::SYS_clone3, libc::SYS_clone] {
                refuse(call, libc::EAGAIN);
            }
            let others: Vec<_> = (0..3).map(|number| runtime.spawn_blocking(move || number)).collect();
            assert_eq!(runtime.metrics().blocking.threads, 1, "those that were refused are none");
            open.send(()).unwrap();
            let numbers = runtime.block_on(async {
                first.await.unwrap();
                join_all(others).await
            });
            assert_eq!(numbers, [0, 1, 2]);
            runtime.shutdown_timeout(PATIENCE / 2).expect("nobody is waited for who never was");
        });
    });
}
