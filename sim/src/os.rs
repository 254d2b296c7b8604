//! `pirn::os::Os` over the world: what a runtime on a simulated host sees of its machine.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{OwnedFd, RawFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pirn::os::{
    Address, Credentials, Descriptor, DriverConfig, DriverParts, Fd, Os, RecvMessage, SendMessage,
    SocketKind, SocketOption, ThreadHandle, ThreadSpec,
};
use pirn::time::Instant;

use crate::disk;
use crate::net::Errno;
use crate::thread::{Executor, current, here};
use crate::unix::Family;
use crate::world::{State, World};

/// A simulated descriptor.
#[derive(Debug)]
pub(crate) struct SimFd {
    run: u64,
    socket: u32,
    raw: RawFd,
}

impl SimFd {
    /// The descriptor of an open socket.
    pub(crate) fn open(world: &World, socket: u32) -> Fd {
        Arc::new(Self { run: world.run, socket, raw: world.net.sockets[socket as usize].raw })
    }
}

impl Descriptor for SimFd {
    fn raw(&self) -> RawFd {
        self.raw
    }
}

impl Drop for SimFd {
    fn drop(&mut self) {
        if let Some(executor) = current()
            && executor.world().run == self.run
        {
            executor.os_point();
            executor.world().close_socket(self.socket);
            executor.settle();
        }
    }
}

/// The socket behind a descriptor of this run.
pub(crate) fn socket_of(fd: &Fd) -> io::Result<u32> {
    match fd.downcast_ref::<SimFd>() {
        Some(fd) if current().is_some_and(|executor| executor.world().run == fd.run) => Ok(fd.socket),
        _ if disk::is_file(fd) => Err(error(libc::ENOTSOCK)),
        _ => Err(error(libc::EBADF)),
    }
}

fn error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the simulated machine has no such thing as {what}"))
}

/// The machine of the calling simulated thread's host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SimOs;

impl SimOs {
    #[track_caller]
    fn pair(what: &str, families: [Family; 2]) -> io::Result<(Fd, Fd)> {
        let executor = here(what);
        executor.os_point();
        let world = executor.world();
        let host = world.my_host();
        let (one, other) = world.open_pair(host, families).map_err(error)?;
        Ok((SimFd::open(world, one), SimFd::open(world, other)))
    }

    #[track_caller]
    fn call<T>(fd: &Fd, what: &str, f: impl FnOnce(&mut World, u32) -> Result<T, Errno>) -> io::Result<T> {
        let executor = here(what);
        executor.os_point();
        let socket = socket_of(fd)?;
        let result = f(executor.world(), socket).map_err(error);
        executor.settle();
        result
    }
}

impl World {
    /// 64 random bits for the running thread.
    pub(crate) fn entropy(&mut self) -> u64 {
        let (seed, thread) = (self.options.entropy, u64::from(self.current));
        let me = self.me();
        me.entropy += 1;
        crate::rng::Rng::new(seed ^ (thread << 32), me.entropy).next()
    }
}

struct Thread {
    number: u32,
    run: u64,
}

impl Thread {
    fn executor(&self) -> &'static Executor {
        let executor = here("a thread handle");
        assert!(executor.world().run == self.run, "a thread handle outlived its simulation");
        executor
    }
}

impl ThreadHandle for Thread {
    fn is_finished(&self) -> bool {
        let executor = self.executor();
        executor.os_point();
        executor.world().threads[self.number as usize].state == State::Finished
    }

    fn join(self: Box<Self>) {
        let executor = self.executor();
        executor.os_point();
        executor.join(self.number);
    }
}

impl Os for SimOs {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> Instant {
        let executor = here("Os::now");
        executor.clock_point();
        let now = executor.aside(World::read_clock);
        executor.settle();
        Instant::from_nanos(now)
    }

    fn wall(&self) -> SystemTime {
        let world = here("Os::wall").world();
        SystemTime::UNIX_EPOCH + Duration::from_nanos(world.wall(world.my_host()))
    }

    fn entropy(&self) -> u64 {
        here("Os::entropy").world().entropy()
    }

    fn parallelism(&self) -> usize {
        let world = here("Os::parallelism").world();
        let host = world.my_host() as usize;
        world.options.workers.get(host).copied().unwrap_or(1)
    }

