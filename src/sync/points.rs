//! Feature `sim`: the types of `plain.rs` with a point before each operation of a simulated thread.
//!
//! The live path is one test of a process-wide flag; everything else is cold and out of line.

use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic as real;
use std::sync::{self, PoisonError};
use std::time::Duration;

pub use core::sync::atomic::Ordering;

use super::hook::{Access, Hook, current, simulated};
use super::{Debt, Ghost};
use crate::trace::Event;

macro_rules! live_or {
    ($live:expr, $hook:ident => $simulated:expr) => {{
        if simulated() {
            #[cold]
            #[inline(never)]
            fn hook() -> Option<&'static dyn Hook> {
                current()
            }
            if let Some($hook) = hook() {
                return $simulated;
            }
        }
        $live
    }};
}

macro_rules! common {
    ($name:ident, $($generic:ident)?, $value:ty, $to:expr, $from:expr) => {
        /// The atomic of the same name, with points.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$generic>)? (real::$name $(<$generic>)?);

        impl $(<$generic>)? Drop for $name $(<$generic>)? {
            #[inline]
            fn drop(&mut self) {
                live_or!((), hook => hook.forget(self.address()))
            }
        }

        impl $(<$generic>)? $name $(<$generic>)? {
            /// An atomic with `value`.
            #[inline]
            pub const fn new(value: $value) -> Self {
                Self(real::$name::new(value))
            }

            #[inline]
            fn address(&self) -> usize {
                self as *const Self as usize
            }

            #[inline]
            fn rmw_point(&self, hook: &dyn Hook, at: &'static Location<'static>) {
                hook.point(Access::Rmw, self.address(), at);
                hook.rmw(self.address());
            }

            /// Loads the value.
            #[inline]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                live_or!(self.0.load(order), hook => {
                    hook.point(Access::Load, self.address(), Location::caller());
                    match hook.load(self.address()) {
                        Some(old) => ($from)(old),
                        None => self.0.load(order),
                    }
                })
            }

            /// Stores `value`.
            #[inline]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                live_or!(self.0.store(value, order), hook => {
                    hook.point(Access::Store, self.address(), Location::caller());
                    let old = self.0.swap(value, Ordering::SeqCst);
                    hook.stored(self.address(), ($to)(old), ($to)(value));
                })
            }

            /// Replaces the value.
            #[inline]
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                live_or!(self.0.swap(value, order), hook => {
                    self.rmw_point(hook, Location::caller());
                    self.0.swap(value, order)
                })
            }

            /// Replaces the value if it is `old`.
            #[inline]
            #[track_caller]
            pub fn compare_exchange(
                &self, old: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                live_or!(self.0.compare_exchange(old, new, success, failure), hook => {
                    self.rmw_point(hook, Location::caller());
                    self.0.compare_exchange(old, new, success, failure)
                })
            }

            /// Replaces the value if it is `old`; may fail without a reason.
            #[inline]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self, old: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                live_or!(self.0.compare_exchange_weak(old, new, success, failure), hook => {
                    self.rmw_point(hook, Location::caller());
                    self.0.compare_exchange(old, new, success, failure)
                })
            }

            /// The value, through an exclusive borrow.
            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                if simulated() && let Some(hook) = current() {
                    hook.forget(self.address());
                }
                self.0.get_mut()
            }
        }
    };
}

macro_rules! arithmetic {
    ($name:ident, $value:ty, $($method:ident)*) => {
        impl $name {
            $(
                /// The read-modify-write of the same name; returns the old value.
                #[inline]
                #[track_caller]
                pub fn $method(&self, value: $value, order: Ordering) -> $value {
                    live_or!(self.0.$method(value, order), hook => {
                        self.rmw_point(hook, Location::caller());
                        self.0.$method(value, order)
                    })
                }
            )*
        }
    };
}

common!(AtomicBool, , bool, |value: bool| u64::from(value), |old: u64| old != 0);
common!(AtomicU8, , u8, |value: u8| u64::from(value), |old: u64| old as u8);
common!(AtomicU32, , u32, |value: u32| u64::from(value), |old: u64| old as u32);
common!(AtomicU64, , u64, |value: u64| value, |old: u64| old);
common!(AtomicUsize, , usize, |value: usize| value as u64, |old: u64| old as usize);
common!(AtomicPtr, T, *mut T, |value: *mut T| value as u64, |old: u64| old as usize as *mut T);
arithmetic!(AtomicBool, bool, fetch_or fetch_and);
arithmetic!(AtomicU8, u8, fetch_add fetch_sub fetch_or fetch_and);
arithmetic!(AtomicU32, u32, fetch_add fetch_sub fetch_or fetch_and fetch_max);
arithmetic!(AtomicU64, u64, fetch_add fetch_sub fetch_or fetch_and fetch_max);
arithmetic!(AtomicUsize, usize, fetch_add fetch_sub fetch_or fetch_and fetch_xor fetch_max);

