//! The network: sockets, packets, TCP between hosts.
//!
//! A connection is two sockets that name one another. What one sends travels as packets with a latency and arrives in order; a packet
//! of a pair of hosts that lost sight of one another waits until they are healed. Loss is delay. Host `i` has the address 10.0.0.(i+1).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;

use crate::choice::Kind;
use crate::clock::Due;
pub(crate) use crate::socket::{OpRef, Role, Socket};
use crate::unix::Family;
use crate::world::World;

/// An error number of the kernel.
pub(crate) type Errno = i32;

/// How long a connection request waits before it is sent again to a listener whose queue was full.
const RETRY_NS: u64 = 1_000_000_000;
/// The first port given to sockets that ask for none.
const EPHEMERAL: u16 = 49_152;

/// What travels.
#[derive(Debug)]
pub(crate) enum What {
    Syn,
    SynAck {
        server: u32,
    },
    Refused,
    Data(Vec<u8>),
    Fin,
    Rst,
    Room(usize),
    Datagram {
        bytes: Vec<u8>,
        from: SocketAddr,
        to: SocketAddr,
    },
    /// A datagram found no receiver.
    Unreachable,
}

/// One packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) from_host: u32,
    pub(crate) to_host: u32,
    /// The sender, whose packets stay in order.
    pub(crate) from: u32,
    /// The receiving socket; for a request or a datagram: the sender again.
    pub(crate) to: u32,
    pub(crate) what: What,
    /// Its number among those of its sender, which arrive in order; 0: in any order.
    pub(crate) number: u64,
    /// How often it came to a host that was down.
    pub(crate) tries: u32,
    /// Was put off behind an earlier one that arrives now.
    pub(crate) late: bool,
}

/// All sockets and what travels between them.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) sockets: Vec<Socket>,
    /// Each host's descriptors: the socket behind each number.
    pub(crate) descriptors: Vec<Vec<Option<u32>>>,
    next_port: Vec<u16>,
    /// Sockets that listen, oldest first.
    pub(crate) listeners: Vec<u32>,
    packets: Vec<Option<Packet>>,
    free_packets: Vec<u32>,
    /// Pairs (from, to) that are cut, how often.
    pub(crate) cut: Vec<(u32, u32, u32)>,
    pub(crate) held: Vec<Packet>,
    /// Links that are clogged, how often.
    pub(crate) clogged: Vec<(u32, u32, u32)>,
    /// Partitions that were drawn and have not ended, one-way or not; clogs too.
    pub(crate) drawn: Vec<(u32, u32, bool)>,
    pub(crate) drawn_clogs: Vec<(u32, u32)>,
}

