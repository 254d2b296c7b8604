//! The two counts of the sleep protocol in one word.

use crate::sync::{AtomicU64, Ordering};

/// How many workers are among the sleepers, and how many search for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Workers in the list of sleepers.
    pub(super) parked: u32,
    /// Workers in the searching state.
    pub(super) searching: u32,
}

const PARKED: u64 = 1 << 32;
const SEARCHING: u64 = 1;

impl Counts {
    fn unpack(word: u64) -> Self {
        Self { parked: (word >> 32) as u32, searching: word as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.parked) << 32 | u64::from(self.searching)
    }

    /// Whether a push now should wake somebody: there is somebody, and nobody searches.
    fn wants_wake(self) -> bool {
        self.searching == 0 && self.parked > 0
    }
}

/// The word itself. `parked` changes only under the sleepers' lock.
///
/// Every change is a read-modify-write with AcqRel: they form one release sequence, so who sees a later value sees what came
/// before the earlier ones. The store-load order against the queues is made by fences beside the calls (N1, S3), not here.
pub(super) struct CountsWord(AtomicU64);

impl CountsWord {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A look without order; a fence before it makes it N2.
    #[inline]
    pub(super) fn look(&self) -> Counts {
        Counts::unpack(self.0.load(Ordering::Relaxed))
    }

    /// N2: whether a push now should wake somebody.
    #[inline]
    pub(super) fn wants_wake(&self) -> bool {
        self.look().wants_wake()
    }

    /// Under the lock. Takes one sleeper off and makes it a searcher, unless somebody searches already.
    pub(super) fn take_sleeper(&self) -> Option<Counts> {
        self.change(|now| {
            now.wants_wake().then(|| Counts { parked: now.parked - 1, searching: now.searching + 1 })
        })
    }

    /// One more searcher, if they stay at most `limit`.
    pub(super) fn begin_search(&self, limit: u32) -> Option<Counts> {
        self.change(|now| (now.searching < limit).then(|| Counts { searching: now.searching + 1, ..now }))
    }

    /// One searcher less; the counts after it.
    pub(super) fn end_search(&self) -> Counts {
        let old = Counts::unpack(self.0.fetch_sub(SEARCHING, Ordering::AcqRel));
        debug_assert!(old.searching > 0, "a worker ends a search that nobody began");
        Counts { searching: old.searching - 1, ..old }
    }

    /// Under the lock. One sleeper more and, if it searched, one searcher less, in one step; the counts after it.
    pub(super) fn join(&self, searching: bool) -> Counts {
        let by = if searching { PARKED - SEARCHING } else { PARKED };
        let old = Counts::unpack(self.0.fetch_add(by, Ordering::AcqRel));
        debug_assert!(!searching || old.searching > 0, "a worker ends a search that nobody began");
        Counts { parked: old.parked + 1, searching: old.searching - u32::from(searching) }
    }

    /// Under the lock. One sleeper less; the counts after it.
    pub(super) fn leave(&self) -> Counts {
        let old = Counts::unpack(self.0.fetch_sub(PARKED, Ordering::AcqRel));
        debug_assert!(old.parked > 0, "a worker leaves the sleepers and none was counted");
        Counts { parked: old.parked - 1, ..old }
    }

    fn change(&self, to: impl Fn(Counts) -> Option<Counts>) -> Option<Counts> {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let next = to(Counts::unpack(now))?;
            match self.0.compare_exchange_weak(now, next.pack(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(other) => now = other,
            }
        }
    }
}
