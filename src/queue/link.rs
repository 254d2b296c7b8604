//! What a task must offer to stand in a container that allocates nothing.

use core::ptr::NonNull;

use crate::sync::UnsafeCell;

/// A counted pointer to a node that has room for one link.
///
/// # Safety
/// `from_raw` undoes `into_raw`, the node stays where it is and alive in between, and `next` of one node always
/// gives the same cell, which nobody uses while the node is in a container.
pub(crate) unsafe trait Link: Sized {
    /// What it points to.
    type Node;

    /// Gives the reference away as a pointer.
    fn into_raw(self) -> NonNull<Self::Node>;

    /// Takes the reference back.
    ///
    /// # Safety
    /// `node` came from `into_raw`, and each `into_raw` is answered by one `from_raw` at most.
    unsafe fn from_raw(node: NonNull<Self::Node>) -> Self;

    /// The node's link.
    ///
    /// # Safety
    /// `node` came from `into_raw` and was not taken back yet.
    unsafe fn next(node: NonNull<Self::Node>) -> NonNull<UnsafeCell<*mut Self::Node>>;
}
