//! Who the current thread is: the one thread-local of the core, a pointer to a `Context` on its stack.

use core::cell::{Cell, OnceCell};
use core::task::{Context as TaskContext, Poll, Waker};
use std::sync::Arc;

use super::core::Core;
use super::shared::Shared;
use crate::io::Port;
use crate::sync;
use crate::task::{Header, Pool};
use crate::trace::Event;

/// A thread inside a runtime: on a seat, or only holding its handle (a guest, `Handle::enter`, a blocking thread).
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    /// The seat whose thread this is.
    pub(crate) seat: Option<u32>,
    /// True while a task or main future is polled here: a wake goes to the LIFO slot, a push looks for sleepers at once.
    pub(crate) in_poll: Cell<bool>,
    /// The task that is polled here; null: none is.
    pub(crate) task: Cell<*const Header>,
    /// Inline I/O successes left in this poll.
    pub(crate) budget: Cell<u32>,
    /// The runtime's flight recorder is on.
    records: bool,
    /// The name of the latest poll.
    poll: Cell<u64>,
    /// The runtime, behind a count that other threads seldom touch.
    near: OnceCell<Near>,
    /// The coroutine whose stack the thread is on; null: none, or one that must not be suspended now.
    #[cfg(feature = "coro")]
    fiber: Cell<*const crate::coro::Fiber>,
}

/// Names of polls that a context takes at a time.
const NAMES: u64 = 1 << 20;

/// A runtime behind a count of one thread's own: who holds the runtime for a short while, and often, shares no cache line with the other
/// workers for it.
pub(crate) type Near = Arc<Arc<Shared>>;

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, seat: Option<u32>) -> Self {
        let budget = Cell::new(shared.config.budget);
        Self {
            records: shared.config.recorder > 0,
            shared,
            seat,
            in_poll: Cell::new(false),
            task: Cell::new(core::ptr::null()),
            budget,
            poll: Cell::new(NAMES - 1),
            near: OnceCell::new(),
            #[cfg(feature = "coro")]
            fiber: Cell::new(core::ptr::null()),
        }
    }

    /// A poll begins here, with a name that no other poll in the process has, before or after.
    pub(crate) fn name_poll(&self) {
        let next = self.poll.get() + 1;
        self.poll.set(if next.is_multiple_of(NAMES) { sync::unique() * NAMES } else { next });
    }

    /// The runtime, to be kept.
    pub(crate) fn near(&self) -> Near {
        Arc::clone(self.near.get_or_init(|| Arc::new(Arc::clone(&self.shared))))
    }

    /// Runs `f` with this as the thread's context.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore(*const ());
        impl Drop for Restore {
            fn drop(&mut self) {
                sync::swap_context(self.0);
            }
        }
        let _restore = Restore(sync::swap_context((self as *const Self).cast()));
        f()
    }

    /// For the recorder of the thread's seat.
    #[inline(never)]
    fn record(&self, event: Event) {
        if let Some(core) = self.core() {
            core.record(&event);
        }
    }

    /// What only the thread on the seat may touch.
    pub(crate) fn core(&self) -> Option<&Core> {
        // SAFETY: this context was made by the thread that took the seat, and is that thread's own (`with_context`).
        self.seat.map(|seat| unsafe { self.shared.seats[seat as usize].core() })
    }
}

/// Runs `f` with the current context, if there is one.
#[inline]
pub(crate) fn with_context<R>(f: impl FnOnce(Option<&Context>) -> R) -> R {
    let pointer = sync::context().cast::<Context>();
    // SAFETY: `enter` sets the pointer for as long as the context lives and restores the old one on every way out;
    // contexts are thread-local and never shared.
    f(unsafe { pointer.as_ref() })
}

/// The coroutine that the calling code is part of and that may be suspended; null: none.
#[cfg(feature = "coro")]
#[inline]
pub(crate) fn fiber() -> *const crate::coro::Fiber {
    with_context(|cx| cx.map_or(core::ptr::null(), |cx| cx.fiber.get()))
}

