//! Spawning for hyper: HTTP/2 needs it, on both sides.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns on any worker of the current runtime, detached.
///
/// # Panics
/// [`execute`](Executor::execute) panics outside of a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct PirnExecutor;

impl<F> Executor<F> for PirnExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        pirn::spawn(future).detach();
    }
}

/// Spawns on the current worker, detached, what need not be `Send`.
///
/// # Panics
/// [`execute`](Executor::execute) panics where there is no worker, as [`pirn::spawn_local`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct PirnLocalExecutor;

impl<F> Executor<F> for PirnLocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        pirn::spawn_local(future).detach();
    }
}
