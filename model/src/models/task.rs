//! The task state: wakes against the end of a poll, abort, join, detach, shutdown. One cell, with the steps of `task/raw.rs`,
//! `task/join.rs` and the scheduler around the same state word, over cells that loom watches.
//!
//! Whoever makes the task scheduled plays the worker that finds it, at once. The fields' owners (the table in
//! `task/mod.rs`) are loom cells, so that two of them at one time, or one that does not see what the last one wrote, fail the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering as Plain};

use loom::thread;

use super::explore;
use crate::state::{Abort, Rest, Start, State, Wake};
use crate::sync::{AtomicBool, Ordering, UnsafeCell};

/// What the stage of a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Future,
    Finished,
    Empty,
}

struct Cell {
    state: State,
    stage: UnsafeCell<Stage>,
    join_waker: UnsafeCell<Option<usize>>,
    /// Set by who enters it into the owned list.
    listed: UnsafeCell<bool>,
    /// Read by whoever holds a reference, written by the one who frees.
    memory: UnsafeCell<()>,
    /// What the future waits for: it is ready when all are set.
    ready: Vec<AtomicBool>,
    tally: Tallies,
}

/// Counts for the end of an execution, out of loom's sight.
#[derive(Default)]
struct Tallies {
    futures_dropped: Tally,
    outputs_dropped: Tally,
    /// A bit for each join waker that was woken.
    joins_woken: Tally,
    freed: Tally,
}

fn add(tally: &Tally) {
    tally.fetch_add(1, Plain::Relaxed);
}

// SAFETY: the cells' owners take turns by the state word, which is what the models check.
unsafe impl Sync for Cell {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Cell {}

impl Cell {
    /// A task that is idle in its list, with a handle and a reference for each of its events' wakers.
    fn idle(wakers: usize) -> Arc<Self> {
        let cell = Self::scheduled(wakers);
        cell.run();
        cell
    }

    /// A task in a container: its reference is the caller's.
    fn scheduled(wakers: usize) -> Arc<Self> {
        let cell = Arc::new(Self {
            state: State::new(),
            stage: UnsafeCell::new(Stage::Future),
            join_waker: UnsafeCell::new(None),
            listed: UnsafeCell::new(false),
            memory: UnsafeCell::new(()),
            ready: (0..wakers).map(|_| AtomicBool::new(false)).collect(),
            tally: Tallies::default(),
        });
        (0..wakers).for_each(|_| cell.state.ref_inc());
        cell
    }

    fn stage(&self) -> Stage {
        // SAFETY: watched by loom.
        self.stage.with(|stage| unsafe { *stage })
    }

    fn set_stage(&self, to: Stage) -> Stage {
        // SAFETY: watched by loom.
        self.stage.with_mut(|stage| unsafe { core::mem::replace(&mut *stage, to) })
    }

    fn set_join_waker(&self, to: Option<usize>) {
        // SAFETY: watched by loom.
        self.join_waker.with_mut(|waker| unsafe { *waker = to });
    }

    /// A worker takes the task out of a container and runs it.
    fn run(&self) {
        loop {
            match self.state.start() {
                Start::Complete => return self.release(),
                Start::Cancel => return self.cancel(),
                Start::Poll => {}
            }
            if self.poll() {
                return self.complete();
            }
            // SAFETY: watched by loom.
            if !self.listed.with_mut(|listed| unsafe { core::mem::replace(&mut *listed, true) }) {
                self.state.ref_inc();
            }
            match self.state.rest() {
                Rest::Idle => return,
                Rest::Reschedule => {}
                Rest::Cancel => return self.cancel(),
            }
        }
    }

    fn poll(&self) -> bool {
        assert_eq!(self.stage(), Stage::Future, "a finished task is polled");
        if !self.ready.iter().all(|ready| ready.load(Ordering::Relaxed)) {
            return false;
        }
        self.finish();
        true
    }

    fn finish(&self) {
        assert_eq!(self.set_stage(Stage::Finished), Stage::Future, "a future is dropped twice");
        add(&self.tally.futures_dropped);
    }

    fn cancel(&self) {
        self.finish();
        self.complete();
    }

