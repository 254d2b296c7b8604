//! The system calls that the live machines share: sockets, clock, entropy. Thin, checked, without policy.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, sockaddr, socklen_t};

pub(super) use self::address::RawAddress;
pub(super) use self::datagram::{recv_batch, send_batch};
pub(super) use self::options::{option, set_option};
use super::{Address, Interest, SocketKind, total};

mod address;
mod datagram;
mod options;
pub(super) mod raw;

/// The most slices one call takes (IOV_MAX).
pub(super) const SLICES: usize = 1024;

/// A return value of -1 as the error it stands for.
pub(super) fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The same for a byte count.
fn check_size(returned: isize) -> io::Result<usize> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned as usize) }
}

/// Makes a call that moves bytes, and says how many: again if a signal interrupts it; `None` if it would block.
#[inline]
fn transfer(mut call: impl FnMut() -> isize) -> io::Result<Option<usize>> {
    loop {
        let returned = call();
        if returned >= 0 {
            return Ok(Some(returned as usize));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Ok(None),
            _ => return Err(error),
        }
    }
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

/// Domain and type of a kind of socket.
fn domain_and_type(kind: SocketKind) -> (c_int, c_int) {
    match kind {
        SocketKind::TcpV4 => (libc::AF_INET, libc::SOCK_STREAM),
        SocketKind::TcpV6 => (libc::AF_INET6, libc::SOCK_STREAM),
        SocketKind::UdpV4 => (libc::AF_INET, libc::SOCK_DGRAM),
        SocketKind::UdpV6 => (libc::AF_INET6, libc::SOCK_DGRAM),
        SocketKind::UnixStream => (libc::AF_UNIX, libc::SOCK_STREAM),
        SocketKind::UnixDatagram => (libc::AF_UNIX, libc::SOCK_DGRAM),
    }
}

/// A non-blocking socket.
pub(super) fn socket(kind: SocketKind) -> io::Result<OwnedFd> {
    let (domain, kind) = domain_and_type(kind);
    // SAFETY: no pointers; the descriptor is fresh.
    unsafe { Ok(owned(check(libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0))?)) }
}

/// Two connected non-blocking sockets.
pub(super) fn socket_pair(kind: SocketKind) -> io::Result<(OwnedFd, OwnedFd)> {
    let (domain, kind) = domain_and_type(kind);
    let mut pair = [0; 2];
    // SAFETY: room for two descriptors, which are fresh.
    unsafe {
        let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        check(libc::socketpair(domain, kind, 0, pair.as_mut_ptr()))?;
        Ok((owned(pair[0]), owned(pair[1])))
    }
}

/// A non-blocking pipe: its reading end, its writing end.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are fresh.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC))?;
        Ok((owned(ends[0]), owned(ends[1])))
    }
}

/// Whether a descriptor is a socket.
pub(super) fn is_socket(fd: BorrowedFd<'_>) -> bool {
    let fd = fd.as_raw_fd();
    options::get(fd, libc::SOL_SOCKET, libc::SO_TYPE, 0 as c_int).is_ok()
}

pub(super) fn bind(fd: RawFd, address: &Address) -> io::Result<()> {
    let raw = RawAddress::new(address);
    // SAFETY: pointer and length describe `raw`.
    check(unsafe { libc::bind(fd, raw.pointer(), raw.length()) }).map(drop)
}

pub(super) fn listen(fd: RawFd, backlog: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd, backlog.min(c_int::MAX as u32) as c_int) }).map(drop)
}

pub(super) fn connect(fd: RawFd, address: &RawAddress) -> io::Result<()> {
    // SAFETY: pointer and length describe `address`.
    check(unsafe { libc::connect(fd, address.pointer(), address.length()) }).map(drop)
}

/// A connection that waits, non-blocking.
pub(super) fn accept(fd: RawFd) -> io::Result<(OwnedFd, Address)> {
    let mut raw = RawAddress::empty();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (name, length) = raw.pointers();
    // SAFETY: both pointers are into `raw`, which has room for every address.
    let fd = check(unsafe { libc::accept4(fd, name, length, flags) })?;
    // SAFETY: the descriptor is fresh.
    let fd = unsafe { owned(fd) };
    Ok((fd, raw.decode()?))
}

type NameCall = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;

fn name(call: NameCall, fd: RawFd) -> io::Result<Address> {
    let mut raw = RawAddress::empty();
    let (name, length) = raw.pointers();
    // SAFETY: both pointers are into `raw`, which has room for every address; both calls that come here have this contract.
    check(unsafe { call(fd, name, length) })?;
    raw.decode()
}

pub(super) fn local_addr(fd: RawFd) -> io::Result<Address> {
    name(libc::getsockname, fd)
}

