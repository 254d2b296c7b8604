//! Socket options in the kernel's form.

use std::ffi::{c_int, c_void};

use libc::socklen_t;
use pirn::os::SocketOption;

use crate::net::Errno;
use crate::world::World;

fn named(level: c_int, name: c_int, value: i32) -> Option<SocketOption> {
    use SocketOption as O;
    let on = value != 0;
    Some(match (level, name) {
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => O::NoDelay(on),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => O::ReuseAddress(on),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => O::ReusePort(on),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => O::KeepAlive(on),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => O::ReceiveBuffer(value as u32),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => O::SendBuffer(value as u32),
        (libc::IPPROTO_IP, libc::IP_TTL) => O::Ttl(value as u32),
        (libc::SOL_SOCKET, libc::SO_BROADCAST) => O::Broadcast(on),
        (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP) => O::MulticastLoopV4(on),
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP) => O::MulticastLoopV6(on),
        (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL) => O::MulticastTtlV4(value as u32),
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => O::OnlyV6(on),
        (libc::SOL_UDP, libc::UDP_GRO) => O::Gro(on),
        (libc::SOL_SOCKET, libc::SO_ERROR) => O::Error(None),
        _ => return None,
    })
}

impl World {
    /// setsockopt(2).
    ///
    /// # Safety
    /// `length` readable bytes.
    pub(super) unsafe fn set_raw_option(
        &mut self,
        socket: u32,
        level: c_int,
        name: c_int,
        value: *const c_void,
        length: socklen_t,
    ) -> Result<(), Errno> {
        let option = if (level, name) == (libc::SOL_SOCKET, libc::SO_LINGER) {
            if (length as usize) < size_of::<libc::linger>() {
                return Err(libc::EINVAL);
            }
            // SAFETY: as many bytes are readable.
            let linger = unsafe { value.cast::<libc::linger>().read_unaligned() };
            SocketOption::Linger((linger.l_onoff != 0).then_some(linger.l_linger.clamp(0, 0xffff) as u16))
        } else {
            if (length as usize) < size_of::<c_int>() {
                return Err(libc::EINVAL);
            }
            // SAFETY: as many bytes are readable.
            let value = unsafe { value.cast::<c_int>().read_unaligned() };
            named(level, name, value).ok_or(libc::ENOPROTOOPT)?
        };
        self.set_option(socket, option)
    }

    /// getsockopt(2): the bytes of the value.
    pub(super) fn raw_option(&mut self, socket: u32, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
        use SocketOption as O;
        let number = |value: i32| Ok(value.to_ne_bytes().to_vec());
        let flag = |on: bool| number(i32::from(on));
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_TYPE) => {
                let family = self.net.socket(socket).family;
                if !family.is_socket() {
                    return Err(libc::ENOTSOCK);
                }
                return number(if family.is_datagram() { libc::SOCK_DGRAM } else { libc::SOCK_STREAM });
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let O::Linger(linger) = self.option(socket, O::Linger(None))? else {
                    return Err(libc::EINVAL);
                };
                let on = i32::from(linger.is_some());
                return Ok([on.to_ne_bytes(), linger.map_or(0, i32::from).to_ne_bytes()].concat());
            }
            (libc::SOL_SOCKET, libc::SO_PEERCRED) => {
                let O::PeerCredentials(peer) = self.option(socket, O::PeerCredentials(None))? else {
                    return Err(libc::EINVAL);
                };
                let (pid, uid, gid) =
                    peer.map_or((0, u32::MAX, u32::MAX), |peer| (peer.pid.unwrap_or(0), peer.uid, peer.gid));
                return Ok([pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat());
            }
            _ => {}
        }
        let option = named(level, name, 0).ok_or(libc::ENOPROTOOPT)?;
        match self.option(socket, option)? {
            O::NoDelay(on)
            | O::ReuseAddress(on)
            | O::ReusePort(on)
            | O::KeepAlive(on)
            | O::Broadcast(on)
            | O::MulticastLoopV4(on)
            | O::MulticastLoopV6(on)
            | O::OnlyV6(on)
            | O::Gro(on) => flag(on),
            O::ReceiveBuffer(value) | O::SendBuffer(value) | O::Ttl(value) | O::MulticastTtlV4(value) => {
                number(value as i32)
            }
            O::Error(errno) => number(errno.unwrap_or(0)),
            _ => Err(libc::ENOPROTOOPT),
        }
    }
}
