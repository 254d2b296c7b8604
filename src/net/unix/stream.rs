//! A Unix stream.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::{Pause, ToUnixAddress};
use crate::io::Port;
use crate::net::StreamSocket;
use crate::net::connect::connect_fd;
use crate::net::duplex::{Duplex, stream};
use crate::net::options::{common_options, mismatch};
use crate::os::{Address, Credentials, Fd, SocketKind, SocketOption, UnixAddress};

/// A stream between two processes of one machine, or two tasks.
///
/// It reads, writes, splits and closes as a [`TcpStream`](crate::net::TcpStream) does.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::UnixStream;
///
/// pirn::Runtime::new()?.block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     one.write_all(b"hello").await?;
///     let mut bytes = [0; 5];
///     other.read_exact(&mut bytes).await?;
///     assert_eq!(&bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream(Duplex);

stream!(UnixStream);
common_options!(UnixStream);

impl UnixStream {
    pub(super) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self(Duplex::new(fd, port))
    }

    fn duplex(&self) -> &Duplex {
        &self.0
    }

    /// Connects to a listener. While its backlog is full, it is asked again after pauses of 1 to 50 ms.
    ///
    /// Cancel-safe: dropped before its end, it closes the socket.
    ///
    /// # Errors
    /// With the address: nobody listens there, no such file, no permission, or no descriptor left.
    pub async fn connect(address: impl ToUnixAddress) -> io::Result<Self> {
        let address = address.to_unix_address()?;
        let what = address.clone();
        attempt(address).await.map_err(|error| {
            crate::net::context(|| format!("cannot connect to the Unix socket {what}"), error)
        })
    }

    /// Two connected streams without a name.
    ///
    /// # Errors
    /// Outside of a runtime, and if no descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let port = crate::net::port()?;
        let (one, other) = port.os().socket_pair(SocketKind::UnixStream)?;
        Ok((Self::new(one, Arc::clone(&port)), Self::new(other, port)))
    }

    /// Takes over a stream of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self(Duplex::adopt(stream.into())?))
    }

    /// Flushes, and gives the stream to `std`, non-blocking as it is (`set_nonblocking(false)` changes that).
    ///
    /// Not cancel-safe: dropped before its end, it closes the stream.
    ///
    /// # Errors
    /// With the stream: if the flush failed, if the backend received bytes ahead of the reader (read them first), or if
    /// the process has no descriptor left (the stream's own is duplicated).
    pub async fn into_std(self) -> Result<std::os::unix::net::UnixStream, (Self, io::Error)> {
        match self.0.release().await {
            Ok(fd) => Ok(fd.into()),
            Err(error) => Err((self, error)),
        }
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        self.0.os().local_addr(self.0.fd())?.unix()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        self.0.os().peer_addr(self.0.fd())?.unix()
    }

    /// Who is at the other end: who connected, or who listened (SO_PEERCRED), as of then.
    ///
    /// # Errors
    /// The system's.
    pub fn peer_cred(&self) -> io::Result<Credentials> {
        match self.0.option(SocketOption::PeerCredentials(None))? {
            SocketOption::PeerCredentials(Some(peer)) => Ok(peer),
            SocketOption::PeerCredentials(None) => Err(io::ErrorKind::NotConnected.into()),
            other => Err(mismatch(other)),
        }
    }

    fn option(&self, option: SocketOption) -> io::Result<SocketOption> {
        self.0.option(option)
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.0.set_option(option)
    }
}

async fn attempt(address: UnixAddress) -> io::Result<UnixStream> {
    let port = crate::net::port()?;
    let fd = port.os().socket(SocketKind::UnixStream)?;
    let mut pause = Pause::default();
    loop {
        match connect_fd(&port, &fd, Address::Unix(address.clone())).await {
            Ok(()) => return Ok(UnixStream::new(fd, port)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        pause.take().await;
    }
}

impl StreamSocket for UnixStream {
    type Address = UnixAddress;

    fn local_addr(&self) -> io::Result<UnixAddress> {
        self.local_addr()
    }

    fn peer_addr(&self) -> io::Result<UnixAddress> {
        self.peer_addr()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream").field("fd", &self.0.fd().raw()).finish_non_exhaustive()
    }
}
