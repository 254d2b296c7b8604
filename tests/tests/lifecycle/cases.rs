//! Single cases.

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;

use pirn::task::JoinHandle;

use crate::support::{
    CountWaker, Guard, PATIENCE, eventually, hold, runtime, text, with_waker, within, yields,
};

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A waker that panics when it is woken.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_join_waker_that_panics_harms_nobody() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let mut tasks: Vec<_> = (0..20).map(|number| runtime.spawn(with_gate(number))).collect();
        let bomb = Waker::from(Arc::new(Bomb));
        let mut waiting = Vec::new();
        for (task, _) in tasks.iter_mut().zip(0..) {
            if poll(task, &bomb).is_pending() {
                waiting.push(());
            }
        }
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(runtime.block_on(task).unwrap(), number);
        }
        assert!(!waiting.is_empty());
        assert_eq!(runtime.block_on(async { pirn::spawn(async { 1 }).await.unwrap() }), 1);
    });
}

async fn with_gate(number: usize) -> usize {
    pirn::time::sleep(std::time::Duration::from_millis(20)).await;
    number
}

/// Wakers whose clone and drop panic: the panic stays with whoever called, and the worker lives.
#[test]
fn wakers_that_panic_in_clone_or_drop() {
    static CLONE: RawWakerVTable = RawWakerVTable::new(|_| panic!("clone"), |_| (), |_| (), |_| ());
    let raw = RawWaker::new(std::ptr::null(), &CLONE);
    // SAFETY: the functions do not use the pointer.
    let waker = unsafe { Waker::from_raw(raw) };
    let runtime = runtime(2);
    let (open, gate) = mpsc::channel::<()>();
    let mut task = runtime.spawn_blocking(move || gate.recv().is_err());
    let caught = catch_unwind(AssertUnwindSafe(|| poll(&mut task, &waker).is_pending()));
    assert_eq!(text(&*caught.unwrap_err()), "clone");
    drop(open);
    assert!(runtime.block_on(task).unwrap(), "the handle is as it was");
}

#[test]
fn the_last_waker_of_a_handle_counts() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let (send, wakers) = mpsc::channel();
        let mut task = runtime.spawn(with_waker(move |waker| send.send(waker).unwrap()));
        let all: Vec<_> = (0..5).map(|_| CountWaker::new()).collect();
        for (_, waker) in &all {
            assert!(poll(&mut task, waker).is_pending());
            assert!(poll(&mut task, waker).is_pending());
        }
        wakers.recv().unwrap().wake();
        eventually("it ends", || task.is_finished());
        eventually("the last one is woken", || all[4].0.wakes() == 1);
        assert!(all[..4].iter().all(|(count, _)| count.wakes() == 0));
        // Handles move: polled on another thread.
        let other = thread::spawn(move || poll(&mut task, Waker::noop()).map(|result| result.is_ok()));
        assert_eq!(other.join().unwrap(), Poll::Ready(true));
    });
}

#[test]
fn a_result_is_given_once() {
    let runtime = runtime(2);
    let mut task = runtime.spawn(async { 5 });
    eventually("it ends", || task.is_finished());
    assert!(matches!(poll(&mut task, Waker::noop()), Poll::Ready(Ok(5))));
    assert!(task.is_finished());
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut task, Waker::noop()).is_ready()));
    assert!(text(&*again.unwrap_err()).contains("after it had given its result"));
}

#[test]
fn handles_outlive_their_runtime() {
    let runtime = runtime(2);
    let done = runtime.spawn(async { String::from("kept") });
    let waiting = runtime.spawn(pending::<()>());
    eventually("it ends", || done.is_finished());
    let (abort_done, abort_waiting) = (done.abort_handle(), waiting.abort_handle());
    let (id_done, id_waiting) = (done.id(), waiting.id());
    assert_ne!(id_done, id_waiting);
    drop(runtime);
    for abort in [&abort_done, &abort_waiting] {
        abort.abort();
        abort.clone().abort();
        assert!(abort.is_finished());
    }
    assert_eq!((abort_done.id(), abort_waiting.id()), (id_done, id_waiting));
    assert!(format!("{abort_done:?} {done:?}").contains("complete"));
    let mut done = done;
    assert!(matches!(poll(&mut done, Waker::noop()), Poll::Ready(Ok(text)) if text == "kept"));
    drop(abort_done);
    let mut waiting = waiting;
    let Poll::Ready(Err(error)) = poll(&mut waiting, Waker::noop()) else { panic!("no answer") };
    assert!(error.is_cancelled() && error.id() == id_waiting);
    assert!(error.to_string().contains("cancelled"));
    assert!(error.into_panic().is_err());
}

/// Who drops an output: the taker, else the one who drops the handle, else the worker.
#[test]
fn the_output_is_dropped_by_the_right_side() {
    struct Where(mpsc::Sender<thread::ThreadId>);
    impl Drop for Where {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }
    within(PATIENCE, || {
        let runtime = runtime(2);
        let (send, told) = mpsc::channel();
        let here = thread::current().id();
        let task = |send: &mpsc::Sender<_>| {
            let output = Where(send.clone());
            runtime.spawn(async move { (thread::current().id(), output) })
        };
        // Taken.
        drop(runtime.block_on(task(&send)).unwrap());
        assert_eq!(told.recv().unwrap(), here);
        // Never taken, the handle dropped after the end.
        let left = task(&send);
        eventually("it ends", || left.is_finished());
        assert!(told.try_recv().is_err());
        drop(left);
        assert_eq!(told.recv().unwrap(), here);
        // Detached before.
        let (open, gate) = mpsc::channel::<()>();
        let output = Where(send.clone());
        let task = runtime.spawn(async move {
            let _ = gate.recv();
            output
        });
        task.detach();
        drop(open);
        assert_ne!(told.recv().unwrap(), here);
    });
}

