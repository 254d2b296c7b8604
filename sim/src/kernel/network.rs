//! The symbols of libc that concern sockets and pipes.

use std::ffi::{CStr, c_int, c_uint, c_void};

use libc::{iovec, mmsghdr, msghdr, sockaddr, socklen_t};
use pirn::os::{Address, RecvMessage, SendMessage, SocketKind};

use super::address::{decode, encode};
use super::calls::{call, gather, listed, making, on, real, room, scatter};
use crate::cost::Call;
use crate::guard::refuse;
use crate::net::{Errno, Role};
use crate::thread::Executor;
use crate::unix::Family;
use crate::world::World;

/// Descriptors that would block are for programs that the world can't see waiting.
fn must_not_block(executor: &'static Executor, kind: c_int, call: &str) {
    if kind & libc::SOCK_NONBLOCK == 0 {
        refuse(executor, &format!("{call} for a socket that blocks"), "use the sockets of pirn");
    }
}

fn kind_of(domain: c_int, kind: c_int) -> Result<SocketKind, Errno> {
    match (domain, kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)) {
        (libc::AF_INET, libc::SOCK_STREAM) => Ok(SocketKind::TcpV4),
        (libc::AF_INET6, libc::SOCK_STREAM) => Ok(SocketKind::TcpV6),
        (libc::AF_INET, libc::SOCK_DGRAM) => Ok(SocketKind::UdpV4),
        (libc::AF_INET6, libc::SOCK_DGRAM) => Ok(SocketKind::UdpV6),
        (libc::AF_UNIX, libc::SOCK_STREAM) => Ok(SocketKind::UnixStream),
        (libc::AF_UNIX, libc::SOCK_DGRAM) => Ok(SocketKind::UnixDatagram),
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// Bytes that came; of a datagram, who sent it and whether it was longer.
type Received = (Vec<u8>, Option<(Address, bool)>);

impl World {
    /// A socket's number, if the calls of sockets are for it.
    pub(super) fn real_socket(&mut self, fd: c_int) -> Result<u32, Errno> {
        let socket = self.socket_behind(fd)?;
        if self.net.socket(socket).family.is_socket() { Ok(socket) } else { Err(libc::ENOTSOCK) }
    }

    /// Receives up to `max` bytes, and who sent them if it is a datagram (with its length).
    pub(super) fn receive_bytes(&mut self, socket: u32, max: usize, flags: c_int) -> Result<Received, Errno> {
        let peek = flags & libc::MSG_PEEK != 0;
        if self.net.socket(socket).family.is_datagram() {
            let mut bytes = vec![0; max];
            let mut batch = [RecvMessage::new(&mut bytes)];
            self.recv_letters(socket, &mut batch, peek)?.ok_or(libc::EAGAIN)?;
            let [RecvMessage { count, from, truncated, .. }] = batch;
            bytes.truncate(count);
            return Ok((bytes, Some((from, truncated))));
        }
        let mut bytes = Vec::new();
        self.receive(socket, max, peek, |part| bytes.extend_from_slice(part))?.ok_or(libc::EAGAIN)?;
        self.charge(Call::Receive);
        Ok((bytes, None))
    }

    /// Sends what fits.
    pub(super) fn send_bytes(&mut self, socket: u32, bytes: &[u8]) -> Result<usize, Errno> {
        if self.net.socket(socket).family.is_datagram() {
            let batch = [SendMessage { bytes, to: None, segment: 0 }];
            return self.send_letters(socket, &batch)?.map(|_| bytes.len()).ok_or(libc::EAGAIN);
        }
        let sent = self.send(socket, bytes.len(), |count| bytes[..count].to_vec())?.ok_or(libc::EAGAIN)?;
        self.charge(Call::Send);
        Ok(sent)
    }

    /// connect(2): begins, or says how it went.
    pub(super) fn connect_to(&mut self, socket: u32, address: &Address) -> Result<(), Errno> {
        let record = self.net.socket(socket);
        let (family, ip) = (record.family, matches!(address, Address::Ip(_)));
        match (address, family) {
            (Address::Unix(name), _) => self.connect_name(socket, name),
            (Address::Ip(to), Family::Udp) => self.connect_udp(socket, *to),
            (Address::Ip(to), Family::Tcp) => {
                if let Some(errno) = record.error.take() {
                    return Err(errno);
                }
                match record.role {
                    // The first call after the connection is there says so.
                    Role::Stream if !record.told && !record.reset => {
                        record.told = true;
                        Ok(())
                    }
                    Role::Connecting => Err(libc::EALREADY),
                    _ => {
                        self.charge(Call::Connect);
                        self.connect_socket(socket, *to).and(Err(libc::EINPROGRESS))
                    }
                }
            }
            _ if ip => Err(libc::EAFNOSUPPORT),
            _ => Err(libc::EINVAL),
        }
    }

    /// Accepts a connection: its descriptor, and whose it is.
    pub(super) fn accept_from(&mut self, socket: u32) -> Result<(c_int, Address), Errno> {
        let (accepted, peer) = self.accept(socket)?.ok_or(libc::EAGAIN)?;
        self.net.socket(accepted).told = true;
        self.charge(Call::Accept);
        Ok((self.install_socket(accepted), peer))
    }

    fn install_pair(&mut self, families: [Family; 2]) -> Result<[c_int; 2], Errno> {
        let host = self.my_host();
        let (one, other) = self.open_pair(host, families)?;
        Ok([self.install_socket(one), self.install_socket(other)])
    }
}

/// # Safety
/// As socket(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let Some(executor) = making("socket") else {
        let a = [domain as usize, kind as usize, protocol as usize, 0, 0, 0];
        // SAFETY: no pointers.
        return unsafe { real(libc::SYS_socket, a) as c_int };
    };
    must_not_block(executor, kind, "socket");
    call(executor, |world| {
        let (host, kind) = (world.my_host(), kind_of(domain, kind)?);
        let socket = world.open_socket(host, kind.into())?;
        Ok(world.install_socket(socket) as usize)
    }) as c_int
}

