//! The queue all workers share: what comes from outside the workers, and what overflows a ring.
//!
//! A lock, because it is off the hot path: workers look into it now and then and take batches. Its length is readable
//! without the lock; who may sleep on "empty" reads it after a SeqCst fence (sleep/README.md, S3), which pairs with the
//! pusher's fence (N1), so Relaxed is enough for both sides.

use alloc::collections::VecDeque;

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};

/// See the module.
pub(crate) struct Injector<T> {
    state: Mutex<State<T>>,
    /// `state.queue.len()`, changed under the lock only.
    len: AtomicUsize,
}

struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
}

impl<T> Injector<T> {
    /// An empty, open one.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { queue: VecDeque::new(), closed: false }), len: AtomicUsize::new(0) }
    }

    /// Appends a task; `note` sees it when it is in. `Err`: closed.
    pub(crate) fn push(&self, task: T, note: impl FnOnce(&T)) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(task);
        }
        state.queue.push_back(task);
        // Before it is announced: who hears of it finds it, though this thread may rest here for long.
        self.set_len(&state);
        note(state.queue.back().expect("it was put there just now"));
        Ok(())
    }

    /// Appends them in order; `note` sees each when it is in. `Err`: closed, nothing was taken.
    pub(crate) fn push_batch<I: Iterator<Item = T>>(
        &self,
        tasks: I,
        mut note: impl FnMut(&T),
    ) -> Result<(), I> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(tasks);
        }
        let before = state.queue.len();
        state.queue.extend(tasks);
        self.set_len(&state);
        state.queue.iter().skip(before).for_each(&mut note);
        Ok(())
    }

    /// Takes the oldest task; `note` sees it when it is out. No lock is taken if there is none.
    pub(crate) fn pop(&self, note: impl FnOnce(&T)) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut state = self.state.lock();
        let task = state.queue.pop_front()?;
        note(&task);
        self.set_len(&state);
        Some(task)
    }

    /// Takes up to `most` of the oldest tasks and gives each to `take`, under the lock: it must neither run user code nor
    /// come back here. Returns how many.
    pub(crate) fn pop_batch(&self, most: usize, take: impl FnMut(T)) -> usize {
        if most == 0 || self.is_empty() {
            return 0;
        }
        let mut state = self.state.lock();
        let count = most.min(state.queue.len());
        state.queue.drain(..count).for_each(take);
        self.set_len(&state);
        count
    }

    /// The length, some time ago.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether it was empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses pushes from now on; true for the first who closes. What is inside stays.
    pub(crate) fn close(&self) -> bool {
        !core::mem::replace(&mut self.state.lock().closed, true)
    }

    fn set_len(&self, state: &MutexGuard<'_, State<T>>) {
        self.len.store(state.queue.len(), Ordering::Relaxed);
    }
}
