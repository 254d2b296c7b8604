//! What `src/io/ops.rs` needs of the OS layer and the scheduler: plain data, and events that nobody hears.

use std::io;

/// The same bits as `os::op::Token`, fewer of them: generations wrap after 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    pub(crate) fn new(worker: u32, slot: u32, generation: u32) -> Self {
        Self(u64::from(worker) << 32 | u64::from(slot) << 2 | u64::from(generation & 3))
    }

    pub(crate) fn worker(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 as u32 >> 2
    }

    pub(crate) fn generation(self) -> u32 {
        self.0 as u32 & 3
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    pub(crate) result: io::Result<usize>,
    /// Dropped once, wherever that is.
    pub(crate) yielded: std::sync::Arc<()>,
}
