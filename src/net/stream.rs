//! A TCP connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::duplex::Duplex;
use super::{StreamSocket, ToSocketAddrs, addr, connect, options};
use crate::io::Port;
use crate::os::{Fd, SocketOption};

/// A TCP connection.
///
/// All methods take `&self`: one task may read while another writes. Where two tasks read (or write) at once, only
/// the one that asked last is woken.
///
/// A write hands its bytes to the kernel (or, with others, at the end of the turn: [`set_cork`](Self::set_cork)), or, where the kernel takes none, at most 64 KiB of them to a send that
/// goes on by itself; the next write waits for that. Its error is reported by every later write, flush and
/// shutdown. Dropping the stream sends what was accepted, then closes.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::{TcpListener, TcpStream};
///
/// pirn::Runtime::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     let mut bytes = [0; 5];
///     server.read_exact(&mut bytes).await?;
///     assert_eq!(&bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpStream(Duplex);

super::duplex::stream!(TcpStream);

impl TcpStream {
    pub(super) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self(Duplex::new(fd, port))
    }

    fn duplex(&self) -> &Duplex {
        &self.0
    }

    /// Connects to the first of the addresses that answers.
    ///
    /// Cancel-safe: dropped before its end, it closes the socket.
    ///
    /// # Errors
    /// The last address' error with its name: refused, unreachable, timed out (by the kernel, after about two
    /// minutes; use [`timeout`](crate::time::timeout) for less), or no descriptor left.
    pub async fn connect(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        addr::each(addresses, connect::connect).await
    }

    /// Takes over a connected stream of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Ok(Self(Duplex::adopt(stream.into())?))
    }

    /// Flushes, and gives the connection to `std`, non-blocking as it is (`set_nonblocking(false)` changes that).
    ///
    /// Not cancel-safe: dropped before its end, it closes the stream.
    ///
    /// # Errors
    /// With the stream: if the flush failed, if the backend received bytes ahead of the reader (read them first), or if
    /// the process has no descriptor left (the stream's own is duplicated).
    pub async fn into_std(self) -> Result<std::net::TcpStream, (Self, io::Error)> {
        match self.0.release().await {
            Ok(fd) => Ok(fd.into()),
            Err(error) => Err((self, error)),
        }
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.os().local_addr(self.0.fd())?.ip()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.os().peer_addr(self.0.fd())?.ip()
    }

    fn option(&self, option: SocketOption) -> io::Result<SocketOption> {
        self.0.option(option)
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.0.set_option(option)
    }

    /// How long the kernel tries to send what is left after a close (SO_LINGER); `None`: in the background, for as long as it takes.
    ///
    /// # Errors
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match self.option(SocketOption::Linger(None))? {
            SocketOption::Linger(seconds) => Ok(seconds.map(|seconds| Duration::from_secs(seconds.into()))),
            other => Err(options::mismatch(other)),
        }
    }

    /// Sets SO_LINGER, in whole seconds (rounded up, at most 65,535). With zero, closing resets the connection.
    /// With more, the close that comes with the last reference may block its thread that long.
    ///
    /// # Errors
    /// The system's.
    pub fn set_linger(&self, span: Option<Duration>) -> io::Result<()> {
        let seconds = |span: Duration| {
            let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
            u16::try_from(whole).unwrap_or(u16::MAX)
        };
        self.set_option(SocketOption::Linger(span.map(seconds)))
    }
}

super::options::common_options!(TcpStream);
super::options::options! { TcpStream:
    /// Whether small segments leave at once (TCP_NODELAY). The kernel's default is no.
    nodelay,
    /// Sets TCP_NODELAY.
    set_nodelay: NoDelay(bool, false);
    /// Hops a packet may take (IP_TTL).
    ttl,
    /// Sets IP_TTL, 1 to 255.
    set_ttl: Ttl(u32, 0);
}

impl StreamSocket for TcpStream {
    type Address = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("fd", &self.0.fd().raw()).finish_non_exhaustive()
    }
}
