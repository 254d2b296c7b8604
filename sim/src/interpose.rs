//! Symbols of libc that this crate defines: on a simulated thread they mean the world, elsewhere the real machine.
//!
//! Std's locks, parking and `HashMap` seeds, parking_lot and most libraries reach the kernel through these, so user code needs
//! no change: a contended user lock is just a place where a thread waits. A thread created behind the runtime's back can't be simulated: that
//! stops the run with a message.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::thread::{Executor, current};
use crate::world::Why;

/// The loader's definition of `name`, looked up once.
pub(crate) fn look_up(slot: &AtomicUsize, name: &CStr) -> usize {
    // Relaxed: the address is the same whoever finds it.
    let known = slot.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: a valid handle and a terminated name.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
    assert!(found != 0, "libc has no {name:?}: link it dynamically");
    slot.store(found, Ordering::Relaxed);
    found
}

macro_rules! real {
    ($name:literal as $type:ty) => {{
        fn forward() -> $type {
            static SLOT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            // SAFETY: the symbol has this signature in every libc for Linux.
            unsafe { std::mem::transmute::<usize, $type>($crate::interpose::look_up(&SLOT, $name)) }
        }
        forward()
    }};
}
pub(crate) use real;

type Syscall = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
type ClockNanosleep =
    unsafe extern "C" fn(libc::clockid_t, c_int, *const libc::timespec, *mut libc::timespec) -> c_int;
type Nanosleep = unsafe extern "C" fn(*const libc::timespec, *mut libc::timespec) -> c_int;
type Getrandom = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;
type SchedYield = unsafe extern "C" fn() -> c_int;
type PthreadCreate = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    extern "C" fn(*mut c_void) -> *mut c_void,
    *mut c_void,
) -> c_int;
type ThreadAtexit = unsafe extern "C" fn(unsafe extern "C" fn(*mut u8), *mut u8, *mut c_void) -> c_int;

/// Looks up what is forwarded, while the thread is certainly a real one.
pub(crate) fn prepare() {
    let _ = real!(c"syscall" as Syscall);
    let _ = real!(c"clock_gettime" as ClockGettime);
    let _ = real!(c"pthread_create" as PthreadCreate);
    let _ = real!(c"__cxa_thread_atexit_impl" as ThreadAtexit);
    // The clock of Pirn's live machines starts here, not in a simulation.
    drop(pirn::os::epoll());
}

fn set_errno(errno: c_int) -> c_long {
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// # Safety
/// As syscall(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if let Some(executor) = current() {
        match number {
            // SAFETY: the caller's arguments of a futex call.
            libc::SYS_futex => unsafe {
                if let Some(result) = futex(executor, a, b as c_int, c as u32, d, f as u32) {
                    return result.map_or_else(set_errno, c_long::from);
                }
            },
            libc::SYS_getrandom => {
                // SAFETY: the caller's buffer.
                unsafe { fill(executor, a as *mut u8, b) };
                return b as c_long;
            }
            libc::SYS_sched_yield => {
                yield_now(executor);
                return 0;
            }
            _ => {
                // SAFETY: the caller's duty.
                let result = unsafe {
                    crate::kernel::raw_call(executor, number, [a, b, c, d, e, f])
                        .or_else(|| crate::guard::raw(executor, number, a, b, c, d))
                };
                if let Some(result) = result {
                    return result;
                }
            }
        }
    }
    // SAFETY: the caller's duty.
    unsafe { real!(c"syscall" as Syscall)(number, a, b, c, d, e, f) }
}

/// A futex call of a simulated thread; `None`: not one of those that are simulated.
///
/// # Safety
/// As futex(2).
#[track_caller]
unsafe fn futex(
    executor: &'static Executor,
    address: usize,
    op: c_int,
    value: u32,
    timeout: usize,
    bits: u32,
) -> Option<Result<i32, c_int>> {
    let command = op & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let bits = match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAKE => u32::MAX,
        libc::FUTEX_WAIT_BITSET | libc::FUTEX_WAKE_BITSET => bits,
        _ => return None,
    };
    executor.os_point();
    if command == libc::FUTEX_WAKE || command == libc::FUTEX_WAKE_BITSET {
        return Some(Ok(executor.world().wake(address, value, bits) as i32));
    }
    // SAFETY: the word of a futex call is readable and changes atomically.
    let word = unsafe { &*(address as *const std::sync::atomic::AtomicU32) };
    // Acquire: as the kernel's look at the word.
    if word.load(Ordering::Acquire) != value {
        return Some(Err(libc::EAGAIN));
    }
    let until = if timeout == 0 {
        u64::MAX
    } else {
        // SAFETY: the caller's timespec.
        let ns = nanos(unsafe { &*(timeout as *const libc::timespec) });
        let now = executor.world().now;
        if command == libc::FUTEX_WAIT {
            now.saturating_add(ns)
        } else if op & libc::FUTEX_CLOCK_REALTIME != 0 {
            executor.world().at_wall(ns)
        } else {
            ns.saturating_sub(MONOTONIC_START)
        }
    };
    if until <= executor.world().now {
        return Some(Err(libc::ETIMEDOUT));
    }
    executor.world().me().expects = value;
    let woken = executor.block(Why::Futex(address), until, bits);
    Some(if woken { Ok(0) } else { Err(libc::ETIMEDOUT) })
}

/// Std's monotonic clock starts here, so that subtracting from it works.
pub(crate) const MONOTONIC_START: u64 = 1_000_000_000_000_000_000;

pub(crate) fn nanos(time: &libc::timespec) -> u64 {
    (time.tv_sec.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.max(0) as u64)
}

