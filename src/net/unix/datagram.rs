//! A Unix datagram socket.

use std::io;
use std::sync::Arc;

use super::{Pause, ToUnixAddress};
use crate::net::connect::connect_fd;
use crate::net::datagram::{Readiness, connected};
use crate::net::options::common_options;
use crate::os::{Address, SocketKind, UnixAddress};

/// A socket for datagrams between processes of one machine: none is lost, and they keep their order; a sender waits while the
/// receiver's queue is full.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::UnixDatagram;
///
/// pirn::Runtime::new()?.block_on(async {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"hello").await?;
///     let mut bytes = [0; 64];
///     assert_eq!(other.recv(&mut bytes).await?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixDatagram(Readiness);

connected!(UnixDatagram);
common_options!(UnixDatagram);

impl UnixDatagram {
    /// A socket with a name. The file of a path stays when the socket is dropped.
    ///
    /// # Errors
    /// With the address: in use (by a file that was left perhaps: remove it), no permission, no such directory.
    pub fn bind(address: impl ToUnixAddress) -> io::Result<Self> {
        let address = address.to_unix_address()?;
        let socket = Self::unbound()?;
        let named = socket.0.os().bind(socket.0.fd(), &Address::Unix(address.clone()));
        named.map_err(|error| {
            crate::net::context(|| format!("cannot bind the Unix socket {address}"), error)
        })?;
        Ok(socket)
    }

    /// A socket without a name: it can send and connect, and nobody can answer.
    ///
    /// # Errors
    /// Outside of a runtime, and if no descriptor is left.
    pub fn unbound() -> io::Result<Self> {
        let port = crate::net::port()?;
        let fd = port.os().socket(SocketKind::UnixDatagram)?;
        Ok(Self(Readiness::new(fd, port)))
    }

    /// Two connected sockets without names.
    ///
    /// # Errors
    /// Outside of a runtime, and if no descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let port = crate::net::port()?;
        let (one, other) = port.os().socket_pair(SocketKind::UnixDatagram)?;
        Ok((Self(Readiness::new(one, Arc::clone(&port))), Self(Readiness::new(other, port))))
    }

    /// Takes over a socket of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        let port = crate::net::port()?;
        let fd = port.os().adopt(socket.into())?;
        Ok(Self(Readiness::new(fd, port)))
    }

    /// Names whom to send to, and from whom alone to receive.
    ///
    /// # Errors
    /// With the address: nobody is bound there, no permission.
    pub async fn connect(&self, address: impl ToUnixAddress) -> io::Result<()> {
        let address = address.to_unix_address()?;
        let connected = connect_fd(self.0.port(), self.0.fd(), Address::Unix(address.clone())).await;
        connected.map_err(|error| {
            crate::net::context(|| format!("cannot connect to the Unix socket {address}"), error)
        })
    }

    /// Receives a datagram into `buffer`, and tells who sent it. What does not fit is lost.
    ///
    /// Cancel-safe: dropped before its end, it has received nothing. Any number of tasks may receive at once.
    ///
    /// # Errors
    /// The system's.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, UnixAddress)> {
        let (count, from) = self.0.recv(buffer, false).await?;
        Ok((count, from.unix()?))
    }

    /// Sends a datagram, and returns how many bytes: all. While the receiver's queue is full it asks again after pauses of 1 to 50 ms, because
    /// the kernel tells only [connected](Self::connect) senders of room.
    ///
    /// Cancel-safe: dropped before its end, it has sent nothing. Any number of tasks may send at once.
    ///
    /// # Errors
    /// Nobody is bound there, too long for one datagram, no permission.
    pub async fn send_to(&self, bytes: &[u8], to: impl ToUnixAddress) -> io::Result<usize> {
        let to = to.to_unix_address()?;
        let mut pause = Pause::default();
        loop {
            if let Some(count) = self.0.try_send(bytes, Some(Address::Unix(to.clone())))? {
                return Ok(count);
            }
            pause.take().await;
        }
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        self.0.os().local_addr(self.0.fd())?.unix()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<UnixAddress> {
        self.0.os().peer_addr(self.0.fd())?.unix()
    }
}
