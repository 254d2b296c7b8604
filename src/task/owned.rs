//! The tasks that a seat owns: an intrusive list behind a word that only dumps take besides the thread on the seat, so it is
//! nearly always free and at home in that thread's cache. A spawn takes no lock.
//!
//! A task enters the list of the seat that polls it first, when that poll ends pending: one that finishes in its
//! first poll never does. It leaves when it completes: unlinked by its own seat, or sent there through the seat's
//! inbox of retired tasks. Before its first poll it is found through the container it waits in.

use core::ptr::NonNull;

use super::raw::{Header, Task, cold};
use crate::queue::Link;
use crate::sync::{AtomicBool, Ordering, UnsafeCell, spin_until};

/// The links of one task.
#[derive(Debug, Default)]
pub(crate) struct Links {
    previous: Option<NonNull<Header>>,
    next: Option<NonNull<Header>>,
}

/// The list of a seat, and the word that says that somebody is at it.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    busy: AtomicBool,
    list: UnsafeCell<OwnedList>,
}

// SAFETY: `with` gives the list to one thread at a time; the list itself may be touched by several in turn (below).
unsafe impl Sync for Owned {}

impl Owned {
    /// Runs `f`, which runs no foreign code and does not panic, with the list. Who else wants it spins meanwhile.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut OwnedList) -> R) -> R {
        // Acquire: pairs with the store below, the list is as the last one left it.
        spin_until(|| !self.busy.swap(true, Ordering::Acquire));
        // SAFETY: `busy` was false and is this thread's now.
        let answer = self.list.with_mut(|list| f(unsafe { &mut *list }));
        // Release: pairs with the swap above.
        self.busy.store(false, Ordering::Release);
        answer
    }
}

/// The list; it holds a reference to each task in it.
#[derive(Debug, Default)]
pub(crate) struct OwnedList {
    first: Option<NonNull<Header>>,
    len: usize,
}

// SAFETY: it stands in an `Owned`; other threads than the one on its seat read headers only (`each`), and pinned tasks
// are cancelled on their home thread (invariant 4).
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

    /// Walks the list. What the headers say may change meanwhile; none of them is freed.
    pub(crate) fn each(&self, mut f: impl FnMut(&Header)) {
        let mut at = self.first;
        while let Some(header) = at {
            // SAFETY: the list holds a reference, and the caller has the list to itself.
            f(unsafe { header.as_ref() });
            at = links(header, |links| links.next);
        }
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
    // SAFETY: the caller has the list to itself (`Owned`); `f` runs no foreign code.
    cold.owned.with_mut(|links| f(unsafe { &mut *links }))
}
