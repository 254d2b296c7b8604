//! Socket addresses in the kernel's form.

use std::ffi::c_char;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use libc::{sockaddr_in, sockaddr_in6, sockaddr_un, socklen_t};
use pirn::os::{Address, UnixAddress};

use crate::net::Errno;

/// Where the name of a Unix address begins.
const NAME_AT: usize = offset_of!(sockaddr_un, sun_path);

/// The address that a caller passes.
///
/// # Safety
/// `length` readable bytes.
pub(super) unsafe fn decode(from: *const libc::sockaddr, length: socklen_t) -> Result<Address, Errno> {
    if from.is_null() || (length as usize) < size_of::<libc::sa_family_t>() {
        return Err(libc::EINVAL);
    }
    let length = length as usize;
    // SAFETY: as many bytes are readable as is checked before each read.
    unsafe {
        match i32::from(from.cast::<libc::sa_family_t>().read_unaligned()) {
            libc::AF_INET if length >= size_of::<sockaddr_in>() => {
                let v4 = from.cast::<sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Ok(Address::Ip(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into()))
            }
            libc::AF_INET6 if length >= size_of::<sockaddr_in6>() => {
                let v6 = from.cast::<sockaddr_in6>().read_unaligned();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Ok(Address::Ip(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into()))
            }
            libc::AF_UNIX if length <= size_of::<sockaddr_un>() => {
                let bytes = from.cast::<u8>().add(NAME_AT);
                let bytes = std::slice::from_raw_parts(bytes, length - NAME_AT);
                unix(bytes).map(Address::Unix)
            }
            libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX => Err(libc::EINVAL),
            _ => Err(libc::EAFNOSUPPORT),
        }
    }
}

fn unix(bytes: &[u8]) -> Result<UnixAddress, Errno> {
    let name = match bytes {
        [] => Ok(UnixAddress::Unnamed),
        [0, name @ ..] => UnixAddress::from_abstract_name(name),
        path => {
            let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
            UnixAddress::from_path(std::ffi::OsStr::from_bytes(&path[..end]))
        }
    };
    name.map_err(|_| libc::EINVAL)
}

/// Writes an address where a caller wants it, cut to the room there is; the length becomes the whole address'.
///
/// # Safety
/// `length` is valid for reading and writing, and as many bytes at `into` for writing; or `into` is null.
pub(super) unsafe fn encode(address: &Address, into: *mut u8, length: *mut socklen_t) {
    if into.is_null() || length.is_null() {
        return;
    }
    let bytes = bytes(address);
    // SAFETY: no more than the room is written.
    unsafe {
        let room = (*length as usize).min(bytes.len());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), into, room);
        *length = bytes.len() as socklen_t;
    }
}

fn raw<T>(value: &T) -> Vec<u8> {
    // SAFETY: plain integers without padding between them.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }.to_vec()
}

fn bytes(address: &Address) -> Vec<u8> {
    match address {
        Address::Ip(SocketAddr::V4(address)) => raw(&sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        }),
        Address::Ip(SocketAddr::V6(address)) => raw(&sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
            sin6_scope_id: address.scope_id(),
        }),
        Address::Unix(name) => {
            let name = match (name.as_path(), name.as_abstract_name()) {
                (Some(path), _) => [path.as_os_str().as_bytes(), &[0]].concat(),
                (_, Some(name)) => [&[0], name].concat(),
                _ => Vec::new(),
            };
            // SAFETY: plain integers; zeros are a value.
            let mut unix: sockaddr_un = unsafe { std::mem::zeroed() };
            unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
            unix.sun_path.iter_mut().zip(&name).for_each(|(into, byte)| *into = *byte as c_char);
            let mut bytes = raw(&unix);
            bytes.truncate(NAME_AT + name.len());
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back() {
        let all = [
            Address::Ip(SocketAddr::from(([10, 0, 0, 1], 7))),
            Address::Ip(SocketAddr::from(([1, 2, 3, 4, 5, 6, 7, 8], 443))),
            Address::Unix(UnixAddress::Unnamed),
            Address::Unix(UnixAddress::from_path("/run/a").unwrap()),
            Address::Unix(UnixAddress::from_abstract_name("b").unwrap()),
        ];
        for address in all {
            let mut room = [0_u8; 128];
            let mut length = 128;
            // SAFETY: the room is there.
            let back = unsafe {
                encode(&address, room.as_mut_ptr(), &raw mut length);
                decode(room.as_ptr().cast(), length)
            };
            assert_eq!(back, Ok(address));
        }
    }
}
