//! An epoll set and plain sockets for programs without a runtime: the floor and the load generators.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Events taken at most in one wait: as many as the largest benchmark has connections.
const BATCH: usize = 1024;

/// What to be told of.
pub(crate) const READ: u32 = libc::EPOLLIN as u32;
/// Both directions, once each time more becomes possible.
pub(crate) const EDGES: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;

/// An epoll set and room for its events.
pub(crate) struct Set {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Set {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: it takes a flag and gives a descriptor or -1.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is fresh, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH] })
    }

    /// Adds a descriptor; its events carry `key`.
    pub(crate) fn add(&self, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: key };
        // SAFETY: the event is valid for the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits for events, `limit_ms` milliseconds at most (-1: for ever), and returns how many there are.
    pub(crate) fn wait(&mut self, limit_ms: i32) -> io::Result<usize> {
        let room = self.events.len() as i32;
        // SAFETY: the pointer and the length describe one live vector.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, limit_ms) };
        match check(count) {
            Ok(count) => Ok(count as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The key of an event of the last wait.
    pub(crate) fn key(&self, at: usize) -> u64 {
        self.events[at].u64
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Reads what is there: `None` is "not now".
pub(crate) fn read(mut stream: &TcpStream, into: &mut [u8]) -> io::Result<Option<usize>> {
    not_now(stream.read(into))
}

/// Writes what fits: `None` is "not now".
pub(crate) fn write(mut stream: &TcpStream, from: &[u8]) -> io::Result<Option<usize>> {
    not_now(stream.write(from))
}

/// `None` for "not now".
pub(crate) fn not_now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps the calling thread, and those it will start, on one CPU.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeros is the empty set, which CPU_SET changes in place; the pointer is valid for its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    check(result).map(drop)
}
