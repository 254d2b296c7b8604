//! What names an address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What can be bound or connected to: `SocketAddr`, `(ip, port)`, `"127.0.0.1:80"`, `"[::1]:80"`, `("127.0.0.1", 80)`, or a slice of addresses.
///
/// No names are looked up, except `localhost`, because the system's resolver blocks. Resolve others with
/// `std::net::ToSocketAddrs` inside [`spawn_blocking`](crate::spawn_blocking).
pub trait ToSocketAddrs {
    /// The addresses, in order of preference.
    ///
    /// # Errors
    /// If it is not an address with a port.
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>>;
}

fn unresolved(host: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "\"{host}\" is no address: give an IP address and a port, like 127.0.0.1:8080 or [::1]:8080 (names are not looked up, except localhost; resolve them with std::net::ToSocketAddrs in spawn_blocking)"
        ),
    )
}

fn host(name: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if name == "localhost" {
        return Some(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    Some(vec![SocketAddr::new(name.parse().ok()?, port)])
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let split = self.rsplit_once(':').and_then(|(name, port)| host(name, port.parse().ok()?));
        split.ok_or_else(|| unresolved(self))
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        host(self.0, self.1).ok_or_else(|| unresolved(self.0))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(
            impl ToSocketAddrs for $type {
                fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
                    Ok(vec![SocketAddr::from(*self)])
                }
            }
        )*
    };
}

plain! { SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16) }

/// Tries the addresses in order; the error is the last one's.
pub(super) async fn each<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address).await {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(none))
}

/// The error of an empty list.
pub(super) fn none() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the list of addresses is empty")
}
