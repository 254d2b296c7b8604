//! The worker's bounded ring: its owner pushes and pops, others steal half.
//!
//! # Fields, and who may touch them
//! - `tail`: next index to write. Written by the owner alone, read by thieves.
//! - `head`: two cursors in one word. *real*: next index to take. *steal*: first index whose slot is still in use.
//!   They differ while a thief copies `[steal, real)` out: a *steal section*, at most one at a time.
//! - `slots[i & mask]`: holds a task while `i` is in `[real, tail)`; in a section also in `[steal, real)`.
//!
//! Cursors are 32 bits wide and wrap. The ring is a power of two of slots, far narrower than the cursors, so a cursor
//! that stands still during a section cannot be taken for one that went round.
//!
//! # Invariants
//! - R1: `slots.len() == mask + 1`, a power of two.
//! - R2: `steal <= real <= tail` and `tail - steal <= capacity` (wrapping).
//! - R3: one `Owner` exists a ring. It is `Send` and neither `Clone` nor `Sync`: `tail`, overflow and pop have one
//!   thread at a time.
//! - R4: an index in `[real, tail)` is taken by whoever moves `real` over it, by compare-and-swap on `head`: by one.
//!   That thread alone reads the slot, once.
//! - R5: a slot is written only for an index at `tail` with `tail - steal < capacity`: outside `[steal, tail)`. So
//!   room is counted from *steal*, by a pusher and by a thief that fills its own ring alike (tokio #2387).
//! - R6: all changes of `head` are read-modify-writes, at least AcqRel. So who reads `head` (Acquire) sees a `tail` not behind
//!   its *real*, and slot reads of all sections closed before it.
//!
//! The idea is that of tokio's and Go's local queues (real and steal cursor in one word; steal half).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::cell::Cell;
use core::mem::MaybeUninit;

use crate::sync::{AtomicU32, AtomicU64, Ghost, Ordering, UnsafeCell, ghost};

/// What everybody may hold.
#[repr(align(128))] // two lines: the prefetcher pairs them
pub(crate) struct Ring<T> {
    head: AtomicU64,
    tail: AtomicU32,
    mask: u32,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    id: u32,
}

// SAFETY: R4 and R5: a slot has one accessor at a time, and tasks only move through it.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl<T: Send> Send for Ring<T> {}

/// The owner's end. What is left in the ring when it goes is dropped.
pub(crate) struct Owner<T> {
    ring: Arc<Ring<T>>,
    /// The same value as `ring.tail`, without an atomic load.
    tail: Cell<u32>,
}

/// Tasks taken out by [`Owner::take_half`], oldest first.
pub(crate) type Taken<T> = vec::IntoIter<T>;

/// A ring of `capacity` slots (a power of two, at least 2), named `id` in notes.
///
/// # Panics
/// If `capacity` is not a power of two from 2 to 2^30.
pub(crate) fn ring<T>(id: u32, capacity: usize) -> (Owner<T>, Arc<Ring<T>>) {
    ring_at(id, capacity, 0)
}

/// The same with cursors that start at `start`: models begin right before the wrap.
pub(crate) fn ring_at<T>(id: u32, capacity: usize, start: u32) -> (Owner<T>, Arc<Ring<T>>) {
    assert!(
        capacity.is_power_of_two() && (2..=1 << 30).contains(&capacity),
        "a ring of {capacity} slots was asked for: the capacity must be a power of two from 2 to 2^30"
    );
    let slots: Vec<_> = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let ring = Arc::new(Ring {
        head: AtomicU64::new(pack(start, start)),
        tail: AtomicU32::new(start),
        mask: capacity as u32 - 1,
        slots: slots.into_boxed_slice(),
        id,
    });
    (Owner { ring: ring.clone(), tail: Cell::new(start) }, ring)
}

#[inline(always)]
const fn pack(steal: u32, real: u32) -> u64 {
    (steal as u64) << 32 | real as u64
}

