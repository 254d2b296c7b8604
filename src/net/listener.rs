//! A TCP listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::accept::{Acceptor, SocketListener, listener};
use super::{TcpStream, ToSocketAddrs, addr};
use crate::io::Port;
use crate::os::{Address, Fd, SocketKind, SocketOption};

/// How a listener is made.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_address: true, reuse_port: false }
    }
}

impl ListenOptions {
    /// A backlog of 1,024, SO_REUSEADDR, no SO_REUSEPORT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connections the kernel keeps for the next accepts; capped by net.core.somaxconn.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// SO_REUSEADDR: whether the port may be bound while old connections of it are in TIME_WAIT.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// SO_REUSEPORT: whether other listeners may share the port; the kernel spreads connections over them.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Binds and listens.
    ///
    /// # Errors
    /// With the address: in use, not this machine's, a port below 1,024 without the right to it.
    pub async fn bind(self, addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        addr::first(addresses, "listen on", |address| self.listen(address)).await
    }

    fn listen(self, address: SocketAddr) -> io::Result<TcpListener> {
        let port = super::port()?;
        let os = port.os();
        let fd = os.socket(SocketKind::tcp(address))?;
        if self.reuse_address {
            os.set_option(&fd, SocketOption::ReuseAddress(true))?;
        }
        if self.reuse_port {
            os.set_option(&fd, SocketOption::ReusePort(true))?;
        }
        os.bind(&fd, &address.into())?;
        os.listen(&fd, self.backlog)?;
        Ok(TcpListener(Acceptor::new(fd, port)))
    }
}

/// A socket that accepts connections.
///
/// Any number of tasks may accept at once. An accept that waits when the listener is dropped never resolves, so
/// the borrow checker forbids it.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # pirn::Runtime::new()?.block_on(async {
/// use pirn::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr()?);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpListener(Acceptor);

listener!(TcpListener, TcpStream, SocketAddr);

impl SocketListener for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    #[expect(private_interfaces, reason = "sealed")]
    fn stream(fd: Fd, port: Arc<dyn Port>, peer: Address) -> io::Result<(TcpStream, SocketAddr)> {
        Ok((TcpStream::new(fd, port), peer.ip()?))
    }
}

impl TcpListener {
    /// Binds and listens with the default [`ListenOptions`].
    ///
    /// # Errors
    /// As [`ListenOptions::bind`].
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        ListenOptions::new().bind(addresses).await
    }

    /// Takes over a listener of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(listener.into())?;
        Ok(Self(Acceptor::new(fd, port)))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.ip()
    }

    /// Hops a packet may take (IP_TTL), which accepted connections inherit.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.0.port().os().set_option(self.0.fd(), SocketOption::Ttl(hops))
    }
}
