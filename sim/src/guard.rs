//! More symbols of libc that this crate defines: clocks, entropy and sleeping by their older or rarer names. What the
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

const NO_PROCESS: &str = "a process can't be simulated";

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
type OpenAt = unsafe extern "C" fn(c_int, *const c_char, c_int, libc::mode_t) -> c_int;
type OpenStream = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut libc::FILE;

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

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn openat(at: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's duty; a mode that was not passed is not looked at.
    unsafe {
        opens(path);
        real!(c"openat" as OpenAt)(at, path, flags, mode)
    }
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(at: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's duty; a mode that was not passed is not looked at.
    unsafe {
        opens(path);
        real!(c"openat64" as OpenAt)(at, path, flags, mode)
    }
}

/// # Safety
/// As fopen(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: the caller's duty.
    unsafe {
        opens(path);
        real!(c"fopen" as OpenStream)(path, mode)
    }
}

/// # Safety
/// As fopen(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: the caller's duty.
    unsafe {
        opens(path);
        real!(c"fopen64" as OpenStream)(path, mode)
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
            libc::SYS_openat => {
                opens(b as *const c_char);
                return None;
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => {
                opens(a as *const c_char);
                return None;
            }
            _ => return crate::real_io::raw(executor, number, a, b, c),
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
        (c"open", open as *const () as usize),
        (c"open64", open64 as *const () as usize),
        (c"openat", openat as *const () as usize),
        (c"openat64", openat64 as *const () as usize),
        (c"fopen", fopen as *const () as usize),
        (c"fopen64", fopen64 as *const () as usize),
    ]
}
