//! The tasks of a runtime: where each is, and how far its life has come.

use pirn::trace::Place;

use super::{Checker, NONE, Violation, container};

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
pub(super) const SCHEDULED: u16 = 1;
/// It is bound to its worker.
pub(super) const PINNED: u16 = 2;
/// Its last poll is over, or it was dropped without one.
pub(super) const TERMINAL: u16 = 4;
/// Its future was dropped.
pub(super) const DROPPED: u16 = 8;
/// Its memory was freed.
pub(super) const FREED: u16 = 16;
/// An abort was asked for.
pub(super) const ABORTED: u16 = 32;
/// It came to its thread's hands out of a LIFO slot.
pub(super) const FROM_LIFO: u16 = 64;
/// It was spawned.
pub(super) const BORN: u16 = 128;
/// Its bit was cleared by the thread that has it in hand: to be polled, or cancelled without a poll.
pub(super) const STARTED: u16 = 256;
/// The event that ends its life was seen.
pub(super) const ENDED: u16 = 512;

/// It is about to be left in the LIFO slot of a peer.
pub(super) const PASSED: u16 = 1024;

/// One task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) at: At,
    pub(super) flags: u16,
    /// The worker of a pinned task, and the thread it was spawned on.
    pub(super) home: u32,
    /// The group of one that is not pinned.
    pub(super) group: u32,
    pub(super) thread: u32,
}

pub(super) const UNBORN: Task = Task { at: At::Nowhere, flags: 0, home: NONE, group: 0, thread: NONE };

impl Task {
    #[inline]
    pub(super) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// All tasks of a runtime, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) tasks: Vec<Task>,
    pub(super) injector: u32,
    pub(super) blocking: u32,
    pub(super) spawned: u64,
    /// Terminal or dropped.
    pub(super) gone: u64,
    /// In the hands of a thread.
    pub(super) hands: u32,
    /// Aborted and perhaps not ended.
    pub(super) aborts: Vec<u64>,
    /// Futures that stay for ever: of pinned tasks whose thread did not come back.
    pub(super) abandoned: u32,
}

impl Places {
    pub(super) fn reset(&mut self) {
        self.tasks.clear();
        self.injector = 0;
        self.blocking = 0;
        self.spawned = 0;
        self.gone = 0;
        self.hands = 0;
        self.aborts.clear();
        self.abandoned = 0;
    }

    /// The living tasks that are somewhere, or scheduled: number, place, whether scheduled.
    pub(super) fn busy(&self) -> impl Iterator<Item = (u64, At, bool)> + '_ {
        let busy = |task: &Task| !task.is(FREED) && (task.at != At::Nowhere || task.is(SCHEDULED));
        let tasks = self.tasks.iter().enumerate().filter(move |(_, task)| task.is(BORN) && busy(task));
        tasks.map(|(number, task)| (number as u64, task.at, task.is(SCHEDULED)))
    }

    /// The first task that lives. Blocking work may go on after its runtime, if the shutdown reached its limit.
    pub(super) fn survivor(&self) -> Option<u64> {
        let lives =
            |task: &Task| task.is(BORN) && !task.is(TERMINAL | DROPPED) && task.at != At::Running(NONE);
        self.tasks.iter().position(lives).map(|n| n as u64)
    }

    /// The first task whose future was never dropped.
    pub(super) fn undropped(&self) -> Option<u64> {
        let kept = |task: &Task| task.is(BORN) && !task.is(DROPPED) && task.at != At::Running(NONE);
        self.tasks.iter().position(kept).map(|n| n as u64)
    }

    /// A handle or a waker that outlived the runtime was the last to go.
    pub(super) fn freed_late(&mut self, task: u64) {
        if let Some(task) = self.tasks.get_mut(task as usize) {
            task.flags |= FREED;
        }
    }

    /// The first task that was never freed.
    pub(super) fn unfreed(&self) -> Option<u64> {
        self.tasks.iter().position(|task| task.is(BORN) && !task.is(FREED)).map(|n| n as u64)
    }

    /// Whether a blocking call runs.
    pub(super) fn runs_outside(&self) -> bool {
        self.tasks.iter().any(|task| task.is(BORN) && task.at == At::Running(NONE))
    }

    pub(super) fn alive(&self) -> u64 {
        self.spawned - self.gone
    }
}

#[cold]
pub(super) fn broken(invariant: &'static str, task: u64, what: String) -> Violation {
    Violation::new(invariant, format!("task {task} {what}")).task(task)
}

impl Checker {
    /// A task that exists. One that is not known is let pass with `None`: it belongs to an older runtime.
    #[inline]
    pub(super) fn task(&mut self, task: u64, does: &'static str) -> Result<Option<&mut Task>, Violation> {
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
