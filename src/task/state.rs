//! The state word of a task, and every transition it can make. No other file names the atomic.
//!
//! | bit | meaning |
//! |---|---|
//! | SCHEDULED | a reference is in a container, or its holder is about to put it there, or the running poll must be repeated |
//! | RUNNING | one thread has the future to itself |
//! | COMPLETE | terminal: the result is stored (or was taken, or nobody wanted it); never cleared |
//! | CANCELLED | an abort was asked for; never cleared |
//! | JOIN_INTEREST | a `JoinHandle` exists |
//! | JOIN_WAKER | the join waker is set and the runtime may read it |
//! | the rest | references: one for each waker, handle and container entry, for the running poll, and for the owned list |
//!
//! Who may touch the join waker: the handle while JOIN_WAKER is clear; the completer from COMPLETE until it clears
//! JOIN_WAKER; afterwards the handle, or the completer if the handle is gone.
//!
//! `model/src/models/task.rs` checks the transitions against each other: wake, end of poll, abort, join, detach, shutdown.

use crate::sync::{AtomicUsize, Ordering};

const SCHEDULED: usize = 1;
const RUNNING: usize = 1 << 1;
const COMPLETE: usize = 1 << 2;
const CANCELLED: usize = 1 << 3;
const JOIN_INTEREST: usize = 1 << 4;
const JOIN_WAKER: usize = 1 << 5;
const REF: usize = 1 << 6;
/// More references than this are a leak in somebody's code; the process ends before the count can wrap.
const REF_LIMIT: usize = isize::MAX as usize;

/// The word.
#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

/// What a wake has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Wake {
    /// Nothing: scheduled already (or running: its poller will schedule it), or complete.
    Nothing {
        /// The scheduled bit was set by this call.
        set: bool,
    },
    /// The caller holds a reference that it must put into a container.
    Schedule,
    /// A wake by value dropped the last reference.
    Free,
}

/// What whoever took a task out of a container has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Start {
    /// Poll it; the reference is now the running poll's.
    Poll,
    /// Drop its future and complete it as cancelled; it counts as running.
    Cancel,
    /// It is complete; the caller still holds the container's reference.
    Complete,
}

/// What the poller has to do after `Pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Rest {
    /// It sleeps; the running reference is gone.
    Idle,
    /// It was woken meanwhile: the running reference goes into a container.
    Reschedule,
    /// It was aborted meanwhile and still counts as running: drop its future and complete it.
    Cancel,
}

/// What an abort or shutdown has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Abort {
    /// Nothing: who runs it or has it in a container will see the bit.
    Noted,
    /// It is complete or was aborted before.
    Nothing,
    /// The caller holds a new reference: to put into a container (abort), or as the running poll's (shutdown).
    Act,
}

/// What the completer has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Completed {
    /// Nobody wants the output: drop it.
    pub(crate) drop_output: bool,
    /// The join waker is set: wake it, then call `join_waker_done`.
    pub(crate) wake_join: bool,
}

/// What a dropped `JoinHandle` has to do before it drops its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Detached {
    /// The task is complete and its output is still there.
    pub(crate) drop_output: bool,
    /// The join waker is the handle's to drop.
    pub(crate) drop_waker: bool,
}

/// Where in its life a task is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Scheduled,
    Running,
    Cancelled,
    Complete,
}

impl Phase {
    /// Its name in output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Cancelled => "cancelled",
            Self::Complete => "complete",
        }
    }
}

