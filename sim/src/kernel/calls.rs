//! The symbols of libc that concern any descriptor: close, read, write, fcntl, poll; epoll, eventfds and timerfds; and the numbers of
//! system calls that have no symbol.
//!
//! A descriptor's number says whether the model is meant ([`BASE`]). What makes descriptors belongs to the model on simulated threads of
//! a run that has one; everywhere else, and for all other numbers, the call is made as it came.

use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::panic::Location;

use super::event::{Event, Timer};
use super::{BASE, Kernel, Kind, epoll};
use crate::cost::Call;
use crate::net::Errno;
use crate::thread::{Executor, current};
use crate::unix::Family;
use crate::world::World;

/// A system call of the real machine.
///
/// # Safety
/// As the call.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn real(number: c_long, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller's duty; the instruction clobbers what is named.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) { fail(-result as Errno) } else { result }
}

/// A system call of the real machine.
///
/// # Safety
/// As the call.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn real(number: c_long, a: [usize; 6]) -> isize {
    type Call = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    // SAFETY: the caller's duty.
    unsafe {
        crate::interpose::real!(c"syscall" as Call)(number, a[0], a[1], a[2], a[3], a[4], a[5]) as isize
    }
}

/// Sets errno.
pub(super) fn fail(errno: Errno) -> isize {
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Who simulates a call on this descriptor.
#[inline(always)]
pub(super) fn on(fd: c_int) -> Option<&'static Executor> {
    if fd < BASE { None } else { current() }
}

/// Who simulates a call that makes a descriptor. Where no kernel is simulated such a call ends the run.
#[inline]
pub(super) fn making(call: &str) -> Option<&'static Executor> {
    let executor = current()?;
    if executor.world().options.kernel == Kernel::Ops {
        crate::guard::refuse(executor, call, crate::real_io::NO_DESCRIPTOR);
    }
    Some(executor)
}

/// A point, the call, its result.
#[track_caller]
pub(super) fn call(executor: &'static Executor, f: impl FnOnce(&mut World) -> Result<usize, Errno>) -> isize {
    executor.world().charge_call();
    executor.os_point_at(Location::caller());
    let result = f(executor.world());
    answer(executor, result)
}

/// The result of a call, as libc gives it.
pub(super) fn answer(executor: &'static Executor, result: Result<usize, Errno>) -> isize {
    executor.world().note(result.map_or_else(|errno| (1 << 40) | errno as u64, |value| value as u64));
    executor.settle();
    result.map_or_else(fail, |value| value as isize)
}

/// # Safety
/// As close(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    match on(fd) {
        Some(executor) => call(executor, |world| world.close_descriptor(fd).map(|()| 0)) as c_int,
        // It belonged to a run that is over.
        None if fd >= BASE => 0,
        // SAFETY: the caller's duty.
        None => unsafe { real(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) as c_int },
    }
}

/// # Safety
/// As fcntl(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, what: c_int, argument: usize) -> c_int {
    match on(fd) {
        Some(executor) => call(executor, |world| {
            let file = world.open_file_of(fd)?;
            let blocks = &mut world.file_at(file).blocks;
            match what {
                libc::F_GETFD => Ok(libc::FD_CLOEXEC as usize),
                libc::F_GETFL if *blocks => Ok(libc::O_RDWR as usize),
                libc::F_GETFL => Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize),
                libc::F_SETFD => Ok(0),
                libc::F_SETFL => {
                    *blocks = argument & libc::O_NONBLOCK as usize == 0;
                    Ok(0)
                }
                libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => world.duplicate(fd).map(|fd| fd as usize),
                _ => Err(libc::EINVAL),
            }
        }) as c_int,
        None if fd >= BASE => 0,
        // SAFETY: the caller's duty.
        None => unsafe { real(libc::SYS_fcntl, [fd as usize, what as usize, argument, 0, 0, 0]) as c_int },
    }
}