    fn complete(&self) {
        let completed = self.state.complete();
        if completed.drop_output {
            self.drop_output();
        }
        if completed.wake_join {
            // SAFETY: watched by loom.
            let waker = self.join_waker.with(|waker| unsafe { *waker });
            if self.state.join_waker_done() {
                self.set_join_waker(None);
            }
            let waker = waker.expect("the state says that there is a join waker");
            self.tally.joins_woken.fetch_or(1 << waker, Plain::Relaxed);
        }
        // SAFETY: watched by loom.
        if self.listed.with(|listed| unsafe { *listed }) {
            self.release();
        }
        self.release();
    }

    fn drop_output(&self) {
        if self.set_stage(Stage::Empty) == Stage::Finished {
            add(&self.tally.outputs_dropped);
        }
    }

    /// The event happens, then its waker is woken by value.
    fn happen(&self, event: usize) {
        self.ready[event].store(true, Ordering::Relaxed);
        self.wake(true);
    }

    /// The event happens, then its waker is woken by reference, and dropped.
    fn happen_by_ref(&self, event: usize) {
        self.ready[event].store(true, Ordering::Relaxed);
        self.wake(false);
        self.release();
    }

    fn wake(&self, consumed: bool) {
        self.touch();
        match self.state.wake(consumed) {
            Wake::Schedule => self.run(),
            Wake::Nothing { .. } => {}
            Wake::Free => self.free(),
        }
    }

    fn abort(&self) {
        if self.state.abort() == Abort::Act {
            self.run();
        }
    }

    /// Shutdown finds it in the owned list.
    fn seize(&self) {
        if self.state.seize() == Abort::Act {
            self.cancel();
        }
    }

    /// The handle's poll with waker number `waker`: true if the output was taken.
    fn join(&self, waker: usize) -> bool {
        if !self.state.is_complete() && self.store_join_waker(waker) {
            return false;
        }
        assert_eq!(self.set_stage(Stage::Empty), Stage::Finished, "a complete task has its output");
        true
    }

    fn store_join_waker(&self, waker: usize) -> bool {
        if self.state.has_join_waker() && !self.state.join_waker_take_back() {
            return false;
        }
        self.set_join_waker(Some(waker));
        self.state.join_waker_set()
    }

    /// The handle is dropped.
    fn detach(&self) {
        let detached = self.state.detach();
        if detached.drop_output {
            self.drop_output();
        }
        if detached.drop_waker {
            self.set_join_waker(None);
        }
        self.release();
    }

    fn touch(&self) {
        self.memory.with(|_| ());
    }

    fn release(&self) {
        self.touch();
        if self.state.ref_dec() {
            self.free();
        }
    }

    fn free(&self) {
        self.memory.with_mut(|_| ());
        assert_ne!(self.stage(), Stage::Future, "a task is freed with its future");
        // SAFETY: watched by loom.
        let waker = self.join_waker.with(|waker| unsafe { *waker });
        assert_eq!(waker, None, "a task is freed with its join waker");
        add(&self.tally.freed);
    }

