//! A set of tasks that are joined in the order in which they end.
//!
//! Each member's handle is polled with a waker of its own, which notes the member's number and wakes whoever joins; so a join looks at
//! those that ended, not at all. A set that is dropped aborts its members.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Wake;

use super::{AbortHandle, JoinError, JoinHandle};
use crate::sync::Mutex;

/// A set of tasks with results of one type.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let mut set = pirn::task::JoinSet::new();
/// for number in 0..4 {
///     set.spawn(async move { number * 10 });
/// }
/// let mut sum = 0;
/// while let Some(result) = set.join_next().await {
///     sum += result.unwrap();
/// }
/// assert_eq!(sum, 60);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JoinSet<T> {
    /// By number, in the order in which they came.
    members: BTreeMap<u64, Member<T>>,
    next: u64,
    ended: Arc<Ended>,
}

struct Member<T> {
    handle: JoinHandle<T>,
    waker: Waker,
}

/// Who may have ended, and who wants to know.
#[derive(Default)]
struct Ended {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    numbers: VecDeque<u64>,
    joiner: Option<Waker>,
}

/// The waker of a member.
struct Note {
    number: u64,
    ended: Arc<Ended>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ended.note(self.number);
    }
}

impl Ended {
    fn note(&self, number: u64) {
        let mut state = self.state.lock();
        state.numbers.push_back(number);
        let joiner = state.joiner.take();
        drop(state);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }

    /// The next one that may have ended; while there is none, keeps the waker.
    fn next(&self, waker: &Waker) -> Option<u64> {
        let mut fresh = Some(waker.clone());
        let mut state = self.state.lock();
        let number = state.numbers.pop_front();
        if number.is_none() {
            core::mem::swap(&mut state.joiner, &mut fresh);
        }
        drop(state);
        // A waker that was replaced is dropped here, where no lock is held.
        drop(fresh);
        number
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { members: BTreeMap::new(), next: 0, ended: Arc::default() }
    }

    /// Tasks in the set: those that were not joined.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a task that was spawned before.
    pub fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let number = self.next;
        self.next += 1;
        let abort = handle.abort_handle();
        let waker = Waker::from(Arc::new(Note { number, ended: Arc::clone(&self.ended) }));
        self.members.insert(number, Member { handle, waker });
        // The first look tells, or leaves the member's waker with its task.
        self.ended.note(number);
        abort
    }

    /// The result of the next task to end; `None` if the set is empty.
    ///
    /// Cancel-safe: dropped before its end, it has taken no result.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|context| self.poll_join_next(context)).await
    }

    /// The same as a poll.
    pub fn poll_join_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        while !self.members.is_empty() {
            let Some(number) = self.ended.next(context.waker()) else { return Poll::Pending };
            // One that was joined or detached since is noted no more.
            let Some(member) = self.members.get_mut(&number) else { continue };
            let poll = Pin::new(&mut member.handle).poll(&mut Context::from_waker(&member.waker));
            if let Poll::Ready(result) = poll {
                self.members.remove(&number);
                return Poll::Ready(Some(result));
            }
        }
        Poll::Ready(None)
    }

    /// The result of a task that has ended, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        match self.poll_join_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => None,
        }
    }

    /// All results, in the order in which the tasks end.
    ///
    /// Not cancel-safe: dropped before its end, the results so far are lost, and the rest is aborted with the set.
    ///
    /// # Panics
    /// With the payload of a task that panicked, and if a task was aborted.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result.map_err(JoinError::into_panic) {
                Ok(value) => all.push(value),
                Err(Ok(payload)) => std::panic::resume_unwind(payload),
                Err(Err(error)) => panic!("join_all: {error}"),
            }
        }
        all
    }

    /// Asks for the end of all tasks; their results, which may be those of tasks that were faster, are still joined.
    pub fn abort_all(&self) {
        for member in self.members.values() {
            member.handle.abort();
        }
    }

    /// Aborts all tasks and waits until their futures are dropped.
    ///
    /// Cancel-safe: dropped before its end, all tasks are aborted, and those left are still in the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Lets all tasks go on without the set.
    pub fn detach_all(&mut self) {
        self.members.clear();
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Spawns a task on any worker of the current runtime, and adds it.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) -> AbortHandle {
        self.insert(crate::spawn(future))
    }

    /// Runs a call that blocks on a thread of its own, and adds it.
    ///
    /// # Panics
    /// As [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking(&mut self, call: impl FnOnce() -> T + Send + 'static) -> AbortHandle {
        self.insert(crate::spawn_blocking(call))
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task that need not be `Send` on the current worker, and adds it.
    ///
    /// # Panics
    /// As [`spawn_local`](crate::spawn_local).
    #[track_caller]
    pub fn spawn_local(&mut self, future: impl Future<Output = T> + 'static) -> AbortHandle {
        self.insert(crate::spawn_local(future))
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish_non_exhaustive()
    }
}
