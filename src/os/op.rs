//! Ops, tokens and completions: requests to the kernel as plain data.

use std::fmt;
use std::io;

use super::file::{Entry, FileOp, Stat};
use super::{Address, Fd};

/// Names an op in flight: the worker whose table it stands in, its slot there and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// 12 bits of worker, 24 bits of slot, 28 bits of generation.
    pub const fn new(worker: u32, slot: u32, generation: u32) -> Self {
        Self(
            ((worker as u64 & 0xfff) << 52)
                | ((slot as u64 & 0xff_ffff) << 28)
                | (generation as u64 & 0xfff_ffff),
        )
    }

    /// The worker whose table it stands in.
    pub const fn worker(self) -> u32 {
        (self.0 >> 52) as u32
    }

    /// The slot.
    pub const fn slot(self) -> u32 {
        (self.0 >> 28) as u32 & 0xff_ffff
    }

    /// The slot's generation when the op was made.
    pub const fn generation(self) -> u32 {
        self.0 as u32 & 0xfff_ffff
    }

    /// As one number, for user data and events.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// From that number.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// One request to the kernel. It owns all it needs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Op {
    /// Accept one connection: `Yielded::Accepted`.
    Accept {
        /// The listener.
        fd: Fd,
    },
    /// Connect: result 0.
    Connect {
        /// A fresh socket.
        fd: Fd,
        /// Where to.
        address: Address,
    },
    /// Receive up to `max` bytes into a buffer of the driver: the count, and `Yielded::Bytes`.
    Recv {
        /// The stream.
        fd: Fd,
        /// Bytes at most.
        max: usize,
    },
    /// Send all of `bytes[from..]`: the count of those bytes, and the buffer back (`Yielded::Bytes`). On an error some may have been sent.
    Send {
        /// The stream.
        fd: Fd,
        /// The buffer.
        bytes: Vec<u8>,
        /// Where to begin.
        from: usize,
    },
    /// Wait until a call on the descriptor would not block, or would fail: result 0. Now, if that is so already. It may
    /// come without a reason: who hears "not now" from the call submits another. Moves nothing, so a cancel loses nothing.
    Ready {
        /// Any descriptor that can be polled.
        fd: Fd,
        /// Which call.
        interest: Interest,
    },
    /// Take nothing of a stream ahead of its reader any more: how many bytes were taken that it has not read. Other ops on the
    /// stream that wait may begin that again, so it is for the last moment, before the descriptor is handed to somebody else.
    Settle {
        /// The stream.
        fd: Fd,
    },
    /// A request about files.
    File(FileOp),
}

/// Which calls an [`Op::Ready`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reading, receiving, accepting; the end of a child.
    Read,
    /// Writing, sending.
    Write,
}

/// What became of a submission.
#[derive(Debug)]
pub enum Submitted {
    /// Resolved at once.
    Done(Completion),
    /// A completion will come.
    Pending,
    /// The queue is full: take the op back, submit it again after the next look.
    Full(Op),
}

/// What an op delivers besides its number.
pub enum Yielded {
    /// Nothing.
    Nothing,
    /// A buffer: received bytes, or a sent buffer handed back.
    Bytes(Vec<u8>),
    /// A connection. Boxed: other answers, and the places they wait in, are the smaller for it.
    Accepted(Box<(Fd, Address)>),
    /// A file that was opened.
    Opened(Fd),
    /// What is known of a file.
    Stat(Box<Stat>),
    /// Entries of a directory.
    Entries(Box<[Entry]>),
}

impl fmt::Debug for Yielded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Accepted(accepted) => write!(f, "Accepted({})", accepted.1),
            Self::Opened(_) => f.write_str("Opened"),
            Self::Stat(stat) => write!(f, "{stat:?}"),
            Self::Entries(entries) => write!(f, "Entries({})", entries.len()),
        }
    }
}

/// An op's answer.
#[derive(Debug)]
pub struct Completion {
    /// Whose.
    pub token: Token,
    /// The kernel's result.
    pub result: io::Result<usize>,
    /// What came with it.
    pub yielded: Yielded,
}