    /// All threads are done.
    fn assert_over(&self, outputs_dropped: u32) {
        let Tallies { futures_dropped, outputs_dropped: dropped, freed, .. } = &self.tally;
        assert_eq!(futures_dropped.load(Plain::Relaxed), 1, "the future was lost, or dropped twice");
        assert_eq!(dropped.load(Plain::Relaxed), outputs_dropped, "outputs dropped");
        assert_eq!(freed.load(Plain::Relaxed), 1, "times freed");
    }
}

fn with(cell: &Arc<Cell>, f: impl FnOnce(&Cell) + 'static) -> thread::JoinHandle<()> {
    let cell = cell.clone();
    thread::spawn(move || f(&cell))
}

/// A wake against a poll and its end: the last wake is seen, also a coalesced one (S28, L3). Every interleaving.
#[test]
fn wake_against_poll_end() {
    explore(None, || {
        let cell = Cell::scheduled(1);
        let waking = with(&cell, |cell| cell.happen(0));
        cell.run();
        waking.join().unwrap();
        cell.detach();
        cell.assert_over(1);
    });
}

/// The same with a waker that is woken by reference: it writes even where it finds the task scheduled (S28). Every interleaving.
#[test]
fn wake_by_reference_against_poll_end() {
    explore(None, || {
        let cell = Cell::scheduled(1);
        let waking = with(&cell, |cell| cell.happen_by_ref(0));
        cell.run();
        waking.join().unwrap();
        cell.detach();
        cell.assert_over(1);
    });
}

/// Two wakes at once against a poll and its end. Bound: 2 preemptions.
#[test]
fn two_wakes_against_poll_end() {
    explore(Some(2), || {
        let cell = Cell::scheduled(2);
        let wakers = [with(&cell, |cell| cell.happen(0)), with(&cell, |cell| cell.happen(1))];
        cell.run();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        cell.detach();
        cell.assert_over(1);
    });
}

/// An abort against a wake and the poll that follows. Every interleaving.
#[test]
fn abort_against_wake() {
    explore(None, || {
        let cell = Cell::idle(1);
        let aborting = with(&cell, Cell::abort);
        cell.happen(0);
        aborting.join().unwrap();
        assert!(cell.state.is_complete(), "an aborted task goes on");
        cell.detach();
        cell.assert_over(1);
    });
}

/// An abort against a poll that stays pending, and its end: it alone ends the task. Every interleaving.
#[test]
fn abort_against_poll_end() {
    explore(None, || {
        let cell = Cell::scheduled(1);
        let aborting = with(&cell, Cell::abort);
        cell.run();
        aborting.join().unwrap();
        assert!(cell.state.is_complete(), "an aborted task goes on");
        // Its waker was never woken.
        cell.release();
        cell.detach();
        cell.assert_over(1);
    });
}

/// An abort and a wake against the first poll and its end. Bound: 2 preemptions.
#[test]
fn abort_and_wake_against_poll_end() {
    explore(Some(2), || {
        let cell = Cell::scheduled(1);
        let others = [with(&cell, Cell::abort), with(&cell, |cell| cell.happen(0))];
        cell.run();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(cell.state.is_complete(), "an aborted task goes on");
        cell.detach();
        cell.assert_over(1);
    });
}

/// The handle polls twice with different wakers and is dropped, against the completion: it gets the output, or its last waker is woken. Bound: 4 preemptions.
#[test]
fn join_against_completion() {
    explore(Some(4), || {
        let cell = Cell::idle(1);
        let completing = with(&cell, |cell| cell.happen(0));
        let mut taken = cell.join(0);
        let mut last = 0;
        if !taken {
            last = 1;
            taken = cell.join(1);
        }
        completing.join().unwrap();
        let woken = cell.tally.joins_woken.load(Plain::Relaxed) >> last & 1 == 1;
        assert!(taken || woken, "the handle waits for ever");
        if !taken {
            assert!(cell.join(2), "a woken handle finds the output");
        }
        cell.detach();
        cell.assert_over(0);
    });
}

/// The handle stores a waker and is dropped at once, against the completion: output and waker are dropped once. Bound: 4 preemptions.
#[test]
fn detach_against_completion() {
    explore(Some(4), || {
        let cell = Cell::idle(1);
        let completing = with(&cell, |cell| cell.happen(0));
        let taken = cell.join(0);
        cell.detach();
        completing.join().unwrap();
        cell.assert_over(u32::from(!taken));
    });
}

/// The last waker is dropped, by a wake, against the handle: freed once, after all uses (S6). Every interleaving.
#[test]
fn last_references() {
    explore(None, || {
        let cell = Cell::idle(1);
        cell.state.ref_inc();
        cell.ready[0].store(true, Ordering::Relaxed);
        cell.wake(false);
        let waking = with(&cell, |cell| cell.wake(true));
        let dropping = with(&cell, Cell::release);
        cell.detach();
        waking.join().unwrap();
        dropping.join().unwrap();
        cell.assert_over(1);
    });
}

/// Shutdown seizes an idle task while it is woken. Every interleaving.
#[test]
fn seize_against_wake() {
    explore(None, || {
        let cell = Cell::idle(1);
        let waking = with(&cell, |cell| cell.happen(0));
        cell.seize();
        waking.join().unwrap();
        assert!(cell.state.is_complete(), "a seized or woken task ends");
        cell.detach();
        cell.assert_over(1);
    });
}
