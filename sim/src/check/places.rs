//! S1 to S6, S27, L3: where each task is, its scheduled bit, and its life from spawn to free.

use pirn::trace::{Place, PollEnd};

use super::{Checked, Checker, NONE, Violation, container};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Nowhere: it waits to be woken, or it is finished.
    Nowhere,
    /// With a thread, between two places.
    Hand(u32),
    /// In a container, of a worker where it has one.
    In(Place, u32),
    /// Polled by a worker.
    Running(u32),
}

/// Its scheduled bit is set.
const SCHEDULED: u16 = 1;
/// It is bound to its worker.
const PINNED: u16 = 2;
/// Its last poll is over, or it was dropped without one.
const TERMINAL: u16 = 4;
/// Its future was dropped.
const DROPPED: u16 = 8;
/// Its memory was freed.
const FREED: u16 = 16;
/// An abort was asked for.
const ABORTED: u16 = 32;
/// It came to its thread's hands out of a LIFO slot.
const FROM_LIFO: u16 = 64;
/// It was spawned.
const BORN: u16 = 128;
/// Its bit was cleared by the thread that has it in hand: to be polled, or cancelled without a poll.
const STARTED: u16 = 256;
/// The event that ends its life was seen.
const ENDED: u16 = 512;

/// One task.
#[derive(Clone, Copy, Debug)]
struct Task {
    at: At,
    flags: u16,
    /// The worker of a pinned task, and the thread it was spawned on.
    home: u32,
    thread: u32,
}

const UNBORN: Task = Task { at: At::Nowhere, flags: 0, home: NONE, thread: NONE };

impl Task {
    #[inline]
    fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// All tasks of a runtime, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    tasks: Vec<Task>,
    pub(super) injector: u32,
    pub(super) blocking: u32,
    pub(super) spawned: u64,
    /// Terminal or dropped.
    pub(super) gone: u64,
    /// In the hands of a thread.
    hands: u32,
}

impl Places {
    pub(super) fn reset(&mut self) {
        self.tasks.clear();
        self.injector = 0;
        self.blocking = 0;
        self.spawned = 0;
        self.gone = 0;
        self.hands = 0;
    }

    /// The living tasks that are somewhere, or scheduled: number, place, whether scheduled.
    pub(super) fn busy(&self) -> impl Iterator<Item = (u64, At, bool)> + '_ {
        let busy = |task: &Task| !task.is(FREED) && (task.at != At::Nowhere || task.is(SCHEDULED));
        let tasks = self.tasks.iter().enumerate().filter(move |(_, task)| task.is(BORN) && busy(task));
        tasks.map(|(number, task)| (number as u64, task.at, task.is(SCHEDULED)))
    }

    /// The first task that lives. Blocking work may go on after its runtime, if the shutdown reached its limit.
    fn survivor(&self) -> Option<u64> {
        let lives =
            |task: &Task| task.is(BORN) && !task.is(TERMINAL | DROPPED) && task.at != At::Running(NONE);
        self.tasks.iter().position(lives).map(|n| n as u64)
    }

    /// The first task whose future was never dropped.
    fn undropped(&self) -> Option<u64> {
        let kept = |task: &Task| task.is(BORN) && !task.is(DROPPED) && task.at != At::Running(NONE);
        self.tasks.iter().position(kept).map(|n| n as u64)
    }

    pub(super) fn alive(&self) -> u64 {
        self.spawned - self.gone
    }
}

#[cold]
fn broken(invariant: &'static str, task: u64, what: String) -> Violation {
    Violation::new(invariant, format!("task {task} {what}")).task(task)
}

impl Checker {
    /// A task that exists. One that is not known is let pass with `None`: it belongs to an older runtime.
    #[inline]
    fn task(&mut self, task: u64, does: &'static str) -> Result<Option<&mut Task>, Violation> {
        match self.places.tasks.get_mut(task as usize) {
            Some(state) if state.flags & (BORN | FREED) == BORN => Ok(Some(state)),
            Some(state) if state.is(FREED) => Err(broken(
                "S6",
                task,
                format!("{does}, but its memory was freed: a reference was not counted"),
            )),
            _ if self.running => Err(broken("S2", task, format!("{does}, but it was never spawned"))),
            _ => Ok(None),
        }
    }