impl Net {
    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.sockets.clear();
        self.descriptors.clear();
        self.next_port.clear();
        self.listeners.clear();
        self.packets.clear();
        self.free_packets.clear();
        self.cut.clear();
        self.held.clear();
        self.clogged.clear();
        self.drawn.clear();
        self.drawn_clogs.clear();
    }

    /// The socket with this number.
    #[inline]
    pub(crate) fn socket(&mut self, id: u32) -> &mut Socket {
        &mut self.sockets[id as usize]
    }

    pub(crate) fn is_cut(&self, from: u32, to: u32) -> bool {
        self.cut.iter().any(|&(a, b, _)| (a, b) == (from, to))
    }

    pub(crate) fn add_socket(&mut self, host: u32, family: Family) -> u32 {
        self.sockets.push(Socket { host, family, raw: -1, ..Socket::default() });
        self.sockets.len() as u32 - 1
    }

    /// The lowest free descriptor of a host, for `socket`.
    pub(crate) fn open(&mut self, host: u32, socket: u32, limit: u32) -> Result<RawFd, Errno> {
        let raw = self.claim(host, socket, limit)?;
        self.socket(socket).raw = raw;
        Ok(raw)
    }

    /// The lowest free descriptor of a host, for a socket or another thing (`u32::MAX`). The first three are the program's standard ones.
    pub(crate) fn claim(&mut self, host: u32, what: u32, limit: u32) -> Result<RawFd, Errno> {
        if self.descriptors.len() <= host as usize {
            self.descriptors.resize_with(host as usize + 1, Vec::new);
        }
        let table = &mut self.descriptors[host as usize];
        let at = table.iter().position(Option::is_none).unwrap_or(table.len());
        if at + 3 >= limit as usize {
            return Err(libc::EMFILE);
        }
        if at == table.len() {
            table.push(None);
        }
        table[at] = Some(what);
        Ok(at as RawFd + 3)
    }

    /// A descriptor that no socket has is free again.
    pub(crate) fn release(&mut self, host: u32, raw: RawFd) {
        self.descriptors[host as usize][(raw - 3) as usize] = None;
    }

    /// How many descriptors a host has open.
    pub(crate) fn open_count(&self, host: u32) -> usize {
        self.descriptors.get(host as usize).map_or(0, |table| table.iter().flatten().count())
    }

    fn ephemeral(&mut self, host: u32) -> u16 {
        if self.next_port.len() <= host as usize {
            self.next_port.resize(host as usize + 1, EPHEMERAL);
        }
        let port = self.next_port[host as usize];
        self.next_port[host as usize] = port.checked_add(1).unwrap_or(EPHEMERAL);
        port
    }
}

/// The address of a host.
pub(crate) fn host_ip(host: u32) -> IpAddr {
    let n = host + 1;
    IpAddr::V4(Ipv4Addr::new(10, (n >> 16) as u8, (n >> 8) as u8, n as u8))
}

/// The host behind an address, seen from `from`.
pub(crate) fn host_of(ip: IpAddr, from: u32, hosts: u32) -> Option<u32> {
    if ip.is_loopback() || ip.is_unspecified() {
        return Some(from);
    }
    (0..hosts).find(|&host| host_ip(host) == ip)
}

