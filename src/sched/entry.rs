//! Entering a runtime from a plain thread: on seat 0, or as a guest while somebody else has it.
//!
//! `model/src/models/caller.rs` checks the wake of a caller that sits down or waits.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context as TaskContext, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;

use super::context::{Context, with_context};
use super::measure::Polled;
use super::shared::Shared;
use super::worker::{Main, Worker};
use crate::sync::{AtomicBool, Condvar, Ghost, Mutex, Ordering, fence, ghost};
use crate::trace::Event;

/// Runs `future` to its end on the calling thread.
pub(crate) fn block_on<F: Future>(shared: &Arc<Shared>, future: F) -> F::Output {
    with_context(|cx| {
        if cx.is_some_and(|cx| cx.seat.is_some() || cx.in_poll.get()) {
            panic!(
                "block_on was called inside a task: it would stop the worker it runs on; await the future instead"
            );
        }
    });
    let mut future = pin!(future);
    let caller = Arc::new(Caller {
        shared: shared.clone(),
        woken: AtomicBool::new(true),
        seated: AtomicBool::new(false),
        knock: Mutex::new(false),
        door: Condvar::new(),
    });
    let waker = Waker::from(caller.clone());
    loop {
        if shared.take_seat_zero(&caller) {
            if let Some(output) = on_seat(shared, &caller, &waker, future.as_mut()) {
                return output;
            }
        } else if let Some(output) = as_guest(shared, &caller, &waker, future.as_mut()) {
            return output;
        }
    }
}

/// Who is inside a block_on: its waker.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    /// The future is to be polled.
    woken: AtomicBool,
    /// The caller is on seat 0: a token reaches it. Else it waits at the door.
    seated: AtomicBool,
    knock: Mutex<bool>,
    door: Condvar,
}

impl Caller {
    /// Lets a guest look again.
    fn knock(&self) {
        *self.knock.lock() = true;
        self.door.notify_one();
    }

    fn wait(&self) {
        let mut knock = self.knock.lock();
        while !*knock {
            knock = self.door.wait(knock);
        }
        *knock = false;
    }

    /// Takes the wake, if there is one.
    fn take_woken(&self) -> bool {
        // Acquire: pairs with `wake_by_ref`: what the waker did is seen. The load spares the write.
        self.woken.load(Ordering::Acquire) && self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: pairs with `take_woken`; a coalesced wake publishes too.
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let seated_here = || with_context(|cx| self.shared.here(cx).is_some_and(|(_, seat)| seat == 0));
        if self.seated.load(Ordering::Relaxed) && seated_here() {
            // The worker looks at `woken` before it searches or parks. Seated and on this thread: the thread wrote that itself.
            return;
        }
        // Pairs with the fence in `on_seat`: either this sees the caller seated, or its first turn sees `woken`.
        fence(Ordering::SeqCst);
        if self.seated.load(Ordering::Relaxed) { self.shared.give_token(0) } else { self.knock() }
    }
}

/// The main future on seat 0. None: the seat was lost to a shutdown, the caller goes on as a guest.
fn on_seat<F: Future>(
    shared: &Arc<Shared>,
    caller: &Caller,
    waker: &Waker,
    future: Pin<&mut F>,
) -> Option<F::Output> {
    let cx = Context::new(shared.clone(), Some(0));
    cx.enter(|| {
        caller.seated.swap(true, Ordering::Relaxed);
        // Pairs with the fence in `wake_by_ref`.
        fence(Ordering::SeqCst);
        let worker = Worker::new(&cx);
        let before = if worker.group.config.cpus.is_empty() { Vec::new() } else { shared.os.cpus() };
        // Also on a panic of the main future.
        let _leave = Leave { worker: &worker, caller, before };
        if let Err(error) = worker.pin() {
            panic!("block_on: this thread cannot run on the CPU of worker 0: {error}");
        }
        if let Err(error) = worker.attach() {
            panic!("block_on: the driver of seat 0 cannot move to this thread: {error}");
        }
        let mut main = MainFuture { caller, waker, future, output: None };
        worker.run(&mut main);
        main.output
    })
}

struct MainFuture<'a, 'f, F: Future> {
    caller: &'a Caller,
    waker: &'a Waker,
    future: Pin<&'f mut F>,
    output: Option<F::Output>,
}

