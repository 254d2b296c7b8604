//! S1, S2, S9: the containers, and which task is in which.

use pirn::trace::Place;

use super::tasks::{
    At, DROPPED, FROM_LIFO, PASSED, PINNED, SCHEDULED, STARTED, TERMINAL, broken, whereabouts,
};
use super::{Checked, Checker, NONE, Violation, container, counted};

impl Checker {
    pub(super) fn enqueued(&mut self, thread: u32, task: u64, place: Place, worker: u32) -> Checked {
        let Some(state) = self.task(task, "was put into a container")? else { return Ok(()) };
        let (at, flags, home, group) = (state.at, state.flags, state.home, state.group);
        match at {
            At::Hand(_) | At::Nowhere => {}
            At::In(old, of) => {
                let what = format!(
                    "was put into {} and still is in {}",
                    container(place, worker),
                    container(old, of)
                );
                return Err(broken("S1", task, what));
            }
            At::Running(by) => {
                let what = format!("was put into {} while worker {by} polls it", container(place, worker));
                return Err(broken("S1", task, what));
            }
        }
        if flags & (TERMINAL | DROPPED) != 0 {
            let what = format!("was put into {}, but it is finished", container(place, worker));
            return Err(broken("S5", task, what));
        }
        if flags & SCHEDULED == 0 {
            let what = format!("was put into {}, but its scheduled bit is clear", container(place, worker));
            return Err(broken("S4", task, what));
        }
        if flags & PINNED != 0 && (place != Place::Inbox || worker != home) {
            let what = format!("is pinned to worker {home} and was put into {}", container(place, worker));
            return Err(broken("S27", task, what));
        }
        state.at = At::In(place, worker);
        state.flags &= !PASSED;
        if flags & FROM_LIFO != 0
            && place == Place::Ring
            && self.workers.get(worker).is_some_and(|seat| seat.polling == 0)
        {
            self.lifo_run_over(worker);
        }
        if place == Place::Injector {
            self.sleep.announces(thread);
        }
        match place {
            // A long task, left for a peer to run next.
            Place::Lifo if flags & PASSED != 0 => self.workers.change(worker, |seat| seat.lifo_left = true),
            Place::Ring | Place::Lifo => {
                self.sits(thread, worker, "pushes").map_err(|violation| {
                    Violation { invariant: "S9", name: "owner pushes", ..violation }.task(task)
                })?;
            }
            Place::Injector | Place::Inbox | Place::Blocking => {}
        }
        self.places.hands -= u32::from(matches!(at, At::Hand(_)));
        self.count(place, worker, 1);
        if place == Place::Injector { self.group_counts(task, group, worker, 1) } else { Ok(()) }
    }

    /// Its worker leaves a task with long polls to a peer, to run next.
    pub(super) fn passed(&mut self, task: u64) -> Checked {
        if let Some(state) = self.task(task, "is left to a peer")? {
            state.flags |= PASSED;
        }
        Ok(())
    }

    /// Keeps the length of a container.
    #[inline]
    fn count(&mut self, place: Place, worker: u32, by: i32) {
        let add = |count: &mut u32| *count = count.wrapping_add_signed(by);
        match place {
            Place::Ring => self.workers.change(worker, |seat| add(&mut seat.ring_tasks)),
            Place::Lifo => {
                let now = self.now;
                self.workers.change(worker, |seat| {
                    add(&mut seat.lifo);
                    seat.lifo_left &= by > 0;
                    seat.lifo_since = now;
                });
            }
            Place::Inbox => self.workers.change(worker, |seat| add(&mut seat.inbox)),
            Place::Injector => add(&mut self.places.injector),
            Place::Blocking => add(&mut self.places.blocking),
        }
    }

