//! The system calls that the live machines share: sockets, clock, entropy. Thin, checked, without policy.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

use super::SocketOption;

/// The most slices one call takes (IOV_MAX).
const SLICES: usize = 1024;

/// A return value of -1 as the error it stands for.
pub(super) fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The same for a byte count.
fn check_size(returned: isize) -> io::Result<usize> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned as usize) }
}

/// Repeats a call that a signal interrupts; a call that would block is `None`.
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match call() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// A fresh descriptor that a call returned.
///
/// # Safety
/// `fd` is open and nobody else owns it.
pub(super) unsafe fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(super) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing. The call can't fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// 64 bits from the kernel's generator.
pub(super) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    loop {
        // SAFETY: the pointer and length are those of `bytes`.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if got == bytes.len() as isize {
            return u64::from_ne_bytes(bytes);
        }
        let error = io::Error::last_os_error();
        assert!(
            got >= 0 || error.raw_os_error() == Some(libc::EINTR),
            "getrandom failed: {error}; the kernel gives this process no random numbers"
        );
    }
}

/// A socket address in the kernel's form.
pub(super) struct RawAddress {
    storage: sockaddr_storage,
    length: socklen_t,
}

impl RawAddress {
    fn empty() -> Self {
        Self {
            // SAFETY: `sockaddr_storage` is plain integers; zeros are a value.
            storage: unsafe { mem::zeroed() },
            length: mem::size_of::<sockaddr_storage>() as socklen_t,
        }
    }

    pub(super) fn new(address: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match address {
            SocketAddr::V4(address) => {
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
            SocketAddr::V6(address) => {
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
        }
        raw
    }

    fn decode(&self) -> io::Result<SocketAddr> {
        let storage = &raw const self.storage;
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote this type; the storage is large and aligned enough.
                let v4 = unsafe { storage.cast::<sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Ok(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { storage.cast::<sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Ok(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            family => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "an Internet address was expected, found address family {family}: only TCP sockets over IPv4 and IPv6 can be used here"
                ),
            )),
        }
    }

    fn pointer(&self) -> *const sockaddr {
        (&raw const self.storage).cast()
    }
}

/// A non-blocking TCP socket of the address' family.
pub(super) fn tcp_socket(like: SocketAddr) -> io::Result<OwnedFd> {
    let family = if like.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the descriptor is fresh.
    unsafe { Ok(owned(check(libc::socket(family, kind, 0))?)) }
}

pub(super) fn bind(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let raw = RawAddress::new(address);
    // SAFETY: pointer and length describe `raw`.
    check(unsafe { libc::bind(fd, raw.pointer(), raw.length) }).map(drop)
}

pub(super) fn listen(fd: RawFd, backlog: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd, backlog.min(c_int::MAX as u32) as c_int) }).map(drop)
}

pub(super) fn connect(fd: RawFd, address: &RawAddress) -> io::Result<()> {
    // SAFETY: pointer and length describe `address`.
    check(unsafe { libc::connect(fd, address.pointer(), address.length) }).map(drop)
}

/// A connection that waits, non-blocking.
pub(super) fn accept(fd: RawFd) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut raw = RawAddress::empty();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: pointer and length describe `raw`.
    let fd = check(unsafe { libc::accept4(fd, (&raw mut raw.storage).cast(), &mut raw.length, flags) })?;
    // SAFETY: the descriptor is fresh.
    let fd = unsafe { owned(fd) };
    Ok((fd, raw.decode()?))
}

type NameCall = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;

fn name(call: NameCall, fd: RawFd) -> io::Result<SocketAddr> {
    let mut raw = RawAddress::empty();
    // SAFETY: pointer and length describe `raw`; both calls that come here have this contract.
    check(unsafe { call(fd, (&raw mut raw.storage).cast(), &mut raw.length) })?;
    raw.decode()
}

pub(super) fn local_addr(fd: RawFd) -> io::Result<SocketAddr> {
    name(libc::getsockname, fd)
}

pub(super) fn peer_addr(fd: RawFd) -> io::Result<SocketAddr> {
    name(libc::getpeername, fd)
}

pub(super) fn shutdown(fd: RawFd, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd, how) }).map(drop)
}

pub(super) fn recv(fd: RawFd, into: &mut [u8], flags: c_int) -> io::Result<usize> {
    // SAFETY: pointer and length are those of `into`.
    check_size(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags) })
}

/// Receives into the unused capacity of `buffer`, which is cleared first; at most `max` bytes.
pub(super) fn recv_vec(fd: RawFd, buffer: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    buffer.clear();
    buffer.reserve(max);
    let spare: &mut [MaybeUninit<u8>] = &mut buffer.spare_capacity_mut()[..max];
    // SAFETY: pointer and length are those of `spare`, and the kernel only writes.
    let count = check_size(unsafe { libc::recv(fd, spare.as_mut_ptr().cast(), spare.len(), 0) })?;
    // SAFETY: the kernel wrote `count` bytes, at most `max`, which fit the capacity.
    unsafe { buffer.set_len(count) };
    Ok(count)
}

