//! The worker loop: one turn after the other (numbered in the module doc of `sched`), and the steps of one task's run.

use std::sync::Arc;

use super::context::Context;
use super::core::Core;
use super::group::Group;
use super::measure::Polled as Whose;
use super::shared::{Seat, Shared};
use crate::queue::Link;
use crate::sync::{Debt, Ordering, debt};
use crate::task::state::{Rest, Start};
use crate::task::{Kind, Polled, Task};
use crate::trace::{Event, Place, PollEnd};

/// The thread on a seat, at work.
pub(crate) struct Worker<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) cx: &'a Context,
    pub(crate) core: &'a Core,
    pub(crate) seat: &'a Seat,
    pub(crate) group: &'a Group,
    pub(crate) number: u32,
}

/// Why a worker left its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The main future is done.
    Done,
    /// The runtime is shutting down.
    Closing,
}

/// What else the loop serves: the main future of a block_on.
pub(crate) trait Main {
    /// Polls the main future if it was woken; true: it is done.
    fn turn(&mut self, worker: &Worker<'_>) -> bool;
    /// Whether the next turn would poll it.
    fn is_woken(&self) -> bool;
}

/// Seats with a thread of their own have no main future.
pub(crate) struct NoMain;

impl Main for NoMain {
    fn turn(&mut self, _worker: &Worker<'_>) -> bool {
        false
    }

    fn is_woken(&self) -> bool {
        false
    }
}

impl<'a> Worker<'a> {
    /// The worker of the seat in `cx`.
    pub(crate) fn new(cx: &'a Context) -> Self {
        let number = cx.seat.expect("a worker has a seat");
        let core = cx.core().expect("a seat has a core");
        let group = cx.shared.group_of(number);
        Self { shared: &cx.shared, cx, core, seat: cx.shared.seat(number), group, number }
    }

    /// Works until the main future is done or the runtime closes.
    pub(crate) fn run(&self, main: &mut impl Main) -> Left {
        self.core.fresh.set(true);
        loop {
            if self.shared.exit.is_closing() {
                self.stop_searching();
                return Left::Closing;
            }
            if main.turn(self) {
                self.stop_searching();
                return Left::Done;
            }
            if count_down(&self.core.until_look, self.shared.config.poll_interval) {
                self.commit();
                if self.shared.anything_outside() {
                    self.look();
                }
            }
            if let Some(task) = self.next_task() {
                self.run_task(task);
            } else if main.is_woken() {
                // By a task or itself, on this thread, which sends itself no token.
                continue;
            } else if self.commit() {
                // Who waited for the end of the turn was woken.
                continue;
            } else if let Some(task) = self.search() {
                self.run_task(task);
            } else {
                self.park();
            }
        }
    }

    /// What to run next, by the order of the module doc.
    fn next_task(&self) -> Option<Task> {
        self.come_home();
        if count_down(&self.core.until_far, self.shared.config.injector_interval) {
            // By turns, so that neither hides the other.
            let inbox_first = !self.core.inbox_first.get();
            self.core.inbox_first.set(inbox_first);
            let lifo_run = self.core.lifo_run.get();
            let far = match inbox_first {
                true => self.take_inbox().or_else(|| self.take_injector()),
                false => self.take_injector().or_else(|| self.take_inbox()),
            };
            if far.is_some() {
                // The ring had no turn: with a limit of 1 and an interval of 2 it would never get one.
                self.core.lifo_run.set(lifo_run);
                return far;
            }
        }
        self.take_lifo()
            .or_else(|| self.take_ring())
            .or_else(|| self.take_inbox())
            .or_else(|| self.take_injector())
    }

    /// What other threads sent to this seat: ops to submit, tasks to unlist.
    fn come_home(&self) {
        if !self.shared.nothing_waits(self.core, self.number) {
            self.drain_remote();
        }
        self.drain_retired();
    }

    /// Unlinks tasks of the owned list that were completed elsewhere.
    #[inline]
    pub(crate) fn drain_retired(&self) {
        // SAFETY: this is the thread on the seat (`Worker`).
        while let Some(task) = unsafe { self.seat.retired.pop() } {
            self.unlist_retired(task);
        }
    }

    fn unlist_retired(&self, task: Task) {
        let listed = self.seat.owned.with(|owned| owned.remove(&task));
        // One reference under two names: the list's, which came home through `retired`.
        listed.kept();
        task.release();
    }

    fn taken(&self, task: Task, place: Place) -> Task {
        self.core.emit(Event::Dequeue {
            task: task.id(),
            place,
            worker: self.number as u16,
            by: self.number,
        });
        debt(Debt::Push, 1);
        task
    }

