//! Pirn.

extern crate alloc;

mod io;
pub mod os;
pub(crate) mod queue;
pub(crate) mod sleep;
pub mod sync;
pub mod time;
pub(crate) mod timer;
pub mod trace;
