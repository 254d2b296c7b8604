//! The names of the root crate's `sync`, over loom.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

pub(crate) use self::ghost::{Debt, Ghost};

#[path = "../../src/sync/ghost.rs"]
mod ghost;

/// A lock without poisoning.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a model's thread panicked with a lock held")
    }
}

pub(crate) fn ghost(_note: impl FnOnce() -> Ghost) {}

pub(crate) fn debt(_debt: Debt, _by: i32) {}
