//! TCP over the ops of `io`: listeners, streams, halves.
//!
//! A stream or listener belongs to the runtime it was made in and may be used from any thread and any executor:
//! its requests run on its runtime's workers.
//!
//! **Dropping a future loses nothing.** Reads, writes and accepts in flight belong to the stream or listener, not
//! to the future: bytes that arrive after a read was dropped are what the next read returns, a connection that
//! arrives after an accept was dropped is what the next accept returns, bytes that a write accepted are sent.
//!
//! **Which options are set?** None on streams: TCP_NODELAY is off, as the kernel has it; a request-response
//! protocol wants [`TcpStream::set_nodelay`]. Listeners get SO_REUSEADDR, as in `std`.

pub use self::addr::ToSocketAddrs;
pub use self::listener::{Accept, Incoming, ListenOptions, TcpListener};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use self::stream::TcpStream;

mod addr;
mod connect;
mod listener;
mod read;
mod split;
mod stream;
mod waiters;
mod write;

use std::io;
use std::sync::Arc;

use crate::io::Port;

/// The runtime that a new socket will belong to.
fn port() -> io::Result<Arc<dyn Port>> {
    crate::io::current().ok_or_else(|| {
        io::Error::other(
            "a socket was made outside of a Pirn runtime: do it inside block_on or a spawned task",
        )
    })
}

/// An error with what was asked in front; the error itself is its source.
fn context(what: impl FnOnce() -> String, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Context { what: what(), error })
}

#[derive(Debug)]
struct Context {
    what: String,
    error: io::Error,
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
