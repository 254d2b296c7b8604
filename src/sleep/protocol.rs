//! The protocol's steps over counts, sleepers and park words.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::counts::{Counts, CountsWord};
use super::park::ParkWord;
use crate::sync::{Debt, Ghost, Mutex, Ordering, debt, fence, ghost};

/// Who sleeps among the workers of one group.
pub(crate) struct Sleep {
    /// The number of the first one.
    first: u32,
    counts: CountsWord,
    /// The sleepers, last in on top: the warmest is woken first. `len() == counts.parked` under the lock.
    sleepers: Mutex<Vec<u32>>,
    words: Box<[ParkWord]>,
}

/// How a worker got up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Up {
    /// By itself: it is off the sleepers and not a searcher.
    Own,
    /// Somebody took it off: it is a searcher now, and a token is in its park word or on its way there.
    Taken,
}

impl Sleep {
    /// These workers, all awake, none searching.
    pub(crate) fn new(workers: core::ops::Range<u32>) -> Self {
        Self {
            first: workers.start,
            counts: CountsWord::new(),
            sleepers: Mutex::new(Vec::with_capacity(workers.len())),
            words: workers.map(|_| ParkWord::new()).collect(),
        }
    }

    fn word(&self, worker: u32) -> &ParkWord {
        &self.words[(worker - self.first) as usize]
    }

    /// Called after work became visible. Some: that worker was taken off the sleepers, is a searcher now, and the caller owes it
    /// one token: [`deliver`](Self::deliver).
    #[inline]
    pub(crate) fn notify(&self) -> Option<u32> {
        // N1. Pairs with S3: either we see the sleeper's counts below, or it sees our work in its recheck.
        fence(Ordering::SeqCst);
        // N2.
        if self.counts.wants_wake() { self.take_sleeper() } else { None }
    }

    /// N3.
    #[cold]
    fn take_sleeper(&self) -> Option<u32> {
        let mut sleepers = self.sleepers.lock();
        let Counts { parked, searching } = self.counts.take_sleeper()?;
        let worker = sleepers.pop().expect("the count of parked workers differs from the list of sleepers");
        ghost(|| Ghost::SleepTaken { worker, parked, searching });
        debt(Debt::Token, 1);
        Some(worker)
    }

    /// N4. Pays the token owed since [`notify`](Self::notify). True: the worker was parked, interrupt its driver.
    pub(crate) fn deliver(&self, worker: u32) -> bool {
        let was_parked = self.word(worker).give(worker);
        debt(Debt::Token, -1);
        was_parked
    }

    /// K3. Gives a token that nobody owed: for a worker that must look at its inbox, a shutdown, the watch. It stays where it is
    /// among the sleepers and leaves them by itself. True: interrupt its driver.
    pub(crate) fn give_token(&self, worker: u32) -> bool {
        self.word(worker).give(worker)
    }

    /// Makes the worker a searcher; false if half of the workers (or one, if there are fewer than four) search already.
    pub(crate) fn try_search(&self, worker: u32) -> bool {
        let limit = (self.words.len() as u32 / 2).max(1);
        match self.counts.begin_search(limit) {
            Some(Counts { parked, searching }) => {
                ghost(|| Ghost::SearchBegin { worker, parked, searching });
                true
            }
            None => false,
        }
    }

    /// F1. A searcher found work and is none any more. True: it was the last one, and the caller must [`notify`](Self::notify):
    /// pushers relied on it.
    #[must_use]
    pub(crate) fn found_work(&self, worker: u32) -> bool {
        let Counts { parked, searching } = self.counts.end_search();
        ghost(|| Ghost::SearchEnd { worker, parked, searching });
        searching == 0
    }

    /// S1 to S3. The worker joins the sleepers and, if it was `searching`, is no searcher any more, in one step. True: nobody
    /// searches now, and the caller must recheck every source and then say [`recheck_done`](Self::recheck_done).
    #[must_use]
    pub(crate) fn fall_asleep(&self, worker: u32, searching: bool) -> bool {
        let must_recheck = self.join(worker, searching);
        // S3. Pairs with N1: see there.
        fence(Ordering::SeqCst);
        must_recheck
    }

    /// S1, S2.
    fn join(&self, worker: u32, searching: bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        debug_assert!(!sleepers.contains(&worker), "worker {worker} falls asleep twice");
        sleepers.push(worker);
        let after = self.counts.join(searching);
        if searching {
            ghost(|| Ghost::SearchEnd { worker, parked: after.parked - 1, searching: after.searching });
        }
        ghost(|| Ghost::SleepJoin { worker, parked: after.parked, searching: after.searching });
        if after.searching == 0 {
            debt(Debt::Recheck, 1);
        }
        after.searching == 0
    }

    /// S4. The recheck that `fall_asleep` asked for is done: nothing found, or the worker got up to take it.
    pub(crate) fn recheck_done(&self) {
        debt(Debt::Recheck, -1);
    }

    /// U1. The worker leaves the sleepers, whyever it woke up.
    pub(crate) fn get_up(&self, worker: u32) -> Up {
        let mut sleepers = self.sleepers.lock();
        let Some(at) = sleepers.iter().rposition(|&sleeper| sleeper == worker) else {
            return Up::Taken;
        };
        sleepers.remove(at);
        let Counts { parked, searching } = self.counts.leave();
        ghost(|| Ghost::SleepLeave { worker, parked, searching });
        Up::Own
    }

    /// K1. Right before the block. False: a token was there and is consumed; do not block.
    #[must_use]
    pub(crate) fn park_begin(&self, worker: u32) -> bool {
        self.word(worker).begin(worker)
    }

    /// K2. Right after the block. True: a token was consumed.
    pub(crate) fn park_end(&self, worker: u32) -> bool {
        self.word(worker).end(worker)
    }

    /// How many were parked and searching, some time ago.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let Counts { parked, searching } = self.counts.look();
        (parked, searching)
    }
}
