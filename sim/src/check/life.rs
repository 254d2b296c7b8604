//! S3 to S6, S26, S27, L3: a task's life from spawn to free, its polls and its scheduled bit.

use pirn::trace::PollEnd;

use super::tasks::{
    ABORTED, At, BORN, DROPPED, ENDED, FREED, FROM_LIFO, PINNED, SCHEDULED, STARTED, TERMINAL, Task, UNBORN,
    broken, whereabouts,
};
use super::{Checked, Checker, NONE, container};

impl Checker {
    pub(super) fn spawned(&mut self, thread: u32, task: u64, pinned: bool, worker: u32) -> Checked {
        let index = task as usize;
        if self.places.tasks.len() <= index {
            self.places.tasks.resize(index + 1, UNBORN);
        }
        if self.places.tasks[index].is(BORN) {
            return Err(broken("S2", task, "was spawned twice".to_owned()));
        }
        let flags = BORN | SCHEDULED | if pinned { PINNED } else { 0 };
        self.places.tasks[index] =
            Task { at: At::Hand(thread), flags, home: worker, group: self.group_of(worker), thread };
        self.places.spawned += 1;
        self.places.hands += 1;
        Ok(())
    }

    pub(super) fn poll_started(&mut self, thread: u32, task: u64, worker: u32) -> Checked {
        if worker != NONE {
            self.sits(thread, worker, "polls")?;
            self.awake(worker, "starts a poll")?;
            self.owes_no_look(thread, worker)?;
            self.keeps_not_long(worker)?;
        }
        self.open_for_polls(worker, task)?;
        let Some(state) = self.task(task, "is polled")? else { return Ok(()) };
        match state.at {
            At::Hand(by) if by == thread => {}
            At::Running(by) => {
                let what = format!("is polled by worker {worker} while worker {by} polls it");
                return Err(broken("S3", task, what).worker(worker));
            }
            at => {
                let what =
                    format!("is polled by worker {worker}, which did not take it: it is {}", whereabouts(at));
                return Err(broken("S1", task, what).worker(worker));
            }
        }
        if state.is(TERMINAL | DROPPED) {
            return Err(broken("S5", task, "is polled, but it is finished".to_owned()).worker(worker));
        }
        if state.is(PINNED) && (worker != state.home || thread != state.thread) {
            let (home, on) = (state.home, state.thread);
            let what = format!(
                "is pinned to worker {home} on thread {on} and is polled by worker {worker} on thread {thread}"
            );
            return Err(broken("S27", task, what).worker(worker));
        }
        let group = (!state.is(PINNED)).then_some(state.group);
        state.at = At::Running(worker);
        let from_lifo = state.is(FROM_LIFO);
        state.flags &= !(STARTED | FROM_LIFO);
        self.places.hands -= 1;
        if let Some(group) = group {
            self.in_its_group(task, group, worker)?;
        }
        let seat = self.workers.get(worker).map_or(0, |seat| seat.polling);
        if seat != 0 {
            let what = format!("is polled by worker {worker} inside its poll of task {seat}");
            return Err(broken("S3", task, what).worker(worker));
        }
        let now = self.now;
        self.workers.change(worker, |seat| {
            seat.polling = task;
            seat.polling_since = now;
            seat.main = false;
            seat.victim = NONE;
        });
        self.polled(thread, worker, from_lifo)
    }

    pub(super) fn settled(&mut self, thread: u32, task: u64, worker: u32) -> Checked {
        let Some(state) = self.task(task, "settles")? else { return Ok(()) };
        if state.is(PINNED) || state.at != At::Running(worker) {
            let what = format!("settles on worker {worker}, but it is bound already, or not polled there");
            return Err(broken("S27", task, what).worker(worker));
        }
        state.flags |= PINNED;
        (state.home, state.thread) = (worker, thread);
        Ok(())
    }

