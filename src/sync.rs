//! The only door to atomics, fences, cells, locks and the one core thread-local.
//!
//! | world | what stands behind these names |
//! |---|---|
//! | production | plain `std` types, nothing added (`sync/plain.rs`) |
//! | feature `sim` | the same types with a *point* before each operation (`sync/points.rs`); one process-wide flag is tested first, so a live run in such a binary pays a compare and a branch |
//! | `model/` | loom's types under the same names, in the model crate's own `sync` |
//!
//! Rules for the users of this module: a store-load barrier is `fence(SeqCst)` or a read-modify-write, never a
//! SeqCst load or store (loom treats those as acquire-release). Reference counts that decide a free use these
//! atomics. Statistics use [`Counter`], which is never a point.

use core::cell::Cell;
use core::ptr;

pub use self::ghost::{Debt, Ghost, Which};
#[cfg(feature = "sim")]
pub use self::hook::{Access, Hook, enter_hook, hook_is_set, mark_process_simulated};
#[cfg(not(feature = "sim"))]
pub use self::plain::*;
#[cfg(feature = "sim")]
pub use self::points::*;

mod ghost;
#[cfg(feature = "sim")]
mod hook;
#[cfg(not(feature = "sim"))]
mod plain;
#[cfg(feature = "sim")]
mod points;
mod spin;

thread_local! {
    /// The worker (or guest) this thread is, as the scheduler's private pointer; null outside a runtime.
    static CONTEXT: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// The current context pointer. Null outside of a runtime and while thread-locals are being destroyed.
#[inline]
pub fn context() -> *const () {
    CONTEXT.try_with(Cell::get).unwrap_or(ptr::null())
}

/// Replaces the context pointer and returns the old one. The simulator swaps it at each switch where threads
/// share a thread-local block.
#[inline]
pub fn swap_context(new: *const ()) -> *const () {
    CONTEXT.try_with(|cell| cell.replace(new)).unwrap_or(ptr::null())
}

/// A value on cache lines of its own (two: the prefetcher pairs them), so that who writes it disturbs nobody who reads its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Apart<T>(T);

impl<T> Apart<T> {
    /// Sets `value` apart.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> core::ops::Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A word that any thread may write and any may read, some time later. Never a point and never in a store buffer, so nothing may
/// hang on its value.
#[derive(Debug, Default)]
pub struct Hint(core::sync::atomic::AtomicU32);

impl Hint {
    /// A hint with `value`.
    pub const fn new(value: u32) -> Self {
        Self(core::sync::atomic::AtomicU32::new(value))
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: u32) {
        self.0.store(value, core::sync::atomic::Ordering::Relaxed);
    }

    /// The value some time ago.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }
}

/// A number that nobody else in the process gets, from 1. Never a point: for names that are compared and nothing else.
pub fn unique() -> u64 {
    static NEXT: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed)
}

/// A statistic: relaxed, written by one thread, read by any. Never a point and never in a store buffer, so nothing may hang on its value.
#[derive(Debug, Default)]
pub struct Counter(core::sync::atomic::AtomicU64);

impl Counter {
    /// A counter at `value`.
    pub const fn new(value: u64) -> Self {
        Self(core::sync::atomic::AtomicU64::new(value))
    }

    /// Adds `n`; for the one writing thread only, hence no read-modify-write.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Sets the value; for the one writing thread only.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, core::sync::atomic::Ordering::Relaxed);
    }

    /// The value some time ago.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }
}
