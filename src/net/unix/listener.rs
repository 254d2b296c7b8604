//! A listener for Unix streams.

use std::io;
use std::sync::Arc;

use super::{ToUnixAddress, UnixStream};
use crate::io::Port;
use crate::net::accept::{Acceptor, SocketListener, listener};
use crate::os::{Address, Fd, SocketKind, UnixAddress};

/// Connections the kernel keeps for the next accepts; capped by net.core.somaxconn.
const BACKLOG: u32 = 1024;

/// A Unix socket that accepts connections.
///
/// Any number of tasks may accept at once. The file of a path is made by the bind and stays when the listener is dropped: remove it before
/// the next bind, or use an abstract name.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::{UnixAddress, UnixListener, UnixStream};
///
/// # let name = format!("pirn-listener-{}", std::process::id());
/// pirn::Runtime::new()?.block_on(async {
///     let listener = UnixListener::bind(UnixAddress::from_abstract_name(name)?)?;
///     let client = UnixStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     assert_eq!(server.peer_cred()?.pid, Some(std::process::id() as i32));
///     # drop(client);
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixListener(Acceptor);

listener!(UnixListener, UnixStream, UnixAddress);

impl SocketListener for UnixListener {
    type Stream = UnixStream;
    type Address = UnixAddress;

    #[expect(private_interfaces, reason = "sealed")]
    fn stream(fd: Fd, port: Arc<dyn Port>, peer: Address) -> io::Result<(UnixStream, UnixAddress)> {
        Ok((UnixStream::new(fd, port), peer.unix()?))
    }
}

impl UnixListener {
    /// Binds and listens.
    ///
    /// # Errors
    /// With the address: in use (by a file that was left perhaps: remove it), no permission, no such directory.
    pub fn bind(address: impl ToUnixAddress) -> io::Result<Self> {
        let address = address.to_unix_address()?;
        let port = crate::net::port()?;
        let os = port.os();
        let fd = os.socket(SocketKind::UnixStream)?;
        os.bind(&fd, &Address::Unix(address.clone())).and_then(|()| os.listen(&fd, BACKLOG)).map_err(
            |error| crate::net::context(|| format!("cannot listen on the Unix socket {address}"), error),
        )?;
        Ok(Self(Acceptor::new(fd, port)))
    }

    /// Takes over a listener of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let port = crate::net::port()?;
        let fd = port.os().adopt(listener.into())?;
        Ok(Self(Acceptor::new(fd, port)))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        self.0.local_addr()?.unix()
    }
}
