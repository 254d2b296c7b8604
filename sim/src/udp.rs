//! Datagrams: UDP between hosts, and those of Unix sockets within one.
//!
//! A UDP datagram may be lost, come twice, or come late (`Network::datagrams`); it is lost if the receiver's queue is full or the
//! hosts do not see one another. If nobody is bound there, a connected sender's next call says so.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pirn::os::{Address, Interest, RecvMessage, SendMessage, UnixAddress};

use crate::choice::Kind;
use crate::net::{Errno, Packet, Role, What, host_ip, host_of, same_place};
use crate::rng::mix_bytes;
use crate::unix::Family;
use crate::world::World;

/// Bytes of a UDP datagram at most.
const LONGEST: usize = 65_507;
/// What a queued datagram takes of its receiver's buffer besides its bytes, and the buffer.
const OVERHEAD: usize = 512;
const QUEUE: usize = 212_992;
/// Datagrams that wait at a Unix socket at most, plus one (net.unix.max_dgram_qlen).
const LETTERS: usize = 10;
/// How many latencies a late one takes.
const LATE: u64 = 5;

/// A datagram that waits to be received.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    bytes: Vec<u8>,
    from: Address,
    /// The Unix socket that sent it.
    sender: Option<u32>,
}

impl World {
    /// Connects a UDP socket: names whom it talks to.
    pub(crate) fn connect_udp(&mut self, id: u32, address: SocketAddr) -> Result<(), Errno> {
        let hosts = self.hosts.len() as u32;
        let host = self.net.socket(id).host;
        host_of(address.ip(), host, hosts).ok_or(libc::ENETUNREACH)?;
        self.bind_any(id)?;
        let socket = self.net.socket(id);
        if let Some(local) = &mut socket.local
            && local.ip().is_unspecified()
        {
            local.set_ip(if address.ip().is_loopback() { address.ip() } else { host_ip(host) });
        }
        socket.peer = Some(address);
        Ok(())
    }

    /// Gives a UDP socket a port if it has none.
    fn bind_any(&mut self, id: u32) -> Result<(), Errno> {
        match self.net.socket(id).local {
            Some(_) => Ok(()),
            None => self.bind_socket(id, SocketAddr::from(([0, 0, 0, 0], 0))),
        }
    }

