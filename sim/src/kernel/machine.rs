//! The machine of a host with a simulated kernel: Pirn's own live machine for sockets and drivers, the world's for all else.
//!
//! Files, threads, names and clocks are the world's, as with [`Kernel::Ops`]: they do not go through a driver's kernel.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::SystemTime;

use pirn::os::{
    Address, DriverConfig, DriverParts, Fd, Os, RecvMessage, SendMessage, SocketKind, SocketOption,
    ThreadHandle, ThreadSpec,
};
use pirn::time::Instant;

use super::{Kernel, gate};
use crate::net::Role;
use crate::os::SimOs;
use crate::thread::here;
use crate::unix::Family;

/// The machine of the calling simulated thread's host, whatever its kernel. On another thread: one whose methods panic.
pub(crate) fn machine() -> Arc<dyn Os> {
    let kernel = match crate::thread::current() {
        Some(executor) => executor.world().options.kernel,
        None => Kernel::Ops,
    };
    let live = match kernel {
        Kernel::Ops | Kernel::Drawn => return Arc::new(SimOs),
        Kernel::Epoll => pirn::os::epoll(),
        Kernel::Uring => pirn::os::uring(),
    };
    // A host out of descriptors can't have a machine either.
    let live = live.unwrap_or_else(|error| panic!("the host's machine can't be made: {error}"));
    Arc::new(Machine { live })
}

struct Machine {
    live: Arc<dyn Os>,
}

impl Os for Machine {
    fn name(&self) -> &'static str {
        SimOs.name()
    }

    fn now(&self) -> Instant {
        SimOs.now()
    }

    fn wall(&self) -> SystemTime {
        SimOs.wall()
    }

    fn entropy(&self) -> u64 {
        SimOs.entropy()
    }

    fn parallelism(&self) -> usize {
        SimOs.parallelism()
    }

    fn spawn_thread(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn ThreadHandle>> {
        SimOs.spawn_thread(spec, body)
    }

    fn thread_id(&self) -> u64 {
        SimOs.thread_id()
    }

    fn driver(&self, config: &DriverConfig) -> io::Result<DriverParts> {
        Ok(gate::around(self.live.driver(config)?, config, Arc::clone(&self.live)))
    }

    fn socket(&self, kind: SocketKind) -> io::Result<Fd> {
        self.live.socket(kind)
    }

    fn socket_pair(&self, kind: SocketKind) -> io::Result<(Fd, Fd)> {
        self.live.socket_pair(kind)
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        self.live.pipe()
    }

    fn bind(&self, fd: &Fd, address: &Address) -> io::Result<()> {
        self.live.bind(fd, address)
    }

    fn listen(&self, fd: &Fd, backlog: u32) -> io::Result<()> {
        self.live.listen(fd, backlog)
    }

    fn local_addr(&self, fd: &Fd) -> io::Result<Address> {
        self.live.local_addr(fd)
    }

    fn peer_addr(&self, fd: &Fd) -> io::Result<Address> {
        self.live.peer_addr(fd)
    }

    fn shutdown(&self, fd: &Fd, how: Shutdown) -> io::Result<()> {
        self.live.shutdown(fd, how)
    }

    fn set_option(&self, fd: &Fd, option: SocketOption) -> io::Result<()> {
        self.live.set_option(fd, option)
    }

    fn option(&self, fd: &Fd, option: SocketOption) -> io::Result<SocketOption> {
        self.live.option(fd, option)
    }

    fn watch(&self, fd: OwnedFd) -> io::Result<Fd> {
        SimOs.watch(fd)
    }

    fn adopt(&self, fd: OwnedFd) -> io::Result<Fd> {
        SimOs.adopt(fd)
    }

    fn try_recv(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Option<usize>> {
        self.live.try_recv(fd, into, peek)
    }

    fn try_send(&self, fd: &Fd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        self.live.try_send(fd, from)
    }

    fn try_accept(&self, fd: &Fd) -> io::Result<Option<(Fd, Address)>> {
        self.live.try_accept(fd)
    }

    fn try_recv_batch(
        &self,
        fd: &Fd,
        batch: &mut [RecvMessage<'_>],
        peek: bool,
    ) -> io::Result<Option<usize>> {
        self.live.try_recv_batch(fd, batch, peek)
    }

    fn try_send_batch(&self, fd: &Fd, batch: &[SendMessage<'_>]) -> io::Result<Option<usize>> {
        self.live.try_send_batch(fd, batch)
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        SimOs.lookup(host)
    }

    fn signal(&self, number: i32) -> io::Result<Fd> {
        let executor = here("Os::signal");
        executor.os_point();
        let world = executor.world();
        let host = world.my_host();
        let listener =
            world.open_socket(host, Family::Signal(number)).map_err(io::Error::from_raw_os_error)?;
        world.net.socket(listener).role = Role::Stream;
        let fd = world.install_socket(listener);
        // SAFETY: fresh, and a descriptor of this world.
        self.live.adopt(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn start_child(&self, command: &mut Command) -> io::Result<(Child, Fd)> {
        SimOs.start_child(command)
    }

    fn signal_child(&self, child: &Fd, number: i32) -> io::Result<()> {
        SimOs.signal_child(child, number)
    }

    fn try_read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<Option<usize>> {
        SimOs.try_read_at(fd, into, offset)
    }

    fn read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        SimOs.read_at(fd, into, offset)
    }

    fn try_write_at(&self, fd: &Fd, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        SimOs.try_write_at(fd, from, offset)
    }

    fn resident(&self, fd: &Fd, memory: &[u8]) -> Option<bool> {
        SimOs.resident(fd, memory)
    }

    fn adopt_file(&self, fd: OwnedFd) -> io::Result<Fd> {
        SimOs.adopt_file(fd)
    }
}
