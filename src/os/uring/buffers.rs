//! The provided buffers of a ring: the kernel picks one when data is there, so an idle connection holds none.
//!
//! Their size follows what comes ([`Size`]): a buffer that came back is provided anew in the size of the moment. None is
//! kept from one look to the next: what a receive brought is copied out, or its buffer is replaced by a fresh one. So a
//! receive that found none (ENOBUFS) has nobody's return to wait for: all are back when its look is over. Until then it
//! is played by a direct call into the reader's own buffer. How many are provided follows the demand ([`Stock`]), because the kernel
//! goes round all of them: the fewer, the sooner it comes back to memory that is still in the CPU's cache.
//!
//! Invariants. (1) `entries`, and the memory of every `Vec` in `slots` that is in the kernel's hands, stay where they are until the ring
//! that they were registered with is closed: `Ring` drops its kernel side first. (2) A buffer is in the kernel's hands from `provide`
//! until the completion that names its id; in between nobody here touches it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The group all receives of a ring draw from.
pub(super) const GROUP: u16 = 0;
/// Buffers of a ring at most, a power of two: more than one enter completes receives, so that a burst finds one each.
const COUNT: u16 = 256;
/// A receive that fills this part of a buffer takes the buffer along, and a fresh one is provided; a smaller one is copied
/// out, so that a small message does not carry a large buffer about.
const KEEP: usize = 4;

/// How many bytes the next buffer has.
///
/// Twice as many as one that was filled, which had too little room; half as many when a whole round of the pool brought no more than a
/// quarter of the size at a time. So bulk comes in few large pieces, and small messages touch little memory.
#[derive(Debug)]
struct Size {
    bytes: usize,
    /// Receives in a row that used no more than a quarter of it.
    small: u16,
}

impl Size {
    /// Half a page: smaller ones save nothing.
    const LEAST: usize = 2 << 10;
    /// A page.
    const FIRST: usize = 4 << 10;
    /// The kernel goes round all buffers of a ring: larger ones are in no cache when their turn comes.
    const MOST: usize = 16 << 10;

    fn new() -> Self {
        Self { bytes: Self::FIRST, small: 0 }
    }

    /// A receive brought `count` bytes into a buffer of `room`.
    fn note(&mut self, room: usize, count: usize) {
        if count >= room {
            self.bytes = self.bytes.max((2 * room).min(Self::MOST));
            self.small = 0;
        } else if count > self.bytes / 4 {
            self.small = 0;
        } else {
            self.small += 1;
            if self.small == COUNT {
                self.bytes = (self.bytes / 2).max(Self::LEAST);
                self.small = 0;
            }
        }
    }
}

/// How many buffers the kernel is provided with.
///
/// Twice as many when a receive found none; half as many when a whole round of that many brought no need for a quarter of them in one look.
#[derive(Debug)]
struct Stock {
    wanted: u16,
    /// In the kernel's hands.
    provided: u16,
    /// Used in this look, and in the one that used most of this round.
    used: u16,
    peak: u16,
    /// Used in this round.
    round: u16,
}

impl Stock {
    /// The kernel completes about as many receives before a look goes on.
    const LEAST: u16 = 32;

    fn new() -> Self {
        Self { wanted: Self::LEAST, provided: 0, used: 0, peak: 0, round: 0 }
    }

    /// A buffer came back. Whether it is to be provided anew.
    fn came_back(&mut self) -> bool {
        self.provided -= 1;
        self.used += 1;
        self.provided < self.wanted
    }

    /// A receive found none. How many more to provide.
    fn ran_dry(&mut self) -> u16 {
        self.wanted = (self.wanted * 2).min(COUNT);
        (self.peak, self.round) = (self.wanted, 0);
        self.wanted.saturating_sub(self.provided)
    }

    fn end_of_look(&mut self) {
        self.peak = self.peak.max(self.used);
        self.round = self.round.saturating_add(self.used);
        self.used = 0;
        if self.round >= COUNT {
            if self.peak <= self.wanted / 4 {
                self.wanted = (self.wanted / 2).max(Self::LEAST);
            }
            (self.peak, self.round) = (0, 0);
        }
    }
}

/// The buffers and the ring of entries through which they are provided.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    slots: Vec<Vec<u8>>,
    tail: u16,
    size: Size,
    stock: Stock,
    /// The ids that the kernel does not have, the latest last.
    idle: Vec<u16>,
}

// SAFETY: `entries` is memory that this owns alone, save for the kernel.
unsafe impl Send for Buffers {}

fn layout() -> Layout {
    let bytes = usize::from(COUNT) * size_of::<BufRingEntry>();
    Layout::from_size_align(bytes, 4096).expect("a few pages have a layout")
}