pub(super) fn peer_addr(fd: RawFd) -> io::Result<Address> {
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

pub(super) fn recv(fd: RawFd, into: &mut [u8], flags: c_int) -> io::Result<Option<usize>> {
    // SAFETY: pointer and length are those of `into`.
    transfer(|| unsafe { raw::recv(fd, into.as_mut_ptr(), into.len(), flags) })
}

/// Receives into `buffer`, which is cleared first; at most `max` bytes. Of a stream that is no socket: reads.
pub(super) fn recv_vec(
    fd: RawFd,
    socket: bool,
    buffer: &mut Vec<u8>,
    max: usize,
) -> io::Result<Option<usize>> {
    buffer.clear();
    buffer.reserve(max);
    recv_spare(fd, socket, buffer, max)
}

/// Receives into the unused capacity of `buffer`, behind what it holds; at most `max` bytes, for which there is room.
#[inline]
pub(super) fn recv_spare(
    fd: RawFd,
    socket: bool,
    buffer: &mut Vec<u8>,
    max: usize,
) -> io::Result<Option<usize>> {
    let spare: &mut [MaybeUninit<u8>] = &mut buffer.spare_capacity_mut()[..max];
    // SAFETY: pointer and length are those of `spare`, and the kernel only writes.
    let count = transfer(|| unsafe {
        match socket {
            true => raw::recv(fd, spare.as_mut_ptr().cast(), spare.len(), 0),
            false => libc::read(fd, spare.as_mut_ptr().cast(), spare.len()),
        }
    })?;
    // SAFETY: the kernel wrote `count` bytes, at most `max`, behind the ones it held; they fit the capacity.
    unsafe { buffer.set_len(buffer.len() + count.unwrap_or(0)) };
    Ok(count)
}

pub(super) fn recv_slices(fd: RawFd, into: &mut [IoSliceMut<'_>], flags: c_int) -> io::Result<Option<usize>> {
    if let [only] = into {
        return recv(fd, only, flags);
    }
    // SAFETY: `msghdr` is integers and pointers; zeros mean "none".
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = into.as_mut_ptr().cast();
    message.msg_iovlen = into.len().min(SLICES) as _;
    // SAFETY: `IoSliceMut` has the layout of `iovec` (std's promise), and each describes writable memory.
    transfer(|| unsafe { libc::recvmsg(fd, &mut message, flags) })
}

pub(super) fn send(fd: RawFd, from: &[u8]) -> io::Result<Option<usize>> {
    // SAFETY: pointer and length are those of `from`.
    transfer(|| unsafe { raw::send(fd, from.as_ptr(), from.len(), libc::MSG_NOSIGNAL) })
}

/// Slices that are no longer than this together are sent as one: the copy costs less than a list of slices costs the kernel (a head of 120
/// bytes and a body of 1 KiB: 75 of 1,700 ns).
const FEW: usize = 2 << 10;

#[inline]
pub(super) fn send_slices(fd: RawFd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    if let [only] = from {
        return send(fd, only);
    }
    if total(from) <= FEW {
        return send_copied(fd, from);
    }
    // SAFETY: as in `recv_slices`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = from.as_ptr().cast_mut().cast();
    message.msg_iovlen = from.len().min(SLICES) as _;
    // SAFETY: `IoSlice` has the layout of `iovec`, each describes readable memory, and sendmsg writes to none of it.
    transfer(|| unsafe { raw::sendmsg(fd, &message, libc::MSG_NOSIGNAL) })
}

fn send_copied(fd: RawFd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let mut all = [MaybeUninit::<u8>::uninit(); FEW];
    let mut at = 0;
    for slice in from {
        all[at..at + slice.len()].write_copy_of_slice(slice);
        at += slice.len();
    }
    // SAFETY: the loop has written all bytes before `at`.
    send(fd, unsafe { all[..at].assume_init_ref() })
}

/// Reads from a stream that is no socket.
pub(super) fn read_slices(fd: RawFd, into: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
    let count = into.len().min(SLICES) as c_int;
    // SAFETY: `IoSliceMut` has the layout of `iovec` (std's promise), and each describes writable memory.
    transfer(|| unsafe { libc::readv(fd, into.as_mut_ptr().cast(), count) })
}

/// Writes to a stream that is no socket. To a broken pipe: EPIPE, as long as the program ignores SIGPIPE, which std sees to.
pub(super) fn write_slices(fd: RawFd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let count = from.len().min(SLICES) as c_int;
    // SAFETY: `IoSlice` has the layout of `iovec`, each describes readable memory, and writev writes to none of it.
    transfer(|| unsafe { libc::writev(fd, from.as_ptr().cast(), count) })
}

/// Whether a call would not block now: asks without waiting.
pub(super) fn is_ready(fd: RawFd, interest: Interest) -> io::Result<bool> {
    let events = match interest {
        Interest::Read => libc::POLLIN | libc::POLLRDHUP | libc::POLLPRI,
        Interest::Write => libc::POLLOUT,
    };
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, valid for reading and writing.
    let count = retry(|| check(unsafe { libc::poll(&mut entry, 1, 0) }))?;
    Ok(count.is_some_and(|count| count > 0))
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

/// The head of the kernel's struct sched_attr, which says by its size how much of it there is.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks for slices of that length for the calling thread, 100 µs to 100 ms (Linux 6.12). A kernel or a filter that knows
/// nothing of it is left alone, and so is a thread with a policy of its own.
pub(super) fn ask_for_slice(slice: std::time::Duration) {
    let size = size_of::<SchedAttr>() as u32;
    let mut attr = SchedAttr { size, ..SchedAttr::default() };
    // SAFETY: `attr` has room for the size that is given.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) };
    if got != 0 || attr.policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attr.runtime = slice.as_nanos() as u64;
    // SAFETY: `attr` is valid for reading, and says how long it is.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}

/// The CPUs that the calling thread may use.
pub(super) fn cpus() -> Vec<usize> {
    // SAFETY: the set is plain data, and zero is a value of it.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: `set` has the size that is given.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: the numbers are below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Has the calling thread run on these CPUs only.
pub(super) fn run_on(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: as in `cpus`.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    for &cpu in cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is below the set's size.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` has the size that is given.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
