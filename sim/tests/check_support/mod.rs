//! A script of events and notes as the core emits them, fed to a checker.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use pirn::sync::{Debt, Ghost};
use pirn::trace::{Event, Place, PollEnd};
use pirn_sim::check::{Checker, Limits, Violation};

/// The thread on the seat of a worker.
pub(crate) fn on(worker: u32) -> u32 {
    100 + worker
}

/// A thread that is no worker.
pub(crate) const OUTSIDE: u32 = 7;
/// The longest that an idle one of two workers leaves between two looks, ns.
pub(crate) const LONGEST: u64 = 32_000_000;
/// The capacity of all rings.
pub(crate) const RING: u32 = 4;

/// A runtime as the checker sees it. Each step must pass unless it is asked for its violation.
pub(crate) struct Script {
    pub(crate) checker: Checker,
    pub(crate) now: u64,
    /// The next tail of each ring, and the next head.
    tails: Vec<u32>,
    heads: Vec<u32>,
    parked: u32,
    searching: u32,
    failed: Option<Violation>,
}

impl Script {
    /// A runtime of `workers` workers: rings of 4, LIFO limit 3, intervals of 5, cursors right before their wrap.
    pub(crate) fn new(workers: u16) -> Self {
        Self::with_limits(workers, Limits::default())
    }

    pub(crate) fn with_limits(workers: u16, limits: Limits) -> Self {
        let mut script = Self {
            checker: Checker::with_limits(limits),
            now: 1_000,
            tails: vec![u32::MAX - 1; workers.into()],
            heads: vec![u32::MAX - 1; workers.into()],
            parked: 0,
            searching: 0,
            failed: None,
        };
        script.event(OUTSIDE, Event::Start { workers, ring: RING, lifo_limit: 3, interval: 5 });
        script.ghost(OUTSIDE, Ghost::Watches { interval: 250_000, longest: LONGEST / 2 });
        script
    }

    fn note(&mut self, result: Result<(), Violation>) {
        if self.failed.is_none() {
            self.failed = result.err();
        }
    }

    pub(crate) fn event(&mut self, thread: u32, event: Event) -> &mut Self {
        let result = self.checker.event(thread, self.now, &event);
        self.note(result);
        self
    }

    pub(crate) fn ghost(&mut self, thread: u32, note: Ghost) -> &mut Self {
        let result = self.checker.ghost(thread, self.now, note);
        self.note(result);
        self
    }

    pub(crate) fn debt(&mut self, thread: u32, debt: Debt, by: i32) -> &mut Self {
        self.ghost(thread, Ghost::Debt { debt, by })
    }

    /// The world switches threads.
    pub(crate) fn switch(&mut self) -> &mut Self {
        let result = self.checker.step(self.now);
        self.note(result);
        self
    }

    /// All threads are blocked.
    pub(crate) fn idle(&mut self) -> &mut Self {
        let result = self.checker.idle(self.now);
        self.note(result);
        self
    }

    pub(crate) fn quiescent(&mut self) -> &mut Self {
        let result = self.checker.quiescent(self.now);
        self.note(result);
        self
    }

    pub(crate) fn gone(&mut self, thread: u32) -> &mut Self {
        self.checker.thread_gone(thread);
        self.switch()
    }

    /// Time passes in the world; the threads `awake` could run and do not, those of other workers that are parked are blocked.
    pub(crate) fn pass(&mut self, ns: u64, awake: &[u32]) -> &mut Self {
        self.now += ns;
        let result = self.checker.time_passed(self.now, |thread| !awake.contains(&thread));
        self.note(result);
        self
    }

    pub(crate) fn later(&mut self, ns: u64) -> &mut Self {
        self.now += ns;
        self
    }

    /// Nothing was broken.
    #[track_caller]
    pub(crate) fn holds(&mut self) {
        if let Some(violation) = self.failed.take() {
            panic!("a correct sequence was refused: {violation}\n{}", self.checker.describe());
        }
    }

