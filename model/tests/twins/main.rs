//! Property tests: each structure against a plain twin that is slow and obviously right.
//!
//! The files under test are the root crate's own, compiled by path; here over plain `std` types, one thread.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the files are the root crate's; not all they offer has a twin"
)]

extern crate alloc;

#[path = "../../../src/queue/mod.rs"]
mod queue;
mod sync;
#[path = "../../../src/timer/mod.rs"]
mod timer;
mod trace;

mod inbox;
mod injector;
mod ring;
mod wheel;