    /// Sends datagrams; how many left.
    pub(crate) fn send_letters(
        &mut self,
        id: u32,
        batch: &[SendMessage<'_>],
    ) -> Result<Option<usize>, Errno> {
        if !self.net.socket(id).family.is_datagram() {
            return Err(libc::EOPNOTSUPP);
        }
        let mut left = 0;
        for message in batch {
            match self.send_message(id, message) {
                Ok(true) => left += 1,
                Ok(false) => break,
                Err(errno) if left == 0 => return Err(errno),
                Err(_) => break,
            }
            // A kernel may stop anywhere.
            if left < batch.len() && self.rarely(Kind::Short, 2, self.options.short) != 0 {
                break;
            }
        }
        self.note(left as u64);
        Ok((left > 0 || batch.is_empty()).then_some(left))
    }

    /// Sends one message, cut into segments if it asks for that. `false`: not now.
    fn send_message(&mut self, id: u32, message: &SendMessage<'_>) -> Result<bool, Errno> {
        if let Some(errno) = self.net.socket(id).error.take() {
            return Err(errno);
        }
        self.note(mix_bytes(0, message.bytes));
        if self.net.socket(id).family == Family::UnixDatagram {
            let to = match &message.to {
                Some(Address::Unix(name)) => self.addressee(id, name)?,
                Some(Address::Ip(_)) => return Err(libc::EINVAL),
                None => self.net.socket(id).other.ok_or(libc::ENOTCONN)?,
            };
            return self.post(id, to, message.bytes);
        }
        let to = match &message.to {
            Some(Address::Ip(to)) => *to,
            Some(Address::Unix(_)) => return Err(libc::EINVAL),
            None => self.net.socket(id).peer.ok_or(libc::EDESTADDRREQ)?,
        };
        if message.bytes.len() > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        let host = self.net.socket(id).host;
        let to_host = host_of(to.ip(), host, self.hosts.len() as u32).ok_or(libc::ENETUNREACH)?;
        self.bind_any(id)?;
        let size = if message.segment > 0 { message.segment.into() } else { message.bytes.len().max(1) };
        let empty: &[u8] = &[];
        let parts = message.bytes.chunks(size).chain(message.bytes.is_empty().then_some(empty));
        for part in parts {
            self.send_datagram(id, to_host, to, part);
        }
        Ok(true)
    }

    /// What happens to a datagram on its way.
    fn send_datagram(&mut self, id: u32, to_host: u32, to: SocketAddr, bytes: &[u8]) {
        let socket = self.net.socket(id);
        let (host, mut from) = (socket.host, socket.local.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
        if from.ip().is_unspecified() {
            let loopback = to.ip().is_loopback() || to.ip().is_unspecified();
            from.set_ip(if loopback { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host_ip(host) });
        }
        let drawn = self.options.datagrams;
        self.maybe_partition(host, to_host);
        if self.net.is_cut(host, to_host) || self.rarely(Kind::Datagram, 2, drawn.lost) != 0 {
            return;
        }
        let copies = 1 + self.rarely(Kind::Datagram, 2, drawn.twice);
        for _ in 0..copies {
            let what = What::Datagram { bytes: bytes.to_vec(), from, to };
            let packet =
                Packet { from_host: host, to_host, from: id, to: id, what, number: 0, tries: 0, late: false };
            if self.rarely(Kind::Datagram, 2, drawn.late) != 0 {
                let at = self.now + self.options.latency_ns * LATE;
                self.schedule(packet, at);
            } else {
                self.transmit(packet);
            }
        }
    }

    /// A UDP datagram arrives at a host.
    pub(crate) fn arrive_datagram(
        &mut self,
        host: u32,
        sender: u32,
        bytes: Vec<u8>,
        from: SocketAddr,
        to: SocketAddr,
    ) {
        let hears = |id: &u32| {
            let socket = &self.net.sockets[*id as usize];
            socket.family == Family::Udp
                && socket.host == host
                && !socket.closed
                && socket.local.is_some_and(|local| same_place(local, to))
                && socket.peer.is_none_or(|peer| same_place(peer, from))
        };
        let mut bound: Vec<u32> = (0..self.net.sockets.len() as u32).filter(hears).collect();
        // Who is connected to the sender comes before who hears all.
        if bound.iter().any(|&id| self.net.sockets[id as usize].peer.is_some()) {
            bound.retain(|&id| self.net.sockets[id as usize].peer.is_some());
        }
        if bound.is_empty() {
            let socket = self.net.socket(sender);
            let home = socket.host;
            if !socket.closed && socket.peer.is_some_and(|peer| same_place(peer, to)) {
                self.send_packet(sender, home, sender, What::Unreachable);
            }
            return;
        }
        let id = bound[self.uniform(Kind::Listener, bound.len() as u32) as usize];
        let socket = self.net.socket(id);
        if socket.letter_bytes + bytes.len() + OVERHEAD > QUEUE {
            return;
        }
        socket.letter_bytes += bytes.len() + OVERHEAD;
        socket.letters.push_back(Letter { bytes, from: from.into(), sender: None });
        self.readable(id);
    }

    /// A datagram between Unix sockets. `false`: the receiver's queue is full.
    fn post(&mut self, id: u32, to: u32, bytes: &[u8]) -> Result<bool, Errno> {
        if bytes.len() > QUEUE - OVERHEAD {
            return Err(libc::EMSGSIZE);
        }
        let from = self.net.socket(id).name.clone().unwrap_or(UnixAddress::Unnamed);
        let socket = self.net.socket(to);
        if socket.closed {
            return Err(libc::ECONNREFUSED);
        }
        if socket.other.is_some_and(|other| other != id) {
            return Err(libc::EPERM);
        }
        if socket.letters.len() > LETTERS {
            return Ok(false);
        }
        socket.letters.push_back(Letter { bytes: bytes.to_vec(), from: from.into(), sender: Some(id) });
        self.readable(to);
        Ok(true)
    }

    /// Receives datagrams; how many came.
    pub(crate) fn recv_letters(
        &mut self,
        id: u32,
        batch: &mut [RecvMessage<'_>],
        peek: bool,
    ) -> Result<Option<usize>, Errno> {
        let socket = self.net.socket(id);
        if !socket.family.is_datagram() {
            return Err(libc::EOPNOTSUPP);
        }
        if let Some(errno) = socket.error.take() {
            return Err(errno);
        }
        let room = if peek { 1.min(batch.len()) } else { batch.len() };
        let mut came = 0;
        while came < room {
            let socket = self.net.socket(id);
            let Some(letter) =
                (if peek { socket.letters.front().cloned() } else { socket.letters.pop_front() })
            else {
                break;
            };
            if !peek {
                socket.letter_bytes = socket.letter_bytes.saturating_sub(letter.bytes.len() + OVERHEAD);
            }
            let message = &mut batch[came];
            message.count = letter.bytes.len().min(message.into.len());
            message.into[..message.count].copy_from_slice(&letter.bytes[..message.count]);
            message.truncated = letter.bytes.len() > message.into.len();
            message.from = letter.from;
            message.segment = 0;
            came += 1;
            if !peek && letter.sender.is_some() {
                self.room_at(id);
            }
            if came < room && self.rarely(Kind::Short, 2, self.options.short) != 0 {
                break;
            }
        }
        self.note(came as u64);
        Ok((came > 0).then_some(came))
    }

    /// A Unix socket took a datagram: whoever is connected to it may send again.
    fn room_at(&mut self, id: u32) {
        let connected = |&from: &u32| self.net.sockets[from as usize].other == Some(id) && from != id;
        let senders: Vec<u32> = (0..self.net.sockets.len() as u32).filter(connected).collect();
        for sender in senders {
            self.writable(sender);
        }
    }

    /// Whether a datagram call of that direction would move something or fail.
    pub(crate) fn is_letter_ready(&mut self, id: u32, interest: Interest) -> bool {
        let socket = &self.net.sockets[id as usize];
        let full = |other: u32| {
            let other = &self.net.sockets[other as usize];
            !other.closed && other.letters.len() > LETTERS
        };
        match interest {
            _ if socket.error.is_some() => true,
            Interest::Read => !socket.letters.is_empty(),
            Interest::Write => socket.family == Family::Udp || !socket.other.is_some_and(full),
        }
    }

    /// A datagram of this socket found no receiver.
    pub(crate) fn unreachable_letter(&mut self, id: u32) {
        let socket = self.net.socket(id);
        if !socket.closed && matches!(socket.role, Role::Fresh) && socket.peer.is_some() {
            socket.error = Some(libc::ECONNREFUSED);
            self.both(id);
        }
    }
}
