//! What names an address, and looking names up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

/// What can be bound or connected to: `SocketAddr`, `(ip, port)`, `"127.0.0.1:80"`, `"[::1]:80"`, `("127.0.0.1", 80)`, a slice of addresses,
/// or a host's name with a port: `"example.org:80"`, `("example.org", 80)`.
///
/// A name is looked up on the threads of [`spawn_blocking`](crate::spawn_blocking), by the system's resolver; in the simulator it is the name
/// of a host. `localhost` is known without asking.
pub trait ToSocketAddrs {
    /// The addresses, or whose they are.
    ///
    /// # Errors
    /// If it is neither an address with a port nor a name with one.
    fn to_socket_addrs(&self) -> io::Result<Addresses>;
}

/// What a [`ToSocketAddrs`] stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// These, in order of preference.
    Known(Vec<SocketAddr>),
    /// Those of a host, with a port.
    Host(String, u16),
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "\"{text}\" is no address: give an IP address or a host's name, and a port, like 127.0.0.1:8080, [::1]:8080 or example.org:80"
        ),
    )
}

/// A name or an address without a port.
fn host(name: &str, port: u16) -> io::Result<Addresses> {
    if name == "localhost" {
        let both = vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        return Ok(Addresses::Known(both));
    }
    if let Ok(ip) = name.parse() {
        return Ok(Addresses::Known(vec![SocketAddr::new(ip, port)]));
    }
    let fits = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(wrong(name));
    }
    Ok(Addresses::Host(name.to_owned(), port))
}

/// The addresses, after a look at the resolver if it is a name.
pub(super) async fn resolve(what: Addresses) -> io::Result<Vec<SocketAddr>> {
    let (name, port) = match what {
        Addresses::Known(addresses) => return Ok(addresses),
        Addresses::Host(name, port) => (name, port),
    };
    let os = Arc::clone(super::port()?.os());
    let host = name.clone();
    let found = match crate::spawn_blocking(move || os.lookup(&host)).await {
        Ok(found) => found,
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    let found = found.and_then(|found| match found.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the resolver knows no address of it")),
        false => Ok(found),
    });
    match found {
        Ok(found) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
        Err(error) => Err(super::context(|| format!("cannot look up the host \"{name}\""), error)),
    }
}

/// Looks up the addresses of a host's name with a port (or of anything else that can be connected to), in the resolver's order.
///
/// Cancel-safe; a look-up that has begun ends on its thread all the same.
///
/// # Errors
/// The resolver's, with the name; outside of a runtime.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pirn::Runtime::new()?.block_on(async {
///     let found = pirn::net::lookup_host("localhost:80").await?;
///     assert!(found.iter().all(|address| address.ip().is_loopback()));
///     Ok(())
/// })
/// # }
/// ```
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    resolve(host.to_socket_addrs()?).await
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        if let Ok(address) = self.parse() {
            return Ok(Addresses::Known(vec![address]));
        }
        let (name, port) = self.rsplit_once(':').ok_or_else(|| wrong(self))?;
        host(name, port.parse().map_err(|_| wrong(self))?)
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        host(self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        Ok(Addresses::Known(self.to_vec()))
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<Addresses> {
        (**self).to_socket_addrs()
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(
            impl ToSocketAddrs for $type {
                fn to_socket_addrs(&self) -> io::Result<Addresses> {
                    Ok(Addresses::Known(vec![SocketAddr::from(*self)]))
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
    for address in resolve(addresses.to_socket_addrs()?).await? {
        match attempt(address).await {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(none))
}

/// Has `make` do something with the addresses in order until it succeeds; the error is the last one's, after `cannot` and the address.
///
/// Not [`each`]: rustc can't tell that the future of an async closure is Send.
pub(super) async fn first<T>(
    addresses: impl ToSocketAddrs,
    cannot: &str,
    make: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in resolve(addresses.to_socket_addrs()?).await? {
        match make(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(super::context(|| format!("cannot {cannot} {address}"), error)),
        }
    }
    Err(last.unwrap_or_else(none))
}

/// The error of an empty list.
pub(super) fn none() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the list of addresses is empty")
}