#[test]
fn aborted_before_its_first_poll() {
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            let live = Arc::new(AtomicUsize::new(0));
            runtime.block_on(async {
                let polled = Arc::new(AtomicUsize::new(0));
                let spawn = |local: bool| -> JoinHandle<()> {
                    let (guard, polled) = (Guard::new(&live), polled.clone());
                    let body = async move {
                        polled.fetch_add(1, Ordering::SeqCst);
                        hold(guard).await;
                    };
                    if local { pirn::spawn_local(body) } else { pirn::spawn(body) }
                };
                for local in [true, false] {
                    for _ in 0..100 {
                        let task = spawn(local);
                        task.abort();
                        task.abort();
                        assert!(task.await.unwrap_err().is_cancelled());
                    }
                }
                // Local ones cannot have begun; others may have, elsewhere.
                assert!(polled.load(Ordering::SeqCst) <= if workers == 1 { 0 } else { 100 });
                assert_eq!(live.load(Ordering::SeqCst), 0);
            });
        }
    });
}

#[test]
fn a_task_may_abort_and_detach_itself() {
    within(PATIENCE, || {
        let runtime = runtime(2);
        let (send, handles) = mpsc::channel::<JoinHandle<u32>>();
        let live = Arc::new(AtomicUsize::new(0));
        let guard = Guard::new(&live);
        let task = runtime.spawn(async move {
            let own = handles.recv().unwrap();
            let abort = own.abort_handle();
            // Its own handle, awaited inside, would wait for ever: polled once it is pending.
            let mut own = own;
            poll_fn(|cx| {
                assert!(Pin::new(&mut own).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            abort.abort();
            pirn::yield_now().await;
            drop(guard);
            unreachable!("aborted at its last stop")
        });
        let abort = task.abort_handle();
        send.send(task).unwrap();
        eventually("it ends", || abort.is_finished());
        eventually("its future is dropped", || live.load(Ordering::SeqCst) == 0);
    });
}

/// The drop of a future that spawns, wakes and aborts others, and drops its own handle.
#[test]
fn drops_that_do_things() {
    struct Busy(Option<(pirn::Handle, Waker, JoinHandle<()>)>, mpsc::Sender<JoinHandle<u8>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let (handle, waker, other) = self.0.take().unwrap();
            other.abort();
            waker.wake();
            self.1.send(handle.spawn(async { 9 })).unwrap();
        }
    }
    within(PATIENCE, || {
        for workers in 1..=3 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let (send, wakers) = mpsc::channel();
                let woken = pirn::spawn(with_waker(move |waker| send.send(waker).unwrap()));
                let aborted = pirn::spawn(pending::<()>());
                let abort = aborted.abort_handle();
                let waker = loop {
                    match wakers.try_recv() {
                        Ok(waker) => break waker,
                        Err(_) => pirn::yield_now().await,
                    }
                };
                let (tell, told) = mpsc::channel();
                let busy = Busy(Some((pirn::Handle::current(), waker, aborted)), tell);
                let task = pirn::spawn(hold(busy));
                yields(2).await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
                woken.await.unwrap();
                assert_eq!(told.recv().unwrap().await.unwrap(), 9);
                while !abort.is_finished() {
                    pirn::yield_now().await;
                }
            });
        }
    });
}

#[test]
fn zero_sized_and_huge_futures_and_outputs() {
    let runtime = runtime(2);
    runtime.block_on(async {
        pirn::spawn(ready(())).await.unwrap();
        pirn::spawn(async {}).await.unwrap();
        let big = [3u8; 1 << 16];
        let task = pirn::spawn(async move {
            pirn::yield_now().await;
            big
        });
        assert!(task.await.unwrap().iter().all(|&byte| byte == 3));
        #[repr(align(256))]
        struct Aligned(u8);
        let aligned = Aligned(1);
        let address = pirn::spawn(async move {
            pirn::yield_now().await;
            (&raw const aligned.0 as usize, aligned)
        });
        let (inside, aligned) = address.await.unwrap();
        assert_eq!((inside % 256, aligned.0), (0, 1));
        let rc = pirn::spawn_local(async { Rc::new(4) }).await.unwrap();
        assert_eq!(*rc, 4);
    });
}

/// Ids tell tasks apart and stay the same.
#[test]
fn ids_are_unique() {
    let runtime = runtime(3);
    let mut ids: Vec<_> = runtime.block_on(async {
        let outer: Vec<_> = (0..100)
            .map(|_| pirn::spawn(async { (0..20).map(|_| pirn::spawn(async {}).id()).collect::<Vec<_>>() }))
            .collect();
        let mut ids: Vec<_> = outer.iter().map(JoinHandle::id).collect();
        for task in outer {
            ids.extend(task.await.unwrap());
        }
        ids
    });
    ids.extend((0..50).map(|_| runtime.spawn(async {}).id()));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(ids[0].get() >= 1 && !format!("{} {:?}", ids[0], ids[0]).is_empty());
}

/// Polls of a handle in a select: dropping the wait loses nothing.
#[test]
fn waiting_for_a_handle_is_cancel_safe() {
    within(PATIENCE, || {
        runtime(2).block_on(async {
            let mut task = pirn::spawn(async {
                pirn::time::sleep(std::time::Duration::from_millis(5)).await;
                11
            });
            let mut given_up = 0;
            let value = loop {
                let wait = pirn::time::timeout(std::time::Duration::from_micros(300), &mut task);
                match wait.await {
                    Ok(result) => break result.unwrap(),
                    Err(_) => given_up += 1,
                }
            };
            assert_eq!(value, 11);
            assert!(given_up > 0 || task.is_finished());
        });
    });
}
