//! What connects the programs of one host: Unix sockets, pipes, signals. What is sent here has arrived.

use std::collections::VecDeque;
use std::net::SocketAddr;

use pirn::os::{Address, SocketKind, UnixAddress};

use crate::net::{Errno, Role};
use crate::world::World;

/// Which sort of descriptor a socket's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    #[default]
    Tcp,
    Udp,
    UnixStream,
    UnixDatagram,
    PipeReader,
    PipeWriter,
    /// A listener for this signal.
    Signal(i32),
}

impl From<SocketKind> for Family {
    fn from(kind: SocketKind) -> Self {
        match kind {
            SocketKind::TcpV4 | SocketKind::TcpV6 => Self::Tcp,
            SocketKind::UdpV4 | SocketKind::UdpV6 => Self::Udp,
            SocketKind::UnixStream => Self::UnixStream,
            SocketKind::UnixDatagram => Self::UnixDatagram,
        }
    }
}

impl Family {
    /// Whether it reaches its own host only, at once.
    pub(crate) fn is_local(self) -> bool {
        !matches!(self, Self::Tcp | Self::Udp)
    }

    pub(crate) fn is_unix(self) -> bool {
        matches!(self, Self::UnixStream | Self::UnixDatagram)
    }

    pub(crate) fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }

    /// Whether the calls of sockets are for it.
    pub(crate) fn is_socket(self) -> bool {
        !matches!(self, Self::PipeReader | Self::PipeWriter | Self::Signal(_))
    }
}

impl World {
    /// Two connected descriptors of a host.
    pub(crate) fn open_pair(&mut self, host: u32, families: [Family; 2]) -> Result<(u32, u32), Errno> {
        let one = self.open_socket(host, families[0])?;
        let other = match self.open_socket(host, families[1]) {
            Ok(other) => other,
            Err(errno) => {
                self.close_socket(one);
                return Err(errno);
            }
        };
        for (id, other) in [(one, other), (other, one)] {
            let socket = self.net.socket(id);
            socket.other = Some(other);
            if !socket.family.is_datagram() {
                socket.role = Role::Stream;
            }
        }
        Ok((one, other))
    }

    pub(crate) fn bind_name(&mut self, id: u32, name: &UnixAddress) -> Result<(), Errno> {
        let socket = &self.net.sockets[id as usize];
        if !socket.family.is_unix() || socket.name.is_some() || name.is_unnamed() {
            return Err(libc::EINVAL);
        }
        if self.named(socket.host, name).is_some() {
            return Err(libc::EADDRINUSE);
        }
        self.net.socket(id).name = Some(name.clone());
        Ok(())
    }

    /// The open socket of a host with this name. The simulated machine keeps no file of it: a name goes with its socket.
    fn named(&self, host: u32, name: &UnixAddress) -> Option<u32> {
        let has = |socket: &crate::net::Socket| {
            socket.host == host && !socket.closed && socket.name.as_ref() == Some(name)
        };
        // A connection that was accepted bears its listener's name.
        let first = self.net.sockets.iter().position(|socket| has(socket) && socket.other_name.is_none());
        first.map(|at| at as u32)
    }

    /// The socket with this name, of the kind that can talk to `id`.
    pub(crate) fn addressee(&self, id: u32, name: &UnixAddress) -> Result<u32, Errno> {
        let socket = &self.net.sockets[id as usize];
        let missing = if name.as_path().is_some() { libc::ENOENT } else { libc::ECONNREFUSED };
        let found = self.named(socket.host, name).ok_or(missing)?;
        if self.net.sockets[found as usize].family != socket.family {
            return Err(libc::EPROTOTYPE);
        }
        Ok(found)
    }

    /// Connects a Unix socket: done when it returns.
    pub(crate) fn connect_name(&mut self, id: u32, name: &UnixAddress) -> Result<(), Errno> {
        let (host, family) = (self.net.socket(id).host, self.net.socket(id).family);
        if !family.is_unix() {
            return Err(libc::EAFNOSUPPORT);
        }
        if matches!(self.net.socket(id).role, Role::Stream) {
            return Err(libc::EISCONN);
        }
        let to = self.addressee(id, name)?;
        if family == Family::UnixDatagram {
            self.net.socket(id).other = Some(to);
            return Ok(());
        }
        match &self.net.socket(to).role {
            Role::Listener { queue, backlog } if queue.len() > *backlog => return Err(libc::EAGAIN),
            Role::Listener { .. } => {}
            _ => return Err(libc::ECONNREFUSED),
        }
        let server = self.net.add_socket(host, family);
        let own_name = self.net.socket(id).name.clone().unwrap_or(UnixAddress::Unnamed);
        let socket = self.net.socket(server);
        socket.role = Role::Stream;
        socket.name = Some(name.clone());
        socket.other_name = Some(own_name);
        socket.other = Some(id);
        let socket = self.net.socket(id);
        socket.role = Role::Stream;
        socket.other = Some(server);
        if let Role::Listener { queue, .. } = &mut self.net.socket(to).role {
            queue.push_back(server);
        }
        self.readable(to);
        Ok(())
    }

    /// The name of a socket, whatever its family.
    pub(crate) fn address(&mut self, id: u32) -> Result<Address, Errno> {
        let socket = self.net.socket(id);
        match socket.family {
            family if !family.is_socket() => Err(libc::ENOTSOCK),
            family if family.is_unix() => Ok(socket.name.clone().unwrap_or(UnixAddress::Unnamed).into()),
            _ => Ok(socket.local.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))).into()),
        }
    }

    /// The name of the other side.
    pub(crate) fn peer_address(&mut self, id: u32) -> Result<Address, Errno> {
        let socket = self.net.socket(id);
        match socket.family {
            family if !family.is_socket() => Err(libc::ENOTSOCK),
            family if family.is_unix() => {
                let other = socket.other.ok_or(libc::ENOTCONN)?;
                Ok(self.net.socket(other).name.clone().unwrap_or(UnixAddress::Unnamed).into())
            }
            Family::Udp => socket.peer.map(Address::Ip).ok_or(libc::ENOTCONN),
            _ => match (&socket.role, socket.peer) {
                (Role::Stream, Some(peer)) if !socket.reset => Ok(peer.into()),
                _ => Err(libc::ENOTCONN),
            },
        }
    }

    /// Whether nothing that is written here can be read any more.
    pub(crate) fn unheard(&self, id: u32) -> bool {
        let socket = &self.net.sockets[id as usize];
        let gone = |other: u32| {
            let other = &self.net.sockets[other as usize];
            other.closed || other.read_shut
        };
        socket.family.is_local() && socket.other.is_some_and(gone)
    }

    /// Raises a signal on a host; whether anybody listened.
    pub(crate) fn raise(&mut self, host: u32, signal: i32) -> bool {
        let listens = |socket: &crate::net::Socket| {
            socket.host == host && !socket.closed && socket.family == Family::Signal(signal)
        };
        let heard: Vec<u32> = (0..self.net.sockets.len() as u32)
            .filter(|&id| listens(&self.net.sockets[id as usize]))
            .collect();
        for &id in &heard {
            let inbox = &mut self.net.socket(id).inbox;
            let mut count = [0; 8];
            inbox.iter().zip(&mut count).for_each(|(from, to)| *to = *from);
            *inbox = VecDeque::from((u64::from_ne_bytes(count) + 1).to_ne_bytes());
            self.readable(id);
        }
        !heard.is_empty()
    }
}