    fn spawn_thread(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn ThreadHandle>> {
        let executor = here("Os::spawn_thread");
        executor.os_point();
        let world = executor.world();
        let (host, run) = (world.my_host(), world.run);
        let name = format!("{}/{}", world.hosts[host as usize].name, spec.name);
        let number = executor.spawn(host, name, body)?;
        Ok(Box::new(Thread { number, run }))
    }

    fn thread_id(&self) -> u64 {
        u64::from(here("Os::thread_id").world().current)
    }

    fn driver(&self, config: &DriverConfig) -> io::Result<DriverParts> {
        Ok(crate::driver::driver(config))
    }

    fn socket(&self, kind: SocketKind) -> io::Result<Fd> {
        let executor = here("Os::socket");
        executor.os_point();
        let world = executor.world();
        let host = world.my_host();
        let socket = world.open_socket(host, kind.into()).map_err(error)?;
        Ok(SimFd::open(world, socket))
    }

    fn socket_pair(&self, kind: SocketKind) -> io::Result<(Fd, Fd)> {
        if !kind.is_unix() {
            return Err(error(libc::EOPNOTSUPP));
        }
        Self::pair("Os::socket_pair", [kind.into(); 2])
    }

    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        Self::pair("Os::pipe", [Family::PipeReader, Family::PipeWriter])
    }

    fn bind(&self, fd: &Fd, address: &Address) -> io::Result<()> {
        Self::call(fd, "Os::bind", |world, socket| match address {
            Address::Ip(_) if world.net.socket(socket).family.is_local() => Err(libc::EINVAL),
            Address::Ip(address) => world.bind_socket(socket, *address),
            Address::Unix(name) => world.bind_name(socket, name),
        })
    }

    fn listen(&self, fd: &Fd, backlog: u32) -> io::Result<()> {
        Self::call(fd, "Os::listen", |world, socket| world.listen_socket(socket, backlog))
    }

    fn local_addr(&self, fd: &Fd) -> io::Result<Address> {
        Self::call(fd, "Os::local_addr", World::address)
    }

    fn peer_addr(&self, fd: &Fd) -> io::Result<Address> {
        Self::call(fd, "Os::peer_addr", World::peer_address)
    }

    fn shutdown(&self, fd: &Fd, how: Shutdown) -> io::Result<()> {
        Self::call(fd, "Os::shutdown", |world, socket| world.shutdown_socket(socket, how))
    }

    fn set_option(&self, fd: &Fd, option: SocketOption) -> io::Result<()> {
        Self::call(fd, "Os::set_option", |world, socket| world.set_option(socket, option))
    }

    fn option(&self, fd: &Fd, option: SocketOption) -> io::Result<SocketOption> {
        Self::call(fd, "Os::option", |world, socket| world.option(socket, option))
    }

    fn watch(&self, _fd: OwnedFd) -> io::Result<Fd> {
        Err(unsupported("a real descriptor"))
    }

    fn adopt(&self, _fd: OwnedFd) -> io::Result<Fd> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a real descriptor can't be taken over by the simulator: open the socket through pirn::net",
        ))
    }

    fn try_recv(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Option<usize>> {
        Self::call(fd, "Os::try_recv", |world, socket| {
            let max = into.iter().map(|slice| slice.len()).sum();
            let (mut slice, mut at) = (0, 0);
            let result = world.receive(socket, max, peek, |mut part| {
                while !part.is_empty() {
                    let room = &mut into[slice][at..];
                    let count = room.len().min(part.len());
                    room[..count].copy_from_slice(&part[..count]);
                    part = &part[count..];
                    at += count;
                    if at == into[slice].len() {
                        (slice, at) = (slice + 1, 0);
                    }
                }
            })?;
            world.note(result.map_or(u64::MAX, |count| count as u64));
            Ok(result)
        })
    }

    fn try_send(&self, fd: &Fd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        Self::call(fd, "Os::try_send", |world, socket| {
            let total = from.iter().map(|slice| slice.len()).sum();
            let result = world.send(socket, total, |count| {
                let mut bytes = Vec::with_capacity(count);
                for slice in from {
                    bytes.extend_from_slice(&slice[..slice.len().min(count - bytes.len())]);
                }
                bytes
            })?;
            world.note(result.map_or(u64::MAX, |count| count as u64));
            Ok(result)
        })
    }

    fn try_accept(&self, fd: &Fd) -> io::Result<Option<(Fd, Address)>> {
        Self::call(fd, "Os::try_accept", |world, socket| {
            let accepted = world.accept(socket)?;
            Ok(accepted.map(|(accepted, peer)| (SimFd::open(world, accepted), peer)))
        })
    }

    fn try_read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<Option<usize>> {
        disk::try_read_at(fd, into, offset)
    }

    fn read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        disk::read_at(fd, into, offset)
    }

    fn try_write_at(&self, fd: &Fd, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        disk::try_write_at(fd, from, offset)
    }

    fn resident(&self, _: &Fd, _: &[u8]) -> Option<bool> {
        None
    }

    fn adopt_file(&self, _fd: OwnedFd) -> io::Result<Fd> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a real descriptor can't be taken over by the simulator: open the file through pirn::fs",
        ))
    }

    fn try_recv_batch(
        &self,
        fd: &Fd,
        batch: &mut [RecvMessage<'_>],
        peek: bool,
    ) -> io::Result<Option<usize>> {
        Self::call(fd, "Os::try_recv_batch", |world, socket| world.recv_letters(socket, batch, peek))
    }

    fn try_send_batch(&self, fd: &Fd, batch: &[SendMessage<'_>]) -> io::Result<Option<usize>> {
        Self::call(fd, "Os::try_send_batch", |world, socket| world.send_letters(socket, batch))
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let executor = here("Os::lookup");
        executor.os_point();
        match crate::entry::lookup(host) {
            Some(address) => Ok(vec![address]),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no host `{host}` in this simulation"),
            )),
        }
    }

    fn signal(&self, number: i32) -> io::Result<Fd> {
        let executor = here("Os::signal");
        executor.os_point();
        let world = executor.world();
        let host = world.my_host();
        let listener = world.open_socket(host, Family::Signal(number)).map_err(error)?;
        world.net.socket(listener).role = crate::net::Role::Stream;
        Ok(SimFd::open(world, listener))
    }

    fn start_child(&self, _command: &mut Command) -> io::Result<(Child, Fd)> {
        Err(unsupported("a child process"))
    }

    fn signal_child(&self, _child: &Fd, _number: i32) -> io::Result<()> {
        Err(unsupported("a child process"))
    }
}

