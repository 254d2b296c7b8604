//! The waker of a task: one of its references behind the standard vtable.

use core::ptr::NonNull;
use core::task::{RawWaker, RawWakerVTable, Waker};

use super::raw::{Header, release, wake};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_by_value, wake_by_ref, drop_waker);

/// A waker that stands for one reference to the task.
///
/// # Safety
/// The caller gives the waker a reference, or keeps it from being dropped and woken by value.
pub(super) unsafe fn of(header: NonNull<Header>) -> Waker {
    // SAFETY: the vtable's functions do what the contract of RawWaker asks, on a counted reference.
    unsafe { Waker::new(header.as_ptr().cast(), &VTABLE) }
}

/// A clone of a waker of one of our tasks, which runs no foreign code and so may be made and dropped under a lock.
/// `None`: it is somebody else's.
#[inline]
pub(crate) fn clone_own(waker: &Waker) -> Option<Waker> {
    core::ptr::eq(waker.vtable(), &VTABLE).then(|| waker.clone())
}

/// Whether a waker is that of the task.
#[inline]
pub(crate) fn is_own(waker: &Waker, task: *const Header) -> bool {
    core::ptr::eq(waker.vtable(), &VTABLE) && core::ptr::eq(waker.data(), task.cast())
}

fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: only `of` and `clone` make these wakers, from a NonNull.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned holds a reference.
    unsafe { header(data).as_ref() }.state.ref_inc();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake_by_value(data: *const ()) {
    // SAFETY: the waker's reference, consumed.
    unsafe { wake(header(data), true) }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker's reference, kept.
    unsafe { wake(header(data), false) }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker's reference, given up.
    unsafe { release(header(data)) }
}
