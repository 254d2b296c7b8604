//! All integration tests, in one binary.

mod alone;
mod blocking;
mod lifecycle;
mod net;
mod os;
mod readme;
mod runtime;
mod shutdown;
mod support;
mod tidy;
mod timers;
