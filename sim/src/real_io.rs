//! Symbols of libc with which a program would wait for the real machine's descriptors, make them, or start a process: a simulated thread
//! that calls one ends its run. Waits for no descriptor are sleeps, and virtual.
//!
//! What makes a descriptor is refused, not what uses one: live programs that link the simulator make few of them.

use std::ffi::{CStr, c_char, c_int, c_long};

use crate::guard::refuse;
use crate::interpose::real;
use crate::thread::{Executor, current};

const NO_PROCESS: &str = "a process can't be simulated";
pub(crate) const NO_DESCRIPTOR: &str = "use the sockets, pipes and names of pirn";

/// Defines functions that can't be simulated, and the list of them.
macro_rules! refused {
    ($($real:literal $name:ident($($argument:ident: $type:ty),*), $remedy:expr;)*) => {
        $(
            /// # Safety
            /// As libc's function of this name.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
                if let Some(executor) = current() {
                    refuse(executor, stringify!($name), $remedy);
                }
                // SAFETY: the caller's duty.
                unsafe { real!($real as unsafe extern "C" fn($($type),*) -> c_int)($($argument),*) }
            }
        )*

        /// The symbols of this file, for [`crate::is_linked`].
        pub(crate) fn symbols() -> impl Iterator<Item = (&'static CStr, usize)> {
            let waits = [
                (c"poll", poll as *const () as usize),
                (c"ppoll", ppoll as *const () as usize),
                (c"select", select as *const () as usize),
                (c"pselect", pselect as *const () as usize),
            ];
            waits.into_iter().chain([$(($real, $name as *const () as usize)),*])
        }
    };
}

type Actions = *const libc::posix_spawn_file_actions_t;
type Attributes = *const libc::posix_spawnattr_t;
type Texts = *const *mut c_char;
type Found = *mut *mut libc::addrinfo;

refused! {
    c"fork" fork(), NO_PROCESS;
    c"posix_spawn" posix_spawn(pid: *mut libc::pid_t, file: *const c_char, actions: Actions, attributes: Attributes, arguments: Texts, environment: Texts), NO_PROCESS;
    c"posix_spawnp" posix_spawnp(pid: *mut libc::pid_t, file: *const c_char, actions: Actions, attributes: Attributes, arguments: Texts, environment: Texts), NO_PROCESS;
    c"pipe" pipe(pair: *mut c_int), NO_DESCRIPTOR;
    c"getaddrinfo" getaddrinfo(node: *const c_char, service: *const c_char, hints: *const libc::addrinfo, found: Found), NO_DESCRIPTOR;
}

/// Waits for nothing but the time, or for ever.
fn rest(executor: &'static Executor, seconds: i64, ns: u64) -> c_int {
    executor.sleep_for((seconds.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(ns));
    0
}

/// # Safety
/// As poll(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int) -> c_int {
    if let Some(executor) = current()
        && timeout_ms == 0
    {
        // SAFETY: the caller's entries.
        let served = unsafe { crate::kernel::serve_poll(executor, fds, count as usize) };
        if let Some(ready) = served {
            return ready;
        }
    }
    match current() {
        Some(executor) if count == 0 => {
            executor.sleep_for(u64::try_from(timeout_ms).map_or(u64::MAX, |ms| ms * 1_000_000));
            0
        }
        Some(executor) => refuse(executor, "poll with descriptors", NO_DESCRIPTOR),
        None => {
            type Call = unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"poll" as Call)(fds, count, timeout_ms) }
        }
    }
}

/// # Safety
/// As ppoll(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn ppoll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: *const libc::timespec,
    signals: *const libc::sigset_t,
) -> c_int {
    match current() {
        // SAFETY: the caller's timespec, or none.
        Some(executor) if count == 0 => match unsafe { timeout.as_ref() } {
            Some(limit) => rest(executor, limit.tv_sec, limit.tv_nsec as u64),
            None => rest(executor, i64::MAX, 0),
        },
        Some(executor) => refuse(executor, "ppoll with descriptors", NO_DESCRIPTOR),
        None => {
            type Call = unsafe extern "C" fn(
                *mut libc::pollfd,
                libc::nfds_t,
                *const libc::timespec,
                *const libc::sigset_t,
            ) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"ppoll" as Call)(fds, count, timeout, signals) }
        }
    }
}

/// # Safety
/// As select(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn select(
    count: c_int,
    reads: *mut libc::fd_set,
    writes: *mut libc::fd_set,
    errors: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> c_int {
    match current() {
        // SAFETY: the caller's timeval, or none.
        Some(executor) if count == 0 => match unsafe { timeout.as_ref() } {
            Some(limit) => rest(executor, limit.tv_sec, limit.tv_usec.max(0) as u64 * 1_000),
            None => rest(executor, i64::MAX, 0),
        },
        Some(executor) => refuse(executor, "select with descriptors", NO_DESCRIPTOR),
        None => {
            type Set = *mut libc::fd_set;
            type Call = unsafe extern "C" fn(c_int, Set, Set, Set, *mut libc::timeval) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"select" as Call)(count, reads, writes, errors, timeout) }
        }
    }
}

/// # Safety
/// As pselect(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn pselect(
    count: c_int,
    reads: *mut libc::fd_set,
    writes: *mut libc::fd_set,
    errors: *mut libc::fd_set,
    timeout: *const libc::timespec,
    signals: *const libc::sigset_t,
) -> c_int {
    match current() {
        // SAFETY: the caller's timespec, or none.
        Some(executor) if count == 0 => match unsafe { timeout.as_ref() } {
            Some(limit) => rest(executor, limit.tv_sec, limit.tv_nsec as u64),
            None => rest(executor, i64::MAX, 0),
        },
        Some(executor) => refuse(executor, "pselect with descriptors", NO_DESCRIPTOR),
        None => {
            type Set = *mut libc::fd_set;
            type Call = unsafe extern "C" fn(
                c_int,
                Set,
                Set,
                Set,
                *const libc::timespec,
                *const libc::sigset_t,
            ) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"pselect" as Call)(count, reads, writes, errors, timeout, signals) }
        }
    }
}

/// The same by raw system calls; `None`: the real machine may serve it.
///
/// # Safety
/// As syscall(2).
pub(crate) unsafe fn raw(
    executor: &'static Executor,
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
) -> Option<c_long> {
    // SAFETY: the caller's arguments have the types of the call, as it promises.
    unsafe {
        match number {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => return Some(c_long::from(poll(a as _, b as _, c as _))),
            libc::SYS_ppoll => return Some(c_long::from(ppoll(a as _, b as _, c as _, std::ptr::null()))),
            _ => {}
        }
    }
    let name = match number {
        libc::SYS_socket => "socket",
        libc::SYS_socketpair => "socketpair",
        libc::SYS_pipe2 => "pipe2",
        libc::SYS_pselect6 => "pselect6",
        libc::SYS_epoll_create1 => "epoll_create1",
        libc::SYS_eventfd2 => "eventfd2",
        libc::SYS_timerfd_create => "timerfd_create",
        libc::SYS_io_uring_setup => "io_uring_setup",
        _ => return None,
    };
    refuse(executor, &format!("the system call {name}"), NO_DESCRIPTOR)
}
