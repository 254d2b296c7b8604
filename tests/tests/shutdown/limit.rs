//! Shutdown with something that does not end.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once};
use pirn::net::{TcpListener, TcpStream};
use pirn::{Builder, Runtime};

use super::{answer, assert_cancelled};
use crate::support::{Guard, PATIENCE, entries, eventually, hold, isolated, runtime, within};

const SHORT: Duration = Duration::from_millis(30);

/// A task that is stuck inside its poll until the sender goes or sends.
fn stuck(runtime: &Runtime) -> (mpsc::Sender<()>, pirn::task::JoinHandle<()>) {
    let (inside, entered) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let task = runtime.spawn(async move {
        inside.send(()).unwrap();
        let _ = gate.recv();
        // One more stop, so that the task does not simply end.
        pirn::yield_now().await;
    });
    entered.recv().unwrap();
    (open, task)
}

#[test]
fn a_stuck_task_is_named_and_ends_later() {
    isolated("shutdown::limit::a_stuck_task_is_named_and_ends_later", || {
        for workers in 2..=4 {
            let before = entries("task");
            let live = Arc::new(AtomicUsize::new(0));
            let runtime = runtime(workers);
            // Some that were polled on seat 0, where the caller is, and some elsewhere.
            let mut tasks = Vec::new();
            runtime.block_on(async {
                for _ in 0..20 {
                    tasks.push(pirn::spawn(hold(Guard::new(&live))));
                }
                crate::support::yields(5).await;
            });
            let (open, task) = stuck(&runtime);
            tasks.extend((0..20).map(|_| runtime.spawn(hold(Guard::new(&live)))));
            let start = Instant::now();
            let error = runtime.shutdown_timeout(SHORT).expect_err("a worker is inside a poll");
            assert!((SHORT..PATIENCE).contains(&start.elapsed()));
            assert_eq!((error.busy_workers(), error.busy_blocking()), (1, 0));
            let text = error.to_string();
            assert!(text.contains("1 worker(s)") && text.contains("30ms"), "{text}");
            assert!(!task.is_finished());
            // The poll returns at last: the shutdown goes on to its end.
            drop(open);
            eventually("the stuck task's thread ends", || entries("task") == before);
            eventually("every future is dropped", || live.load(Ordering::SeqCst) == 0);
            assert_cancelled(task);
            tasks.into_iter().for_each(assert_cancelled);
        }
    });
}

#[test]
fn a_main_future_that_is_stuck_is_a_busy_worker() {
    within(PATIENCE, || {
        for workers in 1..=2 {
            let runtime = runtime(workers);
            let handle = runtime.handle();
            let (inside, entered) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let caller = thread::spawn(move || {
                handle.block_on(async {
                    inside.send(()).unwrap();
                    let _ = gate.recv();
                    // Run by this very seat before it looks up, or cancelled.
                    let task = pirn::spawn(async { 1 }).await;
                    let pending = pirn::spawn(std::future::pending::<()>()).await;
                    task.is_ok_and(|one| one == 1) | pending.unwrap_err().is_cancelled()
                })
            });
            entered.recv().unwrap();
            let error = runtime.shutdown_timeout(SHORT).expect_err("seat 0 is busy");
            assert_eq!(error.busy_workers(), 1);
            drop(open);
            assert!(caller.join().unwrap());
        }
    });
}

#[test]
fn a_stuck_call_is_named_and_ends_later() {
    isolated("shutdown::limit::a_stuck_call_is_named_and_ends_later", || {
        let before = entries("task");
        let runtime = runtime(2);
        let (inside, entered) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let inside = inside.clone();
                runtime.spawn_blocking(move || inside.send(()).unwrap())
            })
            .collect();
        let stuck = runtime.spawn_blocking(move || {
            inside.send(()).unwrap();
            let _ = gate.recv();
            "returned"
        });
        (0..3).for_each(|_| entered.recv().unwrap());
        let start = Instant::now();
        let error = runtime.shutdown_timeout(SHORT).expect_err("a call is running");
        assert!((SHORT..PATIENCE).contains(&start.elapsed()));
        assert_eq!((error.busy_workers(), error.busy_blocking()), (0, 1));
        assert!(error.to_string().contains("1 blocking call"), "{error}");
        drop(open);
        eventually("the call's thread ends", || entries("task") == before);
        assert_eq!(answer(stuck).unwrap().unwrap(), "returned");
        assert!(calls.into_iter().all(|call| answer(call).unwrap().is_ok()));
    });
}

#[test]
fn a_limit_of_zero_does_not_wait() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let (open, task) = stuck(&runtime);
        assert!(runtime.shutdown_timeout(Duration::ZERO).is_err());
        drop(open);
        eventually("it ends all the same", || task.is_finished());
    });
}

#[test]
fn dropping_waits_for_the_builders_limit() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).shutdown_limit(SHORT).build().unwrap();
        let (open, task) = stuck(&runtime);
        let start = Instant::now();
        drop(runtime);
        assert!((SHORT..PATIENCE).contains(&start.elapsed()));
        drop(open);
        eventually("it ends all the same", || task.is_finished());
    });
}

/// Once all tasks are gone, bytes that were accepted still leave, and nobody outside can start anything else meanwhile.
#[test]
fn accepted_bytes_leave_while_new_operations_are_refused() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let peer = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = peer.local_addr().unwrap();
        let (listener, accepted) = handle.block_on(async {
            let stream = TcpStream::connect(to).await.unwrap();
            let mut accepted = 0;
            // Until the kernel takes no more and a copy is in flight. Then the stream goes, and nobody waits for the copy.
            while let Some(written) = poll_once(stream.write(&[7; 60_000])).await {
                accepted += written.unwrap() as u64;
            }
            (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), accepted)
        });
        let outsider = thread::spawn(move || {
            // Those that began before are cancelled; the refusal says why.
            while block_on(poll_once(listener.accept()))
                .is_none_or(|result| !result.expect_err("nobody connects").to_string().contains("shut down"))
            {
                // Not by the handle, above: that may sit down on seat 0, and then takes part in the shutdown before it returns.
                thread::sleep(Duration::from_millis(1));
            }
            // The shutdown waits for the copy, and so for this.
            io::copy(&mut peer.accept().unwrap().0, &mut io::sink()).unwrap()
        });
        runtime.shutdown_timeout(PATIENCE).unwrap();
        assert_eq!(outsider.join().unwrap(), accepted);
    });
}
