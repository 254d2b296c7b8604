//! What belongs to the thread on a seat alone.

use core::cell::{Cell, RefCell};
use core::task::Waker;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use super::busy::Busy;
use super::share::Offer;
use super::submit::Remote;
use crate::io::Staged;
use crate::observe::Seen;
use crate::os::{Completion, Submit};
use crate::queue::Owner;
use crate::sync;
use crate::task::{Pool, Task};
use crate::trace::{Event, Recorder};

/// The private half of a seat. Every access is short: no borrow of a cell here is held over user code.
pub(crate) struct Core {
    pub(crate) ring: Owner<Task>,
    pub(crate) submit: RefCell<Box<dyn Submit>>,
    /// Ops from elsewhere that the driver had no room for, before those in the seat's `remote`.
    pub(crate) stalled: RefCell<VecDeque<Remote>>,
    /// In the last step of a shutdown: the ops that were cancelled in it.
    pub(crate) ending: RefCell<Option<BTreeSet<u64>>>,
    /// When this worker looks after its peers next (ns; 0: not set). It outlives the parks in between.
    pub(crate) look_at: Cell<u64>,
    /// Free memory for task cells.
    pub(crate) pool: Pool,
    /// Free receive buffers.
    pub(crate) buffers: crate::io::Buffers,
    /// Stacks of coroutines.
    #[cfg(feature = "coro")]
    pub(crate) stacks: crate::coro::Pool,
    /// Turns left until the next look outside.
    pub(crate) until_look: Cell<u32>,
    /// Turns left until inbox and injector come first.
    pub(crate) until_far: Cell<u32>,
    /// Which of the two came first last time.
    pub(crate) inbox_first: Cell<bool>,
    /// LIFO polls in a row.
    pub(crate) lifo_run: Cell<u32>,
    /// This worker counts as a searcher.
    pub(crate) searching: Cell<bool>,
    /// What it has to offer to the others.
    pub(crate) offer: Cell<Offer>,
    /// How busy it is.
    pub(crate) busy: Cell<Busy>,
    /// No task was polled since the last park.
    pub(crate) fresh: Cell<bool>,
    /// Watch looks in a row that found nothing to do.
    pub(crate) quiet: Cell<u32>,
    /// The last watch look served an overdue peer.
    pub(crate) serving: Cell<bool>,
    /// The peers' beats at the last watch look, and when a look saw each first (ns).
    pub(crate) beats: RefCell<Vec<(u64, u64)>>,
    /// Task numbers of this seat's own block: next, end.
    pub(crate) ids: Cell<(u64, u64)>,
    /// Pinned tasks of this seat that are not complete.
    pub(crate) pinned: Cell<usize>,
    pub(crate) random: Cell<u64>,
    /// When the first thing was staged in this turn (ns; 0: nothing was).
    pub(crate) staged_since: Cell<u64>,
    /// Who waits for the end of this turn.
    pub(crate) drained: Cell<Vec<Waker>>,
    /// Those of the last turn are being woken: what they ask for in their turn waits for the next commit, not for none.
    pub(crate) waking_drained: Cell<bool>,
    /// The buffer of commits, kept for its capacity.
    pub(crate) committing: Cell<Vec<Weak<dyn Staged>>>,
    /// Buffers of looks, kept for their capacity.
    pub(crate) completions: Cell<Vec<Completion>>,
    pub(crate) fired: Cell<super::look::Fired>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// The clock is read around polls: see `measure`.
    pub(crate) clocked: bool,
    /// The last reading (ns), if nothing took time since; else 0.
    pub(crate) now: Cell<u64>,
    /// Numbers of places that spawn, for the recorder.
    pub(crate) sites: RefCell<Seen>,
    /// When the last park began (ns), if the clock is read.
    pub(crate) parked_at: Cell<u64>,
    /// The last park was ended by a token.
    pub(crate) woken: Cell<bool>,
}

impl Core {
    /// The next number of the seat's random stream (splitmix64; Steele, Lea, Flood 2014).
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// For the flight recorder, if it is on.
    #[inline]
    pub(crate) fn record(&self, event: &Event) {
        if let Some(recorder) = &self.recorder {
            recorder.push(event);
        }
    }

    /// For the checkers and the flight recorder.
    #[inline]
    pub(crate) fn emit(&self, event: Event) {
        sync::observe(&event);
        self.record(&event);
    }
}