fn yield_now(executor: &'static Executor) {
    use pirn::sync::Hook;
    executor.spin(std::panic::Location::caller());
}

/// # Safety
/// `into` has room for `count` bytes.
pub(crate) unsafe fn fill(executor: &'static Executor, into: *mut u8, count: usize) {
    let mut at = 0;
    while at < count {
        let word = executor.world().entropy().to_le_bytes();
        let n = word.len().min(count - at);
        // SAFETY: at + n <= count.
        unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), into.add(at), n) };
        at += n;
    }
}

/// # Safety
/// As sched_yield(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_yield() -> c_int {
    match current() {
        Some(executor) => {
            yield_now(executor);
            0
        }
        // SAFETY: no arguments.
        None => unsafe { real!(c"sched_yield" as SchedYield)() },
    }
}

/// # Safety
/// As getrandom(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(into: *mut c_void, count: usize, flags: c_uint) -> isize {
    match current() {
        Some(executor) => {
            // SAFETY: the caller's buffer.
            unsafe { fill(executor, into.cast(), count) };
            count as isize
        }
        // SAFETY: the caller's duty.
        None => unsafe { real!(c"getrandom" as Getrandom)(into, count, flags) },
    }
}

/// # Safety
/// As clock_gettime(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, into: *mut libc::timespec) -> c_int {
    let Some(executor) = current() else {
        // SAFETY: the caller's duty.
        return unsafe { real!(c"clock_gettime" as ClockGettime)(clock, into) };
    };
    executor.clock_point();
    let now = executor.aside(|world| world.read_clock());
    executor.settle();
    let ns = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            let world = executor.world();
            world.wall(world.my_host())
        }
        libc::CLOCK_THREAD_CPUTIME_ID | libc::CLOCK_PROCESS_CPUTIME_ID => now,
        _ => MONOTONIC_START + now,
    };
    // SAFETY: the caller's timespec.
    unsafe {
        *into = libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
    }
    0
}

/// # Safety
/// As nanosleep(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nanosleep(time: *const libc::timespec, left: *mut libc::timespec) -> c_int {
    let Some(executor) = current() else {
        // SAFETY: the caller's duty.
        return unsafe { real!(c"nanosleep" as Nanosleep)(time, left) };
    };
    // SAFETY: the caller's timespec.
    let ns = nanos(unsafe { &*time });
    executor.sleep_until(executor.world().now.saturating_add(ns));
    0
}

/// # Safety
/// As clock_nanosleep(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    time: *const libc::timespec,
    left: *mut libc::timespec,
) -> c_int {
    let Some(executor) = current() else {
        // SAFETY: the caller's duty.
        return unsafe { real!(c"clock_nanosleep" as ClockNanosleep)(clock, flags, time, left) };
    };
    // SAFETY: the caller's timespec.
    let ns = nanos(unsafe { &*time });
    let until = if flags & libc::TIMER_ABSTIME == 0 {
        executor.world().now.saturating_add(ns)
    } else if clock == libc::CLOCK_REALTIME {
        executor.world().at_wall(ns)
    } else {
        ns.saturating_sub(MONOTONIC_START)
    };
    executor.sleep_until(until);
    0
}

impl Executor {
    /// The thread sleeps for so many nanoseconds.
    #[track_caller]
    pub(crate) fn sleep_for(&self, ns: u64) {
        self.sleep_until(self.world().now.saturating_add(ns));
    }

    #[track_caller]
    fn sleep_until(&self, until: u64) {
        self.os_point();
        self.busy_until(until);
    }
}

/// # Safety
/// As pthread_create(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    if let Some(executor) = current() {
        crate::guard::refuse(
            executor,
            "pthread_create",
            "it started an operating system thread (std::thread::spawn or a library). Use pirn::spawn or pirn::spawn_blocking",
        );
    }
    // SAFETY: the caller's duty.
    unsafe { real!(c"pthread_create" as PthreadCreate)(thread, attributes, body, argument) }
}

/// # Safety
/// As the C++ ABI's function: `destructor` may be called with `object` at the end of the thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: unsafe extern "C" fn(*mut u8),
    object: *mut u8,
    library: *mut c_void,
) -> c_int {
    if crate::tls::SEPARATE
        && let Some(executor) = current()
    {
        executor.world().me().destructors.push((destructor, object));
        return 0;
    }
    // SAFETY: the caller's duty.
    unsafe { real!(c"__cxa_thread_atexit_impl" as ThreadAtexit)(destructor, object, library) }
}

/// Whether the symbols that the program uses are those of this file. False means that another library defines one of
/// them first, and that programs under the simulator would reach the real machine.
pub fn is_linked() -> Result<(), String> {
    let ours: [(&CStr, usize); 7] = [
        (c"syscall", syscall as *const () as usize),
        (c"sched_yield", sched_yield as *const () as usize),
        (c"getrandom", getrandom as *const () as usize),
        (c"clock_gettime", clock_gettime as *const () as usize),
        (c"nanosleep", nanosleep as *const () as usize),
        (c"clock_nanosleep", clock_nanosleep as *const () as usize),
        (c"pthread_create", pthread_create as *const () as usize),
    ];
    let others =
        crate::guard::symbols().into_iter().chain(crate::real_io::symbols()).chain(crate::kernel::symbols());
    for (name, address) in ours.into_iter().chain(others) {
        // SAFETY: a terminated name and the default search order.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr().cast::<c_char>()) } as usize;
        if found != address {
            return Err(format!(
                "{name:?} is not pirn-sim's: the program reaches the real machine through it. Link pirn-sim statically and first"
            ));
        }
    }
    Ok(())
}