/// # Safety
/// As socketpair(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int {
    let Some(executor) = making("socketpair") else {
        let a = [domain as usize, kind as usize, protocol as usize, pair as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_socketpair, a) as c_int };
    };
    must_not_block(executor, kind, "socketpair");
    call(executor, |world| {
        let kind = kind_of(domain, kind)?;
        if !kind.is_unix() {
            return Err(libc::EOPNOTSUPP);
        }
        let both = world.install_pair([kind.into(); 2])?;
        // SAFETY: room for two.
        unsafe { pair.cast::<[c_int; 2]>().write(both) };
        Ok(0)
    }) as c_int
}

/// # Safety
/// As pipe2(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn pipe2(ends: *mut c_int, flags: c_int) -> c_int {
    let Some(executor) = making("pipe2") else {
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_pipe2, [ends as usize, flags as usize, 0, 0, 0, 0]) as c_int };
    };
    if flags & libc::O_NONBLOCK == 0 {
        refuse(executor, "pipe2 for a pipe that blocks", "use the pipes of pirn");
    }
    call(executor, |world| {
        let both = world.install_pair([Family::PipeReader, Family::PipeWriter])?;
        // SAFETY: room for two.
        unsafe { ends.cast::<[c_int; 2]>().write(both) };
        Ok(0)
    }) as c_int
}

/// # Safety
/// As bind(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, address as usize, length as usize, 0, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_bind, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        // SAFETY: the caller's address.
        match unsafe { decode(address, length) }? {
            Address::Ip(_) if world.net.socket(socket).family.is_local() => Err(libc::EINVAL),
            Address::Ip(address) => world.bind_socket(socket, address),
            Address::Unix(name) => world.bind_name(socket, &name),
        }
        .map(|()| 0)
    }) as c_int
}

/// # Safety
/// As listen(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    match on(fd) {
        Some(executor) => call(executor, |world| {
            let socket = world.real_socket(fd)?;
            world.listen_socket(socket, backlog.max(0) as u32).map(|()| 0)
        }) as c_int,
        // SAFETY: no pointers.
        None => unsafe { real(libc::SYS_listen, [fd as usize, backlog as usize, 0, 0, 0, 0]) as c_int },
    }
}

/// # Safety
/// As connect(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, address as usize, length as usize, 0, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_connect, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        // SAFETY: the caller's address.
        let address = unsafe { decode(address, length) }?;
        world.connect_to(socket, &address).map(|()| 0)
    }) as c_int
}

