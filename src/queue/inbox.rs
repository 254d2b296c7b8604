//! The inbox: anybody pushes, one owner pops, oldest first, and nothing is allocated.
//!
//! # Fields, and who may touch them
//! - `head`: newest of the nodes pushed since the owner last looked; each links to the next older one. Pushers add by
//!   compare-and-swap, the owner takes the whole chain by a swap.
//! - `chain`: what the owner took and has not popped, turned round: oldest first. The owner's alone.
//!
//! # Invariants
//! - B1: a pointer in `head`, `chain` or a link inside them is one reference, given away by `into_raw`.
//! - B2: a node's link is written by its pusher before the node is in `head`, and by the owner after it is out of it.
//! - B3: nodes leave `head` all at once, so a pusher's compare-and-swap that meets the same pointer again (ABA) still
//!   links to the node that is there now.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::Link;
use crate::sync::{AtomicPtr, Ordering, UnsafeCell};

/// See the module.
pub(crate) struct Inbox<T: Link> {
    head: AtomicPtr<T::Node>,
    chain: UnsafeCell<*mut T::Node>,
    tasks: PhantomData<T>,
}

// SAFETY: tasks only move through it (B1); `chain` has one user by the contract of `pop`.
unsafe impl<T: Link + Send> Sync for Inbox<T> {}
// SAFETY: as above.
unsafe impl<T: Link + Send> Send for Inbox<T> {}

impl<T: Link> Inbox<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            chain: UnsafeCell::new(ptr::null_mut()),
            tasks: PhantomData,
        }
    }

    /// Pushes a task. True: nothing was in front of it, so the pusher owes the owner a token.
    ///
    /// The owner rechecks its inbox by `park_begin`'s answer, not by a fence: the token that follows a push to an empty
    /// inbox is sticky (sleep/README.md, K3).
    pub(crate) fn push(&self, task: T) -> bool {
        let node = task.into_raw();
        // SAFETY: the node is not in a container yet, so it and its link are ours (B2).
        let link = unsafe { T::next(node) };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: as above; the link lives as long as its node.
            unsafe { link.as_ref() }.with_mut(|next| unsafe { *next = head });
            // Release: pairs with the owner's Acquire swap: node and link are written.
            match self.head.compare_exchange_weak(head, node.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return head.is_null(),
                Err(now) => head = now,
            }
        }
    }

    /// Takes the oldest task.
    ///
    /// # Safety
    /// Only the owner calls it: one thread at a time, each later one after the earlier one's end.
    pub(crate) unsafe fn pop(&self) -> Option<T> {
        // SAFETY: `chain` is the owner's.
        let mut first = self.chain.with(|chain| unsafe { *chain });
        if first.is_null() {
            if self.head.load(Ordering::Relaxed).is_null() {
                return None; // no read-modify-write on the usual path
            }
            // Acquire: pairs with the Release of `push`.
            first = Self::turned(self.head.swap(ptr::null_mut(), Ordering::Acquire));
        }
        let node = NonNull::new(first)?;
        // SAFETY: the node is out of `head`, its link is ours (B2).
        let rest = unsafe { T::next(node).as_ref() }.with(|next| unsafe { *next });
        // SAFETY: `chain` is the owner's.
        self.chain.with_mut(|chain| unsafe { *chain = rest });
        // SAFETY: B1, and it is in neither chain any more.
        Some(unsafe { T::from_raw(node) })
    }

    /// Turns a chain taken from `head` round, so that it begins with the oldest node.
    fn turned(mut newest: *mut T::Node) -> *mut T::Node {
        let mut turned = ptr::null_mut();
        while let Some(node) = NonNull::new(newest) {
            // SAFETY: the chain is out of `head`: its links are the owner's (B2).
            newest = unsafe { T::next(node).as_ref() }
                .with_mut(|next| unsafe { core::mem::replace(&mut *next, turned) });
            turned = node.as_ptr();
        }
        turned
    }
}

impl<T: Link> Drop for Inbox<T> {
    fn drop(&mut self) {
        // SAFETY: an exclusive borrow: nobody else is here.
        while unsafe { self.pop() }.is_some() {}
    }
}