    /// `invariant` was broken, and the message has `word`.
    #[track_caller]
    pub(crate) fn breaks(&mut self, invariant: &str, word: &str) {
        let Some(violation) = self.failed.take() else {
            panic!("{invariant} is broken and was not found\n{}", self.checker.describe());
        };
        assert_eq!(violation.invariant, invariant, "{violation}");
        assert!(violation.message.contains(word), "{violation} (expected {word:?} in it)");
    }

    // Tasks.

    pub(crate) fn spawn(&mut self, thread: u32, task: u64) -> &mut Self {
        self.ghost(thread, Ghost::BitSet { task }).debt(thread, Debt::Push, 1);
        self.event(thread, Event::Spawn { task, pinned: false, worker: u16::MAX, site: 0 })
    }

    pub(crate) fn spawn_pinned(&mut self, worker: u32, task: u64) -> &mut Self {
        self.ghost(on(worker), Ghost::BitSet { task }).debt(on(worker), Debt::Push, 1);
        self.event(on(worker), Event::Spawn { task, pinned: true, worker: worker as u16, site: 0 })
    }

    pub(crate) fn enqueue(&mut self, thread: u32, task: u64, place: Place, worker: u32) -> &mut Self {
        self.debt(thread, Debt::Push, -1);
        self.event(thread, Event::Enqueue { task, place, worker: worker as u16 })
    }

    pub(crate) fn dequeue(&mut self, by: u32, task: u64, place: Place, worker: u32) -> &mut Self {
        self.event(on(by), Event::Dequeue { task, place, worker: worker as u16, by });
        self.debt(on(by), Debt::Push, 1)
    }

    /// The owner writes and publishes, without the task's own event.
    pub(crate) fn ring_put(&mut self, worker: u32) -> &mut Self {
        let at = self.tails[worker as usize];
        let tail = at.wrapping_add(1);
        self.tails[worker as usize] = tail;
        self.ghost(on(worker), Ghost::RingWrite { ring: worker, at });
        self.ghost(on(worker), Ghost::RingPublish { ring: worker, tail, capacity: RING })
    }

    /// The owner claims and reads one, without the task's own event.
    pub(crate) fn ring_take(&mut self, worker: u32) -> &mut Self {
        let from = self.head(worker, 1);
        self.ghost(on(worker), Ghost::RingClaim { ring: worker, from, count: 1 });
        self.ghost(on(worker), Ghost::RingRead { ring: worker, at: from })
    }

    /// Moves the head and returns the old one.
    pub(crate) fn head(&mut self, worker: u32, by: u32) -> u32 {
        let head = self.heads[worker as usize];
        self.heads[worker as usize] = head.wrapping_add(by);
        head
    }

    pub(crate) fn tail(&self, worker: u32) -> u32 {
        self.tails[worker as usize]
    }

    pub(crate) fn push_ring(&mut self, worker: u32, task: u64) -> &mut Self {
        self.ring_put(worker).enqueue(on(worker), task, Place::Ring, worker)
    }

    pub(crate) fn pop_ring(&mut self, worker: u32, task: u64) -> &mut Self {
        self.ring_take(worker).dequeue(worker, task, Place::Ring, worker)
    }

    /// A poll of a task that the worker has in hand.
    pub(crate) fn poll(&mut self, worker: u32, task: u64) -> &mut Self {
        self.ghost(on(worker), Ghost::BitClear { task }).debt(on(worker), Debt::Push, -1);
        self.event(on(worker), Event::PollStart { task, worker: worker as u16 })
    }

    pub(crate) fn poll_end(&mut self, worker: u32, task: u64, end: PollEnd) -> &mut Self {
        self.event(on(worker), Event::PollEnd { task, end, worker: worker as u16 })
    }

    /// A whole life in one poll, from the ring.
    pub(crate) fn run(&mut self, worker: u32, task: u64) -> &mut Self {
        self.pop_ring(worker, task).poll(worker, task).finish(worker, task)
    }