/// The bytes of slices, one after another.
///
/// # Safety
/// They are readable.
pub(super) unsafe fn gather(slices: *const libc::iovec, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in 0..count {
        // SAFETY: the caller's duty.
        unsafe {
            let slice = &*slices.add(at);
            if slice.iov_len > 0 {
                bytes.extend_from_slice(std::slice::from_raw_parts(slice.iov_base.cast(), slice.iov_len));
            }
        }
    }
    bytes
}

/// How many bytes slices have room for.
///
/// # Safety
/// `count` slices.
pub(super) unsafe fn room(slices: *const libc::iovec, count: usize) -> usize {
    // SAFETY: the caller's duty.
    (0..count).map(|at| unsafe { (*slices.add(at)).iov_len }).sum()
}

/// Copies into slices what fits.
///
/// # Safety
/// They are writable.
pub(super) unsafe fn scatter(mut bytes: &[u8], slices: *const libc::iovec, count: usize) {
    for at in 0..count {
        // SAFETY: the caller's duty.
        unsafe {
            let slice = &*slices.add(at);
            let part = slice.iov_len.min(bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), slice.iov_base.cast(), part);
            bytes = &bytes[part..];
        }
    }
}

impl World {
    /// Reads from an open file.
    pub(super) fn read_some(&mut self, file: u32, max: usize) -> Result<Vec<u8>, Errno> {
        let socket = match self.file_at(file).kind {
            Kind::Socket(socket) => socket,
            _ if max < 8 => return Err(libc::EINVAL),
            _ => return self.read_number(file).map(|number| number.to_ne_bytes().to_vec()),
        };
        if self.net.socket(socket).family == Family::PipeWriter {
            return Err(libc::EBADF);
        }
        self.receive_bytes(socket, max, 0).map(|(bytes, _)| bytes)
    }

    /// Writes to an open file.
    pub(super) fn write_some(&mut self, file: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let socket = match self.file_at(file).kind {
            Kind::Socket(socket) => socket,
            _ => {
                let number = bytes.first_chunk().ok_or(libc::EINVAL)?;
                return self.add_to_event(file, u64::from_ne_bytes(*number)).map(|()| 8);
            }
        };
        if self.net.socket(socket).family == Family::PipeReader {
            return Err(libc::EBADF);
        }
        self.send_bytes(socket, bytes)
    }
}

/// # Safety
/// As readv(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, slices: *const libc::iovec, count: c_int) -> isize {
    let Some(executor) = on(fd) else {
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_readv, [fd as usize, slices as usize, count as usize, 0, 0, 0]) };
    };
    call(executor, |world| {
        let file = world.open_file_of(fd)?;
        // SAFETY: the caller's slices.
        unsafe {
            let bytes = world.read_some(file, room(slices, count as usize))?;
            scatter(&bytes, slices, count as usize);
            Ok(bytes.len())
        }
    })
}

/// # Safety
/// As writev(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, slices: *const libc::iovec, count: c_int) -> isize {
    let Some(executor) = on(fd) else {
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_writev, [fd as usize, slices as usize, count as usize, 0, 0, 0]) };
    };
    call(executor, |world| {
        let file = world.open_file_of(fd)?;
        // SAFETY: the caller's slices.
        let bytes = unsafe { gather(slices, count as usize) };
        world.write_some(file, &bytes)
    })
}

/// # Safety
/// As read(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, into: *mut c_void, count: usize) -> isize {
    if on(fd).is_none() {
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_read, [fd as usize, into as usize, count, 0, 0, 0]) };
    }
    // SAFETY: the caller's buffer.
    unsafe { readv(fd, &libc::iovec { iov_base: into, iov_len: count }, 1) }
}

/// # Safety
/// As write(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, from: *const c_void, count: usize) -> isize {
    if on(fd).is_none() {
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_write, [fd as usize, from as usize, count, 0, 0, 0]) };
    }
    // SAFETY: the caller's buffer.
    unsafe { writev(fd, &libc::iovec { iov_base: from.cast_mut(), iov_len: count }, 1) }
}

