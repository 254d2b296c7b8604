//! Socket options.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use libc::{c_int, c_void, socklen_t};

use super::check;
use crate::os::{Credentials, SocketOption};

fn set<T>(fd: RawFd, level: c_int, option: c_int, value: T) -> io::Result<()> {
    let length = mem::size_of::<T>() as socklen_t;
    // SAFETY: pointer and length describe `value`.
    check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast::<c_void>(), length) })
        .map(drop)
}

pub(super) fn get<T: Copy>(fd: RawFd, level: c_int, option: c_int, mut value: T) -> io::Result<T> {
    let mut length = mem::size_of::<T>() as socklen_t;
    // SAFETY: pointer and length describe `value`, and every value type used here is plain integers.
    check(unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast::<c_void>(), &mut length) })?;
    Ok(value)
}

pub(in crate::os) fn set_option(fd: RawFd, option: SocketOption) -> io::Result<()> {
    use SocketOption as O;
    let size = |bytes: u32| bytes.min(c_int::MAX as u32) as c_int;
    match option {
        O::NoDelay(on) => set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, c_int::from(on)),
        O::ReuseAddress(on) => set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, c_int::from(on)),
        O::ReusePort(on) => set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, c_int::from(on)),
        O::KeepAlive(on) => set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, c_int::from(on)),
        O::ReceiveBuffer(bytes) => set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, size(bytes)),
        O::SendBuffer(bytes) => set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, size(bytes)),
        O::Ttl(hops) => set(fd, libc::IPPROTO_IP, libc::IP_TTL, size(hops)),
        O::Linger(span) => {
            let linger =
                libc::linger { l_onoff: c_int::from(span.is_some()), l_linger: span.map_or(0, c_int::from) };
            set(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)
        }
        O::Broadcast(on) => set(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, c_int::from(on)),
        O::MulticastLoopV4(on) => set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, c_int::from(on)),
        O::MulticastLoopV6(on) => set(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, c_int::from(on)),
        O::MulticastTtlV4(hops) => set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, size(hops)),
        O::JoinV4(group, at) => set(fd, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, group_v4(group, at)),
        O::LeaveV4(group, at) => set(fd, libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP, group_v4(group, at)),
        O::JoinV6(group, at) => set(fd, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, group_v6(group, at)),
        O::LeaveV6(group, at) => set(fd, libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP, group_v6(group, at)),
        O::OnlyV6(on) => set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, c_int::from(on)),
        O::Gro(on) => set(fd, libc::SOL_UDP, libc::UDP_GRO, c_int::from(on)),
        O::Error(_) | O::PeerCredentials(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{option:?} can't be set: it can only be read"),
        )),
    }
}

pub(in crate::os) fn option(fd: RawFd, option: SocketOption) -> io::Result<SocketOption> {
    use SocketOption as O;
    let flag = |level, option| get(fd, level, option, 0 as c_int).map(|value| value != 0);
    let number = |level, option| get(fd, level, option, 0 as c_int).map(|value| value as u32);
    Ok(match option {
        O::NoDelay(_) => O::NoDelay(flag(libc::IPPROTO_TCP, libc::TCP_NODELAY)?),
        O::ReuseAddress(_) => O::ReuseAddress(flag(libc::SOL_SOCKET, libc::SO_REUSEADDR)?),
        O::ReusePort(_) => O::ReusePort(flag(libc::SOL_SOCKET, libc::SO_REUSEPORT)?),
        O::KeepAlive(_) => O::KeepAlive(flag(libc::SOL_SOCKET, libc::SO_KEEPALIVE)?),
        O::ReceiveBuffer(_) => O::ReceiveBuffer(number(libc::SOL_SOCKET, libc::SO_RCVBUF)?),
        O::SendBuffer(_) => O::SendBuffer(number(libc::SOL_SOCKET, libc::SO_SNDBUF)?),
        O::Ttl(_) => O::Ttl(number(libc::IPPROTO_IP, libc::IP_TTL)?),
        O::Linger(_) => {
            let linger = libc::linger { l_onoff: 0, l_linger: 0 };
            let linger = get(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)?;
            O::Linger((linger.l_onoff != 0).then_some(linger.l_linger.clamp(0, 0xffff) as u16))
        }
        O::Error(_) => {
            let errno = get(fd, libc::SOL_SOCKET, libc::SO_ERROR, 0 as c_int)?;
            O::Error((errno != 0).then_some(errno))
        }
        O::Broadcast(_) => O::Broadcast(flag(libc::SOL_SOCKET, libc::SO_BROADCAST)?),
        O::MulticastLoopV4(_) => O::MulticastLoopV4(flag(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP)?),
        O::MulticastLoopV6(_) => O::MulticastLoopV6(flag(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP)?),
        O::MulticastTtlV4(_) => O::MulticastTtlV4(number(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL)?),
        O::OnlyV6(_) => O::OnlyV6(flag(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?),
        O::Gro(_) => O::Gro(flag(libc::SOL_UDP, libc::UDP_GRO)?),
        O::PeerCredentials(_) => {
            let none = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
            let peer = get(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, none)?;
            // The kernel answers so for a socket that has no peer.
            let known = peer.uid != u32::MAX;
            let pid = (peer.pid != 0).then_some(peer.pid);
            O::PeerCredentials(known.then_some(Credentials { pid, uid: peer.uid, gid: peer.gid }))
        }
        O::JoinV4(..) | O::LeaveV4(..) | O::JoinV6(..) | O::LeaveV6(..) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{option:?} can't be read: the kernel does not tell which groups a socket is in"),
            ));
        }
    })
}

fn group_v4(group: Ipv4Addr, interface: Ipv4Addr) -> libc::ip_mreq {
    let address = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    libc::ip_mreq { imr_multiaddr: address(group), imr_interface: address(interface) }
}

fn group_v6(group: Ipv6Addr, interface: u32) -> libc::ipv6_mreq {
    libc::ipv6_mreq {
        ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
        ipv6mr_interface: interface,
    }
}
