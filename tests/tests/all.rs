//! All integration tests, in one binary.

mod alone;
mod net;
mod os;