/// # Safety
/// As accept4(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, address as usize, length as usize, flags as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_accept4, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        let (accepted, peer) = world.accept_from(socket)?;
        // SAFETY: the caller's room.
        unsafe { encode(&peer, address.cast(), length) };
        Ok(accepted as usize)
    }) as c_int
}

/// A name of a socket into the caller's room; `real_call` for a real one.
///
/// # Safety
/// As getsockname(2).
#[track_caller]
unsafe fn name(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    real_call: libc::c_long,
    name: fn(&mut World, u32) -> Result<Address, Errno>,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, address as usize, length as usize, 0, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(real_call, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        let name = name(world, socket)?;
        // SAFETY: the caller's room.
        unsafe { encode(&name, address.cast(), length) };
        Ok(0)
    }) as c_int
}

/// # Safety
/// As getsockname(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: the caller's duty.
    unsafe { name(fd, address, length, libc::SYS_getsockname, World::address) }
}

/// # Safety
/// As getpeername(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: the caller's duty.
    unsafe { name(fd, address, length, libc::SYS_getpeername, World::peer_address) }
}

/// # Safety
/// As shutdown(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    match on(fd) {
        Some(executor) => call(executor, |world| {
            let socket = world.real_socket(fd)?;
            world.shut_down(socket, how).map(|()| 0)
        }) as c_int,
        // SAFETY: no pointers.
        None => unsafe { real(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]) as c_int },
    }
}

/// # Safety
/// As setsockopt(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, level as usize, name as usize, value as usize, length as usize, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_setsockopt, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        // SAFETY: the caller's value.
        unsafe { world.set_raw_option(socket, level, name, value, length) }.map(|()| 0)
    }) as c_int
}

/// # Safety
/// As getsockopt(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, level as usize, name as usize, value as usize, length as usize, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_getsockopt, a) as c_int };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        let bytes = world.raw_option(socket, level, name)?;
        // SAFETY: the caller's room, of which no more is written than there is.
        unsafe {
            let count = bytes.len().min(*length as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast(), count);
            *length = count as socklen_t;
        }
        Ok(0)
    }) as c_int
}

/// Receives into one message's slices.
///
/// # Safety
/// A valid message.
pub(super) unsafe fn receive_message(
    world: &mut World,
    socket: u32,
    message: *mut msghdr,
    flags: c_int,
) -> Result<usize, Errno> {
    // SAFETY: the caller's duty.
    unsafe {
        let (slices, count): (_, usize) = ((*message).msg_iov, (*message).msg_iovlen as _);
        let (bytes, sender) = world.receive_bytes(socket, room(slices, count), flags)?;
        scatter(&bytes, slices, count);
        (*message).msg_flags = 0;
        (*message).msg_controllen = 0;
        match sender {
            Some((from, truncated)) => {
                encode(&from, (*message).msg_name.cast(), &raw mut (*message).msg_namelen);
                if truncated {
                    (*message).msg_flags |= libc::MSG_TRUNC;
                }
            }
            None => (*message).msg_namelen = 0,
        }
        Ok(bytes.len())
    }
}

/// Sends one message.
///
/// # Safety
/// A valid message.
pub(super) unsafe fn send_message(
    world: &mut World,
    socket: u32,
    message: *const msghdr,
) -> Result<usize, Errno> {
    // SAFETY: the caller's duty.
    let (bytes, to, segment) = unsafe {
        let bytes = gather((*message).msg_iov, (*message).msg_iovlen as _);
        let to = match (*message).msg_name {
            name if name.is_null() => None,
            name => Some(decode(name.cast(), (*message).msg_namelen)?),
        };
        (bytes, to, segment(&*message))
    };
    if !world.net.socket(socket).family.is_datagram() {
        return world.send_bytes(socket, &bytes);
    }
    let batch = [SendMessage { bytes: &bytes, to, segment }];
    world.send_letters(socket, &batch)?.map(|_| bytes.len()).ok_or(libc::EAGAIN)
}

/// UDP_SEGMENT of a message; 0: none.
///
/// # Safety
/// A valid message.
unsafe fn segment(message: &msghdr) -> u16 {
    if message.msg_control.is_null() || message.msg_controllen == 0 {
        return 0;
    }
    // SAFETY: the caller's duty.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(message);
        let is = !first.is_null()
            && ((*first).cmsg_level, (*first).cmsg_type) == (libc::SOL_UDP, libc::UDP_SEGMENT);
        if is { libc::CMSG_DATA(first).cast::<u16>().read_unaligned() } else { 0 }
    }
}

