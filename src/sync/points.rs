//! Feature `sim`: the types of `plain.rs` with a point before each operation of a simulated thread.
//!
//! The live path is one test of a process-wide flag; everything else is cold and out of line.

use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic as real;
use std::sync::{self, PoisonError};
use std::time::Duration;

pub use core::sync::atomic::Ordering;

use super::hook::{Access, Hook, current, simulated};
use super::{Debt, Ghost};
use crate::trace::Event;

/// Where the runtime's own code stands.
const CORE: &str = file!().split_at(file!().len() - "sync/points.rs".len()).0;

/// Calls the cold twin of an operation if this process simulates. One compare and one branch on the live path: the twin is
/// out of line with all that it needs, so that the live path stays small enough to be inlined.
macro_rules! or_cold {
    ($live:expr, $cold:expr) => {
        if simulated() { $cold } else { $live }
    };
}

/// The point before a read-modify-write.
#[cold]
#[inline(never)]
fn rmw(address: usize, at: &'static Location<'static>) {
    if let Some(hook) = current() {
        hook.point(Access::Rmw, address, at);
        hook.rmw(address);
    }
}

/// An atomic ends.
#[cold]
#[inline(never)]
fn forget(address: usize) {
    if let Some(hook) = current() {
        hook.forget(address);
    }
}

/// A point with nothing to pass but what comes next.
#[cold]
#[inline(never)]
fn point(access: Access, address: usize, at: &'static Location<'static>) -> Option<&'static dyn Hook> {
    let hook = current()?;
    hook.point(access, address, at);
    Some(hook)
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
                or_cold!((), forget(self.address()))
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

            /// Loads the value.
            #[inline]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                or_cold!(self.0.load(order), self.load_cold(order, Location::caller()))
            }

            #[cold]
            #[inline(never)]
            fn load_cold(&self, order: Ordering, at: &'static Location<'static>) -> $value {
                let Some(hook) = current() else { return self.0.load(order) };
                hook.point(Access::Load, self.address(), at);
                match hook.load(self.address()) {
                    Some(old) => ($from)(old),
                    None => self.0.load(order),
                }
            }

            /// Stores `value`.
            #[inline]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                or_cold!(self.0.store(value, order), self.store_cold(value, order, Location::caller()))
            }

            #[cold]
            #[inline(never)]
            fn store_cold(&self, value: $value, order: Ordering, at: &'static Location<'static>) {
                let Some(hook) = current() else { return self.0.store(value, order) };
                hook.point(Access::Store, self.address(), at);
                if order == Ordering::SeqCst {
                    hook.rmw(self.address());
                    return self.0.store(value, order);
                }
                let old = self.0.swap(value, Ordering::SeqCst);
                hook.stored(self.address(), ($to)(old), ($to)(value));
            }

            /// Replaces the value.
            #[inline]
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                if simulated() {
                    rmw(self.address(), Location::caller());
                }
                self.0.swap(value, order)
            }

            /// Replaces the value if it is `old`.
            #[inline]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if simulated() {
                    rmw(self.address(), Location::caller());
                }
                self.0.compare_exchange(old, new, success, failure)
            }

            /// Replaces the value if it is `old`; may fail without a reason, on machines that do.
            #[inline]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if simulated() {
                    rmw(self.address(), Location::caller());
                }
                self.0.compare_exchange_weak(old, new, success, failure)
            }

            /// The value, through an exclusive borrow.
            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                or_cold!((), forget(self.address()));
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
                    if simulated() {
                        rmw(self.address(), Location::caller());
                    }
                    self.0.$method(value, order)
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
    if simulated()
        && let Some(hook) = point(Access::Fence, 0, Location::caller())
        && order == Ordering::SeqCst
    {
        hook.fence();
    }
    real::fence(order);
}

