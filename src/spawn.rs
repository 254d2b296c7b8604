//! Spawning from inside a runtime.

use core::future::Future;
use core::panic::Location;

use crate::runtime::Handle;
use crate::sched::{self, Where};
use crate::task::JoinHandle;

/// Spawns a task on any worker of the current runtime.
///
/// # Panics
/// Outside of a runtime.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let task = pirn::spawn(async { "done" });
/// assert_eq!(task.await.unwrap(), "done");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let at = Location::caller();
    with_current(|shared| sched::spawn(shared, future, Where::Here, at))
}

/// Spawns a task that need not be `Send` on the current worker, where it stays. One of the main future's worker waits
/// between two calls of `block_on` for the next one on the same thread.
///
/// # Panics
/// Where there is no worker: outside of a runtime, in a guest's `block_on`, in blocking work.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let shared = std::rc::Rc::new(std::cell::Cell::new(1));
/// let inner = shared.clone();
/// pirn::spawn_local(async move { inner.set(2) }).await.unwrap();
/// assert_eq!(shared.get(), 2);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let on_worker = sched::with_context(|cx| cx.is_some_and(|cx| cx.seat.is_some()));
    assert!(
        on_worker,
        "spawn_local: there is no worker on this thread; call it inside a task or the main future of block_on"
    );
    let at = Location::caller();
    with_current(|shared| sched::spawn(shared, future, Where::Pinned, at))
}

/// Runs a call that blocks (file systems, DNS, heavy computing) on a thread of its own, so that the workers go on.
/// Aborting it works until it starts.
///
/// # Panics
/// Outside of a runtime, and when the system refuses the pool's first thread.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let sum = pirn::spawn_blocking(|| (1..=10).sum::<u32>()).await.unwrap();
/// assert_eq!(sum, 55);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(call: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Handle::current().spawn_blocking(call)
}

/// Lets the other tasks of this worker run before this one goes on.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// pirn::yield_now().await;
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn yield_now() {
    crate::io::step_aside().await;
}

/// Runs `f` with the current runtime, without taking a reference to it.
#[track_caller]
pub(crate) fn with_current<R>(f: impl FnOnce(&std::sync::Arc<sched::Shared>) -> R) -> R {
    let location = Location::caller();
    sched::with_context(|cx| match cx {
        Some(cx) => f(&cx.shared),
        None => panic!(
            "spawn at {location}: there is no Pirn runtime here; call it inside block_on or a task, or use a Handle"
        ),
    })
}