/// # Safety
/// As recvmsg(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, message as usize, flags as usize, 0, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_recvmsg, a) };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        // SAFETY: the caller's message.
        unsafe { receive_message(world, socket, message, flags) }
    })
}

/// # Safety
/// As sendmsg(2).
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, message as usize, flags as usize, 0, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_sendmsg, a) };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        // SAFETY: the caller's message.
        unsafe { send_message(world, socket, message) }
    })
}

/// # Safety
/// As recvmmsg(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut libc::timespec,
) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, messages as usize, count as usize, flags as usize, timeout as usize, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_recvmmsg, a) as c_int };
    };
    each(executor, fd, count, |world, socket, at| {
        // SAFETY: `count` messages.
        unsafe {
            let message = messages.add(at);
            let bytes = receive_message(world, socket, &raw mut (*message).msg_hdr, flags)?;
            (*message).msg_len = bytes as c_uint;
            Ok(())
        }
    })
}

/// # Safety
/// As sendmmsg(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, messages as usize, count as usize, flags as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_sendmmsg, a) as c_int };
    };
    each(executor, fd, count, |world, socket, at| {
        // SAFETY: `count` messages.
        unsafe {
            let message = messages.add(at);
            let bytes = send_message(world, socket, &raw const (*message).msg_hdr)?;
            (*message).msg_len = bytes as c_uint;
            Ok(())
        }
    })
}

/// One message after another, up to the first that fails.
#[track_caller]
fn each(
    executor: &'static Executor,
    fd: c_int,
    count: c_uint,
    mut one: impl FnMut(&mut World, u32, usize) -> Result<(), Errno>,
) -> c_int {
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        for at in 0..count as usize {
            match one(world, socket, at) {
                Ok(()) => {}
                Err(errno) if at == 0 => return Err(errno),
                Err(_) => return Ok(at),
            }
        }
        Ok(count as usize)
    }) as c_int
}

/// # Safety
/// As recv(2).
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recv(fd: c_int, into: *mut c_void, count: usize, flags: c_int) -> isize {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, into as usize, count, flags as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_recvfrom, a) };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        let (bytes, _) = world.receive_bytes(socket, count, flags)?;
        // SAFETY: the caller's buffer.
        unsafe { scatter(&bytes, &iovec { iov_base: into, iov_len: count }, 1) };
        Ok(bytes.len())
    })
}

/// # Safety
/// As send(2).
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn send(fd: c_int, from: *const c_void, count: usize, flags: c_int) -> isize {
    let Some(executor) = on(fd) else {
        let a = [fd as usize, from as usize, count, flags as usize, 0, 0];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_sendto, a) };
    };
    call(executor, |world| {
        let socket = world.real_socket(fd)?;
        if from.is_null() && count > 0 {
            return Err(libc::EFAULT);
        }
        // SAFETY: the caller's buffer.
        let bytes = unsafe { gather(&iovec { iov_base: from.cast_mut(), iov_len: count }, 1) };
        world.send_bytes(socket, &bytes)
    })
}

impl World {
    /// shutdown(2).
    pub(super) fn shut_down(&mut self, socket: u32, how: c_int) -> Result<(), Errno> {
        let how = match how {
            libc::SHUT_RD => std::net::Shutdown::Read,
            libc::SHUT_WR => std::net::Shutdown::Write,
            libc::SHUT_RDWR => std::net::Shutdown::Both,
            _ => return Err(libc::EINVAL),
        };
        // A listener that is shut down listens no more.
        if let Role::Listener { .. } = self.net.socket(socket).role {
            self.stop_listening(socket);
            return Ok(());
        }
        self.shutdown_socket(socket, how)
    }
}

/// The symbols of this file.
pub(super) fn symbols() -> impl Iterator<Item = (&'static CStr, usize)> {
    listed![
        socket socketpair pipe2 bind listen connect accept4 getsockname getpeername shutdown setsockopt
        getsockopt recvmsg sendmsg recvmmsg sendmmsg recv send
    ]
    .into_iter()
}
