//! Coroutines: direct-style code on stacks of its own, as tasks of the same scheduler.
//!
//! A coroutine is a plain closure. Where async code writes `.await`, it calls [`wait`]: the coroutine is suspended, its
//! worker goes on with other tasks, and the call returns when the future is ready. Functions need not be async to wait, so code and
//! libraries that know nothing of futures can be used over sockets: see [`Direct`].
//!
//! ```
//! # pirn::Runtime::new()?.block_on(async {
//! use pirn::coro;
//! use std::time::Duration;
//!
//! fn patiently(n: u32) -> u32 {
//!     coro::wait(pirn::time::sleep(Duration::from_millis(1))); // no async in sight
//!     n + 1
//! }
//!
//! let three = coro::spawn(|| patiently(1) + coro::wait(async { 1 }));
//! assert_eq!(three.await.unwrap(), 3);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # When to use which
//! A future is as large as what it keeps over its awaits; a coroutine has touched a page or two (4 to 8 KiB) and is
//! resumed in the middle of its call stack, however deep, at once. Futures move between workers at any time; a coroutine does so only before it starts.
//! `docs/coroutines.md` has the measurements.
//!
//! # What holds
//! - A coroutine is a task: it has a [`JoinHandle`], can be aborted, takes part in shutdown; a panic in it is its handle's.
//! - The closure and its result are `Send`. Where the closure runs first, it stays: so what it makes need not be `Send`, also
//!   over a wait.
//! - **Cancelling** (an abort, the runtime's end) unwinds the stack from the wait it is in: what is on it is dropped. Code that
//!   catches that panic and waits again gets it again; who catches it twice and waits a third time ends the process with a
//!   sentence. A destructor that runs in such an unwinding may wait only for what is ready at once; otherwise the process ends likewise.
//! - **Stacks** are pooled by each worker, with a guard below each: [`StackSize`], [`Builder::stack_size`](crate::Builder::stack_size),
//!   [`Builder::stacks_kept`](crate::Builder::stacks_kept). An overflow ends the process with a message that says where the coroutine was spawned.
//! - A `std` lock guard that is held over a wait blocks whoever wants the lock next, perhaps the same worker for ever; let go of it first, or use an async lock.
//!   Thread-locals are those of the worker and shared with its other tasks.
//! - Coroutines run under the simulator as they are.
//!
//! ```compile_fail,E0277
//! let here = std::rc::Rc::new(1);
//! pirn::coro::spawn(move || *here); // it may start on another worker
//! ```
//!
//! A started coroutine never changes its thread, so there is no way to get hold of one and send it: what is on its stack may be `!Send`.
//! ```
//! # pirn::Runtime::new()?.block_on(async {
//! let count = pirn::coro::spawn(|| {
//!     let here = std::rc::Rc::new(std::cell::Cell::new(1));
//!     pirn::coro::yield_now();
//!     here.set(here.get() + 1);
//!     here.get()
//! });
//! assert_eq!(count.await.unwrap(), 2);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

use core::future::Future;
use core::panic::Location;
use core::pin::pin;
use core::task::{Context, Poll};

pub use self::direct::Direct;
pub(crate) use self::fiber::Fiber;
pub use self::pool::StackSize;
pub(crate) use self::pool::{Config, Pool, Usage};
use crate::sched;
use crate::task::JoinHandle;

mod body;
mod direct;
mod fiber;
mod pool;

/// Spawns a coroutine on any worker of the current runtime, where it stays once it has started.
///
/// When the system has no memory for a stack, the handle reports a panic that says why.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn<F, T>(job: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_on(StackSize::Normal, job)
}

/// Spawns a coroutine on a stack of that size.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn_on<F, T>(size: StackSize, job: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = Location::caller();
    crate::spawn::with_current(|shared| {
        sched::spawn(shared, body::Body::new(job, size, at), sched::Where::FirstPoll, at)
    })
}

/// Waits for a future: the coroutine is suspended until it is ready. The future need not be `Send`.
///
/// As cancel-safe as the future is: a cancelled coroutine drops it while it unwinds.
///
/// # Panics
/// Outside of a coroutine, and inside of what a coroutine must not be suspended in: a scope of a [task-local](crate::task_local), the
/// `enter` of another runtime.
#[inline]
#[track_caller]
pub fn wait<F: Future>(future: F) -> F::Output {
    let fiber = fiber::current("coro::wait");
    // SAFETY: this code runs on the fiber's stack, so it is alive.
    let fiber = unsafe { fiber.as_ref() };
    let mut future = pin!(future);
    loop {
        fiber.raise_if_cancelled();
        match future.as_mut().poll(&mut Context::from_waker(fiber.waker())) {
            Poll::Ready(output) => return output,
            Poll::Pending => fiber.stop(),
        }
    }
}

/// Lets the other tasks of this worker run before this coroutine goes on.
///
/// # Panics
/// As [`wait`].
#[inline]
#[track_caller]
pub fn yield_now() {
    let fiber = fiber::current("coro::yield_now");
    // SAFETY: this code runs on the fiber's stack, so it is alive.
    let fiber = unsafe { fiber.as_ref() };
    fiber.raise_if_cancelled();
    fiber.waker().wake_by_ref();
    fiber.stop();
    fiber.raise_if_cancelled();
}