impl State {
    /// A new task: scheduled, with a handle; one reference for the container, one for the handle.
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(SCHEDULED | JOIN_INTEREST | (2 * REF)))
    }

    /// Repeats `step` until its compare-exchange holds; `step` returns the next value (None: no change) and the answer.
    ///
    /// AcqRel, and Acquire where nothing changes: each transition hands the task's fields from one side to the other, and pairs
    /// with the transition of the other side on this same word.
    fn change<R>(&self, mut step: impl FnMut(usize) -> (Option<usize>, R)) -> R {
        // Acquire: pairs with the AcqRel exchange below, for steps that change nothing.
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let (next, answer) = step(now);
            let Some(next) = next else { return answer };
            match self.0.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return answer,
                Err(seen) => now = seen,
            }
        }
    }

    /// A waker was called; `consumed`: by value, so its reference is used or dropped.
    ///
    /// A coalesced wake writes the word too: the poll that answers it must see all that happened before it.
    pub(crate) fn wake(&self, consumed: bool) -> Wake {
        self.change(|now| {
            let spent = if consumed { now - REF } else { now };
            if now & (COMPLETE | SCHEDULED | RUNNING) == 0 {
                let kept = if consumed { now } else { more(now) };
                return (Some(kept | SCHEDULED), Wake::Schedule);
            }
            if now & COMPLETE != 0 {
                let answer = if spent < REF { Wake::Free } else { Wake::Nothing { set: false } };
                return (consumed.then_some(spent), answer);
            }
            debug_assert!(spent >= REF, "a scheduled or running task is referenced by its container or poll");
            (Some(spent | SCHEDULED), Wake::Nothing { set: now & SCHEDULED == 0 })
        })
    }

    /// The task was taken out of a container and is about to be polled.
    pub(crate) fn start(&self) -> Start {
        self.change(|now| {
            if now & COMPLETE != 0 {
                return (None, Start::Complete);
            }
            debug_assert!(now & SCHEDULED != 0, "a task in a container says scheduled");
            debug_assert!(now & RUNNING == 0, "one poll at a time");
            let answer = if now & CANCELLED != 0 { Start::Cancel } else { Start::Poll };
            (Some((now & !SCHEDULED) | RUNNING), answer)
        })
    }

    /// The poll returned Pending. A read-modify-write, because a wake may have come at any time.
    pub(crate) fn rest(&self) -> Rest {
        self.change(|now| {
            debug_assert!(now & RUNNING != 0, "only the running poll comes to rest");
            if now & CANCELLED != 0 {
                return (None, Rest::Cancel);
            }
            if now & SCHEDULED != 0 {
                return (Some(now & !RUNNING), Rest::Reschedule);
            }
            let next = (now & !RUNNING) - REF;
            debug_assert!(next >= REF, "an idle task is held by the list that owns it");
            (Some(next), Rest::Idle)
        })
    }

    /// The result is stored (or the future dropped): the task is over.
    pub(crate) fn complete(&self) -> Completed {
        self.change(|now| {
            debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0, "completed once, by who runs it");
            let answer = Completed {
                drop_output: now & JOIN_INTEREST == 0,
                wake_join: now & JOIN_INTEREST != 0 && now & JOIN_WAKER != 0,
            };
            (Some((now & !(RUNNING | SCHEDULED)) | COMPLETE), answer)
        })
    }

    /// The completer has woken the join waker; true: the handle is gone and the completer drops the waker.
    #[must_use]
    pub(crate) fn join_waker_done(&self) -> bool {
        // AcqRel: pairs with `detach`, whoever comes second drops the waker.
        self.0.fetch_and(!JOIN_WAKER, Ordering::AcqRel) & JOIN_INTEREST == 0
    }

    /// An abort is asked for; whoever acts schedules the task so that a worker drops its future.
    pub(crate) fn abort(&self) -> Abort {
        self.change(|now| {
            if now & (COMPLETE | CANCELLED) != 0 {
                (None, Abort::Nothing)
            } else if now & (RUNNING | SCHEDULED) != 0 {
                (Some(now | CANCELLED), Abort::Noted)
            } else {
                (Some(more(now) | CANCELLED | SCHEDULED), Abort::Act)
            }
        })
    }

    /// Shutdown: an idle task becomes the caller's to cancel at once (it counts as running and cancelled).
    pub(crate) fn seize(&self) -> Abort {
        self.change(|now| {
            if now & COMPLETE != 0 {
                (None, Abort::Nothing)
            } else if now & (RUNNING | SCHEDULED) != 0 {
                (Some(now | CANCELLED), Abort::Noted)
            } else {
                (Some(more(now) | CANCELLED | RUNNING), Abort::Act)
            }
        })
    }

    /// Whether the task is over.
    pub(crate) fn is_complete(&self) -> bool {
        // Acquire: pairs with `complete`; the output may be read after it.
        self.0.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// Whether the runtime owns the join waker now.
    pub(crate) fn has_join_waker(&self) -> bool {
        // Acquire: pairs with the exchange that set the bit.
        self.0.load(Ordering::Acquire) & JOIN_WAKER != 0
    }

    /// The handle wrote the join waker; false: the task completed meanwhile and the waker stays the handle's.
    #[must_use]
    pub(crate) fn join_waker_set(&self) -> bool {
        self.change(|now| {
            debug_assert!(now & JOIN_INTEREST != 0 && now & JOIN_WAKER == 0, "set by the one handle, once");
            if now & COMPLETE != 0 { (None, false) } else { (Some(now | JOIN_WAKER), true) }
        })
    }

    /// The handle wants the join waker back to replace it; false: the task completed meanwhile.
    #[must_use]
    pub(crate) fn join_waker_take_back(&self) -> bool {
        self.change(|now| {
            debug_assert!(now & JOIN_INTEREST != 0, "taken back by the one handle");
            if now & COMPLETE != 0 { (None, false) } else { (Some(now & !JOIN_WAKER), true) }
        })
    }

    /// The handle goes away.
    pub(crate) fn detach(&self) -> Detached {
        self.change(|now| {
            debug_assert!(now & JOIN_INTEREST != 0, "detached once");
            if now & COMPLETE != 0 {
                let answer = Detached { drop_output: true, drop_waker: now & JOIN_WAKER == 0 };
                (Some(now & !JOIN_INTEREST), answer)
            } else {
                let answer = Detached { drop_output: false, drop_waker: true };
                (Some(now & !(JOIN_INTEREST | JOIN_WAKER)), answer)
            }
        })
    }

    /// One more reference.
    pub(crate) fn ref_inc(&self) {
        // Relaxed: made from a reference that exists; the hand-over of the new one synchronises by itself.
        let _ = more(self.0.fetch_add(REF, Ordering::Relaxed));
    }

    /// One reference less; true: it was the last.
    #[must_use]
    pub(crate) fn ref_dec(&self) -> bool {
        // AcqRel: all uses through other references happen before the free.
        let before = self.0.fetch_sub(REF, Ordering::AcqRel);
        debug_assert!(before >= REF, "a reference is dropped once");
        before < 2 * REF
    }

    /// The bits some time ago, for dumps.
    pub(crate) fn phase(&self) -> Phase {
        let now = self.0.load(Ordering::Relaxed);
        match (now & COMPLETE != 0, now & RUNNING != 0, now & SCHEDULED != 0, now & CANCELLED != 0) {
            (true, ..) => Phase::Complete,
            (_, true, ..) => Phase::Running,
            (_, _, true, _) => Phase::Scheduled,
            (_, _, _, true) => Phase::Cancelled,
            _ => Phase::Idle,
        }
    }
}

/// One reference more than in `word`; a count that could wrap ends the process.
fn more(word: usize) -> usize {
    if word > REF_LIMIT {
        std::process::abort();
    }
    word + REF
}
