//! The commit at the end of a turn: writes staged in it leave, each stream's in one call, and who waits for the end is woken.
//!
//! A turn ends when its worker has nothing left to run, after `poll_interval` polls, and before the first poll that would
//! start later than `turn_limit` after something was staged. A worker never parks, and never leaves its seat, with
//! anything staged. The streams stand in a list of the seat that others may empty: a peer that takes over a worker which
//! is inside one poll for long sends what that worker staged. The wakers are the worker's own business.

use core::task::Waker;
use std::sync::Weak;

use super::context::with_context;
use super::core::Core;
use super::shared::Shared;
use super::worker::Worker;
use crate::io::{Staged, Turn};
use crate::sync::{Counter, Ghost, Mutex, ghost};
use crate::task;

/// The streams that hold staged writes of one seat.
#[derive(Default)]
pub(crate) struct Staging {
    list: Mutex<Vec<Weak<dyn Staged>>>,
    /// The length of the list, written under its lock. Only the thread on the seat adds, so it never misses what it added.
    count: Counter,
}

impl Staging {
    /// Whether nothing stands in it. For the thread on the seat; to others, a guess.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    fn push(&self, seat: u32, what: Weak<dyn Staged>) {
        let mut list = self.list.lock();
        list.push(what);
        self.count.set(list.len() as u64);
        ghost(|| Ghost::Staged { worker: seat, count: list.len() as u32 });
    }

    /// Moves all of it into `into`, which is empty.
    fn take(&self, seat: u32, into: &mut Vec<Weak<dyn Staged>>) {
        let mut list = self.list.lock();
        core::mem::swap(&mut *list, into);
        self.count.set(0);
        ghost(|| Ghost::Staged { worker: seat, count: 0 });
    }
}

impl Worker<'_> {
    /// Ends the turn. True: somebody who waited for that was woken.
    pub(crate) fn commit(&self) -> bool {
        let core = self.core;
        self.seat.pulse.turns.add(1);
        core.staged_since.set(0);
        if !self.seat.staging.is_empty() {
            let mut list = core.committing.take();
            self.shared.commit_staged(self.number, &mut list);
            core.committing.set(list);
        }
        let waiting = core.drained.take();
        let woke = !waiting.is_empty();
        core.waking_drained.set(true);
        waiting.into_iter().for_each(task::wake_contained);
        core.waking_drained.set(false);
        woke
    }

    /// Ends the turn if it has lasted for long since something was staged in it.
    pub(crate) fn bound_turn(&self) {
        let since = self.core.staged_since.get();
        if since != 0 {
            let limit = self.shared.config.turn_limit.as_nanos() as u64;
            if self.shared.os.now().as_nanos().saturating_sub(since) >= limit {
                self.commit();
            }
        }
    }
}

impl Shared {
    /// Has the streams staged at `seat` send what they hold. By the thread on it, or for it. `list` is room for them.
    pub(crate) fn commit_staged(&self, seat: u32, list: &mut Vec<Weak<dyn Staged>>) {
        self.seat(seat).staging.take(seat, list);
        for staged in list.drain(..) {
            // A stream that is gone has sent what it held.
            if let Some(staged) = staged.upgrade() {
                staged.commit(self);
            }
        }
    }

    /// The same in the stead of a worker that is inside one poll for long. What this misses its next look finds.
    pub(crate) fn commit_for(&self, victim: u32) {
        if !self.seat(victim).staging.is_empty() {
            self.commit_staged(victim, &mut Vec::new());
        }
    }

    /// The turn of the thread, if it is a worker of this runtime inside a poll: that poll's end, and so a commit, will come.
    pub(crate) fn turn_here(&self) -> Option<Turn> {
        with_context(|cx| {
            let (_, seat) = self.here(cx.filter(|cx| cx.in_poll.get()))?;
            Some(self.turn_of(seat))
        })
    }

    fn turn_of(&self, seat: u32) -> Turn {
        Turn { seat, number: self.seat(seat).pulse.turns.get() }
    }

    /// Lists a stream for the commit of the current turn, which [`turn_here`](Self::turn_here) has told.
    pub(crate) fn stage_here(&self, what: Weak<dyn Staged>) {
        with_context(|cx| {
            let (core, seat) = self.here(cx).expect("a write is staged on a worker");
            self.note_staged(core);
            // As an op in flight, it relies on a peer that watches.
            let first = !self.seat(seat).anything_outside();
            self.seat(seat).staging.push(seat, what);
            if first {
                self.see_to_watch(self.group_of(seat));
            }
        });
    }

    fn note_staged(&self, core: &Core) {
        if core.staged_since.get() == 0 {
            core.staged_since.set(self.os.now().as_nanos());
        }
    }
}

/// Whether the commit that `waits` for has come; if not, and there is one to come, the waker is kept for it.
pub(crate) fn poll_commit(waits: &mut Option<Turn>, waker: &Waker) -> bool {
    // The clone is the executor's code: before anything is borrowed.
    let waker = waker.clone();
    with_context(|cx| {
        let Some(cx) = cx else { return true };
        let (Some(core), Some(seat)) = (cx.core(), cx.seat) else { return true };
        if !cx.in_poll.get() && !core.waking_drained.get() {
            return true;
        }
        let ended = |turn: &Turn| {
            // A future that has moved to a smaller runtime waits for nothing of it.
            cx.shared.seats.get(turn.seat as usize).is_none_or(|seat| seat.pulse.turns.get() != turn.number)
        };
        if waits.as_ref().is_some_and(ended) {
            return true;
        }
        // A task that was moved before its commit waits for the one it is near to.
        *waits = Some(cx.shared.turn_of(seat));
        cx.shared.note_staged(core);
        let mut list = core.drained.take();
        list.push(waker);
        core.drained.set(list);
        false
    })
}