/// # Safety
/// As eventfd(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn eventfd(count: c_uint, flags: c_int) -> c_int {
    match making("eventfd") {
        Some(executor) => call(executor, |world| {
            let semaphore = flags & libc::EFD_SEMAPHORE != 0;
            let event = Event { count: count.into(), semaphore };
            world.install(Kind::Event(event)).map(|fd| fd as usize)
        }) as c_int,
        // SAFETY: no pointers.
        None => unsafe { real(libc::SYS_eventfd2, [count as usize, flags as usize, 0, 0, 0, 0]) as c_int },
    }
}

/// # Safety
/// As timerfd_create(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_create(clock: c_int, flags: c_int) -> c_int {
    match making("timerfd_create") {
        Some(executor) => call(executor, |world| {
            if clock != libc::CLOCK_MONOTONIC {
                return Err(libc::EINVAL);
            }
            world.install(Kind::Timer(Timer::default())).map(|fd| fd as usize)
        }) as c_int,
        None => {
            // SAFETY: no pointers.
            unsafe { real(libc::SYS_timerfd_create, [clock as usize, flags as usize, 0, 0, 0, 0]) as c_int }
        }
    }
}

/// # Safety
/// As timerfd_settime(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_settime(
    fd: c_int,
    flags: c_int,
    new: *const libc::itimerspec,
    old: *mut libc::itimerspec,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, flags as usize, new as usize, old as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_timerfd_settime, a) as c_int };
    };
    call(executor, |world| {
        let file = world.open_file_of(fd)?;
        // SAFETY: the caller's settings.
        let new = unsafe { &*new };
        let known = flags & !libc::TFD_TIMER_ABSTIME == 0;
        if !known || new.it_interval.tv_sec != 0 || new.it_interval.tv_nsec != 0 || !old.is_null() {
            // Not modelled.
            return Err(libc::EINVAL);
        }
        let at = match crate::interpose::nanos(&new.it_value) {
            0 => 0,
            span if flags == 0 => world.now.saturating_add(span),
            at => at.saturating_sub(crate::interpose::MONOTONIC_START).max(1),
        };
        world.set_timer(file, at).map(|()| 0)
    }) as c_int
}

/// # Safety
/// As epoll_create1(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    match making("epoll_create1") {
        Some(executor) => {
            call(executor, |world| world.install(Kind::Set(epoll::Set::default())).map(|fd| fd as usize))
                as c_int
        }
        // SAFETY: no pointers.
        None => unsafe { real(libc::SYS_epoll_create1, [flags as usize, 0, 0, 0, 0, 0]) as c_int },
    }
}

/// # Safety
/// As epoll_ctl(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_ctl(epoll: c_int, what: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int {
    let Some(executor) = on(epoll) else {
        let a = [epoll as usize, what as usize, fd as usize, event as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_epoll_ctl, a) as c_int };
    };
    // SAFETY: the caller's event, or none.
    let event = (!event.is_null()).then(|| unsafe { event.read_unaligned() });
    call(executor, |world| world.control(epoll, what, fd, event).map(|()| 0)) as c_int
}

/// # Safety
/// As epoll_wait(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    timeout_ms: c_int,
) -> c_int {
    let Some(executor) = on(epoll) else {
        let a = [epoll as usize, events as usize, most as usize, timeout_ms as usize, 0, 0];
        // SAFETY: the caller's duty. (Not every machine has epoll_wait; all have epoll_pwait.)
        return unsafe { real(libc::SYS_epoll_pwait, a) as c_int };
    };
    executor.world().charge_call();
    executor.world().charge(Call::Wait);
    executor.os_point_at(Location::caller());
    let span = u64::try_from(timeout_ms).map_or(u64::MAX, |ms| ms * 1_000_000);
    let result = epoll::wait(executor, epoll, usize::try_from(most).unwrap_or(0), span);
    let count = result.map(|found| {
        for (at, event) in found.iter().enumerate() {
            // SAFETY: room for `most` events, which `found` does not pass.
            unsafe { events.add(at).write_unaligned(*event) };
        }
        found.len()
    });
    answer(executor, count) as c_int
}

