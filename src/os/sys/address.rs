//! Addresses in the kernel's form.

use std::io;
use std::mem::{self, offset_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{c_int, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t};

use crate::os::{Address, UnixAddress};

/// Where the name of a Unix address begins.
const NAME_AT: usize = offset_of!(sockaddr_un, sun_path);

/// A socket address in the kernel's form.
#[derive(Debug)]
pub(in crate::os) struct RawAddress {
    storage: sockaddr_storage,
    length: socklen_t,
}

impl RawAddress {
    /// Room for any.
    pub(super) fn empty() -> Self {
        Self {
            // SAFETY: `sockaddr_storage` is plain integers; zeros are a value.
            storage: unsafe { mem::zeroed() },
            length: mem::size_of::<sockaddr_storage>() as socklen_t,
        }
    }

    pub(in crate::os) fn new(address: &Address) -> Self {
        let mut raw = Self::empty();
        match address {
            Address::Ip(SocketAddr::V4(address)) => {
                let v4 = sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is at least as large and as aligned as every address type.
                unsafe { (&raw mut raw.storage).cast::<sockaddr_in>().write(v4) };
                raw.length = mem::size_of::<sockaddr_in>() as socklen_t;
            }
            Address::Ip(SocketAddr::V6(address)) => {
                let v6 = sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut raw.storage).cast::<sockaddr_in6>().write(v6) };
                raw.length = mem::size_of::<sockaddr_in6>() as socklen_t;
            }
            Address::Unix(name) => {
                let name = name.to_bytes();
                // SAFETY: `sockaddr_un` is plain integers; zeros are a value.
                let mut unix: sockaddr_un = unsafe { mem::zeroed() };
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                // What does not fit was refused when the name was made.
                for (into, byte) in unix.sun_path.iter_mut().zip(&name) {
                    *into = *byte as libc::c_char;
                }
                // SAFETY: as above.
                unsafe { (&raw mut raw.storage).cast::<sockaddr_un>().write(unix) };
                raw.length = (NAME_AT + name.len().min(unix.sun_path.len())) as socklen_t;
            }
        }
        raw
    }

    /// The address that the kernel wrote.
    pub(super) fn decode(&self) -> io::Result<Address> {
        let storage = &raw const self.storage;
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote this type; the storage is large and aligned enough.
                let v4 = unsafe { storage.cast::<sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Ok(Address::Ip(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into()))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { storage.cast::<sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let address = SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id);
                Ok(Address::Ip(address.into()))
            }
            // An unnamed sender has no address at all.
            libc::AF_UNIX | libc::AF_UNSPEC => {
                // SAFETY: as above; a part that the kernel did not write is zeros.
                let unix = unsafe { storage.cast::<sockaddr_un>().read() };
                let count = (self.length as usize).saturating_sub(NAME_AT).min(unix.sun_path.len());
                let name: Vec<u8> = unix.sun_path[..count].iter().map(|&byte| byte as u8).collect();
                Ok(Address::Unix(UnixAddress::from_bytes(&name)))
            }
            family => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "an Internet or Unix address was expected, found address family {family}: sockets of other families can't be used here"
                ),
            )),
        }
    }

    /// For calls that read it.
    pub(in crate::os) fn pointer(&self) -> *const sockaddr {
        (&raw const self.storage).cast()
    }

    /// Its length in bytes.
    pub(in crate::os) fn length(&self) -> socklen_t {
        self.length
    }

    /// For calls that write it: the room, and its length, which becomes the address'.
    pub(super) fn pointers(&mut self) -> (*mut sockaddr, *mut socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    /// Notes how many bytes a call has written.
    pub(super) fn set_length(&mut self, length: socklen_t) {
        self.length = length;
    }
}
