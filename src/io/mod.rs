//! Ops in flight: the one place that turns tokens into wakers.
//!
//! A resource (stream, listener) owns its ops; a future only borrows the resource. So dropping a future drops no
//! op and loses nothing, and dropping the resource detaches what is in flight (law 3).
//!
//! ```text
//! resource --start(op)--> Port --submit--> driver        (ops.rs: a slot is open)
//! driver --completion--> Ops::complete --waker--> task   (parked in the slot until taken)
//! task --poll(token)--> the completion                   (the slot is free, its generation one higher)
//! stream --wait_ready--> the slot of its last wait, open for the next one (its generation one higher)
//! ```
//!
//! `model/src/models/ops.rs` checks the slots in every interleaving: submit, complete, poll, drop, re-use.

pub(crate) use self::buffers::{Buffers, Size, give_back};
pub(crate) use self::context::context;
pub(crate) use self::ops::{Awaits, Detached, Ops, Polled, Renewed};
pub(crate) use self::port::{
    InFlight, Port, Staged, Started, Turn, Wakers, current, locked, own_poll, poll_budget, spend_budget,
    step_aside, take_budget,
};

mod buffers;
mod context;
mod ops;
mod port;
