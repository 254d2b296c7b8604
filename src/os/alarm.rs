//! A deadline in the kernel that outlives the waits it ends.
//!
//! A wait with a limit of its own arms and disarms a timer of the kernel's each time, which on virtual machines costs
//! several times as much as the wait itself (docs/measurements.md). This one stays armed from wait to wait: it is moved only
//! when it has rung or is too late. So a wait may end too early, which the laws of a driver allow.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::epoll::sys::refused;
use super::sys::{check, owned};
use super::{Wait, thread};
use crate::time::Instant;

/// A timerfd, to be registered edge-triggered for reading and never read.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When it rings; zero: not set, or it has.
    at: Instant,
}

impl Alarm {
    /// One that is not set.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = check(unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
        });
        // SAFETY: the descriptor is fresh.
        let timer = fd.map(|fd| unsafe { owned(fd) }).map_err(|error| refused("timerfd_create", error))?;
        Ok(Self { timer, at: Instant::from_nanos(0) })
    }

    /// Whether a look with that wait may block; its deadline is seen to.
    pub(super) fn may_block(&mut self, wait: Wait) -> bool {
        match wait {
            Wait::No => false,
            Wait::Forever => true,
            Wait::Until(deadline) => self.set(deadline),
        }
    }

    /// Sees to it that it rings at `deadline` or before. False: that is now.
    fn set(&mut self, deadline: Instant) -> bool {
        let now = thread::now();
        if deadline <= now {
            return false;
        }
        if now < self.at && self.at <= deadline {
            return true;
        }
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: never, it_value: thread::on_the_clock(deadline) };
        // A span would be as late as this thread is with the call: it may stand still after its look at the clock.
        let flags = libc::TFD_TIMER_ABSTIME;
        // SAFETY: `spec` is valid for reading, and the old value is not asked for.
        let set = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), flags, &raw const spec, std::ptr::null_mut())
        };
        debug_assert!(set == 0, "a timer refused a moment: {}", io::Error::last_os_error());
        self.at = deadline;
        true
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}
