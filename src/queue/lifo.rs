//! The LIFO slot: the task woken last runs next, while what it was sent is still in the cache.
//!
//! One pointer. Its owner puts; anybody may take (a takeover of a worker that is stuck in a poll).

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::Link;
use crate::sync::{AtomicPtr, Ordering};

/// A slot for one task. A non-null pointer in it is one reference, given away by `into_raw`.
pub(crate) struct LifoSlot<T: Link> {
    slot: AtomicPtr<T::Node>,
    tasks: PhantomData<T>,
}

// SAFETY: tasks only move through it: who swaps a pointer out is the only one that has it.
unsafe impl<T: Link + Send> Sync for LifoSlot<T> {}
// SAFETY: as above.
unsafe impl<T: Link + Send> Send for LifoSlot<T> {}

impl<T: Link> LifoSlot<T> {
    /// An empty slot.
    pub(crate) fn new() -> Self {
        Self { slot: AtomicPtr::new(ptr::null_mut()), tasks: PhantomData }
    }

    /// Puts a task in and returns the one it drives out.
    #[inline]
    pub(crate) fn put(&self, task: T) -> Option<T> {
        // AcqRel: Release pairs with the Acquire of who takes it; Acquire for what we take out.
        let old = self.slot.swap(task.into_raw().as_ptr(), Ordering::AcqRel);
        // SAFETY: a pointer in the slot came from `into_raw`, and this swap alone took it out.
        NonNull::new(old).map(|node| unsafe { T::from_raw(node) })
    }

    /// Takes the task out.
    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        if self.is_empty() {
            return None; // no read-modify-write on the usual path
        }
        // Acquire: pairs with the Release of `put`.
        let old = self.slot.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: as in `put`.
        NonNull::new(old).map(|node| unsafe { T::from_raw(node) })
    }

    /// Whether it was empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slot.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Link> Drop for LifoSlot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
