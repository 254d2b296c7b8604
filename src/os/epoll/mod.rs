//! The live machine on epoll: edge-triggered, each socket registered once, on the first call that would block.
//!
//! | file | holds |
//! |---|---|
//! | `set.rs` | one epoll set: who is registered, staged completions, the eventfd |
//! | `registry.rs` | registrations with generations |
//! | `side.rs` | one direction of a socket: what is known of its readiness, and the ops that wait for it |
//! | `socket.rs` | the descriptor of both live machines: two sides |
//! | `home.rs` | where it is registered, a set or a ring, and for what |
//! | `ahead.rs`, `taken.rs` | what a home took from the kernel before it was asked for, and how it hands it over |
//! | `driver.rs` | the three parts of a driver over a set |
//! | `sys.rs` | the epoll system calls |
//!
//! File ops are no concern of a set: those that need no wait are made at once, the others by the machine's side threads
//! (`../file/`), which stage their completions in the set of the driver they came from.
//!
//! **Protocol of a side.** Its lock is held across a non-blocking call and the note of what the call showed, and an
//! event sets `ready` under the same lock. An edge that comes between the call and the note is still in the set,
//! so it sets `ready` after the note: no edge is lost. A call that moved fewer bytes than asked has emptied (or
//! filled) the kernel's queue, so the call that would say EAGAIN is saved; after an end of stream, an error or
//! urgent data that inference is off.
//!
//! **Home.** A socket is registered in the set of the worker that first had to wait for it, a connection in the set of its
//! listener as long as that has not enough to fill its looks, and stays there. Few connections spread over all workers would wake each of
//! them for each of a few messages; together they come in batches, which the others share by stealing. An op
//! that another worker submits waits in the socket all the same; whoever reaps the home set plays it and collects
//! its completion, whose token names the table it belongs to. So a socket may be used from anywhere, and a peer
//! that takes an overdue worker's reap half over serves all of its sockets.
//!
//! Lock order: side, registration, registry of a set, staged completions. No lock is held across a wait.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::SystemTime;

use self::set::Set;
use self::socket::{Kind, Socket};
use super::file::{calls::resident, handle::OpenFile, pool::Pool};
use super::{
    Address, DriverConfig, DriverParts, Fd, Os, RecvMessage, SendMessage, SocketKind, SocketOption,
    ThreadHandle, ThreadSpec,
};
use super::{live, signal, sys as calls, thread};
use crate::time::Instant;

mod ahead;
pub(super) mod driver;
pub(super) mod home;
pub(super) mod registry;
mod set;
mod side;
pub(super) mod socket;
pub(super) mod sys;
mod taken;

/// The live machine on epoll, the same for every call. Fails if the kernel refuses what it needs, and says what.
pub fn epoll() -> io::Result<Arc<dyn Os>> {
    Set::new(0)?;
    Ok(machine("epoll", driver::parts))
}

/// Makes the parts of a driver.
type Drivers = fn(&Arc<Pool>, &DriverConfig) -> io::Result<DriverParts>;

/// A live machine whose drivers are made so.
pub(super) fn machine(name: &'static str, drivers: Drivers) -> Arc<dyn Os> {
    // The clock starts here at the latest.
    thread::now();
    Arc::new(Live { name, drivers, files: Arc::new(Pool::new()) })
}

/// A machine. The rest of its state is in the drivers and the sockets.
struct Live {
    name: &'static str,
    drivers: Drivers,
    files: Arc<Pool>,
}

fn kind_of(kind: SocketKind) -> Kind {
    if kind.is_datagram() { Kind::Socket } else { Kind::Stream }
}