    pub(super) fn poll_ended(&mut self, thread: u32, task: u64, end: PollEnd, worker: u32) -> Checked {
        let Some(state) = self.task(task, "ended a poll")? else { return Ok(()) };
        // A task that is cancelled without a poll ends where its future was dropped.
        if end == PollEnd::Cancelled && state.flags & (DROPPED | ENDED) == DROPPED && state.at == At::Nowhere
        {
            state.flags |= ENDED;
            return Ok(());
        }
        // The future of a pinned task whose thread did not come back is never dropped, for nobody else may do it.
        if end == PollEnd::Cancelled
            && state.flags & (PINNED | DROPPED | ENDED) == PINNED
            && thread != state.thread
            && matches!(state.at, At::Nowhere | At::Hand(_))
        {
            let held = matches!(state.at, At::Hand(_));
            state.at = At::Nowhere;
            state.flags |= DROPPED | ENDED;
            self.places.hands -= u32::from(held);
            self.places.abandoned += 1;
            self.finished(task);
            return Ok(());
        }
        if state.at != At::Running(worker) {
            let what = format!("ended a poll on worker {worker}, but it is {}", whereabouts(state.at));
            return Err(broken("S3", task, what).worker(worker));
        }
        let scheduled = state.is(SCHEDULED);
        match end {
            PollEnd::Pending if scheduled => {
                let what = "was woken during its poll, but the poll ended as if it was not: the wake is lost";
                return Err(broken("L3", task, what.to_owned()).worker(worker));
            }
            PollEnd::Woken if !scheduled => {
                let what = "ended a poll as woken, but its scheduled bit is clear";
                return Err(broken("S4", task, what.to_owned()).worker(worker));
            }
            PollEnd::Pending => state.at = At::Nowhere,
            PollEnd::Woken => {
                state.at = At::Hand(thread);
                state.flags &= !FROM_LIFO;
                self.places.hands += 1;
            }
            PollEnd::Ready | PollEnd::Panicked | PollEnd::Cancelled => {
                state.at = At::Nowhere;
                state.flags |= ENDED;
                self.finished(task);
            }
        }
        if self.workers.get(worker).is_some_and(|seat| seat.polling == task) {
            let now = self.now;
            self.workers.change(worker, |seat| {
                seat.polling = 0;
                seat.idle_from = now;
            });
        }
        Ok(())
    }

    /// Its life is over: no poll follows.
    fn finished(&mut self, task: u64) {
        let state = &mut self.places.tasks[task as usize];
        state.flags &= !SCHEDULED;
        if !state.is(TERMINAL) {
            state.flags |= TERMINAL;
            self.places.gone += 1;
        }
    }

    pub(super) fn bit_set(&mut self, thread: u32, task: u64) -> Checked {
        // A task is scheduled from birth.
        if self.places.tasks.get(task as usize).is_none_or(|state| !state.is(BORN)) {
            return Ok(());
        }
        let Some(state) = self.task(task, "was scheduled")? else { return Ok(()) };
        if state.is(SCHEDULED) {
            return Err(broken(
                "S4",
                task,
                "was scheduled, but its scheduled bit was set already".to_owned(),
            ));
        }
        if state.is(ENDED) {
            return Err(broken("S5", task, "was scheduled, but it is finished".to_owned()));
        }
        // Cancelled without a poll: its future is gone, and it counts as running until that is noted.
        if state.is(TERMINAL) {
            return Ok(());
        }
        state.flags |= SCHEDULED;
        match state.at {
            At::Nowhere => {
                state.at = At::Hand(thread);
                self.places.hands += 1;
            }
            At::Running(_) => {}
            At::Hand(_) if state.is(STARTED) => {}
            at => {
                let what = format!("was scheduled with its bit clear, but it is {}", whereabouts(at));
                return Err(broken("S4", task, what));
            }
        }
        Ok(())
    }

