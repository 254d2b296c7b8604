//! The names of the root crate's `sync`, over loom.

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

pub(crate) use self::ghost::{Debt, Ghost};

#[path = "../../src/sync/ghost.rs"]
mod ghost;

/// A cell whose accesses are steps of their own.
///
/// Loom counts a cell's access to the thread's last atomic operation, and so takes an access right after a release for released by
/// it. The load here comes between them; loads are independent of each other and add no interleavings.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T> {
    step: AtomicU8,
    cell: loom::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { step: AtomicU8::new(0), cell: loom::cell::UnsafeCell::new(value) }
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.step.load(Ordering::Relaxed);
        self.cell.with(f)
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.step.load(Ordering::Relaxed);
        self.cell.with_mut(f)
    }
}

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