    /// The LIFO slot, unless it had its run: then its task waits behind the ring.
    fn take_lifo(&self) -> Option<Task> {
        let task = self.seat.lifo.take()?;
        let task = self.taken(task, Place::Lifo);
        let run = self.core.lifo_run.get();
        if run < self.shared.config.lifo_limit {
            self.core.lifo_run.set(run + 1);
            return Some(task);
        }
        // The count stays until something else was run: the ring may be stolen empty before this worker gets to it.
        self.shared.push_ring(self.core, self.number, task, false);
        None
    }

    fn take_ring(&self) -> Option<Task> {
        let task = self.core.ring.pop()?;
        self.core.lifo_run.set(0);
        Some(self.taken(task, Place::Ring))
    }

    fn take_inbox(&self) -> Option<Task> {
        // SAFETY: this is the thread on the seat (`Worker`).
        let task = unsafe { self.seat.inbox.pop() }?;
        self.core.lifo_run.set(0);
        Some(self.taken(task, Place::Inbox))
    }

    /// One task of the injector to run and a fair share of it for the ring.
    pub(crate) fn take_injector(&self) -> Option<Task> {
        let waiting = self.group.injector.len();
        if waiting == 0 {
            return None;
        }
        let share = waiting / self.group.len() as usize + 1;
        let room = self.core.ring.free().min(self.shared.config.ring_capacity / 2);
        let mut first = None;
        self.group.injector.pop_batch(share.min(room + 1), |task| {
            // Inside the injector's lock: event and effect are one.
            let task = self.taken(task, Place::Injector);
            if first.is_none() {
                first = Some(task);
            } else {
                self.shared.push_ring(self.core, self.number, task, false);
            }
        });
        if first.is_some() {
            self.core.lifo_run.set(0);
        }
        first
    }

    /// Runs one task: poll, then what its end asks for.
    pub(crate) fn run_task(&self, task: Task) {
        let Some(task) = self.keep_or_pass(task) else { return };
        self.before_work();
        let (core, worker, id) = (self.core, self.number as u16, task.id());
        match task.start() {
            Start::Complete => {
                debt(Debt::Push, -1);
                return task.release();
            }
            Start::Cancel => {
                debt(Debt::Push, -1);
                return cancel(task, worker, |task| self.unlist_cancelled(task));
            }
            Start::Poll => {}
        }
        debt(Debt::Push, -1);
        self.seat.pulse.task.set(id);
        let start = self.poll_starts(Whose::Task(&task));
        core.emit(Event::PollStart { task: id, worker });
        self.cx.task.set(task.header());
        if task.settle(self.number) {
            core.pinned.set(core.pinned.get() + 1);
        }
        let polled = self.in_poll(|| task.poll());
        self.cx.task.set(core::ptr::null());
        self.poll_ended(start, Whose::Task(&task));
        if polled == Polled::Pending {
            self.note_length(&task);
            self.list(&task);
            match task.rest() {
                Rest::Idle => {
                    core.emit(Event::PollEnd { task: id, end: PollEnd::Pending, worker });
                    task.kept();
                }
                Rest::Reschedule => {
                    debt(Debt::Push, 1);
                    core.emit(Event::PollEnd { task: id, end: PollEnd::Woken, worker });
                    match task.header().kind() {
                        Kind::Pinned(seat) => self.shared.push_inbox(seat, task),
                        Kind::Shared(group) if group != self.seat.group => self.shared.push_injector(task),
                        _ => self.shared.push_ring(core, self.number, task, false),
                    }
                }
                Rest::Cancel => {
                    self.in_poll(|| task.cancel());
                    core.emit(Event::FutureDrop { task: id, worker });
                    self.finish(task, PollEnd::Cancelled);
                }
            }
            return;
        }
        if polled == Polled::Panicked {
            self.seat.pulse.stats.panicked.add(1);
            crate::observe::tell::panicked(task.header());
            self.shared.dump_panic(|| {
                let header = task.header();
                format!("panic of task {id} ({}), spawned at {}", header.name(), header.spawned_at())
            });
        }
        core.emit(Event::FutureDrop { task: id, worker });
        self.finish(task, if polled == Polled::Ready { PollEnd::Ready } else { PollEnd::Panicked });
    }

    /// Has the task, which the caller runs, enter the owned list of this seat unless it is in one.
    #[inline]
    pub(crate) fn list(&self, task: &Task) {
        if task.list().is_none() {
            self.list_new(task);
        }
    }

