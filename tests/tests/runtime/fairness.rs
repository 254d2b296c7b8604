//! Nobody starves, and nobody waits longer than told.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use pirn::Builder;
use pirn::time::sleep;

use crate::support::{PATIENCE, runtime, within, yields};

#[test]
fn yielding_tasks_take_turns() {
    within(PATIENCE, || {
        for count in 2..=5usize {
            let runtime = runtime(1);
            let log = Arc::new(Mutex::new(Vec::new()));
            runtime.block_on(async {
                let tasks: Vec<_> = (0..count)
                    .map(|number| {
                        let log = log.clone();
                        pirn::spawn(async move {
                            for _ in 0..500 {
                                log.lock().unwrap().push(number);
                                pirn::yield_now().await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            let log = log.lock().unwrap();
            for turn in log.chunks(count) {
                assert!((0..count).all(|number| turn.contains(&number)), "one went twice: {turn:?}");
            }
        }
    });
}

/// Two tasks that wake one another for ever.
async fn ping_pong(slots: Arc<[Mutex<Option<Waker>>; 2]>, me: usize, stop: Arc<AtomicBool>) {
    poll_fn(|cx| {
        *slots[me].lock().unwrap() = Some(cx.waker().clone());
        if let Some(other) = slots[1 - me].lock().unwrap().take() {
            other.wake();
        }
        if stop.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Yielders and a pair in the LIFO slot keep a single worker busy: a third task, timers, work from outside, local tasks and the
/// main future have their turns all the same.
#[test]
fn a_busy_worker_serves_everybody() {
    within(2 * PATIENCE, || {
        for lifo_limit in [1, 3, 255] {
            for pair in [false, true] {
                let runtime = Builder::new().workers(1).lifo_limit(lifo_limit).build().unwrap();
                let handle = runtime.handle();
                let stop = Arc::new(AtomicBool::new(false));
                runtime.block_on(async {
                    let mut busy = Vec::new();
                    if pair {
                        let slots = Arc::new([Mutex::new(None), Mutex::new(None)]);
                        for me in 0..2 {
                            busy.push(pirn::spawn(ping_pong(slots.clone(), me, stop.clone())));
                        }
                    } else {
                        for _ in 0..3 {
                            let stop = stop.clone();
                            busy.push(pirn::spawn(async move {
                                while !stop.load(Ordering::SeqCst) {
                                    pirn::yield_now().await;
                                }
                            }));
                        }
                    }
                    // The third task, in the ring.
                    pirn::spawn(yields(200)).await.unwrap();
                    // The inbox.
                    pirn::spawn_local(yields(200)).await.unwrap();
                    // The wheel.
                    sleep(Duration::from_millis(1)).await;
                    pirn::spawn(async { sleep(Duration::from_millis(1)).await }).await.unwrap();
                    // The injector.
                    let outside = thread::spawn(move || handle.spawn(yields(50)));
                    pirn::spawn_blocking(move || outside.join().unwrap()).await.unwrap().await.unwrap();
                    // The main future itself.
                    yields(200).await;
                    stop.store(true, Ordering::SeqCst);
                    for task in busy {
                        // Of a pair the second may have nobody to wake it any more.
                        task.abort();
                        let _ = task.await;
                    }
                });
            }
        }
    });
}

/// As many polls as there are turns: a main future that yields does not keep its tasks waiting, nor they it.
#[test]
fn the_main_future_takes_turns_with_the_tasks() {
    let runtime = runtime(1);
    let polls = Rc::new(RefCell::new(Vec::new()));
    runtime.block_on(async {
        let inner = polls.clone();
        let task = pirn::spawn_local(async move {
            for _ in 0..100 {
                inner.borrow_mut().push('t');
                pirn::yield_now().await;
            }
        });
        while !task.is_finished() {
            polls.borrow_mut().push('m');
            pirn::yield_now().await;
        }
    });
    let text: String = polls.borrow().iter().collect();
    assert!(!text.contains("mmmmm") && !text.contains("ttttt"), "{text}");
}

/// The last wake of a task is answered by a poll that sees all that came before it, also when wakes fall together.
#[test]
fn wake_storms_lose_nothing() {
    within(2 * PATIENCE, || {
        for workers in 2..=4 {
            let runtime = runtime(workers);
            for round in 0..60u64 {
                let counter = Arc::new(AtomicU64::new(0));
                let slot = Arc::new(Mutex::new(None::<Waker>));
                let total = 4 * (50 + round);
                let (seen, waiting) = (counter.clone(), slot.clone());
                let task = runtime.spawn(poll_fn(move |cx| {
                    *waiting.lock().unwrap() = Some(cx.waker().clone());
                    // Plain: the wake publishes it.
                    if seen.load(Ordering::Relaxed) == total { Poll::Ready(()) } else { Poll::Pending }
                }));
                thread::scope(|scope| {
                    for thread in 0..4u64 {
                        let (counter, slot) = (&counter, &slot);
                        scope.spawn(move || {
                            let waker = loop {
                                if let Some(waker) = slot.lock().unwrap().clone() {
                                    break waker;
                                }
                                thread::yield_now();
                            };
                            for number in 0..total / 4 {
                                counter.fetch_add(1, Ordering::Relaxed);
                                match (number + thread) % 3 {
                                    0 => waker.wake_by_ref(),
                                    1 => waker.clone().wake(),
                                    _ => {
                                        let spare = waker.clone();
                                        spare.wake_by_ref();
                                        drop(spare);
                                    }
                                }
                            }
                        });
                    }
                });
                crate::support::eventually("the last wake is answered", || task.is_finished());
            }
        }
    });
}

/// What is not there costs no budget: the last of many that a task waits for has its turn, and a task whose reads find nothing writes.
#[test]
fn a_task_may_wait_for_more_than_its_budget() {
    within(PATIENCE, || {
        for backend in crate::process::backends() {
            let runtime = Builder::new().workers(1).budget(1).backend(backend).build().unwrap();
            runtime.block_on(async {
                let mut pairs = Vec::new();
                for _ in 0..5 {
                    pairs.push(crate::net::pair().await.unwrap());
                }
                let (writing, _) = pairs.last().unwrap();
                let mut polls = 0;
                let mut reads: Vec<_> = pairs
                    .iter()
                    .map(|(_, stream)| Box::pin(async move { stream.read(&mut [0; 8]).await }))
                    .collect();
                let mut write = Box::pin(writing.write_all(b"x"));
                let mut written = false;
                let all = poll_fn(|context| {
                    polls += 1;
                    let reads: Vec<_> =
                        reads.iter_mut().map(|read| read.as_mut().poll(context).is_ready()).collect();
                    written = written || write.as_mut().poll(context).is_ready();
                    if reads.contains(&true) { Poll::Ready(reads) } else { Poll::Pending }
                });
                assert_eq!(all.await, [false, false, false, false, true]);
                assert!(polls < 50, "{polls} polls to wait for one byte");
            });
        }
    });
}
