//! What a benchmark asks of a runtime, and the runtimes: one file each.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) mod pirn_peer;
pub(crate) mod smol_peer;
pub(crate) mod tokio_peer;

/// A runtime under measurement.
pub(crate) trait Peer: 'static {
    /// A spawned task: awaits to its output.
    type Handle<T: Send + 'static>: Future<Output = T> + Send + 'static;

    /// Runs `main` as a spawned task of a fresh runtime with `workers` threads.
    fn run<T: Send + 'static>(workers: usize, main: impl Future<Output = T> + Send + 'static) -> T;
    /// Spawns onto the current runtime.
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T>;
    /// Lets the task run on without its handle.
    fn detach<T: Send + 'static>(handle: Self::Handle<T>);
    /// Cancels the task.
    fn cancel<T: Send + 'static>(handle: Self::Handle<T>);
    /// Sleeps.
    fn sleep(span: Duration) -> impl Future<Output = ()> + Send;
    /// Gives the others a turn.
    fn yield_now() -> impl Future<Output = ()> + Send;
    /// Serves echo for ever: one task a connection, a buffer of so many bytes each. `ready` is told the address.
    fn serve_echo(
        buffer: usize,
        ready: impl FnOnce(SocketAddr) + Send + 'static,
    ) -> impl Future<Output = ()> + Send;
}

/// Events a worker that a flight recorder remembers, as `docs/observing.md` has it.
pub(crate) const EVENTS: usize = 16_384;

/// The runtimes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Pirn on epoll.
    Pirn,
    /// Pirn on io_uring.
    PirnUring,
    /// Pirn on epoll with its flight recorder on.
    PirnRecorded,
    /// Pirn on io_uring with its flight recorder on.
    PirnUringRecorded,
    /// tokio, multi-thread.
    Tokio,
    /// The same with eager driver handoff, which tokio has where RUSTFLAGS say `--cfg tokio_unstable`.
    #[cfg(tokio_unstable)]
    TokioEager,
    /// smol's executor on threads of its own, async-io's reactor.
    Smol,
}

impl Name {
    /// One of each runtime.
    pub(crate) const ALL: [Self; 3] = [Self::Pirn, Self::Tokio, Self::Smol];
    /// Pirn on each backend, and the others.
    pub(crate) const BACKENDS: &[Self] = &[
        Self::Pirn,
        Self::PirnUring,
        Self::Tokio,
        #[cfg(tokio_unstable)]
        Self::TokioEager,
        Self::Smol,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Pirn => "pirn",
            Self::PirnUring => "pirn-uring",
            Self::PirnRecorded => "pirn-recorded",
            Self::PirnUringRecorded => "pirn-uring-recorded",
            Self::Tokio => "tokio",
            #[cfg(tokio_unstable)]
            Self::TokioEager => "tokio-eager",
            Self::Smol => "smol",
        }
    }
}

/// Calls a function that is generic over the peer.
#[macro_export]
macro_rules! with_peer {
    ($name:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $name {
            $crate::peer::Name::Pirn => $function::<$crate::peer::pirn_peer::Pirn<false>>($($argument),*),
            $crate::peer::Name::PirnUring => $function::<$crate::peer::pirn_peer::Pirn<true>>($($argument),*),
            $crate::peer::Name::PirnRecorded => {
                $function::<$crate::peer::pirn_peer::Pirn<false, { $crate::peer::EVENTS }>>($($argument),*)
            }
            $crate::peer::Name::PirnUringRecorded => {
                $function::<$crate::peer::pirn_peer::Pirn<true, { $crate::peer::EVENTS }>>($($argument),*)
            }
            $crate::peer::Name::Tokio => $function::<$crate::peer::tokio_peer::Tokio>($($argument),*),
            #[cfg(tokio_unstable)]
            $crate::peer::Name::TokioEager => {
                $function::<$crate::peer::tokio_peer::Tokio<true>>($($argument),*)
            }
            $crate::peer::Name::Smol => $function::<$crate::peer::smol_peer::Smol>($($argument),*),
        }
    };
}