    pub(super) fn spawned(&mut self, thread: u32, task: u64, pinned: bool, worker: u32) -> Checked {
        let index = task as usize;
        if self.places.tasks.len() <= index {
            self.places.tasks.resize(index + 1, UNBORN);
        }
        if self.places.tasks[index].is(BORN) {
            return Err(broken("S2", task, "was spawned twice".to_owned()));
        }
        let flags = BORN | SCHEDULED | if pinned { PINNED } else { 0 };
        self.places.tasks[index] = Task { at: At::Hand(thread), flags, home: worker, thread };
        self.places.spawned += 1;
        self.places.hands += 1;
        Ok(())
    }

    pub(super) fn enqueued(&mut self, thread: u32, task: u64, place: Place, worker: u32) -> Checked {
        let Some(state) = self.task(task, "was put into a container")? else { return Ok(()) };
        let (at, flags, home) = (state.at, state.flags, state.home);
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
        if flags & FROM_LIFO != 0
            && place == Place::Ring
            && self.workers.get(worker).is_some_and(|seat| seat.polling == 0)
        {
            self.lifo_run_over(worker);
        }
        match place {
            Place::Ring | Place::Lifo => {
                self.sits(thread, worker, "pushes").map_err(|violation| {
                    Violation { invariant: "S9", name: "owner pushes", ..violation }.task(task)
                })?;
            }
            Place::Injector | Place::Inbox | Place::Blocking => {}
        }
        self.places.hands -= u32::from(matches!(at, At::Hand(_)));
        self.count(place, worker, 1);
        Ok(())
    }

    /// Keeps the length of a container.
    #[inline]
    fn count(&mut self, place: Place, worker: u32, by: i32) {
        let add = |count: &mut u32| *count = count.wrapping_add_signed(by);
        match place {
            Place::Ring => self.workers.change(worker, |seat| add(&mut seat.ring_tasks)),
            Place::Lifo => self.workers.change(worker, |seat| add(&mut seat.lifo)),
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
        state.flags = state.flags & !(FROM_LIFO | STARTED) | if place == Place::Lifo { FROM_LIFO } else { 0 };
        self.places.hands += 1;
        self.count(place, worker, -1);
        if by != worker && by != NONE && matches!(place, Place::Lifo | Place::Inbox) {
            let taken_over = self.workers.get(by).is_some_and(|seat| seat.victim == worker);
            if place == Place::Inbox || !taken_over {
                let what = format!(
                    "was taken out of {} by worker {by}, which has not taken worker {worker} over (and an inbox is its owner's alone)",
                    container(place, worker)
                );
                return Err(broken("S9", task, what).worker(by));
            }
        }
        if by != NONE {
            self.sits(thread, by, "takes a task")?;
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

    pub(super) fn poll_started(&mut self, thread: u32, task: u64, worker: u32) -> Checked {
        if worker != NONE {
            self.sits(thread, worker, "polls")?;
            self.awake(worker, "starts a poll")?;
            self.owes_no_look(thread, worker)?;
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
        state.at = At::Running(worker);
        let from_lifo = state.is(FROM_LIFO);
        state.flags &= !(STARTED | FROM_LIFO);
        self.places.hands -= 1;
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
        self.polled(worker, from_lifo)
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
        Ok(())
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

    /// At the end of a runtime every task has ended.
    pub(super) fn all_gone(&self) -> Checked {
        let held = self.workers.list.iter().position(|seat| seat.ring_tasks + seat.lifo + seat.inbox != 0);
        if let Some(worker) = held {
            let seat = &self.workers.list[worker];
            let what = format!(
                "the runtime ended with {} tasks in the ring, {} in the LIFO slot and {} in the inbox of worker {worker}",
                seat.ring_tasks, seat.lifo, seat.inbox
            );
            return Err(Violation::new("S2", what).worker(worker as u32));
        }
        if self.places.injector + self.places.blocking != 0 {
            let what = format!(
                "the runtime ended with {} tasks in the injector and {} in the queue of the blocking pool",
                self.places.injector, self.places.blocking
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
                    "the ring of worker {worker} holds {} tasks by its cursors and {} by the tasks put there",
                    seat.ring, seat.ring_tasks
                );
                return Err(Violation::new("S12", what).worker(worker as u32));
            }
        }
        Ok(())
    }
}

/// A place in a sentence.
pub(super) fn whereabouts(at: At) -> String {
    match at {
        At::Nowhere => "in no container".to_owned(),
        At::Hand(thread) => format!("in the hands of thread {thread}"),
        At::In(place, worker) => format!("in {}", container(place, worker)),
        At::Running(NONE) => "polled outside of the workers".to_owned(),
        At::Running(worker) => format!("polled by worker {worker}"),
    }
}
