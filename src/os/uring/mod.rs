//! The live machine on io_uring: one ring a worker, receives and accepts by multishot requests.
//!
//! | file | holds |
//! |---|---|
//! | `ring.rs` | one io_uring: set up, enter, collect |
//! | `buffers.rs` | its provided buffers |
//! | `outbox.rs` | what waits for its next look: requests, completions, the eventfd |
//! | `driver.rs` | the reaping half: requests to entries, events to sockets |
//! | `files.rs` | the ring of its file ops |
//! | `entry.rs` | file ops as entries |
//! | `probe.rs` | whether this process may have rings, and if not, why |
//! | `away.rs` | the same half on a thread that may not enter the ring |
//!
//! Sockets, their sides and the owner's half are those of the epoll machine: a ring is one more home for a socket
//! (`../epoll/home.rs`). Where an epoll set reports that a read may move something, a ring takes the bytes (or the
//! connections) itself and hands them over; nobody else asks the kernel then. It makes TCP connects itself, too. Everything
//! else, writes that did not fit included, waits for an edge of a multishot poll.

use std::io;
use std::sync::Arc;

use super::epoll::machine;
use super::{Os, sys};

mod away;
mod buffers;
mod driver;
mod entry;
mod files;
mod outbox;
mod probe;
mod ring;

/// The live machine on io_uring. Fails if the kernel, a filter or a limit refuses what it needs, and says what.
pub fn uring() -> io::Result<Arc<dyn Os>> {
    probe::probe()?;
    Ok(machine("uring", driver::parts))
}