    pub(super) fn bit_clear(&mut self, task: u64) -> Checked {
        let Some(state) = self.task(task, "lost its scheduled bit")? else { return Ok(()) };
        if let At::In(place, worker) = state.at {
            let what = format!("lost its scheduled bit while it is in {}", container(place, worker));
            return Err(broken("S4", task, what));
        }
        state.flags &= !SCHEDULED;
        if matches!(state.at, At::Hand(_)) {
            state.flags |= STARTED;
        }
        Ok(())
    }

    pub(super) fn woken(&mut self, task: u64, scheduled: bool) -> Checked {
        let Some(state) = self.task(task, "was woken")? else { return Ok(()) };
        let living = !state.is(TERMINAL | DROPPED | ABORTED);
        if living && !state.is(SCHEDULED) {
            let what = if scheduled {
                return Err(broken("S4", task, "was scheduled by a wake, but its bit is clear".to_owned()));
            } else {
                format!(
                    "was woken while {}, and the waker took it for scheduled: the wake is lost",
                    whereabouts(state.at)
                )
            };
            return Err(broken("L3", task, what));
        }
        Ok(())
    }

    pub(super) fn aborted(&mut self, task: u64) -> Checked {
        let Some(state) = self.task(task, "was aborted")? else { return Ok(()) };
        state.flags |= ABORTED;
        if !state.is(TERMINAL | DROPPED) {
            self.places.aborts.push(task);
        }
        Ok(())
    }

    /// All threads are blocked: a task that was aborted has ended, or is on its way to somebody who will end it.
    pub(super) fn aborts_end(&mut self) -> Checked {
        let mut aborts = core::mem::take(&mut self.places.aborts);
        aborts.retain(|task| !self.places.tasks[*task as usize].is(TERMINAL | DROPPED | FREED));
        let forgotten = aborts.iter().copied().find(|task| {
            let state = &self.places.tasks[*task as usize];
            state.at == At::Nowhere && !state.is(SCHEDULED)
        });
        self.places.aborts = aborts;
        match forgotten {
            Some(task) => {
                Err(broken("L12", task, "was aborted, and nobody is on the way to end it".to_owned()))
            }
            None => Ok(()),
        }
    }

    pub(super) fn future_dropped(&mut self, thread: u32, task: u64, worker: u32) -> Checked {
        let Some(state) = self.task(task, "had its future dropped")? else { return Ok(()) };
        if state.is(DROPPED) {
            return Err(broken("S26", task, "had its future dropped twice".to_owned()).worker(worker));
        }
        if let At::In(place, of) = state.at {
            let what = format!("had its future dropped while it is in {}", container(place, of));
            return Err(broken("S1", task, what).worker(worker));
        }
        if let At::Running(by) = state.at
            && by != worker
        {
            let what = format!("had its future dropped on worker {worker} while worker {by} polls it");
            return Err(broken("S3", task, what).worker(worker));
        }
        if state.is(PINNED) && thread != state.thread {
            let on = state.thread;
            let what = format!("is pinned to thread {on}, but its future was dropped on thread {thread}");
            return Err(broken("S27", task, what).worker(worker));
        }
        state.flags |= DROPPED;
        if !matches!(state.at, At::Running(_)) {
            let held = matches!(state.at, At::Hand(_));
            state.at = At::Nowhere;
            self.places.hands -= u32::from(held);
            self.finished(task);
            // Cancelled without a poll: a turn all the same.
            self.lifo_run_over(worker);
        }
        Ok(())
    }

    pub(super) fn freed(&mut self, task: u64) -> Checked {
        let Some(state) = self.task(task, "was freed")? else { return Ok(()) };
        if !matches!(state.at, At::Nowhere | At::Hand(_)) {
            let what = format!("was freed while it is {}", whereabouts(state.at));
            return Err(broken("S6", task, what));
        }
        if !state.is(DROPPED) {
            return Err(broken("S26", task, "was freed, but its future was never dropped".to_owned()));
        }
        state.flags |= FREED;
        let held = matches!(state.at, At::Hand(_));
        state.at = At::Nowhere;
        self.places.hands -= u32::from(held);
        Ok(())
    }
}
