//! More symbols of libc that this crate defines: clocks, entropy, sleeping and processes by their older or rarer names. What the
//! world can serve it serves; anything else ends the run and says which call it was, and from where.

use std::backtrace::Backtrace;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use crate::interpose::{clock_gettime, fill, real};
use crate::report::Verdict;
use crate::thread::{Executor, current};

/// Ends the run: `call` can't be simulated.
#[cold]
pub(crate) fn refuse(executor: &'static Executor, call: &str, remedy: &str) -> ! {
    executor.aside(|world| {
        let trace = Backtrace::force_capture().to_string();
        world.fail(Verdict::Unsupported(format!(
            "a simulated thread called {call}, which reaches the real machine: {remedy}\n{}",
            callers(&trace)
        )));
    });
    executor.stop()
}

/// The frames of a backtrace that are not the simulator's or std's own.
fn callers(trace: &str) -> String {
    let lines: Vec<&str> = trace.lines().collect();
    let mut text = String::from("called from:");
    let mut count = 0;
    for pair in lines.windows(2) {
        let (what, at) = (pair[0].trim(), pair[1].trim());
        let Some(place) = at.strip_prefix("at ") else { continue };
        let name = what.split_once(": ").map_or(what, |(_, name)| name);
        // Below that is who runs the simulation: an exploration, a replay.
        if name.starts_with("pirn_sim::simulation") {
            break;
        }
        let ours = [
            "pirn_sim::guard",
            "pirn_sim::interpose",
            "pirn_sim::thread",
            "std::",
            "core::",
            "alloc::",
            "corosensei",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix) || name.starts_with(&format!("<{prefix}")));
        if !ours && count < 12 {
            text += &format!("\n  {name} ({place})");
            count += 1;
        }
    }
    text
}

/// # Safety
/// As gettimeofday(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(into: *mut libc::timeval, zone: *mut c_void) -> c_int {
    if current().is_none() {
        type Call = unsafe extern "C" fn(*mut libc::timeval, *mut c_void) -> c_int;
        // SAFETY: the caller's duty.
        return unsafe { real!(c"gettimeofday" as Call)(into, zone) };
    }
    if !into.is_null() {
        let now = wall();
        // SAFETY: the caller's timeval.
        unsafe { *into = libc::timeval { tv_sec: now.tv_sec, tv_usec: (now.tv_nsec / 1000) as _ } };
    }
    0
}

/// # Safety
/// As time(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn time(into: *mut libc::time_t) -> libc::time_t {
    if current().is_none() {
        type Call = unsafe extern "C" fn(*mut libc::time_t) -> libc::time_t;
        // SAFETY: the caller's duty.
        return unsafe { real!(c"time" as Call)(into) };
    }
    let now = wall().tv_sec;
    if !into.is_null() {
        // SAFETY: the caller's time_t.
        unsafe { *into = now };
    }
    now
}

/// The wall clock of the simulated host.
pub(crate) fn wall() -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec; the symbol is ours.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now
}

/// # Safety
/// As getentropy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(into: *mut c_void, count: usize) -> c_int {
    match current() {
        Some(executor) => {
            // SAFETY: the caller's buffer.
            unsafe { fill(executor, into.cast(), count) };
            0
        }
        None => {
            type Call = unsafe extern "C" fn(*mut c_void, usize) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"getentropy" as Call)(into, count) }
        }
    }
}

/// # Safety
/// As usleep(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn usleep(micros: c_uint) -> c_int {
    match current() {
        Some(executor) => {
            executor.sleep_for(u64::from(micros) * 1_000);
            0
        }
        None => {
            type Call = unsafe extern "C" fn(c_uint) -> c_int;
            // SAFETY: no pointers.
            unsafe { real!(c"usleep" as Call)(micros) }
        }
    }
}

