//! The tasks that a seat owns: an intrusive list that only the thread on the seat touches, so a spawn takes no lock.
//!
//! A task enters the list of the seat that polls it first, when that poll ends pending: one that finishes in its
//! first poll never does. It leaves when it completes: unlinked by its own seat, or sent there through the seat's
//! inbox of retired tasks. Before its first poll it is found through the container it waits in.

use core::ptr::NonNull;

use super::raw::{Header, Task, cold};
use crate::queue::Link;

/// The links of one task.
#[derive(Debug, Default)]
pub(crate) struct Links {
    previous: Option<NonNull<Header>>,
    next: Option<NonNull<Header>>,
}

/// The list; it holds a reference to each task in it.
#[derive(Debug, Default)]
pub(crate) struct OwnedList {
    first: Option<NonNull<Header>>,
    len: usize,
}

// SAFETY: it moves between threads only with its seat, and is touched by the thread on the seat only; pinned tasks
// are walked and cancelled on their home thread (invariant 4).
unsafe impl Send for OwnedList {}

impl OwnedList {
    /// Tasks in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Links a task in.
    pub(crate) fn insert(&mut self, task: Task) {
        let header = task.into_raw();
        let next = self.first.replace(header);
        links(header, |links| *links = Links { previous: None, next });
        if let Some(next) = next {
            links(next, |links| links.previous = Some(header));
        }
        self.len += 1;
    }

    /// Unlinks a task that is in this list; the list's reference comes back.
    pub(crate) fn remove(&mut self, task: &Task) -> Task {
        let header = NonNull::from(task.header());
        let Links { previous, next } = links(header, core::mem::take);
        match previous {
            Some(previous) => links(previous, |links| links.next = next),
            None => {
                debug_assert_eq!(self.first, Some(header), "the task is in this list");
                self.first = next;
            }
        }
        if let Some(next) = next {
            links(next, |links| links.previous = previous);
        }
        self.len -= 1;
        Task::from_header(header)
    }

    /// One idle task of the list, seized for cancelling; None if none is idle.
    pub(crate) fn seize_one(&self) -> Option<Task> {
        let mut at = self.first;
        while let Some(header) = at {
            if let Some(task) = Task::seize(header) {
                return Some(task);
            }
            at = links(header, |links| links.next);
        }
        None
    }
}

fn links<R>(header: NonNull<Header>, f: impl FnOnce(&mut Links) -> R) -> R {
    // SAFETY: the list holds a reference, so the cell is alive.
    let cold = unsafe { cold(header).as_ref() };
    // SAFETY: only the thread on the list's seat comes here (module doc); `f` runs no foreign code.
    cold.owned.with_mut(|links| f(unsafe { &mut *links }))
}
