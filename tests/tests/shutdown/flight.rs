//! Shutdown with everything in flight.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use pirn::task::JoinHandle;
use pirn::time::sleep;
use pirn::{Builder, Handle};

use super::{answer, assert_cancelled};
use crate::support::{Guard, PATIENCE, hold, within, yields};

type Live = Arc<AtomicUsize>;

/// Pending for ever; every waker it ever had is kept, outside of the runtime.
async fn exposed(guard: Guard, wakers: Arc<Mutex<Vec<Waker>>>) {
    let _guard = guard;
    std::future::poll_fn(|cx| {
        wakers.lock().unwrap().push(cx.waker().clone());
        Poll::<()>::Pending
    })
    .await;
}

/// Spawns and wakes when it is dropped, `depth` times over.
struct Spawner {
    handle: Handle,
    live: Live,
    refused: Arc<AtomicUsize>,
    depth: u32,
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let Some(depth) = self.depth.checked_sub(1) else { return };
        let next = || Spawner {
            handle: self.handle.clone(),
            live: self.live.clone(),
            refused: self.refused.clone(),
            depth,
        };
        let refused = self.refused.clone();
        let task = self.handle.spawn(hold((Guard::new(&self.live), next())));
        self.handle.spawn_blocking(move || drop(refused)).detach();
        self.handle.spawn(async {}).detach();
        task.detach();
        self.refused.fetch_add(1, Ordering::SeqCst);
    }
}

/// One of each kind of thing a runtime can be busy with.
fn round(workers: usize, pause: Duration) {
    let live: Live = Arc::default();
    let refused: Arc<AtomicUsize> = Arc::default();
    let wakers = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = Builder::new().workers(workers).ring_capacity(4).blocking_threads(1).build().unwrap();
    let handle = runtime.handle();
    let guard = || Guard::new(&live);
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();

    // Waiting, with wakers that foreign threads call all the while.
    for _ in 0..20 {
        tasks.push(handle.spawn(exposed(guard(), wakers.clone())));
    }
    // Sleeping near and far.
    for ms in [0, 1, 2, 1_000, 100_000_000] {
        let guard = guard();
        tasks.push(handle.spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            hold(guard).await;
        }));
    }
    // Always runnable: running, in rings, in LIFO slots, in the injector.
    for _ in 0..10 {
        let guard = guard();
        tasks.push(handle.spawn(async move {
            let _guard = guard;
            loop {
                pirn::yield_now().await;
            }
        }));
    }
    // Waiting for one another, so that the drop of one wakes the next.
    let mut previous = handle.spawn(hold(guard()));
    for _ in 0..10 {
        let guard = guard();
        previous = handle.spawn(async move {
            let _guard = guard;
            let _ = previous.await;
            hold(()).await;
        });
    }
    tasks.push(previous);
    // Spawning when dropped.
    for depth in 0..5 {
        let (handle, live, refused) = (handle.clone(), live.clone(), refused.clone());
        tasks.push(runtime.spawn(hold(Spawner { handle, live, refused, depth })));
    }
    // Blocking work, one call running and more in the queue.
    let (inside, started) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let running = {
        let (guard, handle, live) = (guard(), handle.clone(), live.clone());
        runtime.spawn_blocking(move || {
            let _guard = guard;
            inside.send(()).unwrap();
            gate.recv().unwrap();
            // May come before, during or after the end of the workers.
            handle.spawn(hold(Guard::new(&live)))
        })
    };
    let queued: Vec<_> = (0..5)
        .map(|_| {
            let guard = guard();
            runtime.spawn_blocking(move || drop(guard))
        })
        .collect();
    started.recv().unwrap();
    // Local tasks of the main future's thread.
    let locals = runtime.block_on(async {
        let mut locals = Vec::new();
        for polls in 0..3 {
            let guard = guard();
            let wakers = wakers.clone();
            locals.push(pirn::spawn_local(async move {
                yields(polls).await;
                exposed(guard, wakers).await;
            }));
        }
        pirn::yield_now().await;
        locals
    });
    // Foreign threads that wake and spawn.
    let storms: Vec<_> = (0..2)
        .map(|_| {
            let (wakers, stop, handle, live) = (wakers.clone(), stop.clone(), handle.clone(), live.clone());
            thread::spawn(move || {
                let mut spawned = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let some: Vec<Waker> = wakers.lock().unwrap().iter().rev().take(30).cloned().collect();
                    some.into_iter().for_each(Waker::wake);
                    if spawned.len() < 2_000 {
                        spawned.push(handle.spawn(hold(Guard::new(&live))));
                    }
                }
                spawned
            })
        })
        .collect();
    thread::sleep(pause);
    let opener = thread::spawn(move || {
        thread::sleep(pause);
        open.send(()).unwrap();
    });
    runtime.shutdown_timeout(PATIENCE).expect("within the limit");
    stop.store(true, Ordering::SeqCst);
    opener.join().unwrap();
    let spawned: Vec<_> = storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect();

    assert_eq!(live.load(Ordering::SeqCst), 0, "every future was dropped");
    assert_eq!(
        refused.load(Ordering::SeqCst),
        1 + 2 + 3 + 4,
        "every spawner's drop ran once, and its tasks' drops"
    );
    tasks.into_iter().chain(locals).chain(spawned).for_each(assert_cancelled);
    // The pool goes on until the workers are done: a call that was queued may have had its turn.
    for call in queued {
        assert!(answer(call).unwrap().err().is_none_or(|error| error.is_cancelled()));
    }
    let late = answer(running).unwrap().expect("a call that has started runs to its end");
    assert_cancelled(late);
    // Wakers outlive all.
    for waker in wakers.lock().unwrap().drain(..) {
        waker.wake_by_ref();
        waker.wake();
    }
}

#[test]
fn with_everything_in_flight() {
    within(PATIENCE, || {
        for number in 0..24 {
            round(1 + number % 4, Duration::from_micros((number as u64 * 397) % 3_000));
        }
    });
}

/// A main future on seat 0 and a guest, both waiting, when another thread ends the runtime.
#[test]
fn callers_inside_block_on_get_their_answers() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = Builder::new().workers(workers).build().unwrap();
            let (ready, wait) = mpsc::channel();
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (handle, ready) = (runtime.handle(), ready.clone());
                    thread::spawn(move || {
                        handle.block_on(async {
                            let task = pirn::spawn(std::future::pending::<u32>());
                            ready.send(()).unwrap();
                            task.await.unwrap_err().is_cancelled()
                        })
                    })
                })
                .collect();
            callers.iter().for_each(|_| wait.recv().unwrap());
            runtime.shutdown_timeout(PATIENCE).unwrap();
            assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
        }
    });
}
