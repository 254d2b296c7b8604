//! The epoll system calls.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{c_int, epoll_event};

use crate::os::sys::{check, descriptor_limit, owned, raw};

/// Readable, with all that makes a read worth while: data, end of stream, urgent data. Errors and hang-ups come unasked.
pub(in crate::os) const READ: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI) as u32;
/// Writable.
pub(in crate::os) const WRITE: u32 = libc::EPOLLOUT as u32;
/// What no direction is spared from.
pub(in crate::os) const BROKEN: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// Reported once each time it becomes so.
const EDGE: u32 = libc::EPOLLET as u32;
/// After one of these a short count proves nothing about the kernel's queue.
pub(in crate::os) const INEXACT: u32 = BROKEN | (libc::EPOLLRDHUP | libc::EPOLLPRI) as u32;

/// A refused descriptor, with the remedy.
pub(in crate::os) fn refused(call: &str, error: io::Error) -> io::Error {
    let remedy = match error.raw_os_error() {
        Some(libc::EMFILE) => {
            format!(
                "this process has its {} descriptors open: raise the limit (ulimit -n)",
                descriptor_limit()
            )
        }
        Some(libc::ENFILE) => "the machine is out of descriptors: raise fs.file-max".to_owned(),
        Some(libc::ENOSYS | libc::EPERM) => "a filter (seccomp) refuses it: allow it".to_owned(),
        _ => "a driver can't be made without it".to_owned(),
    };
    io::Error::new(error.kind(), format!("{call} failed: {error}; {remedy}"))
}

/// A new epoll set.
pub(in crate::os) fn create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
    // SAFETY: the descriptor is fresh.
    fd.map(|fd| unsafe { owned(fd) }).map_err(|error| refused("epoll_create1", error))
}

/// A new eventfd.
pub(in crate::os) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) });
    // SAFETY: the descriptor is fresh.
    fd.map(|fd| unsafe { owned(fd) }).map_err(|error| refused("eventfd", error))
}

/// Adds one to an eventfd: an edge for the set it stands in, read or not.
pub(in crate::os) fn signal(eventfd: &OwnedFd) {
    let one = 1u64;
    // SAFETY: eight readable bytes.
    let written = unsafe { libc::write(eventfd.as_raw_fd(), (&raw const one).cast(), 8) };
    // It would take 2^64 unparks to fill the counter, and a full one is still an edge that was given.
    debug_assert!(written == 8, "an eventfd refused a write: {}", io::Error::last_os_error());
}

fn control(set: &OwnedFd, what: c_int, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
    let mut event = epoll_event { events, u64: key };
    // SAFETY: `event` is valid for reading.
    check(unsafe { libc::epoll_ctl(set.as_raw_fd(), what, fd, &mut event) }).map(drop)
}

/// Registers a descriptor, edge-triggered. What is ready already comes as the first edge.
pub(in crate::os) fn add(set: &OwnedFd, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
    control(set, libc::EPOLL_CTL_ADD, fd, events | EDGE, key).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSPC) => io::Error::new(
            error.kind(),
            format!("epoll_ctl failed: {error}; raise fs.epoll.max_user_watches"),
        ),
        _ => error,
    })
}

/// Changes what a registered descriptor is watched for; what is ready already comes as an edge.
pub(in crate::os) fn modify(set: &OwnedFd, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
    control(set, libc::EPOLL_CTL_MOD, fd, events | EDGE, key)
}

/// Registers a descriptor that is reported for as long as it is ready, or changes for what.
pub(in crate::os) fn level(set: &OwnedFd, fd: RawFd, events: u32, key: u64, known: bool) -> io::Result<()> {
    control(set, if known { libc::EPOLL_CTL_MOD } else { libc::EPOLL_CTL_ADD }, fd, events, key)
}

/// Takes a descriptor out, for those that stay open elsewhere.
pub(in crate::os) fn delete(set: &OwnedFd, fd: RawFd) {
    // Not there is as good as taken out.
    drop(control(set, libc::EPOLL_CTL_DEL, fd, 0, 0));
}

/// Fills `events` up to its capacity, waiting for one if it may `block`. A signal ends the wait early.
pub(in crate::os) fn wait(set: &OwnedFd, events: &mut Vec<epoll_event>, block: bool) -> io::Result<()> {
    events.clear();
    let (room, limit) = (events.capacity().min(c_int::MAX as usize), if block { -1 } else { 0 });
    // SAFETY: `events` has so much room.
    match check(unsafe { raw::epoll_wait(set.as_raw_fd(), events.as_mut_ptr(), room, limit) }) {
        Ok(count) => {
            // SAFETY: the kernel wrote `count` events, at most the capacity it was given.
            unsafe { events.set_len(count as usize) };
            Ok(())
        }
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}