impl Buffers {
    pub(super) fn new() -> Self {
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout()) };
        let Some(entries) = NonNull::new(memory.cast()) else { handle_alloc_error(layout()) };
        let slots = (0..COUNT).map(|_| Vec::new()).collect();
        let (stock, idle) = (Stock::new(), (0..COUNT).collect());
        let mut buffers = Self { entries, slots, tail: 0, size: Size::new(), stock, idle };
        buffers.provide_idle(Stock::LEAST);
        buffers
    }

    /// Registers them all.
    pub(super) fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: invariant 1.
        unsafe { submitter.register_buf_ring_with_flags(self.entries.as_ptr() as u64, COUNT, GROUP, 0) }
    }

    /// What a receive brought in the buffer `id`, which is provided again.
    pub(super) fn take(&mut self, id: u16, count: usize) -> Vec<u8> {
        let slot = &mut self.slots[usize::from(id)];
        let room = slot.capacity();
        assert!(count <= room, "the kernel says it wrote {count} bytes into a buffer of {room}");
        // SAFETY: the kernel wrote `count` bytes into this buffer's memory, which holds as many, and is done with it (2).
        unsafe { slot.set_len(count) };
        let taken = if count >= room / KEEP {
            std::mem::take(slot)
        } else {
            let copy = slot.as_slice().to_vec();
            slot.clear();
            copy
        };
        self.size.note(room, count);
        self.put_back(id);
        taken
    }

    /// A buffer came back, or what was in it was taken out.
    pub(super) fn put_back(&mut self, id: u16) {
        if self.stock.came_back() {
            self.provide(id);
        } else {
            self.slots[usize::from(id)] = Vec::new();
            self.idle.push(id);
        }
    }

    /// A receive found none: there are to be more.
    pub(super) fn ran_dry(&mut self) {
        let more = self.stock.ran_dry();
        self.provide_idle(more);
    }

    /// A look is over.
    pub(super) fn end_of_look(&mut self) {
        self.stock.end_of_look();
    }

    fn provide_idle(&mut self, count: u16) {
        for _ in 0..count {
            let Some(id) = self.idle.pop() else { return };
            self.provide(id);
        }
    }

    fn provide(&mut self, id: u16) {
        self.stock.provided += 1;
        let at = usize::from(self.tail & (COUNT - 1));
        let slot = &mut self.slots[usize::from(id)];
        if slot.capacity() != self.size.bytes {
            // The kernel is done with the old one, if there was one (2).
            *slot = Vec::with_capacity(self.size.bytes);
        }
        // SAFETY: `at` is below the number of entries. The kernel does not read an entry behind the tail, and there are no
        // more ids than entries, so this one was consumed.
        let entry = unsafe { &mut *self.entries.as_ptr().add(at) };
        entry.set_addr(slot.as_mut_ptr() as u64);
        entry.set_len(slot.capacity() as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the first entry is initialised, and the tail is a field of it that the kernel reads atomically.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        // Release: pairs with the kernel's load: it sees the entry.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the kernel is done with it (1).
        unsafe { dealloc(self.entries.as_ptr().cast(), layout()) };
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, Size, Stock};

    #[test]
    fn the_stock_follows_the_demand() {
        let mut stock = Stock { provided: 32, ..Stock::new() };
        let look = |stock: &mut Stock, used: u16| {
            for _ in 0..used {
                stock.provided += u16::from(stock.came_back());
            }
            stock.end_of_look();
        };
        for wanted in [64, 128, 256, 256] {
            let more = stock.ran_dry();
            stock.provided += more;
            assert_eq!((stock.wanted, stock.provided), (wanted, wanted));
        }
        // Half of them in one look, now and then: they stay.
        for at in 0..1000 {
            look(&mut stock, if at % 10 == 0 { 128 } else { 1 });
        }
        assert_eq!(stock.wanted, 256);
        // A few at a time: back to the least, and no further.
        for _ in 0..1000 {
            look(&mut stock, 4);
        }
        assert_eq!((stock.wanted, stock.provided), (32, 32));
    }

    #[test]
    fn filled_buffers_grow_up_to_a_bound() {
        let mut size = Size::new();
        let mut seen = vec![size.bytes];
        for _ in 0..8 {
            size.note(size.bytes, size.bytes);
            seen.push(size.bytes);
        }
        assert_eq!(seen[..4], [4 << 10, 8 << 10, 16 << 10, 16 << 10]);
        assert_eq!(seen.last(), Some(&Size::MOST));
        // Smaller ones that the kernel still had say nothing about the size of now.
        size.note(2 << 10, 2 << 10);
        assert_eq!(size.bytes, Size::MOST);
    }

    #[test]
    fn mostly_empty_buffers_shrink_after_a_round_of_the_pool() {
        let mut size = Size { bytes: 16 << 10, small: 0 };
        for _ in 1..COUNT {
            size.note(16 << 10, 100);
        }
        assert_eq!(size.bytes, 16 << 10, "not before the round is over");
        size.note(16 << 10, 100);
        assert_eq!(size.bytes, 8 << 10);
        for _ in 0..20 * u32::from(COUNT) {
            size.note(size.bytes, 100);
        }
        assert_eq!(size.bytes, Size::LEAST);
    }

    #[test]
    fn one_larger_message_in_a_round_keeps_the_size() {
        let mut size = Size { bytes: 16 << 10, small: 0 };
        for at in 0..10 * u32::from(COUNT) {
            size.note(16 << 10, if at % 200 == 0 { 5_000 } else { 100 });
        }
        assert_eq!(size.bytes, 16 << 10);
    }
}