/// poll(2) without a wait, if all descriptors are simulated.
///
/// # Safety
/// `count` entries, writable.
pub(crate) unsafe fn serve_poll(
    executor: &'static Executor,
    fds: *mut libc::pollfd,
    count: usize,
) -> Option<c_int> {
    if count == 0 {
        return None;
    }
    // SAFETY: the caller's duty.
    let entries = unsafe { std::slice::from_raw_parts_mut(fds, count) };
    if !entries.iter().all(|entry| entry.fd >= BASE) {
        return None;
    }
    let ready = call(executor, |world| {
        let mut ready = 0;
        for entry in entries {
            let found = match world.open_file_of(entry.fd) {
                Ok(file) => {
                    let asked = entry.events as u32 | super::readiness::ALWAYS;
                    (world.readiness(file) & asked) as i16
                }
                Err(_) => libc::POLLNVAL,
            };
            entry.revents = found;
            ready += usize::from(found != 0);
        }
        Ok(ready)
    });
    Some(ready as c_int)
}

/// A system call without a symbol, on a simulated thread; `None`: not one of the model's.
///
/// # Safety
/// As syscall(2).
pub(crate) unsafe fn raw_call(executor: &'static Executor, number: c_long, a: [usize; 6]) -> Option<c_long> {
    if executor.world().options.kernel == Kernel::Ops {
        return None;
    }
    // SAFETY: the caller's arguments have the types of the call.
    let result = unsafe {
        match number {
            libc::SYS_io_uring_setup => super::ring::setup(executor, a[0] as u32, a[1] as *mut _),
            libc::SYS_io_uring_enter => {
                super::submit::enter(executor, a[0] as i32, a[1] as u32, a[2] as u32, a[3] as u32, a[4], a[5])
            }
            libc::SYS_io_uring_register => {
                super::ring::register(executor, a[0] as i32, a[1] as u32, a[2], a[3] as u32)
            }
            // What Pirn calls without libc's wrappers (`os::sys::raw`). With an address or a mask it is not one of Pirn's.
            libc::SYS_recvfrom if a[4] == 0 => {
                super::network::recv(a[0] as c_int, a[1] as _, a[2], a[3] as c_int)
            }
            libc::SYS_sendto if a[4] == 0 => {
                super::network::send(a[0] as c_int, a[1] as _, a[2], a[3] as c_int)
            }
            libc::SYS_sendmsg => super::network::sendmsg(a[0] as c_int, a[1] as _, a[2] as c_int),
            libc::SYS_epoll_pwait if a[4] == 0 => {
                epoll_wait(a[0] as c_int, a[1] as _, a[2] as c_int, a[3] as c_int) as isize
            }
            // The real thread's slice is no business of a simulated one.
            libc::SYS_sched_getattr | libc::SYS_sched_setattr => fail(libc::ENOSYS),
            _ => return None,
        }
    };
    Some(result as c_long)
}

macro_rules! listed {
    ($($name:ident)*) => {
        [$((
            // SAFETY: the text ends with a zero byte and has no other.
            unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) },
            $name as *const () as usize,
        )),*]
    };
}
pub(super) use listed;

/// The symbols of these files, for [`crate::is_linked`].
pub(crate) fn symbols() -> impl Iterator<Item = (&'static CStr, usize)> {
    let here = listed![
        close fcntl readv writev read write eventfd timerfd_create timerfd_settime epoll_create1 epoll_ctl
        epoll_wait
    ];
    here.into_iter().chain(super::network::symbols()).chain(super::memory::symbols())
}
