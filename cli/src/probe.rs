//! Questions to the kernel that `doctor` asks. Nothing here changes the machine.

use std::io;

/// The kernel's release, as in `6.18.0`.
pub(crate) fn kernel() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => release.trim().to_owned(),
        Err(error) => format!("unknown ({error})"),
    }
}

/// Whether the kernel gives what waits by epoll are made of: epoll itself, an eventfd for wakes, a timerfd for deadlines.
pub(crate) fn epoll() -> Result<(), io::Error> {
    // SAFETY: no pointers; each returns a descriptor or an error.
    let made = unsafe {
        [
            libc::epoll_create1(libc::EPOLL_CLOEXEC),
            libc::eventfd(0, libc::EFD_CLOEXEC),
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC),
        ]
    };
    let error = io::Error::last_os_error();
    for fd in made.into_iter().filter(|&fd| fd >= 0) {
        // SAFETY: it was opened above and is closed once.
        unsafe { libc::close(fd) };
    }
    if made.iter().all(|&fd| fd >= 0) { Ok(()) } else { Err(error) }
}

/// Soft and hard limit of a resource; `None` is no limit.
pub(crate) fn limit(resource: libc::__rlimit_resource_t) -> Result<(Option<u64>, Option<u64>), io::Error> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let known = |value| (value != libc::RLIM_INFINITY).then_some(value);
    Ok((known(limit.rlim_cur), known(limit.rlim_max)))
}

/// CPUs that are online, and those this process may use.
pub(crate) fn cpus() -> (usize, usize) {
    // SAFETY: sysconf takes a number and returns one.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    (usize::try_from(online).unwrap_or(usable), usable)
}

/// Whether a thread may set its own thread-local base (x86-64 FSGSBASE, Linux 5.9).
pub(crate) fn fsgsbase() -> bool {
    const HWCAP2_FSGSBASE: u64 = 1 << 1;
    // SAFETY: getauxval takes a number and returns one, zero for what it does not know.
    cfg!(target_arch = "x86_64") && unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_FSGSBASE != 0
}
