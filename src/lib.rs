//! Pirn.

mod io;
pub mod os;
pub mod sync;
pub mod time;
pub mod trace;
