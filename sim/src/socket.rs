//! A socket of the simulated machine: what it is, what waits in it, its options.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use pirn::os::UnixAddress;

use crate::net::Errno;
use crate::udp::Letter;
use crate::unix::Family;

/// A socket that asks to be told: an op of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpRef {
    pub(crate) driver: u32,
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

/// What a socket is.
#[derive(Debug, Default)]
pub(crate) enum Role {
    /// Fresh or bound.
    #[default]
    Fresh,
    /// A listener with the connections that wait.
    Listener { queue: VecDeque<u32>, backlog: usize },
    /// Asked for a connection.
    Connecting,
    /// Connected.
    Stream,
}

/// The options that are remembered and do nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) no_delay: bool,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) keep_alive: bool,
    pub(crate) receive_buffer: u32,
    pub(crate) send_buffer: u32,
    pub(crate) ttl: u32,
    pub(crate) linger: Option<u16>,
    pub(crate) broadcast: bool,
    pub(crate) multicast_loop: bool,
    pub(crate) multicast_ttl: u32,
    pub(crate) only_v6: bool,
    pub(crate) gro: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            no_delay: false,
            reuse_address: false,
            reuse_port: false,
            keep_alive: false,
            receive_buffer: 131_072,
            send_buffer: 16_384,
            ttl: 64,
            linger: None,
            broadcast: false,
            multicast_loop: true,
            multicast_ttl: 1,
            only_v6: false,
            gro: false,
        }
    }
}

/// A socket.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) host: u32,
    pub(crate) raw: RawFd,
    /// No descriptor names it any more.
    pub(crate) closed: bool,
    pub(crate) role: Role,
    pub(crate) family: Family,
    /// Of a Unix socket; of the other end, if this one was accepted.
    pub(crate) name: Option<UnixAddress>,
    pub(crate) other_name: Option<UnixAddress>,
    /// Datagrams that wait, and what they take of the buffer.
    pub(crate) letters: VecDeque<Letter>,
    pub(crate) letter_bytes: usize,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// The other end.
    pub(crate) other: Option<u32>,
    pub(crate) inbox: VecDeque<u8>,
    /// The other end sends no more.
    pub(crate) eof: bool,
    pub(crate) read_shut: bool,
    pub(crate) write_shut: bool,
    pub(crate) error: Option<Errno>,
    pub(crate) reset: bool,
    /// Bytes sent that the other end has not read.
    pub(crate) unread: usize,
    /// Found its buffer full: is told when there is room.
    pub(crate) starved: bool,
    /// Packets sent, and the number of the last one that arrived.
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    /// Nothing it sends arrives before this.
    pub(crate) last_arrival: u64,
    /// Its open file, if there is a simulated kernel.
    pub(crate) file: Option<u32>,
    /// Whoever connected knows that it is connected.
    pub(crate) told: bool,
    pub(crate) readers: Vec<OpRef>,
    pub(crate) writers: Vec<OpRef>,
    pub(crate) settings: Settings,
}
