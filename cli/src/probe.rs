//! Questions to the kernel that `doctor` asks. Nothing here changes the machine.

use std::io;

/// The kernel's release, as in `6.18.0`.
pub(crate) fn kernel() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => release.trim().to_owned(),
        Err(error) => format!("unknown ({error})"),
    }
}

/// Whether epoll waits in nanoseconds (`epoll_pwait2`, Linux 5.11).
pub(crate) fn epoll_nanoseconds() -> Result<bool, io::Error> {
    // SAFETY: epoll_create1 takes a flag and returns a descriptor or an error.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1];
    let none = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    // SAFETY: the event array has room for the one event named, the timespec lives, and no signal mask is passed.
    let waited = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll,
            events.as_mut_ptr(),
            1,
            &raw const none,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    let error = io::Error::last_os_error();
    // SAFETY: the descriptor was opened above and is closed once.
    unsafe { libc::close(epoll) };
    match (waited, error.raw_os_error()) {
        (0, _) => Ok(true),
        (_, Some(libc::ENOSYS)) => Ok(false),
        _ => Err(error),
    }
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