/// Asks `done` until it says yes, for what another thread is about to do.
#[inline]
#[track_caller]
pub fn spin_until(mut done: impl FnMut() -> bool) {
    // A thread of a simulating process that is not simulated itself spins like any other.
    match if simulated() { current() } else { None } {
        Some(hook) => {
            let caller = Location::caller();
            while !done() {
                hook.spin(caller);
            }
        }
        None => super::spin::briefly(done),
    }
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
#[repr(C)]
pub struct Mutex<T: ?Sized> {
    end: End,
    real: sync::Mutex<T>,
}

/// Takes no room: it has the address of what it stands in, and tells when that goes.
#[derive(Debug, Default)]
struct End;

impl Drop for End {
    #[inline]
    fn drop(&mut self) {
        or_cold!((), forget(self as *const Self as usize))
    }
}

/// The guard of a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Taken out by `release` and `into_real` only, which forget the rest.
    guard: ManuallyDrop<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A lock over `value`.
    pub const fn new(value: T) -> Self {
        Self { end: End, real: sync::Mutex::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.real.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    fn address(&self) -> usize {
        &raw const self.end as usize
    }

    #[inline(always)]
    fn guarded<'a>(&'a self, guard: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex: self, guard: ManuallyDrop::new(guard) }
    }

    #[inline]
    fn lock_real(&self) -> sync::MutexGuard<'_, T> {
        self.real.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_real(&self) -> Option<sync::MutexGuard<'_, T>> {
        match self.real.try_lock() {
            Ok(guard) => Some(guard),
            Err(sync::TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(sync::TryLockError::WouldBlock) => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_cold(&self, at: &'static Location<'static>) -> sync::MutexGuard<'_, T> {
        let Some(hook) = point(Access::Lock, self.address(), at) else { return self.lock_real() };
        hook.fence();
        loop {
            if let Some(guard) = self.try_real() {
                self.noted(true, at);
                return guard;
            }
            hook.block(self.address(), None, at);
        }
    }

    /// Tells the checkers about locks of the runtime; those of others are theirs.
    fn noted(&self, taken: bool, at: &'static Location<'static>) {
        if at.file().as_bytes().starts_with(CORE.as_bytes())
            && let Some(hook) = current()
        {
            hook.held(self.address(), taken, at);
        }
    }

    /// Waits for the lock.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.guarded(or_cold!(self.lock_real(), self.lock_cold(Location::caller())))
    }

    /// Takes the lock if it is free.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if simulated()
            && let Some(hook) = point(Access::Lock, self.address(), Location::caller())
        {
            hook.fence();
        }
        let guard = self.try_real()?;
        if simulated() {
            self.noted(true, Location::caller());
        }
        Some(self.guarded(guard))
    }

    /// The value, through an exclusive borrow.
    pub fn get_mut(&mut self) -> &mut T {
        self.real.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The guard without the points.
    fn into_real(self) -> sync::MutexGuard<'a, T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once: `this` is never dropped nor used again.
        unsafe { ManuallyDrop::take(&mut this.guard) }
    }

    /// Lets go of the lock and wakes who waits for it, without a point of its own.
    fn release(self, hook: &dyn Hook) {
        let mutex = self.mutex;
        hook.fence();
        drop(self.into_real());
        hook.held(mutex.address(), false, Location::caller());
        hook.wake(mutex.address(), false);
    }

    #[cold]
    #[inline(never)]
    fn drop_cold(&mut self) {
        let hook = point(Access::Unlock, self.mutex.address(), Location::caller());
        if let Some(hook) = hook {
            hook.fence();
        }
        // SAFETY: called by `drop` alone, which does nothing after it.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        if let Some(hook) = hook {
            hook.held(self.mutex.address(), false, Location::caller());
            hook.wake(self.mutex.address(), false);
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard is dropped here, or by `drop_cold`, and nowhere else but where this drop is forgotten.
        or_cold!(unsafe { ManuallyDrop::drop(&mut self.guard) }, self.drop_cold());
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
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        at: &'static Location<'static>,
    ) -> (MutexGuard<'a, T>, bool) {
        hook.point(Access::Wait, self.address(), at);
        let mutex = guard.mutex;
        guard.release(hook);
        let woken = hook.block(self.address(), limit, at);
        (mutex.guarded(mutex.lock_cold(at)), !woken)
    }

    /// Lets go of the lock, waits for a notification, takes the lock again.
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if simulated()
            && let Some(hook) = current()
        {
            return self.wait_simulated(hook, guard, None, Location::caller()).0;
        }
        let mutex = guard.mutex;
        let inner = guard.into_real();
        mutex.guarded(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner))
    }

    /// The same with a limit. The flag says that the limit was reached.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        if simulated()
            && let Some(hook) = current()
        {
            return self.wait_simulated(hook, guard, Some(limit), Location::caller());
        }
        let mutex = guard.mutex;
        let inner = guard.into_real();
        let (inner, result) = self.0.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner);
        (mutex.guarded(inner), result.timed_out())
    }

    /// Wakes one waiter.
    #[track_caller]
    pub fn notify_one(&self) {
        or_cold!(self.0.notify_one(), self.notify_cold(false, Location::caller()));
    }

    /// Wakes all waiters.
    #[track_caller]
    pub fn notify_all(&self) {
        or_cold!(self.0.notify_all(), self.notify_cold(true, Location::caller()));
    }

    #[cold]
    #[inline(never)]
    fn notify_cold(&self, all: bool, at: &'static Location<'static>) {
        match point(Access::Notify, self.address(), at) {
            Some(hook) => hook.wake(self.address(), all),
            None if all => self.0.notify_all(),
            None => self.0.notify_one(),
        }
    }
}

/// A block of memory goes into a pool of the runtime (`free`), or is taken out of it.
#[inline(always)]
pub fn freed(block: core::ptr::NonNull<u8>, bytes: usize, free: bool) {
    #[cold]
    #[inline(never)]
    fn cold(block: usize, bytes: usize, free: bool) {
        if let Some(hook) = current() {
            hook.freed(block, bytes, free);
        }
    }
    or_cold!((), cold(block.as_ptr() as usize, bytes, free));
}

/// Notes for the checkers.
#[inline(always)]
pub fn ghost(note: impl FnOnce() -> Ghost) {
    #[cold]
    #[inline(never)]
    fn cold(note: impl FnOnce() -> Ghost) {
        if let Some(hook) = current() {
            hook.ghost(note());
        }
    }
    or_cold!((), cold(note));
}

/// The calling thread takes on (`by` > 0) or pays (`by` < 0) a debt.
#[inline(always)]
pub fn debt(debt: Debt, by: i32) {
    ghost(|| Ghost::Debt { debt, by });
}

/// Hands an event to the checkers.
#[inline(always)]
pub fn observe(event: &Event) {
    #[cold]
    #[inline(never)]
    fn cold(event: Event) {
        if let Some(hook) = current() {
            hook.event(&event);
        }
    }
    or_cold!((), cold(*event));
}
