//! Receive buffers: a worker's, lent to what comes.
//!
//! A stream that waits for bytes holds no buffer. One is taken when there is something to read, and goes back to the worker on which
//! what was read is dropped. Buffers are taken in the order opposite to that in which they came back, so that a thousand connections
//! of which a few have something to read touch the memory of a few buffers, which is in the CPU's cache.

use std::cell::{Cell, RefCell};

/// The smallest buffer: a message of a request-response protocol.
const LEAST: usize = 2 << 10;
/// How many sizes there are, each twice the one before: to 64 KiB, about what a socket's queue starts with.
const CLASSES: usize = 6;
/// Bytes of free buffers that a worker keeps.
const KEPT: usize = 1 << 20;

/// The free buffers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// By size.
    free: [RefCell<Vec<Vec<u8>>>; CLASSES],
    kept: Cell<usize>,
}

impl Buffers {
    fn take(&self, class: usize) -> Option<Vec<u8>> {
        let buffer = self.free[class].borrow_mut().pop()?;
        self.kept.set(self.kept.get() - buffer.capacity());
        Some(buffer)
    }

    /// Keeps a buffer, if it has one of the sizes and there is room for it.
    fn give(&self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let class = (capacity / LEAST).trailing_zeros() as usize;
        if class >= CLASSES || LEAST << class != capacity {
            return;
        }
        let kept = self.kept.get() + capacity;
        if kept <= KEPT {
            buffer.clear();
            self.kept.set(kept);
            self.free[class].borrow_mut().push(buffer);
        }
    }
}

/// What size a stream's next buffer has: twice the last one if that was filled, half of it if it was used to a quarter at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size(u32);

impl Size {
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits.min(CLASSES as u32 - 1))
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn bytes(self) -> usize {
        LEAST << self.0
    }

    /// After a read that brought so many bytes into a buffer of this size.
    pub(crate) fn after(self, count: usize) -> Self {
        if count >= self.bytes() {
            Self::from_bits(self.0 + 1)
        } else if count <= self.bytes() / 4 {
            Self(self.0.saturating_sub(1))
        } else {
            self
        }
    }

    /// A buffer of this size, empty.
    pub(crate) fn buffer(self) -> Vec<u8> {
        crate::sched::with_buffers(|buffers| buffers.and_then(|buffers| buffers.take(self.0 as usize)))
            .unwrap_or_else(|| Vec::with_capacity(self.bytes()))
    }
}

/// Gives a buffer back to the calling thread's worker; elsewhere it is freed.
#[inline]
pub(crate) fn give_back(buffer: Vec<u8>) {
    crate::sched::with_buffers(|buffers| buffers.map(|buffers| buffers.give(buffer)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_what_comes() {
        let mut size = Size::default();
        for doubled in [2, 4, 8, 16, 32, 64, 64] {
            assert_eq!(size.bytes(), doubled << 10);
            size = size.after(size.bytes());
        }
        assert_eq!(size.after((16 << 10) + 1), size, "a quarter is used");
        for halved in [64, 32, 16, 8, 4, 2, 2] {
            assert_eq!(size.bytes(), halved << 10);
            size = size.after(100);
        }
    }

    #[test]
    fn a_worker_keeps_so_many_and_the_last_one_comes_first() {
        let buffers = Buffers::default();
        let all: Vec<_> = (0..20).map(|_| Vec::with_capacity(64 << 10)).collect();
        let last: *const u8 = all[15].as_ptr();
        all.into_iter().for_each(|buffer| buffers.give(buffer));
        buffers.give(Vec::with_capacity(2049));
        assert_eq!(buffers.kept.get(), KEPT);
        assert_eq!(buffers.take(5).map(|buffer| buffer.as_ptr()), Some(last));
        assert_eq!(std::iter::from_fn(|| buffers.take(5)).count(), 15);
        assert_eq!((buffers.kept.get(), buffers.take(0)), (0, None));
    }
}