#[inline(always)]
const fn unpack(head: u64) -> (u32, u32) {
    ((head >> 32) as u32, head as u32)
}

impl<T> Ring<T> {
    /// How many tasks could be taken at some moment during the call; never an underflow.
    pub(crate) fn len(&self) -> usize {
        // Acquire, R6: `tail` is read after it and is not behind.
        let (_, real) = unpack(self.head.load(Ordering::Acquire));
        let tail = self.tail.load(Ordering::Acquire);
        // `real` may be old by now.
        tail.wrapping_sub(real).min(self.mask + 1) as usize
    }

    /// Whether there was nothing to take at the moment `head` was read. Who may sleep on it asks after a SeqCst fence
    /// (sleep/README.md, S3).
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: R1: the masked index is below the length.
        unsafe { self.slots.get_unchecked((index & self.mask) as usize) }
    }

    /// # Safety
    /// R5: the caller is the owner, `index` is outside `[steal, tail)`.
    #[inline(always)]
    unsafe fn write(&self, index: u32, task: T) {
        ghost(|| Ghost::RingWrite { ring: self.id, at: index });
        // SAFETY: by the contract nobody else touches the slot until the tail is published.
        self.slot(index).with_mut(|slot| unsafe { (*slot).write(task) });
    }

    /// # Safety
    /// R4: the caller moved `real` over `index`, and reads it once.
    #[inline(always)]
    unsafe fn read(&self, index: u32) -> T {
        ghost(|| Ghost::RingRead { ring: self.id, at: index });
        // SAFETY: by the contract the slot holds a task that is ours alone now.
        self.slot(index).with(|slot| unsafe { (*slot).assume_init_read() })
    }

    /// Opens a steal section over half of the tasks (rounded up), `most` at most: first index and count.
    fn open_section(&self, most: u32) -> Option<(u32, u32)> {
        // Acquire, R6: a tail not behind `real`.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let (steal, real) = unpack(head);
            if steal != real {
                return None; // another thief is at it
            }
            // Acquire: pairs with the Release of `publish`: the slots below it are written.
            let len = self.tail.load(Ordering::Acquire).wrapping_sub(real);
            let count = (len - len / 2).min(most);
            if count == 0 {
                return None;
            }
            // AcqRel, R6. If `head` was old, so that `len` was nonsense, this fails.
            match self.head.compare_exchange(
                head,
                pack(steal, real.wrapping_add(count)),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    ghost(|| Ghost::RingStealBegin { ring: self.id, from: real, count });
                    debug_assert!(len <= self.mask + 1, "a ring holds more than its capacity");
                    return Some((real, count));
                }
                Err(now) => head = now,
            }
        }
    }

    /// Closes the steal section that the caller opened: its slots are the owner's again.
    fn close_section(&self) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (_, real) = unpack(head);
            // AcqRel: its Release pairs with the owner's Acquire of `head` in `room`: our reads are done before it writes there.
            match self.head.compare_exchange(head, pack(real, real), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        ghost(|| Ghost::RingStealEnd { ring: self.id });
    }
}

impl<T> Owner<T> {
    /// Appends a task, visible to thieves at once. `Err`: the ring is full.
    #[inline]
    pub(crate) fn push(&self, task: T) -> Result<(), T> {
        let ring = &*self.ring;
        if self.room(ring) == 0 {
            return Err(task);
        }
        let tail = self.tail.get();
        // SAFETY: we are the owner (R3), and with room left `tail` is outside `[steal, tail)` (R5).
        unsafe { ring.write(tail, task) };
        self.publish(ring, tail.wrapping_add(1));
        Ok(())
    }

