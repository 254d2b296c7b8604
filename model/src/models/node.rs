//! A node for the containers that link their tasks.

use std::ptr::NonNull;

use crate::queue::Link;
use crate::sync::UnsafeCell;

/// A task: a heap cell with a link and plain data that its receiver must see (publication).
pub(super) struct Task(Box<Node>);

pub(super) struct Node {
    next: UnsafeCell<*mut Node>,
    value: UnsafeCell<u32>,
}

// SAFETY: a box; its cells are used by whoever has it, which is what the models check.
unsafe impl Send for Task {}

impl Task {
    pub(super) fn new(value: u32) -> Self {
        Self(Box::new(Node { next: UnsafeCell::new(std::ptr::null_mut()), value: UnsafeCell::new(value) }))
    }

    /// Reads it as its one holder does: loom checks that the write is visible.
    pub(super) fn value(self) -> u32 {
        // SAFETY: the box is ours.
        self.0.value.with_mut(|value| unsafe { *value })
    }
}

// SAFETY: `into_raw` and `from_raw` are those of a box, which does not move; `next` is one field of it.
unsafe impl Link for Task {
    type Node = Node;

    fn into_raw(self) -> NonNull<Node> {
        NonNull::from(Box::leak(self.0))
    }

    unsafe fn from_raw(node: NonNull<Node>) -> Self {
        // SAFETY: it came from `into_raw`, by the contract.
        Self(unsafe { Box::from_raw(node.as_ptr()) })
    }

    unsafe fn next(node: NonNull<Node>) -> NonNull<UnsafeCell<*mut Node>> {
        // SAFETY: the node is alive, by the contract.
        NonNull::from(unsafe { &node.as_ref().next })
    }
}
