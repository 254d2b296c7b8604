//! What calls of the operating system cost, on one thread.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pirn_sim::cost::Costs;

use super::Effort;
use crate::compare::has_medium;

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The time of `operations` calls of `one`.
fn timed(operations: u64, mut one: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let started = Instant::now();
    for _ in 0..operations {
        one()?;
    }
    Ok(started.elapsed())
}

/// An eventfd whose reads and writes never wait.
pub(super) fn eventfd(flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, returns a descriptor or an error.
    let fd = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | flags) }.into())?;
    // SAFETY: fresh, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The clock, a call that does nothing, eventfds, epoll, io_uring.
pub(super) fn calls(effort: Effort, costs: &mut Costs) -> io::Result<()> {
    costs.clock = effort.median(|n| {
        timed(n, || {
            std::hint::black_box(Instant::now());
            Ok(())
        })
    })?;
    costs.call = effort.median(|n| {
        timed(n, || {
            // SAFETY: takes nothing and can't fail.
            std::hint::black_box(unsafe { libc::syscall(libc::SYS_getppid) });
            Ok(())
        })
    })?;
    let beyond = |ns: f64| (ns - costs.call).max(0.0);
    let mut event = File::from(eventfd(libc::EFD_NONBLOCK)?);
    let both = effort.median(|n| {
        timed(n, || {
            event.write_all(&1_u64.to_ne_bytes())?;
            event.read_exact(&mut [0; 8])
        })
    })?;
    costs.event = beyond(both / 2.0);
    // SAFETY: takes a flag, returns a descriptor or an error.
    let set = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
    // SAFETY: fresh, and nobody else's.
    let set = unsafe { OwnedFd::from_raw_fd(set as i32) };
    let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 1 };
    let mut control = |what: i32| {
        // SAFETY: both descriptors are open, and the event lives.
        checked(
            unsafe { libc::epoll_ctl(set.as_raw_fd(), what, event.as_raw_fd(), &raw mut interest) }.into(),
        )
        .map(drop)
    };
    control(libc::EPOLL_CTL_ADD)?;
    costs.control = beyond(effort.median(|n| timed(n, || control(libc::EPOLL_CTL_MOD)))?);
    (&event).write_all(&1_u64.to_ne_bytes())?;
    let mut found = [libc::epoll_event { events: 0, u64: 0 }; 8];
    costs.wait = beyond(effort.median(|n| {
        timed(n, || {
            let (set, found, none) =
                (set.as_raw_fd(), found.as_mut_ptr(), std::ptr::null::<libc::sigset_t>());
            // SAFETY: room for eight events, and no mask. As Pirn waits: without the wrapper of C's library.
            checked(unsafe { libc::syscall(libc::SYS_epoll_pwait, set, found, 8, 0, none, 0) }).map(drop)
        })
    })?);
    match ring() {
        Ok(ring) => {
            costs.enter = beyond(effort.median(|n| {
                timed(n, || {
                    // SAFETY: an open ring, nothing to submit and nothing to wait for.
                    let entered =
                        unsafe { libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 0, 0, 0, 0, 0) };
                    checked(entered).map(drop)
                })
            })?);
        }
        Err(error) => eprintln!("enter is not measured, io_uring is not to be had: {error}"),
    }
    Ok(())
}

/// A ring of eight entries.
fn ring() -> io::Result<OwnedFd> {
    // The kernel fills its 120 bytes.
    let mut parameters = [0_u32; 30];
    // SAFETY: parameters of the kernel's size that live over the call.
    let fd = checked(unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, parameters.as_mut_ptr()) })?;
    // SAFETY: fresh, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Messages and connections over the loopback interface.
pub(super) fn sockets(effort: Effort, costs: &mut Costs) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut sender = TcpStream::connect(address)?;
    let (mut receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    let overhead = costs.clock + costs.call;
    let beyond = |ns: f64| (ns - overhead).max(0.0);
    // Of each pair of calls, the time of one.
    let effort = effort.part(2);
    costs.send = beyond(effort.median(|n| {
        let mut spent = Duration::ZERO;
        for _ in 0..n {
            let started = Instant::now();
            sender.write_all(&[1; 16])?;
            spent += started.elapsed();
            receiver.read_exact(&mut [0; 16])?;
        }
        Ok(spent)
    })?);
    costs.receive = beyond(effort.median(|n| {
        let mut spent = Duration::ZERO;
        for _ in 0..n {
            sender.write_all(&[1; 16])?;
            let started = Instant::now();
            receiver.read_exact(&mut [0; 16])?;
            spent += started.elapsed();
        }
        Ok(spent)
    })?);
    // Connections leave ports behind that are not used again for a minute.
    let effort = effort.part(100);
    let part = |of: fn(&[Duration; 3]) -> Duration| {
        effort.median(|n| {
            let mut spent = Duration::ZERO;
            for _ in 0..n {
                let started = Instant::now();
                let one = TcpStream::connect(address)?;
                let connected = Instant::now();
                let (other, _) = listener.accept()?;
                let accepted = Instant::now();
                drop(one);
                let closed = accepted.elapsed();
                drop(other);
                spent += of(&[connected - started, accepted - connected, closed]);
            }
            Ok(spent)
        })
    };
    costs.connect = beyond(part(|times| times[0])?);
    costs.accept = beyond(part(|times| times[1])?);
    costs.close = beyond(part(|times| times[2])?);
    Ok(())
}

/// Reads of 4 KiB, from memory and not; false if nothing in the folder is ever cold.
pub(super) fn files(effort: Effort, folder: &Path, costs: &mut Costs) -> io::Result<bool> {
    const PAGE: usize = 4096;
    const STRIDE: u64 = 16 * 1024;
    const COLD: u64 = 128;
    let path = folder.join(format!("pirn-calibrate-{}.data", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    // Gone with its descriptor.
    std::fs::remove_file(&path)?;
    file.write_all_at(&vec![7; (COLD * STRIDE) as usize], 0)?;
    file.sync_all()?;
    let mut page = [0; PAGE];
    let hot = effort.median(|n| timed(n, || file.read_exact_at(&mut page, 0)))?;
    costs.read = (hot - costs.call).max(0.0);
    if !has_medium(folder)? {
        return Ok(false);
    }
    let rounds = Effort { operations: COLD, ..effort };
    costs.cold_read = rounds.median(|n| {
        for advice in [libc::POSIX_FADV_DONTNEED, libc::POSIX_FADV_RANDOM] {
            // SAFETY: an open descriptor and numbers.
            match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
        let mut at = 0;
        timed(n, || {
            at += STRIDE;
            file.read_exact_at(&mut page, at - STRIDE)
        })
    })?;
    Ok(true)
}
