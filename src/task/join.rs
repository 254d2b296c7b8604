//! Handles: waiting for a task's result, aborting it.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};

use super::raw::{Header, Task, release};
use super::state::Abort;
use super::{Id, JoinError};

/// Waits for a task's result. Dropping it detaches the task, which goes on.
///
/// The future is cancel-safe: dropped before it was ready, nothing is lost but the handle.
///
/// ```
/// let runtime = pirn::Runtime::new()?;
/// let answer = runtime.block_on(async {
///     let task = pirn::spawn(async { 6 * 7 });
///     task.await
/// });
/// assert_eq!(answer.unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A handle is `Send` only if the result is:
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// fn handle(task: pirn::task::JoinHandle<std::rc::Rc<()>>) { send(task) }
/// ```
#[must_use = "a dropped handle detaches its task; `detach` says that it is meant"]
pub struct JoinHandle<T> {
    header: NonNull<Header>,
    result: PhantomData<T>,
}

// SAFETY: the handle reaches the state word (atomic), the join waker (Send + Sync, by the protocol of `state`) and the result.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: by a shared reference it reaches the state word only.
unsafe impl<T: Send> Sync for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}
impl<T> core::panic::UnwindSafe for JoinHandle<T> {}
impl<T> core::panic::RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `header` is the handle reference of a task whose future yields `T`.
    pub(crate) unsafe fn new(header: NonNull<Header>) -> Self {
        Self { header, result: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle holds a reference.
        unsafe { self.header.as_ref() }
    }

    /// Asks for the task's end: its future is dropped on a worker at its next stop, and the handle yields a cancelled error.
    /// A task that is complete, or completes in the poll it is in, keeps its result. Blocking work that has started runs to its end.
    pub fn abort(&self) {
        abort(self.header);
    }

    /// Whether the task is over and its result is there.
    pub fn is_finished(&self) -> bool {
        self.header().state.is_complete()
    }

    /// Lets the task go on without a handle.
    pub fn detach(self) {
        drop(self);
    }

    /// The task's number.
    pub fn id(&self) -> Id {
        Id(self.header().id)
    }

    /// A handle that can only abort.
    pub fn abort_handle(&self) -> AbortHandle {
        self.header().state.ref_inc();
        AbortHandle { header: self.header }
    }

    /// Stores the waker; false: the task is complete.
    fn store_waker(&self, waker: &Waker) -> bool {
        let header = self.header();
        if header.state.has_join_waker() {
            // SAFETY: JOIN_WAKER is set: nobody writes the waker, the completer at most clones it.
            let same = header
                .join_waker
                .with(|old| unsafe { (*old).as_ref() }.is_some_and(|old| old.will_wake(waker)));
            if same {
                return !header.state.is_complete();
            }
            if !header.state.join_waker_take_back() {
                return false;
            }
        }
        let new = Some(waker.clone());
        // SAFETY: JOIN_WAKER is clear, the waker is the handle's.
        let old = header.join_waker.with_mut(|slot| unsafe { core::mem::replace(&mut *slot, new) });
        drop(old);
        header.state.join_waker_set()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.header().state.is_complete() && self.store_waker(cx.waker()) {
            return Poll::Pending;
        }
        let mut result: Option<Result<T, JoinError>> = None;
        // SAFETY: the task is complete, the result is the handle's, and of this type by `new`.
        unsafe { (self.header().vtable.take_output)(self.header, (&raw mut result).cast()) };
        Poll::Ready(result.expect("a JoinHandle was polled after it had given its result"))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let header = self.header();
        let detached = header.state.detach();
        let mut result: Option<Result<T, JoinError>> = None;
        if detached.drop_output {
            // SAFETY: as in `poll`; a result that was taken is not there again.
            unsafe { (header.vtable.take_output)(self.header, (&raw mut result).cast()) };
        }
        let waker = if detached.drop_waker {
            // SAFETY: `detach` says that the waker is the handle's.
            header.join_waker.with_mut(|slot| unsafe { (*slot).take() })
        } else {
            None
        };
        // SAFETY: the handle's reference, given up.
        unsafe { release(self.header) };
        // Foreign code, last: a panic in it is the dropper's, and keeps nothing of the task.
        drop((waker, result));
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        write!(
            f,
            "JoinHandle({}, {}, spawned at {})",
            self.id(),
            header.state.phase().name(),
            header.spawned_at()
        )
    }
}

/// Aborts a task from anywhere; keeps nothing but the task's memory alive.
pub struct AbortHandle {
    header: NonNull<Header>,
}

// SAFETY: it reaches the state word and the fields that are never written.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl AbortHandle {
    /// See [`JoinHandle::abort`].
    pub fn abort(&self) {
        abort(self.header);
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        // SAFETY: the handle holds a reference.
        unsafe { self.header.as_ref() }.state.is_complete()
    }

    /// The task's number.
    pub fn id(&self) -> Id {
        // SAFETY: the handle holds a reference.
        Id(unsafe { self.header.as_ref() }.id)
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> Self {
        // SAFETY: the handle holds a reference.
        unsafe { self.header.as_ref() }.state.ref_inc();
        Self { header: self.header }
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        // SAFETY: the handle's reference, given up.
        unsafe { release(self.header) };
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AbortHandle({})", self.id())
    }
}

fn abort(header: NonNull<Header>) {
    // SAFETY: a handle of the task holds a reference for the time of the call.
    let (id, outcome) = unsafe { (header.as_ref().id, header.as_ref().state.abort()) };
    if outcome == Abort::Act {
        crate::sync::ghost(|| crate::sync::Ghost::BitSet { task: id });
        crate::sync::debt(crate::sync::Debt::Push, 1);
    }
    if outcome != Abort::Nothing {
        crate::sched::emit(crate::trace::Event::Abort { task: id });
    }
    if outcome == Abort::Act {
        crate::sched::schedule(Task::from_header(header));
    }
}