    pub(super) fn dequeued(&mut self, thread: u32, task: u64, place: Place, worker: u32, by: u32) -> Checked {
        let Some(state) = self.task(task, "was taken out of a container")? else { return Ok(()) };
        // An injector names its pushers, or nobody.
        let fits = match state.at {
            At::In(old, of) => {
                old == place && (of == worker || matches!(place, Place::Injector | Place::Blocking))
            }
            _ => false,
        };
        if !fits {
            let at = state.at;
            let what =
                format!("was taken out of {}, but it is {}", container(place, worker), whereabouts(at));
            return Err(broken("S1", task, what));
        }
        state.at = At::Hand(thread);
        let group = state.group;
        state.flags = state.flags & !(FROM_LIFO | STARTED) | if place == Place::Lifo { FROM_LIFO } else { 0 };
        self.places.hands += 1;
        self.count(place, worker, -1);
        if place == Place::Injector {
            self.group_counts(task, group, by, -1)?;
        }
        if by != worker && by != NONE && matches!(place, Place::Lifo | Place::Inbox) {
            let taken_over = self.workers.get(by).is_some_and(|seat| seat.victim == worker);
            // Who leaves a long task to a peer drives out what stands in its slot.
            let leaves_one =
                || self.places.tasks.iter().any(|task| task.is(PASSED) && task.at == At::Hand(thread));
            if place == Place::Inbox || !taken_over && !leaves_one() {
                let what = format!(
                    "was taken out of {} by worker {by}, which has not taken worker {worker} over (and an inbox is its owner's alone)",
                    container(place, worker)
                );
                return Err(broken("S9", task, what).worker(by));
            }
        }
        if by != NONE {
            self.sits(thread, by, "takes a task")?;
            if place != Place::Lifo {
                // It may leave the task to a peer, unpolled: then another place had its turn all the same.
                self.lifo_run_over(by);
            }
            self.out_of_main_by_take(place, worker, by);
            self.visited(place, worker, by);
        }
        Ok(())
    }

    /// A task that is taken to be run means that the main future's poll is over; one that moves on (overflow, eviction) does not.
    #[inline]
    fn out_of_main_by_take(&mut self, place: Place, worker: u32, by: u32) {
        if matches!(place, Place::Injector | Place::Inbox) || worker != by {
            self.out_of_main(by);
        }
    }

    /// At the end of a runtime every task has ended.
    pub(super) fn all_gone(&self) -> Checked {
        let held = self.workers.list.iter().position(|seat| seat.ring_tasks + seat.lifo + seat.inbox != 0);
        if let Some(worker) = held {
            let seat = &self.workers.list[worker];
            let what = format!(
                "the runtime ended with {} in the ring, {} in the LIFO slot and {} in the inbox of worker {worker}",
                counted(seat.ring_tasks, "task"),
                seat.lifo,
                seat.inbox
            );
            return Err(Violation::new("S2", what).worker(worker as u32));
        }
        if self.places.injector + self.places.blocking != 0 {
            let what = format!(
                "the runtime ended with {} in the injector and {} in the queue of the blocking pool",
                counted(self.places.injector, "task"),
                self.places.blocking
            );
            return Err(Violation::new("S2", what));
        }
        if let Some(task) = self.places.survivor() {
            let what = "lives on at the end of its runtime: neither finished nor cancelled";
            return Err(broken("S2", task, what.to_owned()));
        }
        if let Some(task) = self.places.undropped() {
            return Err(broken("S26", task, "ended, but its future was never dropped".to_owned()));
        }
        Ok(())
    }

    /// When all threads are blocked, no task is on its way anywhere, and the lengths agree.
    pub(super) fn nothing_in_hand(&self) -> Checked {
        for (number, task) in self.places.tasks.iter().enumerate().take_while(|_| self.places.hands != 0) {
            if let At::Hand(thread) = task.at
                && task.is(SCHEDULED)
                && !task.is(TERMINAL | DROPPED)
                && !self.owes_push(thread)
            {
                let what =
                    format!("is scheduled and in no container: thread {thread} had it last and owes no push");
                return Err(broken("S2", number as u64, what));
            }
        }
        for (worker, (seat, ring)) in self.workers.list.iter().zip(&self.rings).enumerate() {
            if seat.ring_tasks != seat.ring && !ring.open() {
                let what = format!(
                    "the ring of worker {worker} holds {} by its cursors and {} by the tasks put there",
                    counted(seat.ring, "task"),
                    seat.ring_tasks
                );
                return Err(Violation::new("S12", what).worker(worker as u32));
            }
        }
        Ok(())
    }
}
