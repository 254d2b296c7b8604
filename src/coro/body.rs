//! A coroutine as a task's future: each poll resumes its stack, a drop unwinds it.

use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use super::fiber::{Cancelled, Fiber};
use super::pool::StackSize;
use crate::os::stack::prepare_thread;
use crate::sched;

/// The future. It is polled and, once it has started, dropped on one thread: tasks that hold it are pinned by their first poll.
pub(super) struct Body<F, T> {
    stage: UnsafeCell<Stage<F, T>>,
    /// While the job is under way.
    fiber: Cell<Option<NonNull<Fiber>>>,
    size: StackSize,
    spawned_at: &'static Location<'static>,
    /// The job has a pointer to its data.
    _pinned: PhantomPinned,
}

enum Stage<F, T> {
    Ready(F),
    /// The closure is on the stack; later there is nothing left.
    Gone,
    Ended(Result<T, Box<dyn Any + Send>>),
}

impl<F: FnOnce() -> T, T> Body<F, T> {
    pub(super) fn new(job: F, size: StackSize, spawned_at: &'static Location<'static>) -> Self {
        let stage = UnsafeCell::new(Stage::Ready(job));
        Self { stage, fiber: Cell::new(None), size, spawned_at, _pinned: PhantomPinned }
    }

    /// The first poll: a stack, and the job on it.
    fn start(&self) -> NonNull<Fiber> {
        prepare_thread();
        let taken =
            sched::with_stacks(|pool| pool.expect("a coroutine is polled by a worker").take(self.size));
        // The task's panic, which its handle reports.
        let fiber = taken.unwrap_or_else(|error| panic!("{error}"));
        // SAFETY: the body is pinned, and neither freed nor overwritten before the job has ended: see `drop`.
        unsafe { fiber.as_ref().begin((run::<F, T>, self.stage.get().cast()), self.spawned_at) };
        self.fiber.set(Some(fiber));
        fiber
    }
}

impl<F, T> Body<F, T> {
    /// The job has ended: the fiber is free, and this is what it left.
    fn ended(&self, fiber: NonNull<Fiber>) -> Stage<F, T> {
        self.fiber.set(None);
        sched::with_stacks(|pool| pool.expect("a coroutine ends on its worker").give(fiber));
        // SAFETY: the job is over, so the stage is the future's alone.
        unsafe { self.stage.get().replace(Stage::Gone) }
    }
}

impl<F: FnOnce() -> T, T> Future for Body<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Shared: the job has a pointer into the body.
        let this = self.into_ref();
        let fiber = this.fiber.get().unwrap_or_else(|| this.start());
        // SAFETY: polls come from the worker's loop, on the worker's own stack, and the job is under way.
        if !unsafe { fiber.as_ref().resume(context.waker()) } {
            return Poll::Pending;
        }
        match this.ended(fiber) {
            Stage::Ended(Ok(value)) => Poll::Ready(value),
            Stage::Ended(Err(payload)) => resume_unwind(payload),
            Stage::Ready(_) | Stage::Gone => unreachable!("a job leaves its result"),
        }
    }
}

impl<F, T> Drop for Body<F, T> {
    fn drop(&mut self) {
        let Some(fiber) = self.fiber.get() else { return };
        // SAFETY: futures are dropped by the worker's loop, on the worker's own stack, and the job is under way.
        unsafe { fiber.as_ref().cancel() };
        if let Stage::Ended(Err(payload)) = self.ended(fiber)
            && !payload.is::<Cancelled>()
        {
            resume_unwind(payload);
        }
    }
}

/// The job: takes the closure, leaves its result or panic. `data` is the stage of a `Body<F, T>`.
unsafe fn run<F: FnOnce() -> T, T>(data: *mut ()) {
    let stage = data.cast::<Stage<F, T>>();
    // SAFETY: `start` promised that the stage is alive; while the job is under way nobody else touches it.
    let Stage::Ready(job) = (unsafe { stage.replace(Stage::Gone) }) else {
        unreachable!("a job starts once")
    };
    let result = catch_unwind(AssertUnwindSafe(job));
    // SAFETY: as above. What is overwritten holds nothing.
    unsafe { stage.write(Stage::Ended(result)) };
}