impl<F: Future> Main for MainFuture<'_, '_, F> {
    fn turn(&mut self, worker: &Worker<'_>) -> bool {
        if !self.caller.take_woken() {
            return false;
        }
        worker.before_work();
        worker.core.emit(Event::MainPoll { worker: 0, guest: false });
        let mut cx = TaskContext::from_waker(self.waker);
        worker.seat.pulse.task.set(0);
        let whose = Polled::Main(core::any::type_name::<F>());
        let start = worker.poll_starts(whose);
        let polled = worker.in_poll(|| self.future.as_mut().poll(&mut cx));
        worker.poll_ended(start, whose);
        match polled {
            Poll::Ready(output) => {
                self.output = Some(output);
                true
            }
            Poll::Pending => false,
        }
    }

    fn is_woken(&self) -> bool {
        // Relaxed: only wakes of this thread must be seen here; others come with a token.
        self.caller.woken.load(Ordering::Relaxed)
    }
}

/// Gets up from seat 0.
struct Leave<'a, 'w> {
    worker: &'a Worker<'w>,
    caller: &'a Caller,
    /// The CPUs that the thread could use, if it was pinned.
    before: Vec<usize>,
}

impl Drop for Leave<'_, '_> {
    fn drop(&mut self) {
        let (worker, shared) = (self.worker, self.worker.shared);
        if !self.before.is_empty() {
            // It could run there before.
            let _ = shared.os.run_on(&self.before);
        }
        if std::thread::panicking() {
            shared.dump_panic(|| "panic of a main future".to_owned());
        }
        worker.cx.in_poll.set(false);
        if worker.seat.pulse.beat.get() % 2 == 1 {
            worker.seat.pulse.beat.add(1);
        }
        self.caller.seated.swap(false, Ordering::Relaxed);
        worker.stop_searching();
        worker.commit();
        worker.drain_remote();
        worker.drain_retired();
        shared.empty_seat(worker.core, worker.seat, 0);
        worker.note_left();
        // As before a park: nobody may come back for a while.
        #[cfg(feature = "coro")]
        worker.core.stacks.trim();
        let next = loop {
            let mut zero = shared.seat_zero.lock();
            // Who shuts down sets `closing` first and then looks, under this lock, whether the seat is taken.
            if shared.exit.is_closing() && !zero.ended {
                drop(zero);
                worker.shut_down();
                shared.seat_zero.lock().ended = true;
                continue;
            }
            ghost(|| Ghost::SeatLeft { worker: 0 });
            shared.occupy_seat_zero(&mut zero, false);
            zero.bound = (worker.core.pinned.get() > 0).then(|| shared.os.thread_id());
            zero.guests.retain(|guest| guest.strong_count() > 0);
            break zero.guests.iter().filter_map(std::sync::Weak::upgrade).collect::<Vec<_>>();
        };
        next.iter().for_each(|guest| guest.knock());
        if shared.vacant_seat_waits(worker.group) {
            shared.see_to_watch(worker.group);
        }
    }
}

/// A guest polls only its own future; its tasks and ops are the workers' business.
fn as_guest<F: Future>(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    waker: &Waker,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let cx = Context::new(shared.clone(), None);
    cx.enter(|| {
        loop {
            if caller.take_woken() {
                super::emit(Event::MainPoll { worker: u16::MAX, guest: true });
                cx.in_poll.set(true);
                cx.budget.set(shared.config.budget);
                let polled = future.as_mut().poll(&mut TaskContext::from_waker(waker));
                cx.in_poll.set(false);
                match polled {
                    Poll::Ready(output) => return Some(output),
                    Poll::Pending => continue,
                }
            }
            if shared.seat_zero_is_free() {
                return None;
            }
            caller.wait();
        }
    })
}

impl Shared {
    /// Takes seat 0 for the calling thread; a refused caller is told when it is free.
    fn take_seat_zero(&self, caller: &Arc<Caller>) -> bool {
        let mut zero = self.seat_zero.lock();
        let free = !self.seat_zero_is_taken() && !self.exit.is_closing();
        if free && zero.bound.is_none_or(|bound| bound == self.os.thread_id()) {
            self.occupy_seat_zero(&mut zero, true);
            return true;
        }
        if !zero.guests.iter().any(|guest| guest.as_ptr() == Arc::as_ptr(caller)) {
            zero.guests.push(Arc::downgrade(caller));
        }
        false
    }

    fn seat_zero_is_free(&self) -> bool {
        let zero = self.seat_zero.lock();
        !self.seat_zero_is_taken()
            && !self.exit.is_closing()
            && zero.bound.is_none_or(|bound| bound == self.os.thread_id())
    }
}
