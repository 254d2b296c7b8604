//! TCP, UDP, Unix sockets and pipes over the ops of `io`, and descriptors of the user's own.
//!
//! | | connect, bind | read, write | beside |
//! |---|---|---|---|
//! | [`TcpStream`], [`TcpListener`] | by address or host name | borrowed, vectored, halves | [`ListenOptions`] |
//! | [`UnixStream`], [`UnixListener`] | by path or abstract name | the same | [`peer_cred`](UnixStream::peer_cred), [`pair`](UnixStream::pair) |
//! | [`UdpSocket`] | by address or host name | datagrams, one or a [batch](RecvBatch), segmented | multicast, GRO |
//! | [`UnixDatagram`] | by path or abstract name | datagrams | [`pair`](UnixDatagram::pair) |
//! | [`pipe`](pipe()) | | borrowed, vectored | [`PipeReader::from_fd`] for FIFOs and terminals |
//! | [`AsyncFd`] | | the user's own calls | anything that can be polled |
//!
//! A stream or listener belongs to the runtime it was made in and may be used from any thread and any executor:
//! its requests run on its runtime's workers.
//!
//! **Dropping a future loses nothing.** Reads, writes and accepts in flight belong to the stream or listener, not
//! to the future: bytes that arrive after a read was dropped are what the next read returns, a connection that
//! arrives after an accept was dropped is what the next accept returns, bytes that a write accepted are sent.
//!
//! **Small writes are joined.** The first write of a worker's turn on a stream goes to the kernel, the others leave together at the turn's
//! end, 100 µs later at most unless one poll takes longer; a stream that keeps writing so has all of them joined. See
//! [`set_cork`](TcpStream::set_cork), and [`drained`](crate::drained) for the same in programs.
//!
//! **Whose buffer?** `read` fills one that the caller has ready, `read_owned` one that travels, [`receive`](TcpStream::receive) brings one
//! of the worker's when there is something in it: a server of many connections that mostly wait holds, and touches, less memory.
//!
//! **Which options are set?** None on streams: TCP_NODELAY is off, as the kernel has it; a request-response
//! protocol wants [`TcpStream::set_nodelay`]. Listeners get SO_REUSEADDR, as in `std`.

pub use self::accept::{Accept, Incoming, SocketListener};
pub use self::addr::{Addresses, ToSocketAddrs, lookup_host};
pub use self::async_fd::AsyncFd;
pub use self::batch::{Datagram, RecvBatch};
pub use self::listener::{ListenOptions, TcpListener};
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::receive::Received;
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, StreamSocket, WriteHalf};
pub use self::stream::TcpStream;
pub use self::udp::{UdpOptions, UdpSocket};
pub use self::unix::{ToUnixAddress, UnixDatagram, UnixListener, UnixStream};
pub use crate::os::{Credentials, UnixAddress};

mod accept;
mod addr;
pub(crate) mod async_fd;
mod batch;
mod connect;
pub(crate) mod datagram;
pub(crate) mod duplex;
mod listener;
mod options;
mod pipe;
mod read;
mod receive;
pub(crate) mod shared;
mod split;
mod stream;
mod udp;
mod unix;
mod waiters;
mod write;

use std::io;
use std::sync::Arc;

use crate::io::{Port, context};

/// The runtime that a new socket will belong to.
pub(crate) fn port() -> io::Result<Arc<dyn Port>> {
    crate::io::current().ok_or_else(|| {
        io::Error::other(
            "a socket, pipe, signal or child was made outside of a Pirn runtime: do it inside block_on or a spawned task",
        )
    })
}