    /// Drop, end and free inside a poll.
    pub(crate) fn finish(&mut self, worker: u32, task: u64) -> &mut Self {
        self.event(on(worker), Event::FutureDrop { task, worker: worker as u16 });
        self.ghost(on(worker), Ghost::BitClear { task });
        self.poll_end(worker, task, PollEnd::Ready).event(on(worker), Event::Free { task })
    }

    /// A wake that schedules an idle task: it is in the hands of the thread.
    pub(crate) fn wake(&mut self, thread: u32, task: u64) -> &mut Self {
        self.ghost(thread, Ghost::BitSet { task }).debt(thread, Debt::Push, 1);
        self.event(thread, Event::Wake { task, scheduled: true })
    }

    // Sleeping.

    pub(crate) fn search_begin(&mut self, worker: u32) -> &mut Self {
        self.searching += 1;
        let (parked, searching) = (self.parked, self.searching);
        self.ghost(on(worker), Ghost::SearchBegin { worker, parked, searching });
        self.event(on(worker), Event::Search { worker: worker as u16 })
    }

    pub(crate) fn search_end(&mut self, worker: u32) -> &mut Self {
        self.searching -= 1;
        let (parked, searching) = (self.parked, self.searching);
        self.ghost(on(worker), Ghost::SearchEnd { worker, parked, searching })
    }

    /// Joins the sleepers, by the owner's own thread, with the recheck if nobody searches.
    pub(crate) fn fall_asleep(&mut self, worker: u32) -> &mut Self {
        self.parked += 1;
        let (parked, searching) = (self.parked, self.searching);
        self.ghost(on(worker), Ghost::SleepJoin { worker, parked, searching });
        if searching == 0 {
            self.debt(on(worker), Debt::Recheck, 1).switch().debt(on(worker), Debt::Recheck, -1);
        }
        self
    }

    pub(crate) fn park(&mut self, worker: u32, deadline: u64) -> &mut Self {
        self.ghost(on(worker), Ghost::ParkBegin { worker, deadline });
        self.event(on(worker), Event::Park { worker: worker as u16, deadline })
    }

    /// Joins and parks without limit.
    pub(crate) fn sleep(&mut self, worker: u32) -> &mut Self {
        self.fall_asleep(worker).park(worker, u64::MAX)
    }

    pub(crate) fn take_sleeper(&mut self, thread: u32, worker: u32) -> &mut Self {
        self.parked -= 1;
        self.searching += 1;
        let (parked, searching) = (self.parked, self.searching);
        self.ghost(thread, Ghost::SleepTaken { worker, parked, searching }).debt(thread, Debt::Token, 1)
    }

    pub(crate) fn give(&mut self, thread: u32, worker: u32, was_parked: bool, was_token: bool) -> &mut Self {
        self.ghost(thread, Ghost::TokenGive { worker, was_parked, was_token })
    }

    /// Takes a parked worker off the sleepers and gives it its token.
    pub(crate) fn wake_worker(&mut self, thread: u32, worker: u32) -> &mut Self {
        self.take_sleeper(thread, worker).give(thread, worker, true, false).debt(thread, Debt::Token, -1)
    }

    /// The worker comes back with the token.
    pub(crate) fn unparked(&mut self, worker: u32, token: bool) -> &mut Self {
        if token {
            self.ghost(on(worker), Ghost::TokenTake { worker });
        }
        self.ghost(on(worker), Ghost::ParkEnd { worker });
        self.event(on(worker), Event::Unparked { worker: worker as u16, token })
    }

    pub(crate) fn leave_sleepers(&mut self, worker: u32) -> &mut Self {
        self.parked -= 1;
        let (parked, searching) = (self.parked, self.searching);
        self.ghost(on(worker), Ghost::SleepLeave { worker, parked, searching })
    }
}
