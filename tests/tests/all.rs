//! All integration tests, in one binary.

mod alone;
mod blocking;
mod net;
mod os;
mod runtime;
mod shutdown;
mod support;
mod timers;
