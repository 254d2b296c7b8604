//! All integration tests, in one binary.

mod alone;
mod blocking;
mod lifecycle;
mod net;
mod os;
mod runtime;
mod shutdown;
mod support;
mod timers;