pub(crate) fn same_place(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

impl World {
    /// A fresh socket with a descriptor.
    pub(crate) fn open_socket(&mut self, host: u32, family: Family) -> Result<u32, Errno> {
        match self.rarely(Kind::Refuse, 4, self.options.rates.refuse) {
            0 => {}
            1 => return Err(libc::ENFILE),
            2 => return Err(libc::ENOBUFS),
            _ => return Err(libc::ENOMEM),
        }
        let id = self.net.add_socket(host, family);
        match self.net.open(host, id, self.options.descriptors) {
            Ok(_) => Ok(id),
            Err(errno) => {
                self.net.sockets.pop();
                Err(errno)
            }
        }
    }

    pub(crate) fn bind_socket(&mut self, id: u32, mut address: SocketAddr) -> Result<(), Errno> {
        let host = self.net.socket(id).host;
        if self.net.socket(id).local.is_some() {
            return Err(libc::EINVAL);
        }
        let ip = address.ip();
        if !(ip.is_loopback() || ip.is_unspecified() || ip == host_ip(host)) {
            return Err(libc::EADDRNOTAVAIL);
        }
        if address.port() == 0 {
            loop {
                address.set_port(self.net.ephemeral(host));
                if !self.in_use(id, address) {
                    break;
                }
            }
        } else if self.in_use(id, address) {
            return Err(libc::EADDRINUSE);
        }
        self.net.socket(id).local = Some(address);
        Ok(())
    }

    fn in_use(&mut self, id: u32, address: SocketAddr) -> bool {
        let mine = &self.net.sockets[id as usize];
        let (host, settings) = (mine.host, mine.settings);
        self.net.sockets.iter().enumerate().any(|(at, other)| {
            let listens = matches!(other.role, Role::Listener { .. });
            let binds = matches!(other.role, Role::Fresh);
            at != id as usize
                && other.host == host
                && other.family == mine.family
                && !other.closed
                && (listens || binds)
                && other.local.is_some_and(|local| same_place(local, address))
                && !(settings.reuse_port && other.settings.reuse_port)
                && !(settings.reuse_address && other.settings.reuse_address && binds)
        })
    }

    pub(crate) fn listen_socket(&mut self, id: u32, backlog: u32) -> Result<(), Errno> {
        let family = self.net.socket(id).family;
        if family.is_datagram() {
            return Err(libc::EOPNOTSUPP);
        }
        if family == Family::UnixStream {
            return self.become_listener(id, backlog);
        }
        if self.net.socket(id).local.is_none() {
            self.bind_socket(id, SocketAddr::from(([0, 0, 0, 0], 0)))?;
        }
        let address = self.net.socket(id).local.ok_or(libc::EINVAL)?;
        let mine = &self.net.sockets[id as usize];
        let taken = self.net.sockets.iter().enumerate().any(|(at, other)| {
            at != id as usize
                && other.host == mine.host
                && !other.closed
                && matches!(other.role, Role::Listener { .. })
                && other.local.is_some_and(|local| same_place(local, address))
                && !(mine.settings.reuse_port && other.settings.reuse_port)
        });
        if taken {
            return Err(libc::EADDRINUSE);
        }
        self.become_listener(id, backlog)
    }

    fn become_listener(&mut self, id: u32, backlog: u32) -> Result<(), Errno> {
        let socket = self.net.socket(id);
        match &mut socket.role {
            Role::Fresh => {
                socket.role = Role::Listener { queue: VecDeque::new(), backlog: backlog.max(1) as usize };
                self.net.listeners.push(id);
                Ok(())
            }
            Role::Listener { backlog: old, .. } => {
                *old = backlog.max(1) as usize;
                Ok(())
            }
            _ => Err(libc::EINVAL),
        }
    }

    /// Begins to connect.
    pub(crate) fn connect_socket(&mut self, id: u32, address: SocketAddr) -> Result<(), Errno> {
        let hosts = self.hosts.len() as u32;
        let socket = self.net.socket(id);
        let host = socket.host;
        match socket.role {
            Role::Fresh => {}
            Role::Connecting => return Err(libc::EALREADY),
            Role::Stream => return Err(libc::EISCONN),
            Role::Listener { .. } => return Err(libc::EINVAL),
        }
        let Some(to) = host_of(address.ip(), host, hosts) else { return Err(libc::ENETUNREACH) };
        let mut peer = address;
        if peer.ip().is_unspecified() {
            peer.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        if self.net.socket(id).local.is_none() {
            let port = self.net.ephemeral(host);
            let ip = if peer.ip().is_loopback() { peer.ip() } else { host_ip(host) };
            self.net.socket(id).local = Some(SocketAddr::new(ip, port));
        }
        let socket = self.net.socket(id);
        socket.role = Role::Connecting;
        socket.peer = Some(peer);
        self.send_packet(id, to, id, What::Syn);
        Ok(())
    }

    /// Sends a packet: it arrives after a latency, in the order of its sender's packets.
    pub(crate) fn send_packet(&mut self, from: u32, to_host: u32, to: u32, what: What) {
        let from_host = self.net.socket(from).host;
        if self.net.socket(from).family.is_local() {
            return self.arrive_at(to, what);
        }
        let sender = self.net.socket(from);
        sender.sent += 1;
        let number = sender.sent;
        let packet = Packet { from_host, to_host, from, to, what, number, tries: 0, late: false };
        self.maybe_partition(from_host, to_host);
        if self.net.is_cut(from_host, to_host) {
            self.net.held.push(packet);
        } else {
            self.transmit(packet);
        }
    }

    pub(crate) fn transmit(&mut self, packet: Packet) {
        let delay = self.delay(packet.from_host, packet.to_host);
        let sender = self.net.socket(packet.from);
        let at = sender.last_arrival.max(self.now + delay);
        self.net.socket(packet.from).last_arrival = at;
        self.schedule(packet, at);
    }

    pub(crate) fn schedule(&mut self, packet: Packet, at: u64) {
        let slot = match self.net.free_packets.pop() {
            Some(slot) => {
                self.net.packets[slot as usize] = Some(packet);
                slot
            }
            None => {
                self.net.packets.push(Some(packet));
                self.net.packets.len() as u32 - 1
            }
        };
        self.due.push(at, Due::Packet(slot));
    }

    /// A packet arrives.
    pub(crate) fn arrive(&mut self, slot: u32) {
        let Some(mut packet) = self.net.packets[slot as usize].take() else { return };
        self.net.free_packets.push(slot);
        if self.net.is_cut(packet.from_host, packet.to_host) {
            // A datagram is lost, everything else is sent again.
            if !matches!(packet.what, What::Datagram { .. } | What::Unreachable) {
                self.net.held.push(packet);
            }
            return;
        }
        if self.is_early(&mut packet) {
            let at = self.net.socket(packet.from).last_arrival;
            self.schedule(packet, at);
            return;
        }
        if self.hosts[packet.to_host as usize].down {
            self.nobody_there(packet);
            return;
        }
        match packet.what {
            What::Syn => self.arrive_syn(packet),
            What::Datagram { bytes, from, to } => {
                self.arrive_datagram(packet.to_host, packet.from, bytes, from, to);
            }
            what => self.arrive_at(packet.to, what),
        }
    }

    fn arrive_syn(&mut self, packet: Packet) {
        let client = packet.from;
        let Some(address) = self.net.socket(client).peer else { return };
        let listens = |id: &u32| {
            let socket = &self.net.sockets[*id as usize];
            socket.host == packet.to_host && socket.local.is_some_and(|local| same_place(local, address))
        };
        let listeners: Vec<u32> = self.net.listeners.iter().copied().filter(listens).collect();
        if listeners.is_empty() {
            let from = self.net.add_socket(packet.to_host, Family::Tcp);
            self.net.socket(from).closed = true;
            self.send_packet(from, packet.from_host, client, What::Refused);
            return;
        }
        let listener = listeners[self.uniform(Kind::Listener, listeners.len() as u32) as usize];
        let full = match &self.net.socket(listener).role {
            Role::Listener { queue, backlog } => queue.len() > *backlog,
            _ => true,
        };
        if full {
            let at = self.now + RETRY_NS;
            self.schedule(packet, at);
            return;
        }
        let server = self.net.add_socket(packet.to_host, Family::Tcp);
        let peer = self.net.socket(client).local;
        let settings = self.net.socket(listener).settings;
        let socket = self.net.socket(server);
        socket.role = Role::Stream;
        socket.local = Some(address);
        socket.peer = peer;
        socket.other = Some(client);
        socket.settings = settings;
        self.send_packet(server, packet.from_host, client, What::SynAck { server });
        if let Role::Listener { queue, .. } = &mut self.net.socket(listener).role {
            queue.push_back(server);
        }
        self.readable(listener);
    }

    fn arrive_at(&mut self, to: u32, what: What) {
        let buffer = self.options.buffer;
        let socket = self.net.socket(to);
        if socket.reset && !matches!(what, What::Rst) {
            // Half-open: the other end learns now that this one is gone.
            let other = socket.other;
            if matches!(what, What::Data(_) | What::Fin)
                && other.is_some_and(|other| !self.net.socket(other).reset)
            {
                self.reset_other(to, other);
            }
            return;
        }
        match what {
            What::SynAck { server } => {
                if socket.closed {
                    self.reset_other(to, Some(server));
                    return;
                }
                socket.role = Role::Stream;
                socket.other = Some(server);
                self.writable(to);
            }
            What::Refused => {
                socket.error = Some(libc::ECONNREFUSED);
                socket.role = Role::Fresh;
                self.both(to);
            }
            What::Data(bytes) => {
                if socket.closed {
                    socket.reset = true;
                    let other = socket.other;
                    self.reset_other(to, other);
                    return;
                }
                socket.inbox.extend(&bytes);
                debug_assert!(socket.inbox.len() <= buffer, "more bytes arrived than the buffer holds");
                self.readable(to);
            }
            What::Fin => {
                socket.eof = true;
                let local = socket.family.is_local();
                self.readable(to);
                self.socket_changed(to, 0);
                // Who writes to a local stream learns at once that nobody reads.
                if local {
                    self.writable(to);
                }
            }
            What::Rst => self.be_reset(to),
            What::Room(bytes) => {
                socket.unread -= bytes.min(socket.unread);
                self.writable(to);
            }
            What::Unreachable => self.unreachable_letter(to),
            What::Syn | What::Datagram { .. } => {}
        }
    }

    /// The connection of `id` is gone.
    pub(crate) fn be_reset(&mut self, id: u32) {
        let socket = self.net.socket(id);
        if !socket.reset {
            socket.reset = true;
            socket.error = Some(if matches!(socket.role, Role::Connecting) {
                libc::ECONNREFUSED
            } else {
                libc::ECONNRESET
            });
            self.both(id);
        }
    }

    fn reset_other(&mut self, id: u32, other: Option<u32>) {
        if let Some(other) = other {
            let to_host = self.net.socket(other).host;
            self.send_packet(id, to_host, other, What::Rst);
        }
    }

    pub(crate) fn send_to_other(&mut self, id: u32, what: What) {
        if let Some(other) = self.net.socket(id).other {
            let to_host = self.net.socket(other).host;
            self.send_packet(id, to_host, other, what);
        }
    }

    /// A listener listens no more, and is open still.
    pub(crate) fn stop_listening(&mut self, id: u32) {
        if let Role::Listener { queue, .. } = std::mem::take(&mut self.net.socket(id).role) {
            self.refuse_all(id, queue);
            self.both(id);
        }
    }

    /// The connections that wait at a listener that is gone.
    fn refuse_all(&mut self, id: u32, queue: VecDeque<u32>) {
        self.net.listeners.retain(|&listener| listener != id);
        for waiting in queue {
            self.net.socket(waiting).closed = true;
            self.send_to_other(waiting, What::Rst);
        }
    }

    /// No descriptor names the socket any more.
    pub(crate) fn close_socket(&mut self, id: u32) {
        let socket = self.net.socket(id);
        if socket.closed {
            return;
        }
        socket.closed = true;
        self.check_closed(id);
        let socket = self.net.socket(id);
        let (host, raw) = (socket.host as usize, socket.raw);
        if let Some(entry) =
            self.net.descriptors.get_mut(host).and_then(|table| table.get_mut((raw - 3).max(0) as usize))
            && *entry == Some(id)
        {
            *entry = None;
        }
        let socket = self.net.socket(id);
        match std::mem::take(&mut socket.role) {
            Role::Listener { queue, .. } => self.refuse_all(id, queue),
            Role::Stream => {
                socket.role = Role::Stream;
                let unread = !socket.inbox.is_empty() || socket.settings.linger == Some(0);
                let (reader, other) = (socket.family == Family::PipeReader, socket.other);
                socket.inbox = VecDeque::new();
                let local = socket.family.is_local();
                if socket.reset {
                } else if reader {
                    other.into_iter().for_each(|writer| self.writable(writer));
                } else if unread {
                    socket.reset = true;
                    self.send_to_other(id, What::Rst);
                } else if !socket.write_shut {
                    socket.write_shut = true;
                    self.send_to_other(id, What::Fin);
                } else if local && let Some(other) = other {
                    // It had said that it sends no more; now it does not read either.
                    self.socket_changed(other, 0);
                }
            }
            role => socket.role = role,
        }
    }
}
