//! The calls of every message, without what C's wrappers add: each of those is a point at which its thread may be cancelled
//! (`pthread_cancel`), for which it takes two locked instructions around the call. Nobody cancels threads of Rust.
//! They set errno as the wrappers do. What interposes the wrappers (LD_PRELOAD, some sanitizers) does not see them.

use std::os::fd::RawFd;
use std::ptr;

use libc::{c_int, c_long, epoll_event, msghdr, sigset_t};

/// # Safety
/// As recv(2).
#[inline]
pub(in crate::os) unsafe fn recv(fd: RawFd, into: *mut u8, count: usize, flags: c_int) -> isize {
    let (fd, flags, from) = (fd as c_long, flags as c_long, ptr::null_mut::<u8>());
    // SAFETY: the caller's duty; nobody is asked whom it came from.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, into, count, flags, from, from) as isize }
}

/// # Safety
/// As send(2).
#[inline]
pub(in crate::os) unsafe fn send(fd: RawFd, from: *const u8, count: usize, flags: c_int) -> isize {
    let (fd, flags, to) = (fd as c_long, flags as c_long, ptr::null::<u8>());
    // SAFETY: the caller's duty; it goes to the peer.
    unsafe { libc::syscall(libc::SYS_sendto, fd, from, count, flags, to, 0usize) as isize }
}

/// # Safety
/// As sendmsg(2).
#[inline]
pub(in crate::os) unsafe fn sendmsg(fd: RawFd, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's duty.
    unsafe { libc::syscall(libc::SYS_sendmsg, fd as c_long, message, flags as c_long) as isize }
}

/// # Safety
/// As epoll_wait(2). (Not every machine has that one; all have epoll_pwait, which is the same without a mask.)
#[inline]
pub(in crate::os) unsafe fn epoll_wait(
    set: RawFd,
    events: *mut epoll_event,
    room: usize,
    limit_ms: c_int,
) -> c_int {
    let (set, limit, mask) = (set as c_long, limit_ms as c_long, ptr::null::<sigset_t>());
    // SAFETY: the caller's duty; there is no mask, whatever its size.
    unsafe { libc::syscall(libc::SYS_epoll_pwait, set, events, room, limit, mask, 0usize) as c_int }
}