pub(super) fn recv_slices(fd: RawFd, into: &mut [IoSliceMut<'_>], flags: c_int) -> io::Result<usize> {
    if let [only] = into {
        return recv(fd, only, flags);
    }
    // SAFETY: `msghdr` is integers and pointers; zeros mean "none".
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = into.as_mut_ptr().cast();
    message.msg_iovlen = into.len().min(SLICES) as _;
    // SAFETY: `IoSliceMut` has the layout of `iovec` (std's promise), and each describes writable memory.
    check_size(unsafe { libc::recvmsg(fd, &mut message, flags) })
}

pub(super) fn send(fd: RawFd, from: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of `from`.
    check_size(unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), libc::MSG_NOSIGNAL) })
}

pub(super) fn send_slices(fd: RawFd, from: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [only] = from {
        return send(fd, only);
    }
    // SAFETY: as in `recv_slices`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = from.as_ptr().cast_mut().cast();
    message.msg_iovlen = from.len().min(SLICES) as _;
    // SAFETY: `IoSlice` has the layout of `iovec`, each describes readable memory, and sendmsg writes to none of it.
    check_size(unsafe { libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL) })
}

fn set<T>(fd: RawFd, level: c_int, option: c_int, value: T) -> io::Result<()> {
    let length = mem::size_of::<T>() as socklen_t;
    // SAFETY: pointer and length describe `value`.
    check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast::<c_void>(), length) })
        .map(drop)
}

fn get<T: Copy>(fd: RawFd, level: c_int, option: c_int, mut value: T) -> io::Result<T> {
    let mut length = mem::size_of::<T>() as socklen_t;
    // SAFETY: pointer and length describe `value`, and every value type used here is plain integers.
    check(unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast::<c_void>(), &mut length) })?;
    Ok(value)
}

pub(super) fn set_option(fd: RawFd, option: SocketOption) -> io::Result<()> {
    use SocketOption as O;
    let size = |bytes: u32| bytes.min(c_int::MAX as u32) as c_int;
    match option {
        O::NoDelay(on) => set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, c_int::from(on)),
        O::ReuseAddress(on) => set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, c_int::from(on)),
        O::ReusePort(on) => set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, c_int::from(on)),
        O::KeepAlive(on) => set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, c_int::from(on)),
        O::ReceiveBuffer(bytes) => set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, size(bytes)),
        O::SendBuffer(bytes) => set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, size(bytes)),
        O::Ttl(hops) => set(fd, libc::IPPROTO_IP, libc::IP_TTL, size(hops)),
        O::Linger(span) => {
            let linger =
                libc::linger { l_onoff: c_int::from(span.is_some()), l_linger: span.map_or(0, c_int::from) };
            set(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)
        }
        O::Error(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "SO_ERROR can't be set: read it, which also clears it",
        )),
    }
}

pub(super) fn option(fd: RawFd, option: SocketOption) -> io::Result<SocketOption> {
    use SocketOption as O;
    let flag = |level, option| get(fd, level, option, 0 as c_int).map(|value| value != 0);
    let number = |level, option| get(fd, level, option, 0 as c_int).map(|value| value as u32);
    Ok(match option {
        O::NoDelay(_) => O::NoDelay(flag(libc::IPPROTO_TCP, libc::TCP_NODELAY)?),
        O::ReuseAddress(_) => O::ReuseAddress(flag(libc::SOL_SOCKET, libc::SO_REUSEADDR)?),
        O::ReusePort(_) => O::ReusePort(flag(libc::SOL_SOCKET, libc::SO_REUSEPORT)?),
        O::KeepAlive(_) => O::KeepAlive(flag(libc::SOL_SOCKET, libc::SO_KEEPALIVE)?),
        O::ReceiveBuffer(_) => O::ReceiveBuffer(number(libc::SOL_SOCKET, libc::SO_RCVBUF)?),
        O::SendBuffer(_) => O::SendBuffer(number(libc::SOL_SOCKET, libc::SO_SNDBUF)?),
        O::Ttl(_) => O::Ttl(number(libc::IPPROTO_IP, libc::IP_TTL)?),
        O::Linger(_) => {
            let linger = libc::linger { l_onoff: 0, l_linger: 0 };
            let linger = get(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)?;
            O::Linger((linger.l_onoff != 0).then_some(linger.l_linger.clamp(0, 0xffff) as u16))
        }
        O::Error(_) => {
            let errno = get(fd, libc::SOL_SOCKET, libc::SO_ERROR, 0 as c_int)?;
            O::Error((errno != 0).then_some(errno))
        }
    })
}

/// Makes a descriptor non-blocking.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: no pointers.
        check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// The soft limit on open descriptors, for messages.
pub(super) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}
