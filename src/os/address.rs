//! What names a socket, and which sockets there are.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a Unix address' name at most (`sun_path`); a path needs one of them for its end.
const NAME: usize = 108;

/// Which socket to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP over IPv4.
    UdpV4,
    /// UDP over IPv6.
    UdpV6,
    /// A stream between processes of one machine.
    UnixStream,
    /// Datagrams between processes of one machine: none is lost, and they keep their order.
    UnixDatagram,
}

impl SocketKind {
    /// TCP for addresses of the family of `like`.
    pub const fn tcp(like: SocketAddr) -> Self {
        if like.is_ipv4() { Self::TcpV4 } else { Self::TcpV6 }
    }

    /// UDP for addresses of the family of `like`.
    pub const fn udp(like: SocketAddr) -> Self {
        if like.is_ipv4() { Self::UdpV4 } else { Self::UdpV6 }
    }

    /// Whether each send is one message.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::UdpV4 | Self::UdpV6 | Self::UnixDatagram)
    }

    /// Whether its addresses are [`UnixAddress`]es.
    pub const fn is_unix(self) -> bool {
        matches!(self, Self::UnixStream | Self::UnixDatagram)
    }
}

/// What a socket is bound or connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Of a TCP or UDP socket.
    Ip(SocketAddr),
    /// Of a Unix socket.
    Unix(UnixAddress),
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// It has none: a connecting socket, or one of a pair.
    Unnamed,
    /// A file, which stays when the socket is closed.
    Path(Arc<Path>),
    /// A name of the abstract namespace, which goes with its socket.
    Abstract(Arc<[u8]>),
}

impl Address {
    /// The Internet address.
    ///
    /// # Errors
    /// If it is a Unix address.
    pub fn ip(self) -> io::Result<SocketAddr> {
        match self {
            Self::Ip(address) => Ok(address),
            Self::Unix(name) => Err(foreign("an Internet address", &name)),
        }
    }

    /// The Unix address.
    ///
    /// # Errors
    /// If it is an Internet address.
    pub fn unix(self) -> io::Result<UnixAddress> {
        match self {
            Self::Unix(name) => Ok(name),
            Self::Ip(address) => Err(foreign("a Unix address", &address)),
        }
    }
}

fn foreign(wanted: &str, found: &dyn fmt::Display) -> io::Error {
    let message = format!("{wanted} was expected, found {found}: use the type of socket that it belongs to");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl UnixAddress {
    /// The address of a file.
    ///
    /// # Errors
    /// If the path is empty, has a zero byte, or has more than 107 bytes.
    pub fn from_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        let wrong = if bytes.is_empty() {
            "it is empty"
        } else if bytes.contains(&0) {
            "it has a zero byte"
        } else if bytes.len() >= NAME {
            "it has more than 107 bytes: use a shorter one, relative perhaps, or an abstract name"
        } else {
            return Ok(Self::Path(Arc::from(path)));
        };
        let message = format!("\"{}\" can't be the address of a Unix socket: {wrong}", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// A name of the abstract namespace.
    ///
    /// # Errors
    /// If it has more than 107 bytes.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = name.as_ref();
        if name.len() >= NAME {
            let message = format!("an abstract socket name has 107 bytes at most, this has {}", name.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self::Abstract(Arc::from(name)))
    }

    /// The path, if it is one.
    pub fn as_path(&self) -> Option<&Path> {
        if let Self::Path(path) = self { Some(path) } else { None }
    }

    /// The abstract name, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        if let Self::Abstract(name) = self { Some(name) } else { None }
    }

    /// Whether it is no name at all.
    pub fn is_unnamed(&self) -> bool {
        matches!(self, Self::Unnamed)
    }

    /// The name as the kernel has it: the bytes of `sun_path` (an abstract name after a zero byte).
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Unnamed => Vec::new(),
            Self::Path(path) => [path.as_os_str().as_bytes(), &[0]].concat(),
            Self::Abstract(name) => [&[0], &**name].concat(),
        }
    }

    /// Back from that.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(Arc::from(name)),
            path => {
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                Self::Path(Arc::from(Path::new(OsStr::from_bytes(&path[..end]))))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(name: UnixAddress) -> Self {
        Self::Unix(name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("(unnamed)"),
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}
