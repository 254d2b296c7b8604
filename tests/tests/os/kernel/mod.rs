//! The kernel itself, by its own calls: what an epoll set or a ring answers on a live kernel the simulated one answers too.
//!
//! A case writes a log; the logs of both are equal. Descriptors stand in it by their order, times not at all.

use std::fmt::{Arguments, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::world::World;

mod epoll;
mod uring;
mod work;

/// What a case saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Log(String);

impl Log {
    fn line(&mut self, what: Arguments<'_>) {
        writeln!(self.0, "{what}").expect("a string takes all");
    }
}

/// A case.
type Case = fn(&mut Log, &World);

const CASES: &[(&str, &[(&str, Case)])] =
    &[("epoll", epoll::CASES), ("uring", uring::CASES), ("uring", work::CASES)];

fn run(case: Case, world: &World) -> Log {
    let mut log = Log::default();
    case(&mut log, world);
    log
}

/// Whether this kernel has what the cases of a kind ask of it.
fn is_there(kind: &str) -> bool {
    kind == "epoll" || super::live::uring().is_some()
}

#[cfg(feature = "sim")]
#[test]
fn the_simulated_kernel_answers_as_the_live_one() {
    use std::sync::{Arc, Mutex};

    let mut found = Vec::new();
    for &(kind, cases) in CASES.iter().filter(|(kind, _)| is_there(kind)) {
        for &(name, case) in cases {
            println!("{kind}: {name}");
            let live = run(case, &super::live::world());
            for seed in 0..3 {
                let log = Arc::new(Mutex::new(Log::default()));
                let theirs = Arc::clone(&log);
                let program = move |world: &World| *theirs.lock().expect("no panic") = run(case, world);
                let verdict = super::simulated::on_kernel(name, program).run(seed).verdict;
                let simulated = std::mem::take(&mut *log.lock().expect("no panic"));
                if !verdict.is_pass() {
                    found.push(format!("{kind}, {name}, seed {seed}: {verdict:?}\nlive:\n{}", live.0));
                } else if simulated != live {
                    found.push(format!(
                        "{kind}, {name}, seed {seed}:\nlive:\n{}simulated:\n{}",
                        live.0, simulated.0
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} difference(s)\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_live_kernel_answers_twice_alike() {
    for &(kind, cases) in CASES.iter().filter(|(kind, _)| is_there(kind)) {
        for &(name, case) in cases {
            let world = super::live::world();
            assert_eq!(run(case, &world), run(case, &world), "{kind}, {name}");
        }
    }
}

// ---- calls ----

/// A result, or the errno.
fn checked(result: isize) -> Result<usize, i32> {
    if result >= 0 {
        Ok(result as usize)
    } else {
        Err(std::io::Error::last_os_error().raw_os_error().expect("a call sets it"))
    }
}

fn owned(fd: libc::c_int) -> OwnedFd {
    let fd = checked(fd as isize).expect("a descriptor") as RawFd;
    // SAFETY: fresh.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Two connected streams, what is sent on one being there on the other when the call returns.
fn pair() -> (OwnedFd, OwnedFd) {
    let mut pair = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: room for two.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
    checked(made as isize).expect("a pair");
    (owned(pair[0]), owned(pair[1]))
}

/// A listener of the abstract namespace, and its name.
fn listener(world: &World) -> (OwnedFd, libc::sockaddr_un, libc::socklen_t) {
    // SAFETY: plain integers.
    let mut name: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    name.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let text = format!("\0pirn-kernel-{:016x}", world.os.entropy());
    name.sun_path.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    let length = (std::mem::offset_of!(libc::sockaddr_un, sun_path) + text.len()) as libc::socklen_t;
    let fd = stream();
    // SAFETY: a valid name.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const name).cast(), length) };
    checked(bound as isize).expect("bind");
    // SAFETY: no pointers.
    checked(unsafe { libc::listen(fd.as_raw_fd(), 16) } as isize).expect("listen");
    (fd, name, length)
}

/// A Unix socket.
fn stream() -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe {
        libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    })
}

fn connect(fd: &OwnedFd, name: &libc::sockaddr_un, length: libc::socklen_t) -> Result<usize, i32> {
    // SAFETY: a valid name.
    checked(unsafe { libc::connect(fd.as_raw_fd(), std::ptr::from_ref(name).cast(), length) } as isize)
}

fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, i32> {
    // SAFETY: a readable buffer.
    checked(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })
}

fn recv(fd: &OwnedFd, most: usize) -> Result<Vec<u8>, i32> {
    let mut bytes = vec![0; most];
    // SAFETY: a writable buffer.
    let count = checked(unsafe { libc::recv(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), most, 0) })?;
    bytes.truncate(count);
    Ok(bytes)
}

fn eventfd() -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

fn add(event: &OwnedFd, number: u64) -> Result<usize, i32> {
    // SAFETY: eight bytes.
    checked(unsafe { libc::write(event.as_raw_fd(), (&raw const number).cast(), 8) })
}

fn read_number(fd: &OwnedFd) -> Result<u64, i32> {
    let mut number = 0;
    // SAFETY: eight bytes.
    checked(unsafe { libc::read(fd.as_raw_fd(), (&raw mut number).cast(), 8) }).map(|_| number)
}

/// A timer that rings after so many microseconds.
fn timer(micros: i64) -> OwnedFd {
    // SAFETY: no pointers.
    let timer =
        owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) });
    set_timer(&timer, micros);
    timer
}

fn set_timer(timer: &OwnedFd, micros: i64) {
    set(timer, 0, libc::timespec { tv_sec: 0, tv_nsec: micros * 1_000 });
}

/// Sets it to ring at the moment that is so many microseconds from now.
fn set_timer_at(timer: &OwnedFd, micros: i64) {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut at) };
    let nanos = at.tv_nsec + micros * 1_000;
    at.tv_sec += nanos.div_euclid(1_000_000_000);
    at.tv_nsec = nanos.rem_euclid(1_000_000_000);
    set(timer, libc::TFD_TIMER_ABSTIME, at);
}

fn set(timer: &OwnedFd, flags: i32, at: libc::timespec) {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = libc::itimerspec { it_interval: never, it_value: at };
    // SAFETY: a valid setting.
    let set =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const spec, std::ptr::null_mut()) };
    checked(set as isize).expect("a setting");
}
