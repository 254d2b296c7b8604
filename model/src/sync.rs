//! The names of the root crate's `sync`, over loom.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{Ordering, fence};

pub(crate) use self::ghost::{Debt, Ghost, Which};

#[path = "../../src/sync/ghost.rs"]
mod ghost;

/// Asks `done` until it says yes, for what another thread is about to do.
pub(crate) fn spin_until(mut done: impl FnMut() -> bool) {
    while !done() {
        loom::hint::spin_loop();
        loom::thread::yield_now();
    }
}

/// Loom's atomic of the same name, with a *turn* before each load: a relaxed read-modify-write of a word of its own beside it.
///
/// Loom 0.7 remembers one last access a location. In "A loads, B loads, B exchanges" B's load hides A's, and the run in which A's load comes
/// after the exchange is never tried; a load and a compare-and-swap in each of two threads is all it takes. Turns
/// depend on each other, so their orders are tried, and with them those of the loads. They order nothing in memory.
macro_rules! atomic {
    ($name:ident $(<$generic:ident>)?, $value:ty, $($method:ident)*) => {
        #[derive(Debug)]
        pub(crate) struct $name $(<$generic>)? {
            turn: loom::sync::atomic::AtomicU8,
            value: loom::sync::atomic::$name $(<$generic>)?,
        }

        impl $(<$generic>)? $name $(<$generic>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self {
                    turn: loom::sync::atomic::AtomicU8::new(0),
                    value: loom::sync::atomic::$name::new(value),
                }
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.turn.swap(0, Ordering::Relaxed);
                self.value.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.value.store(value, order);
            }

            pub(crate) fn compare_exchange(
                &self, old: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                self.value.compare_exchange(old, new, success, failure)
            }

            /// As if it never failed without a reason: the callers repeat it anyway.
            pub(crate) fn compare_exchange_weak(
                &self, old: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                self.value.compare_exchange(old, new, success, failure)
            }

            $(
                pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    self.value.$method(value, order)
                }
            )*
        }
    };
}

atomic!(AtomicBool, bool, swap fetch_or fetch_and);
atomic!(AtomicU8, u8, swap fetch_add fetch_sub fetch_or fetch_and);
atomic!(AtomicU32, u32, swap fetch_add fetch_sub fetch_or fetch_and fetch_max);
atomic!(AtomicU64, u64, swap fetch_add fetch_sub fetch_or fetch_and fetch_max);
atomic!(AtomicUsize, usize, swap fetch_add fetch_sub fetch_or fetch_and fetch_xor fetch_max);
atomic!(AtomicPtr<T>, *mut T, swap);

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

/// A statistic, out of loom's sight as it is out of the simulator's.
#[derive(Debug, Default)]
pub(crate) struct Counter(std::sync::atomic::AtomicU64);

impl Counter {
    pub(crate) const fn new(value: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn add(&self, n: u64) {
        self.set(self.get() + n);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

pub(crate) fn ghost(_note: impl FnOnce() -> Ghost) {}

pub(crate) fn debt(_debt: Debt, _by: i32) {}