    /// Takes the oldest task.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let ring = &*self.ring;
        let tail = self.tail.get();
        // Relaxed: the owner wrote the slots itself; R6 is kept by the compare-and-swap.
        let mut head = ring.head.load(Ordering::Relaxed);
        loop {
            let (steal, real) = unpack(head);
            if real == tail {
                return None;
            }
            let next = real.wrapping_add(1);
            // In a section the thief's slots stay in use.
            let moved = pack(if steal == real { next } else { steal }, next);
            // AcqRel: R6.
            match ring.head.compare_exchange(head, moved, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    ghost(|| Ghost::RingClaim { ring: ring.id, from: real, count: 1 });
                    // SAFETY: R4: we moved `real` over it.
                    return Some(unsafe { ring.read(real) });
                }
                Err(now) => head = now,
            }
        }
    }

    /// Takes the older half out of a full ring, for the injector. `None`: a thief is or was at it, so there is or
    /// will be room; try to push again.
    pub(crate) fn take_half(&self) -> Option<Taken<T>> {
        let ring = &*self.ring;
        let head = ring.head.load(Ordering::Relaxed);
        let (steal, real) = unpack(head);
        let count = self.tail.get().wrapping_sub(real) / 2;
        if steal != real || count == 0 {
            return None;
        }
        let next = real.wrapping_add(count);
        // Before the claim: nothing that may fail stands between it and the reads.
        let mut taken = Vec::with_capacity(count as usize);
        // AcqRel: R6.
        ring.head.compare_exchange(head, pack(next, next), Ordering::AcqRel, Ordering::Relaxed).ok()?;
        ghost(|| Ghost::RingClaim { ring: ring.id, from: real, count });
        for i in 0..count {
            // SAFETY: R4: we moved `real` over all of them.
            taken.push(unsafe { ring.read(real.wrapping_add(i)) });
        }
        Some(taken.into_iter())
    }

    /// Takes half of the victim's tasks (rounded up, as many as there is room for): one to run now, the rest into
    /// this ring. `note(task, kept)` is called for each when it has left the victim's ring, first for the returned one
    /// (`kept` is false), then for those that go into this ring, before others can see them there.
    ///
    /// `None`: nothing to steal, or another thief is at it.
    pub(crate) fn steal_from(&self, victim: &Ring<T>, mut note: impl FnMut(&T, bool)) -> Option<T> {
        let own = &*self.ring;
        debug_assert!(!core::ptr::eq(own, victim), "a worker steals from its own ring");
        let tail = self.tail.get();
        let (from, count) = victim.open_section(self.room(own) + 1)?;
        // SAFETY: R4: the section is ours.
        let first = unsafe { victim.read(from) };
        note(&first, false);
        for i in 1..count {
            // SAFETY: R4 for the read, as above.
            let task = unsafe { victim.read(from.wrapping_add(i)) };
            note(&task, true);
            // SAFETY: we own this ring, and `count - 1` is at most the room counted above; room only grows (R5).
            unsafe { own.write(tail.wrapping_add(i - 1), task) };
        }
        victim.close_section();
        if count > 1 {
            self.publish(own, tail.wrapping_add(count - 1));
        }
        Some(first)
    }

    /// Tasks in the ring; thieves may take some any time.
    pub(crate) fn len(&self) -> usize {
        let (_, real) = unpack(self.ring.head.load(Ordering::Relaxed));
        self.tail.get().wrapping_sub(real) as usize
    }

    /// Whether there is nothing to pop.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many pushes are sure to succeed.
    pub(crate) fn free(&self) -> usize {
        self.room(&self.ring) as usize
    }

    /// Slots outside `[steal, tail)`.
    #[inline(always)]
    fn room(&self, ring: &Ring<T>) -> u32 {
        // Acquire: pairs with the Release of `close_section`: what a thief read there is read.
        let (steal, _) = unpack(ring.head.load(Ordering::Acquire));
        ring.mask + 1 - self.tail.get().wrapping_sub(steal)
    }

    #[inline(always)]
    fn publish(&self, ring: &Ring<T>, tail: u32) {
        // Release: pairs with the thieves' Acquire of `tail`: the slots below it are written.
        ring.tail.store(tail, Ordering::Release);
        ghost(|| Ghost::RingPublish { ring: ring.id, tail, capacity: ring.mask + 1 });
        self.tail.set(tail);
    }
}

impl<T> Drop for Owner<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