/// Says which coroutine's stack the thread is about to run on; returns what it was before.
#[cfg(feature = "coro")]
#[inline]
pub(crate) fn swap_fiber(fiber: *const crate::coro::Fiber) -> *const crate::coro::Fiber {
    with_context(|cx| cx.map_or(core::ptr::null(), |cx| cx.fiber.replace(fiber)))
}

/// The thread may do as much inline I/O as in a fresh poll.
#[cfg(feature = "coro")]
pub(crate) fn refill_budget() {
    with_context(|cx| {
        if let Some(cx) = cx {
            cx.budget.set(cx.shared.config.budget);
        }
    });
}

/// Runs `f` as a part of the coroutine that must not be suspended.
#[cfg(feature = "coro")]
pub(crate) fn unsuspended<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(*const crate::coro::Fiber);
    impl Drop for Restore {
        fn drop(&mut self) {
            swap_fiber(self.0);
        }
    }
    let _restore = Restore(swap_fiber(core::ptr::null()));
    f()
}

/// Runs `f` with the coroutine stacks of the thread's seat.
#[cfg(feature = "coro")]
pub(crate) fn with_stacks<R>(f: impl FnOnce(Option<&crate::coro::Pool>) -> R) -> R {
    with_context(|cx| f(cx.and_then(Context::core).map(|core| &core.stacks)))
}

/// The port of the current runtime.
pub(crate) fn port() -> Option<Arc<dyn Port>> {
    with_context(|cx| cx.map(|cx| cx.shared.clone() as Arc<dyn Port>))
}

/// Makes `shared` the thread's runtime while `f` runs, without a seat. On a seat of that runtime it changes nothing.
pub(crate) fn enter_handle<R>(shared: &Arc<Shared>, f: impl FnOnce() -> R) -> R {
    if with_context(|cx| cx.is_some_and(|cx| Arc::ptr_eq(&cx.shared, shared))) {
        return f();
    }
    Context::new(shared.clone(), None).enter(f)
}

/// Whether the current poll may have one more inline success. Pending, with the task woken, when its budget is used up:
/// a stream that is always ready must not keep the worker from its other tasks.
///
/// Looking costs nothing. If it did, a task that waits for more things than its budget would never get to the last one.
pub(crate) fn poll_budget(cx: &mut TaskContext<'_>) -> Poll<()> {
    if with_context(|context| context.is_none_or(|context| context.budget.get() > 0)) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The current poll has had an inline success.
pub(crate) fn spend_budget() {
    with_context(|context| {
        if let Some(context) = context {
            context.budget.set(context.budget.get().saturating_sub(1));
        }
    });
}

/// Both at once: whether the current poll may have one more inline success, which it then has had.
pub(crate) fn spend_if_left() -> bool {
    with_context(|context| {
        let Some(context) = context else { return true };
        let left = context.budget.get();
        context.budget.set(left.saturating_sub(1));
        left > 0
    })
}

/// The name of the poll that runs here, if the waker is the running task's own; else 0. No other poll has it, before or after.
pub(crate) fn own_poll(waker: &Waker) -> u64 {
    with_context(|context| match context {
        Some(context) if crate::task::is_own(waker, context.task.get()) => context.poll.get(),
        _ => 0,
    })
}

/// An event of the current thread, for the checkers and its seat's recorder.
#[inline]
pub(crate) fn emit(event: Event) {
    sync::observe(&event);
    with_context(|cx| {
        // Out of line, so that an event that nobody asks for is not even put together.
        if let Some(cx) = cx.filter(|cx| cx.records) {
            cx.record(event);
        }
    });
}

/// Runs `f` with the free receive buffers of the thread's seat.
pub(crate) fn with_buffers<R>(f: impl FnOnce(Option<&crate::io::Buffers>) -> R) -> R {
    with_context(|cx| f(cx.and_then(Context::core).map(|core| &core.buffers)))
}

/// Runs `f` with the free blocks of the thread's seat.
pub(crate) fn with_pool<R>(f: impl FnOnce(Option<&Pool>) -> R) -> R {
    with_context(|cx| f(cx.and_then(Context::core).map(|core| &core.pool)))
}
