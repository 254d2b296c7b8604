//! S15, S16: the runtime's own locks: what runs under them, and in which order they are taken.

use std::panic::Location;

use pirn::trace::Event;

use super::{Checked, Checker, Violation};

/// A source line.
type Line = &'static Location<'static>;

/// All locks that are held, and which was ever taken under which.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// By thread: lock and where it was taken.
    held: Vec<Vec<(usize, Line)>>,
    /// A lock that was held, one that was taken meanwhile, and where.
    order: Vec<(usize, usize, Line)>,
}

impl Locks {
    /// Whether `from` leads to `to`.
    fn leads(&self, from: usize, to: usize, seen: &mut Vec<usize>) -> Option<Line> {
        seen.push(from);
        self.order.iter().filter(|edge| edge.0 == from).find_map(|&(_, next, at)| {
            if next == to {
                return Some(at);
            }
            if seen.contains(&next) { None } else { self.leads(next, to, seen) }
        })
    }
}

impl Checker {
    /// `thread` took a lock of the runtime.
    pub fn locked(&mut self, thread: u32, lock: usize, at: Line) -> Checked {
        let index = thread as usize;
        if self.locks.held.len() <= index {
            self.locks.held.resize_with(index + 1, Vec::new);
        }
        let outer = self.locks.held[index].last().copied();
        self.locks.held[index].push((lock, at));
        match outer {
            None => Ok(()),
            Some((outer, outer_at)) => self.taken_under(lock, at, outer, outer_at),
        }
    }

    #[cold]
    fn taken_under(&mut self, lock: usize, at: Line, outer: usize, outer_at: Line) -> Checked {
        if self.locks.order.iter().any(|edge| (edge.0, edge.1) == (outer, lock)) {
            return Ok(());
        }
        if let Some(other) = self.locks.leads(lock, outer, &mut Vec::new()) {
            let what = format!(
                "a lock is taken at {at} while the one taken at {outer_at} is held, and at {other} it was the other way round"
            );
            return Err(Violation::new("S16", what));
        }
        self.locks.order.push((outer, lock, at));
        Ok(())
    }

    /// It let go of one.
    pub fn unlocked(&mut self, thread: u32, lock: usize) {
        if let Some(held) = self.locks.held.get_mut(thread as usize)
            && let Some(at) = held.iter().rposition(|(other, _)| *other == lock)
        {
            held.remove(at);
        }
    }

    /// What an event shows to have run as user code ran without a lock.
    #[inline]
    pub(super) fn user_code_free(&self, thread: u32, event: &Event) -> Checked {
        match self.locks.held.get(thread as usize).and_then(|held| held.last()) {
            None => Ok(()),
            Some((_, at)) => Self::under_lock(event, at),
        }
    }

    #[cold]
    fn under_lock(event: &Event, at: Line) -> Checked {
        let (what, task) = match *event {
            Event::PollStart { task, .. } => (format!("task {task} is polled"), Some(task)),
            Event::FutureDrop { task, .. } => (format!("the future of task {task} was dropped"), Some(task)),
            Event::Wake { task, .. } => (format!("the waker of task {task} was called"), Some(task)),
            Event::MainPoll { .. } => ("the main future is polled".to_owned(), None),
            _ => return Ok(()),
        };
        let violation = Violation::new("S15", format!("{what} under the lock that was taken at {at}"));
        Err(match task {
            Some(task) => violation.task(task),
            None => violation,
        })
    }
}
