//! Where a socket is registered: who tells it of edges, and of what.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Weak;

use super::side;
use super::socket::Kind;
use crate::os::file::pool::Sink;
use crate::os::{Address, Descriptor, Interest, Op};

/// What a side wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::os) enum Want {
    /// That a write may move something.
    Writable = 1,
    /// The bytes themselves if the home can receive ahead, else that a read may move something.
    Bytes = 2,
    /// The connections themselves if the home can accept ahead, else that there may be one.
    Connections = 4,
    /// That a read may move something.
    Readable = 8,
    /// The outcome of a connect that the home makes.
    Connected = 16,
}

/// A set of these.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::os) struct Wants(u8);

impl Wants {
    pub(in crate::os) fn with(self, want: Want) -> Self {
        Self(self.0 | want as u8)
    }

    pub(super) fn without(self, want: Want) -> Self {
        Self(self.0 & !(want as u8))
    }

    pub(in crate::os) fn has(self, want: Want) -> bool {
        self.0 & want as u8 != 0
    }
}

/// Who tells sockets of their edges: an epoll set, or a ring. What is ready when the watch begins counts as an edge.
pub(in crate::os) trait Home: Sink + fmt::Debug {
    /// Registers a socket, watches for one thing and returns the registration's key.
    fn enter(&self, fd: RawFd, socket: Weak<dyn Descriptor>, want: Want) -> io::Result<u64>;
    /// Watches for one thing besides the `others`, anew if that ended.
    fn watch(&self, fd: RawFd, key: u64, want: Want, others: Wants) -> io::Result<()>;
    /// Whether it serves so many sockets that what its listeners accept is to be at home where its task runs.
    fn is_crowded(&self) -> bool;
    /// Whether it takes what is wanted from the kernel itself, and hands it over (`taken.rs`).
    fn takes(&self, want: Want) -> bool;
    /// Connects a socket, which is registered for it unless it has a key, and returns the registration's key;
    /// `Socket::connected` says what came of it. `None`: it connects none.
    fn connect(
        &self,
        _fd: RawFd,
        _socket: Weak<dyn Descriptor>,
        _key: Option<u64>,
        _address: &Address,
    ) -> Option<u64> {
        None
    }
    /// Takes nothing more for now; `Socket::ended` says when that is so.
    fn pause(&self, key: u64, want: Want);
    /// Forgets a socket, which closes. `open_elsewhere`: its open file may live on.
    fn leave(&self, fd: OwnedFd, key: u64, watched: Wants, open_elsewhere: bool);
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::os) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The side that gets ready for that.
    pub(super) fn to(interest: Interest) -> Self {
        match interest {
            Interest::Read => Self::Read,
            Interest::Write => Self::Write,
        }
    }

    /// The side an op plays on.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Accept { .. } | Op::Recv { .. } | Op::Settle { .. } => Self::Read,
            Op::Connect { .. } | Op::Send { .. } => Self::Write,
            Op::Ready { interest, .. } => Self::to(*interest),
            Op::File(_) => unreachable!("{}", side::NO_SOCKET),
        }
    }
}

impl Want {
    /// The side that wants it.
    pub(in crate::os) fn direction(self) -> Direction {
        match self {
            Self::Writable | Self::Connected => Direction::Write,
            Self::Bytes | Self::Connections | Self::Readable => Direction::Read,
        }
    }

    /// What a wait for readiness waits for.
    pub(super) fn ready(interest: Interest, kind: Kind) -> Self {
        match interest {
            Interest::Read if kind == Kind::Stream => Self::Bytes,
            Interest::Read => Self::Readable,
            Interest::Write => Self::Writable,
        }
    }

    /// What an op that has to wait waits for.
    pub(super) fn of(op: &Op, kind: Kind) -> Self {
        match op {
            Op::Accept { .. } => Self::Connections,
            Op::Recv { .. } if kind != Kind::Other => Self::Bytes,
            Op::Recv { .. } | Op::Settle { .. } => Self::Readable,
            Op::Connect { .. } | Op::Send { .. } => Self::Writable,
            Op::Ready { interest, .. } => Self::ready(*interest, kind),
            Op::File(_) => unreachable!("{}", side::NO_SOCKET),
        }
    }
}