impl Os for Live {
    fn name(&self) -> &'static str {
        self.name
    }

    fn now(&self) -> Instant {
        thread::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn entropy(&self) -> u64 {
        calls::random_u64()
    }

    fn parallelism(&self) -> usize {
        thread::parallelism()
    }

    fn spawn_thread(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn ThreadHandle>> {
        thread::spawn(spec, body)
    }

    fn thread_id(&self) -> u64 {
        thread::thread_id()
    }

    fn cpus(&self) -> Vec<usize> {
        calls::cpus()
    }

    fn run_on(&self, cpus: &[usize]) -> io::Result<()> {
        thread::run_on(cpus)
    }

    fn driver(&self, config: &DriverConfig) -> io::Result<DriverParts> {
        (self.drivers)(&self.files, config)
    }

    fn socket(&self, kind: SocketKind) -> io::Result<Fd> {
        Ok(socket::fresh(calls::socket(kind)?, kind_of(kind)))
    }

    fn socket_pair(&self, kind: SocketKind) -> io::Result<(Fd, Fd)> {
        let (one, other) = calls::socket_pair(kind)?;
        let kind = kind_of(kind);
        Ok((socket::fresh(one, kind), socket::fresh(other, kind)))
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        let (reading, writing) = calls::pipe()?;
        Ok((Socket::other(reading, None), Socket::other(writing, None)))
    }

    fn bind(&self, fd: &Fd, address: &Address) -> io::Result<()> {
        calls::bind(fd.raw(), address)
    }

    fn listen(&self, fd: &Fd, backlog: u32) -> io::Result<()> {
        calls::listen(fd.raw(), backlog)?;
        Socket::of(fd).map(Socket::listens)
    }

    fn local_addr(&self, fd: &Fd) -> io::Result<Address> {
        calls::local_addr(fd.raw())
    }

    fn peer_addr(&self, fd: &Fd) -> io::Result<Address> {
        calls::peer_addr(fd.raw())
    }

    fn shutdown(&self, fd: &Fd, how: Shutdown) -> io::Result<()> {
        calls::shutdown(fd.raw(), how)
    }

    fn set_option(&self, fd: &Fd, option: SocketOption) -> io::Result<()> {
        calls::set_option(fd.raw(), option)
    }

    fn option(&self, fd: &Fd, option: SocketOption) -> io::Result<SocketOption> {
        calls::option(fd.raw(), option)
    }

    fn watch(&self, fd: OwnedFd) -> io::Result<Fd> {
        Ok(Socket::adopted(fd))
    }

    fn adopt(&self, fd: OwnedFd) -> io::Result<Fd> {
        calls::set_nonblocking(fd.as_fd())?;
        Ok(Socket::adopted(fd))
    }

    fn try_recv(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Option<usize>> {
        Socket::of(fd)?.try_recv(into, peek)
    }

    fn try_recv_owned(&self, fd: &Fd, into: &mut Vec<u8>, least: usize) -> io::Result<Option<usize>> {
        Socket::of(fd)?.try_recv_owned(into, least)
    }

    fn try_send(&self, fd: &Fd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        Socket::of(fd)?.try_send(from)
    }

    fn try_accept(&self, fd: &Fd) -> io::Result<Option<(Fd, Address)>> {
        Socket::of(fd)?.try_accept()
    }

    fn try_read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<Option<usize>> {
        OpenFile::of(fd)?.try_read(into, offset)
    }

    fn read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        OpenFile::of(fd)?.read(into, offset)
    }

    fn try_write_at(&self, fd: &Fd, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        OpenFile::of(fd)?.try_write(from, offset)
    }

    fn resident(&self, fd: &Fd, memory: &[u8]) -> Option<bool> {
        resident(fd, memory)
    }

    fn adopt_file(&self, fd: OwnedFd) -> io::Result<Fd> {
        Ok(Arc::new(OpenFile::new(fd)))
    }

    fn try_recv_batch(
        &self,
        fd: &Fd,
        batch: &mut [RecvMessage<'_>],
        peek: bool,
    ) -> io::Result<Option<usize>> {
        Socket::of(fd)?.try_recv_batch(batch, peek)
    }

    fn try_send_batch(&self, fd: &Fd, batch: &[SendMessage<'_>]) -> io::Result<Option<usize>> {
        Socket::of(fd)?.try_send_batch(batch)
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        live::lookup(host)
    }

    fn signal(&self, number: i32) -> io::Result<Fd> {
        let listener = signal::listen(number)?;
        Ok(Socket::other(listener.fd, Some(listener.post)))
    }

    fn start_child(&self, command: &mut Command) -> io::Result<(Child, Fd)> {
        let (child, pidfd) = live::start_child(command)?;
        Ok((child, Socket::other(pidfd, None)))
    }

    fn signal_child(&self, child: &Fd, number: i32) -> io::Result<()> {
        signal::signal_pidfd(child.raw(), number)
    }
}
