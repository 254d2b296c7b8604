//! Loom models of Pirn's lock-free parts, and (in `tests/twins`) property tests of them against plain twins.
//!
//! The files under test are the root crate's own, compiled here by path against a `crate::sync` over loom's types; so
//! plain `cargo test` runs the models, with no cfg and no flags. Each model says its bound. What loom covers: what memory
//! orderings mean inside a few operations. The order between operations over the whole runtime is the simulator's.

#![cfg(test)]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the files are the root crate's; not all they offer has a model"
)]

extern crate alloc;

#[path = "../../src/io/ops.rs"]
mod ops;
mod os;
#[path = "../../src/queue/mod.rs"]
mod queue;
#[path = "../../src/sleep/mod.rs"]
mod sleep;
#[path = "../../src/task/state.rs"]
mod state;
mod sync;
#[path = "../../src/timer/mod.rs"]
mod timer;
mod trace;

/// Events have no listener.
mod sched {
    pub(crate) fn emit(_event: crate::trace::Event) {}
}

mod models;