    fn list_new(&self, task: &Task) {
        let listed = task.enlist(self.number);
        self.seat.owned.with(|owned| owned.insert(listed));
    }

    /// Runs user code of a task: wakes go to the LIFO slot, pushes look for sleepers, the beat says so.
    pub(crate) fn in_poll<R>(&self, f: impl FnOnce() -> R) -> R {
        self.seat.pulse.beat.add(1);
        self.seat.pulse.stats.polls.add(1);
        self.cx.budget.set(self.shared.config.budget);
        self.cx.name_poll();
        self.cx.in_poll.set(true);
        let result = f();
        self.cx.in_poll.set(false);
        self.seat.pulse.beat.add(1);
        result
    }

    /// The task is over: tell its handle (whose task may run next), leave the list, drop the running reference.
    fn finish(&self, task: Task, end: PollEnd) {
        let (id, worker) = (task.id(), self.number as u16);
        // Before its handle hears of it: who has joined a task finds it counted.
        self.seat.pulse.stats.finished.add(1);
        self.in_poll(|| task.complete(|| self.core.emit(Event::PollEnd { task: id, end, worker })));
        self.unlist(&task);
        task.release();
    }

    /// [`unlist`](Self::unlist) for a task that finished by a cancel.
    pub(crate) fn unlist_cancelled(&self, task: &Task) {
        self.seat.pulse.stats.finished.add(1);
        self.unlist(task);
    }

    /// Takes a complete task off the owned list it is in, here or on its own seat.
    fn unlist(&self, task: &Task) {
        if task.header().is_pinned() {
            self.core.pinned.set(self.core.pinned.get() - 1);
        }
        match task.list() {
            None => {}
            Some(seat) if seat == self.number => {
                let listed = self.seat.owned.with(|owned| owned.remove(task));
                listed.release();
            }
            Some(seat) => {
                // SAFETY: the list's reference, which nobody else uses: it travels to the list's seat.
                let listed = unsafe { Task::from_raw(core::ptr::NonNull::from(task.header())) };
                self.shared.seat(seat).retired.push(listed);
            }
        }
    }

    /// Work was found: stop searching, and offer the rest of it if this worker owes that.
    pub(crate) fn before_work(&self) {
        let core = self.core;
        self.stop_searching();
        self.bound_turn();
        self.settle_offer();
        if core.fresh.replace(false) {
            core.quiet.set(0);
            self.shared.see_to_watch(self.group);
        }
    }

    /// Leaves the searching state with work in hand; the last one to do so wakes another.
    pub(crate) fn stop_searching(&self) {
        if self.core.searching.replace(false) {
            debt(Debt::Notify, 1);
            if self.group.sleep.found_work(self.number) {
                self.shared.notify(self.group);
            }
            debt(Debt::Notify, -1);
        }
    }
}

/// One turn less; true, and from the start again, when none is left.
fn count_down(left: &core::cell::Cell<u32>, interval: u32) -> bool {
    let now = left.get().saturating_sub(1);
    left.set(if now == 0 { interval } else { now });
    now == 0
}

impl Shared {
    /// A LIFO slot or a kept ring holds work of a worker that may stay in one poll: somebody idle must look after it.
    pub(crate) fn rely_on_watch(&self, group: &Group) {
        // Relaxed: `see_to_watch` has the fence. Who set it has seen to it; who clears it looks again for workers that are up.
        if !group.watch_asked.load(Ordering::Relaxed) {
            group.watch_asked.store(true, Ordering::Relaxed);
            self.see_to_watch(group);
        }
    }

    /// If there is something outside to be served and no idle worker of the group watches, wakes one that will.
    pub(crate) fn see_to_watch(&self, group: &Group) {
        if group.len() == 1 {
            return;
        }
        // Pairs with `park`: a worker parks for ever only after it saw all others parked; this one has left the sleepers since,
        // or made something to serve since.
        crate::sync::fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        if group.watching.load(Ordering::Relaxed) == 0 && self.anything_to_watch(group) {
            self.notify(group);
        }
    }
}

/// Cancels a task that was started or seized with the cancel bit set: drops the future, completes, unlists, releases.
pub(crate) fn cancel(task: Task, worker: u16, unlist: impl FnOnce(&Task)) {
    let id = task.id();
    task.cancel();
    super::emit(Event::FutureDrop { task: id, worker });
    task.complete(|| super::emit(Event::PollEnd { task: id, end: PollEnd::Cancelled, worker }));
    unlist(&task);
    task.release();
}
