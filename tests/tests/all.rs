//! All integration tests, in one binary.

mod alone;
mod blocking;
mod cancel;
mod coro;
mod ecosystem;
mod fs;
mod graph;
mod lifecycle;
mod net;
mod observe;
mod os;
mod process;
mod readme;
mod runtime;
mod shutdown;
mod support;
mod task;
mod tidy;
mod timers;
#[cfg(feature = "tracing")]
mod tracing;