impl World {
    pub(crate) fn set_option(&mut self, socket: u32, option: SocketOption) -> Result<(), Errno> {
        let socket = self.net.socket(socket);
        if !socket.family.is_socket() {
            return Err(libc::ENOTSOCK);
        }
        let settings = &mut socket.settings;
        match option {
            SocketOption::Broadcast(on) => settings.broadcast = on,
            SocketOption::MulticastLoopV4(on) | SocketOption::MulticastLoopV6(on) => {
                settings.multicast_loop = on;
            }
            SocketOption::MulticastTtlV4(hops) if hops <= 255 => settings.multicast_ttl = hops,
            SocketOption::OnlyV6(on) => settings.only_v6 = on,
            // Allowed to join datagrams, this machine never does.
            SocketOption::Gro(on) => settings.gro = on,
            SocketOption::NoDelay(on) => settings.no_delay = on,
            SocketOption::ReuseAddress(on) => settings.reuse_address = on,
            SocketOption::ReusePort(on) => settings.reuse_port = on,
            SocketOption::KeepAlive(on) => settings.keep_alive = on,
            // The kernel doubles what is asked for, for its own bookkeeping.
            SocketOption::ReceiveBuffer(bytes) => settings.receive_buffer = (bytes * 2).max(2304),
            SocketOption::SendBuffer(bytes) => settings.send_buffer = (bytes * 2).max(4608),
            SocketOption::Ttl(ttl) if (1..=255).contains(&ttl) => settings.ttl = ttl,
            SocketOption::Linger(linger) => settings.linger = linger,
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }

    pub(crate) fn option(&mut self, socket: u32, option: SocketOption) -> Result<SocketOption, Errno> {
        let socket = self.net.socket(socket);
        if !socket.family.is_socket() {
            return Err(libc::ENOTSOCK);
        }
        let settings = &socket.settings;
        Ok(match option {
            SocketOption::Broadcast(_) => SocketOption::Broadcast(settings.broadcast),
            SocketOption::MulticastLoopV4(_) => SocketOption::MulticastLoopV4(settings.multicast_loop),
            SocketOption::MulticastLoopV6(_) => SocketOption::MulticastLoopV6(settings.multicast_loop),
            SocketOption::MulticastTtlV4(_) => SocketOption::MulticastTtlV4(settings.multicast_ttl),
            SocketOption::OnlyV6(_) => SocketOption::OnlyV6(settings.only_v6),
            SocketOption::Gro(_) => SocketOption::Gro(settings.gro),
            SocketOption::PeerCredentials(_) => {
                let known = socket.family.is_unix() && socket.other.is_some();
                let pid = Some(socket.host as i32 + 1);
                SocketOption::PeerCredentials(known.then_some(Credentials { pid, uid: 1000, gid: 1000 }))
            }
            SocketOption::NoDelay(_) => SocketOption::NoDelay(settings.no_delay),
            SocketOption::ReuseAddress(_) => SocketOption::ReuseAddress(settings.reuse_address),
            SocketOption::ReusePort(_) => SocketOption::ReusePort(settings.reuse_port),
            SocketOption::KeepAlive(_) => SocketOption::KeepAlive(settings.keep_alive),
            SocketOption::ReceiveBuffer(_) => SocketOption::ReceiveBuffer(settings.receive_buffer),
            SocketOption::SendBuffer(_) => SocketOption::SendBuffer(settings.send_buffer),
            SocketOption::Ttl(_) => SocketOption::Ttl(settings.ttl),
            SocketOption::Linger(_) => SocketOption::Linger(settings.linger),
            SocketOption::Error(_) => SocketOption::Error(socket.error.take()),
            _ => return Err(libc::EINVAL),
        })
    }
}
