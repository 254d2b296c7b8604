//! Task-locals: values that a future sees wherever it is polled.
//!
//! A value lives in a thread-local while its future is polled (or dropped), and in the future in between.

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Declares task-locals: [`LocalKey`]s.
///
/// ```
/// pirn::task_local! {
///     /// Which request this task serves.
///     static REQUEST: u64;
/// }
///
/// # pirn::Runtime::new()?.block_on(async {
/// let seen = REQUEST.scope(7, async {
///     pirn::yield_now().await;
///     REQUEST.get()
/// });
/// assert_eq!(seen.await, 7);
/// assert!(REQUEST.try_with(|_| ()).is_err());
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$meta:meta])* $visible:vis static $name:ident: $type:ty);+ $(;)?) => {
        $(
            $(#[$meta])*
            $visible static $name: $crate::task::LocalKey<$type> = {
                ::std::thread_local! {
                    static SLOT: ::core::cell::RefCell<::core::option::Option<$type>> =
                        const { ::core::cell::RefCell::new(::core::option::Option::None) };
                }
                $crate::task::LocalKey::new(&SLOT)
            };
        )+
    };
}

/// A task-local, declared by [`task_local!`](crate::task_local). A spawned task starts without a value: give it one by [`scope`](Self::scope).
pub struct LocalKey<T: 'static> {
    slot: &'static std::thread::LocalKey<RefCell<Option<T>>>,
}

/// There is no value: the code does not run inside a [`LocalKey::scope`] of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoValue(());

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(slot: &'static std::thread::LocalKey<RefCell<Option<T>>>) -> Self {
        Self { slot }
    }

    /// A future with this value: `future` sees it in every poll, and while it is dropped.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<T, F> {
        Scope { key: self, value: Some(value), future: Some(future) }
    }

    /// Calls `f` with this value.
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut value = Some(value);
        self.swapped(&mut value, f)
    }

    /// Looks at the value.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Looks at the value, if there is one.
    ///
    /// # Errors
    /// If there is none.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, NoValue> {
        let seen = self.slot.try_with(|slot| {
            let value = slot.borrow();
            value.as_ref().map(f)
        });
        seen.ok().flatten().ok_or(NoValue(()))
    }

    /// A copy of the value.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Calls `f` with the value in its place, and takes it back, on panics too.
    fn swapped<R>(&'static self, value: &mut Option<T>, f: impl FnOnce() -> R) -> R {
        struct Restore<'a, T: 'static> {
            key: &'static LocalKey<T>,
            value: &'a mut Option<T>,
        }
        impl<T> Restore<'_, T> {
            fn swap(&mut self) {
                self.key.slot.with(|slot| mem::swap(&mut *slot.borrow_mut(), self.value));
            }
        }
        impl<T> Drop for Restore<'_, T> {
            fn drop(&mut self) {
                self.swap();
            }
        }
        let mut restore = Restore { key: self, value };
        restore.swap();
        // Another task of this worker would see the value.
        #[cfg(feature = "coro")]
        let f = || crate::sched::unsuspended(f);
        f()
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl fmt::Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a task-local has no value here: run the code inside its `scope` (a spawned task inherits none)",
        )
    }
}

impl std::error::Error for NoValue {}

/// The future of [`LocalKey::scope`]. As cancel-safe as the future in it.
#[must_use = "futures do nothing unless awaited"]
pub struct Scope<T: 'static, F> {
    key: &'static LocalKey<T>,
    value: Option<T>,
    /// Pinned with the scope. `None`: done.
    future: Option<F>,
}

impl<T, F: Future> Future for Scope<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `future` is pinned whenever the scope is: it is never moved out of, only polled and set to `None` in
        // its place. The scope is `Unpin` only if `F` is, by its fields.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut future = unsafe { Pin::new_unchecked(&mut this.future) };
        this.key.swapped(&mut this.value, || {
            let running = future.as_mut().as_pin_mut().expect("a scope was polled after its end");
            let poll = running.poll(context);
            if poll.is_ready() {
                future.set(None);
            }
            poll
        })
    }
}

impl<T, F> Drop for Scope<T, F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            // In its place, and with the value in sight.
            self.key.swapped(&mut self.value, || self.future = None);
        }
    }
}

impl<T, F> fmt::Debug for Scope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