/// # Safety
/// As sleep(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    match current() {
        Some(executor) => {
            executor.sleep_for(u64::from(seconds) * 1_000_000_000);
            0
        }
        None => {
            type Call = unsafe extern "C" fn(c_uint) -> c_uint;
            // SAFETY: no pointers.
            unsafe { real!(c"sleep" as Call)(seconds) }
        }
    }
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
            // Nothing to wait for but the time, or nothing at all.
            executor.sleep_for(u64::try_from(timeout_ms).map_or(u64::MAX, |ms| ms * 1_000_000));
            0
        }
        Some(executor) if timeout_ms != 0 => {
            refuse(executor, "poll with descriptors", "use the sockets and pipes of pirn")
        }
        _ => {
            type Call = unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int;
            // SAFETY: the caller's duty.
            unsafe { real!(c"poll" as Call)(fds, count, timeout_ms) }
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
    if let Some(executor) = current() {
        if count != 0 {
            refuse(executor, "select with descriptors", "use the sockets and pipes of pirn");
        }
        // SAFETY: the caller's timeval, or none.
        let ns = match unsafe { timeout.as_ref() } {
            Some(limit) => (limit.tv_sec.max(0) as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(limit.tv_usec.max(0) as u64 * 1_000),
            None => u64::MAX,
        };
        executor.sleep_for(ns);
        return 0;
    }
    type Call = unsafe extern "C" fn(
        c_int,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *mut libc::timeval,
    ) -> c_int;
    // SAFETY: the caller's duty.
    unsafe { real!(c"select" as Call)(count, reads, writes, errors, timeout) }
}

const NO_PROCESS: &str = "a process can't be simulated";

/// # Safety
/// As fork(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn fork() -> libc::pid_t {
    if let Some(executor) = current() {
        refuse(executor, "fork", NO_PROCESS);
    }
    type Call = unsafe extern "C" fn() -> libc::pid_t;
    // SAFETY: the caller's duty.
    unsafe { real!(c"fork" as Call)() }
}

type Spawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int;

/// # Safety
/// As posix_spawnp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    if let Some(executor) = current() {
        refuse(executor, "posix_spawnp", NO_PROCESS);
    }
    // SAFETY: the caller's duty.
    unsafe { real!(c"posix_spawnp" as Spawn)(pid, file, actions, attributes, arguments, environment) }
}

/// Ends the run if `path` is a device that gives random bytes.
///
/// # Safety
/// A terminated path, or null.
unsafe fn opens(path: *const c_char) {
    if let Some(executor) = current()
        && !path.is_null()
    {
        // SAFETY: the caller's duty.
        let path = unsafe { CStr::from_ptr(path) };
        if path == c"/dev/urandom" || path == c"/dev/random" {
            let call = format!("open(\"{}\")", path.to_string_lossy());
            refuse(executor, &call, "use getrandom or pirn_sim::random, which the world serves");
        }
    }
}

type Open = unsafe extern "C" fn(*const c_char, c_int, libc::mode_t) -> c_int;

/// # Safety
/// As open(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's duty; a mode that was not passed is not looked at.
    unsafe {
        opens(path);
        real!(c"open" as Open)(path, flags, mode)
    }
}

/// # Safety
/// As open(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's duty; a mode that was not passed is not looked at.
    unsafe {
        opens(path);
        real!(c"open64" as Open)(path, flags, mode)
    }
}

/// A raw system call of a simulated thread that is none of the futex kind; `None`: the real machine may serve it.
///
/// # Safety
/// As syscall(2).
pub(crate) unsafe fn raw(
    executor: &'static Executor,
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
) -> Option<c_long> {
    // SAFETY: the caller's arguments have the types of the call, as it promises.
    unsafe {
        Some(match number {
            libc::SYS_clock_gettime => c_long::from(clock_gettime(a as _, b as _)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_time => time(a as _),
            libc::SYS_gettimeofday => c_long::from(gettimeofday(a as _, b as _)),
            libc::SYS_nanosleep => c_long::from(crate::interpose::nanosleep(a as _, b as _)),
            libc::SYS_clock_nanosleep => {
                c_long::from(crate::interpose::clock_nanosleep(a as _, b as _, c as _, d as _))
            }
            libc::SYS_clone | libc::SYS_clone3 => {
                refuse(executor, "the system call clone", "use pirn::spawn or pirn::spawn_blocking")
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork | libc::SYS_vfork => refuse(executor, "the system call fork", NO_PROCESS),
            _ => return None,
        })
    }
}

/// The symbols of this file, for [`crate::is_linked`].
pub(crate) fn symbols() -> [(&'static CStr, usize); 11] {
    [
        (c"gettimeofday", gettimeofday as *const () as usize),
        (c"time", time as *const () as usize),
        (c"getentropy", getentropy as *const () as usize),
        (c"usleep", usleep as *const () as usize),
        (c"sleep", sleep as *const () as usize),
        (c"poll", poll as *const () as usize),
        (c"select", select as *const () as usize),
        (c"fork", fork as *const () as usize),
        (c"posix_spawnp", posix_spawnp as *const () as usize),
        (c"open", open as *const () as usize),
        (c"open64", open64 as *const () as usize),
    ]
}
