//! Two sides of a task meet at the same moment, many times over.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use pirn::task::JoinHandle;

use crate::support::{CountWaker, Guard, PATIENCE, eventually, hold, runtime, with_waker, within};

/// One thread makes tasks that are about to end, and another does `meet` with their handles at that moment.
fn race(rounds: usize, meet: impl Fn(usize, JoinHandle<Guard>) + Send + 'static) {
    within(2 * PATIENCE, move || {
        let runtime = runtime(2);
        let live = Arc::new(AtomicUsize::new(0));
        let (send, handles) = mpsc::sync_channel::<(usize, JoinHandle<Guard>, Waker)>(1);
        let other = thread::spawn(move || {
            for (round, task, waker) in handles {
                waker.wake();
                // A little later or much later than the wake.
                (0..round % 97 * 13).for_each(|_| std::hint::spin_loop());
                meet(round, task);
            }
        });
        for round in 0..rounds {
            let (wakers, woken) = mpsc::channel();
            let (body, output) = (Guard::new(&live), Guard::new(&live));
            let task = runtime.spawn(async move {
                with_waker(|waker| wakers.send(waker).unwrap()).await;
                drop(body);
                output
            });
            send.send((round, task, woken.recv().unwrap())).unwrap();
        }
        drop(send);
        other.join().unwrap();
        eventually("everything is dropped, and once", || live.load(Ordering::SeqCst) == 0);
    });
}

#[test]
fn a_handle_dropped_while_the_task_completes() {
    race(10_000, |_, task| drop(task));
}

#[test]
fn an_abort_while_the_task_completes() {
    race(10_000, |round, task| {
        let abort = task.abort_handle();
        if round % 2 == 0 {
            drop(task);
            abort.abort();
            return;
        }
        abort.abort();
        let mut task = task;
        eventually("it ends either way", || task.is_finished());
        match Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(output)) => drop(output),
            Poll::Ready(Err(error)) => assert!(error.is_cancelled()),
            Poll::Pending => panic!("finished, but pending"),
        }
    });
}

/// The handle is polled with one waker after the other while the task completes: the last one is woken.
#[test]
fn wakers_changed_while_the_task_completes() {
    race(10_000, |round, mut task| {
        for turn in 0.. {
            let (count, waker) = CountWaker::new();
            if Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_ready() {
                break;
            }
            // A change right away, or a wait that only the last waker can end.
            if turn % 4 >= round % 4 {
                eventually("the last waker is woken", || count.wakes() > 0);
                assert!(task.is_finished() && count.wakes() == 1);
            }
        }
    });
}

/// Wakes and aborts from four threads at tasks that come and go; every future is dropped once.
#[test]
fn storms_of_wakes_and_aborts() {
    within(2 * PATIENCE, || {
        for workers in 2..=3 {
            let runtime = runtime(workers);
            let live = Arc::new(AtomicUsize::new(0));
            for round in 0..200 {
                let (send, wakers) = mpsc::channel();
                let tasks: Vec<_> = (0..4)
                    .map(|number| {
                        let (send, guard) = (send.clone(), Guard::new(&live));
                        runtime.spawn(async move {
                            for _ in 0..=number {
                                let send = send.clone();
                                with_waker(move |waker| drop(send.send(waker))).await;
                            }
                            if number % 2 == 0 {
                                hold(guard).await;
                            }
                        })
                    })
                    .collect();
                drop(send);
                let wakers: Vec<Waker> = (0..4).map(|_| wakers.recv().unwrap()).collect();
                thread::scope(|scope| {
                    for thread in 0..4 {
                        let (wakers, tasks) = (&wakers, &tasks);
                        scope.spawn(move || {
                            for turn in 0..20 {
                                wakers[(turn + thread) % 4].wake_by_ref();
                                let spare = wakers[turn % 4].clone();
                                if turn % 2 == 0 {
                                    spare.wake()
                                } else {
                                    drop(spare)
                                }
                                if turn == 10 + round % 10 {
                                    tasks[thread].abort();
                                }
                            }
                        });
                    }
                });
                for task in tasks {
                    assert!(runtime.block_on(task).err().is_none_or(|error| error.is_cancelled()));
                }
                assert_eq!(live.load(Ordering::SeqCst), 0);
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    });
}
