//! What the crate `tracing` is told, with the feature of that name: a span a task, and events. Without the feature all of this is empty.
//!
//! | target | level | what | fields |
//! |---|---|---|---|
//! | `pirn::task` | DEBUG | the span `task`: made by the spawn, entered at each poll and when the future is dropped, closed then | `id`, `name`, `kind`, `spawned_at` |
//! | `pirn::task` | ERROR | a task panicked | `id`, `name`, `spawned_at` |
//! | `pirn::slow_poll` | WARN | a poll took longer than `Builder::slow_poll` | `id` (0: a main future), `name`, `spawned_at`, `worker`, `took_us` |
//! | `pirn::takeover` | DEBUG | an idle worker served what waited at one that is stuck in a poll | `victim`, `by` |
//! | `pirn::runtime` | DEBUG | a runtime starts, is asked to end, has ended (WARN: not all of it in time) | `workers`, `os` |
//!
//! A span's parent is the span in which the spawn happened. No lock of the runtime is held while a subscriber is called, and what a
//! subscriber panics with is contained like a task's own panic.

use crate::observe::SlowPoll;
use crate::sched::Shared;
use crate::task::Header;

#[cfg(feature = "tracing")]
mod on {
    //! With the feature.

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::sync::UnsafeCell;
    use crate::task::{Header, Kind};

    /// A task's span. For who runs the task, and for the spawner before anybody can.
    pub(crate) struct Span(UnsafeCell<tracing::Span>);

    impl Span {
        /// None yet.
        pub(crate) fn none() -> Self {
            Self(UnsafeCell::new(tracing::Span::none()))
        }

        /// Makes the span of a task.
        ///
        /// # Safety
        /// Nobody else has the task yet.
        pub(crate) unsafe fn open(&self, header: &Header) {
            let kind = match header.kind() {
                Kind::Shared(_) => "shared",
                Kind::Pinned(_) => "pinned",
                Kind::Blocking => "blocking",
            };
            let made = contained(|| {
                tracing::debug_span!(
                    target: "pirn::task",
                    "task",
                    id = header.id,
                    name = header.name(),
                    kind,
                    spawned_at = %header.spawned_at()
                )
            });
            if let Some(span) = made {
                // SAFETY: the caller's promise.
                self.0.with_mut(|place| unsafe { *place = span });
            }
        }

        /// Runs `f` inside of the span.
        ///
        /// # Safety
        /// The caller runs the task.
        #[inline]
        pub(crate) unsafe fn within<R>(&self, f: impl FnOnce() -> R) -> R {
            // SAFETY: the caller's promise: nobody replaces it meanwhile.
            let span = self.0.with(|span| unsafe { &*span });
            let _entered = span.enter();
            f()
        }

        /// The task is over.
        ///
        /// # Safety
        /// The caller runs the task.
        pub(crate) unsafe fn close(&self) {
            // SAFETY: the caller's promise.
            let span =
                self.0.with_mut(|place| unsafe { core::mem::replace(&mut *place, tracing::Span::none()) });
            contained(|| drop(span));
        }
    }

    /// Runs what calls a subscriber; a panic of it ends here.
    pub(super) fn contained<R>(f: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(f)).ok()
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    //! Without it.

    use crate::task::Header;

    /// Nothing.
    pub(crate) struct Span;

    impl Span {
        #[inline(always)]
        pub(crate) fn none() -> Self {
            Self
        }

        /// # Safety
        /// None is needed: the other one's is.
        #[inline(always)]
        pub(crate) unsafe fn open(&self, _header: &Header) {}

        /// # Safety
        /// None is needed: the other one's is.
        #[inline(always)]
        pub(crate) unsafe fn within<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }

        /// # Safety
        /// None is needed: the other one's is.
        #[inline(always)]
        pub(crate) unsafe fn close(&self) {}
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::Span;
#[cfg(feature = "tracing")]
pub(crate) use on::Span;

/// An event, if the feature is on.
macro_rules! event {
    ($level:ident, $target:literal, { $($fields:tt)* }, $message:literal) => {
        #[cfg(feature = "tracing")]
        on::contained(|| tracing::event!(target: $target, tracing::Level::$level, $($fields)*, $message));
    };
}

/// A task panicked.
#[inline]
pub(crate) fn panicked(header: &Header) {
    let _ = header;
    event!(
        ERROR,
        "pirn::task",
        { id = header.id, name = header.name(), spawned_at = %header.spawned_at() },
        "a task panicked"
    );
}

/// A poll was slow.
#[inline]
pub(crate) fn slow_poll(slow: &SlowPoll) {
    let _ = slow;
    event!(
        WARN,
        "pirn::slow_poll",
        {
            id = slow.task.map_or(0, |task| task.get()),
            name = slow.name,
            spawned_at = slow.spawned_at.map(tracing::field::display),
            worker = slow.worker,
            took_us = slow.took.as_micros() as u64
        },
        "a task held its worker in one poll"
    );
}

/// A worker served what waited at another one, which is stuck.
#[inline]
pub(crate) fn took_over(victim: u32, by: u32) {
    let _ = (victim, by);
    event!(DEBUG, "pirn::takeover", { victim, by }, "an idle worker served what waits at a busy one");
}

/// A runtime has its workers.
pub(crate) fn started(shared: &Shared) {
    let _ = shared;
    event!(
        DEBUG,
        "pirn::runtime",
        { workers = shared.workers(), os = shared.os.name() },
        "a runtime starts"
    );
}

/// Its shutdown was asked for.
pub(crate) fn ending(shared: &Shared) {
    let _ = shared;
    event!(DEBUG, "pirn::runtime", { workers = shared.workers() }, "a runtime shuts down");
}

/// The shutdown is over, as far as it waits.
pub(crate) fn ended(result: &Result<(), crate::sched::ShutdownError>) {
    match result {
        Ok(()) => {
            event!(DEBUG, "pirn::runtime", { busy_workers = 0 }, "a runtime has shut down");
        }
        Err(error) => {
            let _ = error;
            event!(
                WARN,
                "pirn::runtime",
                { busy_workers = error.busy_workers(), busy_blocking = error.busy_blocking() },
                "a runtime could not shut down in time"
            );
        }
    }
}
