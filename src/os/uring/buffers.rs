//! The provided buffers of a ring: the kernel picks one when data is there, so an idle connection holds none.
//!
//! Invariants. (1) `entries` and the memory of every `Vec` in `slots` stay where they are until the ring that they were
//! registered with is closed: `Ring` drops its kernel side first. (2) A buffer is in the kernel's hands from `provide`
//! until the completion that names its id; in between nobody here touches it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The group all receives of a ring draw from.
pub(super) const GROUP: u16 = 0;
/// Buffers of a ring, a power of two: more than one enter completes receives, so that a burst finds one each.
const COUNT: u16 = 256;
/// Bytes of a buffer: a large message comes in one piece. Pages that no receive reached are not in memory.
const SIZE: usize = 16 << 10;
/// A receive that fills this part of a buffer takes the buffer along, and a fresh one is provided; a smaller one is copied
/// out, so that a small message does not carry a large buffer about.
const KEEP: usize = 4;

/// The buffers and the ring of entries through which they are provided.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    slots: Vec<Vec<u8>>,
    tail: u16,
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
        let slots = (0..COUNT).map(|_| Vec::with_capacity(SIZE)).collect();
        let mut buffers = Self { entries, slots, tail: 0 };
        (0..COUNT).for_each(|id| buffers.provide(id));
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
        assert!(count <= slot.capacity(), "the kernel says it wrote {count} bytes into a buffer of {SIZE}");
        // SAFETY: the kernel wrote `count` bytes into this buffer's memory, which holds as many, and is done with it (2).
        unsafe { slot.set_len(count) };
        let taken = if count >= SIZE / KEEP {
            std::mem::replace(slot, Vec::with_capacity(SIZE))
        } else {
            let copy = slot.as_slice().to_vec();
            slot.clear();
            copy
        };
        self.provide(id);
        taken
    }

    /// Provides a buffer that came back unused.
    pub(super) fn put_back(&mut self, id: u16) {
        self.provide(id);
    }

    fn provide(&mut self, id: u16) {
        let at = usize::from(self.tail & (COUNT - 1));
        let slot = &mut self.slots[usize::from(id)];
        // SAFETY: `at` is below the number of entries. The kernel does not read an entry behind the tail, and there are no
        // more ids than entries, so this one was consumed.
        let entry = unsafe { &mut *self.entries.as_ptr().add(at) };
        entry.set_addr(slot.as_mut_ptr() as u64);
        entry.set_len(SIZE as u32);
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