/// A fence; a SeqCst one drains the store buffer.
#[inline]
#[track_caller]
pub fn fence(order: Ordering) {
    live_or!(real::fence(order), hook => {
        hook.point(Access::Fence, 0, Location::caller());
        if order == Ordering::SeqCst {
            hook.fence();
        }
        real::fence(order);
    })
}

/// A hint that this thread waits for another one.
#[inline]
#[track_caller]
pub fn spin_loop() {
    live_or!(core::hint::spin_loop(), hook => hook.spin(Location::caller()))
}

/// A cell whose accesses are closures, so that loom can watch them.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell with `value`.
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    /// Runs `f` with a pointer for reading.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Runs `f` with a pointer for writing.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A lock without poisoning; a simulated thread that meets it taken waits in the world.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

/// The guard of a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    guard: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    fn address(&self) -> usize {
        &raw const self.0 as *const () as usize
    }

    fn guarded<'a>(&'a self, guard: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex: self, guard: Some(guard) }
    }

    fn try_real(&self) -> Option<sync::MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(sync::TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(sync::TryLockError::WouldBlock) => None,
        }
    }

    fn lock_simulated(&self, hook: &dyn Hook, at: &'static Location<'static>) -> MutexGuard<'_, T> {
        hook.point(Access::Lock, self.address(), at);
        hook.fence();
        loop {
            if let Some(guard) = self.try_real() {
                return self.guarded(guard);
            }
            hook.block(self.address(), None, at);
        }
    }

    /// Waits for the lock.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        live_or!(
            self.guarded(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
            hook => self.lock_simulated(hook, Location::caller())
        )
    }

    /// Takes the lock if it is free.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        live_or!(self.try_real().map(|guard| self.guarded(guard)), hook => {
            hook.point(Access::Lock, self.address(), Location::caller());
            hook.fence();
            self.try_real().map(|guard| self.guarded(guard))
        })
    }

    /// The value, through an exclusive borrow.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> MutexGuard<'_, T> {
    /// Lets go of the lock and wakes who waits for it, without a point of its own.
    fn release(&mut self, hook: &dyn Hook) {
        hook.fence();
        self.guard = None;
        hook.wake(self.mutex.address(), false);
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.guard.as_ref().expect("a lock guard is used after its release")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("a lock guard is used after its release")
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        live_or!((), hook => {
            if self.guard.is_some() {
                hook.point(Access::Unlock, self.mutex.address(), Location::caller());
                self.release(hook);
            }
        })
    }
}

/// A condition variable for [`Mutex`]. Wakes may be spurious.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition variable nobody waits for.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    fn address(&self) -> usize {
        self as *const Self as usize
    }

    fn wait_simulated<'a, T>(
        &self,
        hook: &dyn Hook,
        mut guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        at: &'static Location<'static>,
    ) -> (MutexGuard<'a, T>, bool) {
        hook.point(Access::Wait, self.address(), at);
        let mutex = guard.mutex;
        guard.release(hook);
        drop(guard);
        let woken = hook.block(self.address(), limit, at);
        (mutex.lock_simulated(hook, at), !woken)
    }

    /// Lets go of the lock, waits for a notification, takes the lock again.
    #[track_caller]
    pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if simulated()
            && let Some(hook) = current()
        {
            return self.wait_simulated(hook, guard, None, Location::caller()).0;
        }
        let mutex = guard.mutex;
        let inner = guard.guard.take().expect("a lock guard is used after its release");
        mutex.guarded(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner))
    }

    /// The same with a limit. The flag says that the limit was reached.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        if simulated()
            && let Some(hook) = current()
        {
            return self.wait_simulated(hook, guard, Some(limit), Location::caller());
        }
        let mutex = guard.mutex;
        let inner = guard.guard.take().expect("a lock guard is used after its release");
        let (inner, result) = self.0.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner);
        (mutex.guarded(inner), result.timed_out())
    }

    /// Wakes one waiter.
    #[track_caller]
    pub fn notify_one(&self) {
        live_or!(self.0.notify_one(), hook => {
            hook.point(Access::Notify, self.address(), Location::caller());
            hook.wake(self.address(), false);
        })
    }

    /// Wakes all waiters.
    #[track_caller]
    pub fn notify_all(&self) {
        live_or!(self.0.notify_all(), hook => {
            hook.point(Access::Notify, self.address(), Location::caller());
            hook.wake(self.address(), true);
        })
    }
}

/// Notes for the checkers.
#[inline(always)]
pub fn ghost(note: impl FnOnce() -> Ghost) {
    live_or!((), hook => hook.ghost(note()))
}

/// The calling thread takes on (`by` > 0) or pays (`by` < 0) a debt.
#[inline(always)]
pub fn debt(debt: Debt, by: i32) {
    live_or!((), hook => hook.ghost(Ghost::Debt { debt, by }))
}

/// Hands an event to the checkers.
#[inline(always)]
pub fn observe(event: &Event) {
    live_or!((), hook => hook.event(event))
}
