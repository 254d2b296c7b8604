//! Store buffers: total store order, as on x86.
//!
//! A store writes memory at once; the *old* value stays here for the other threads' loads until the store drains. So
//! nothing is ever written late, and freed memory is safe. Each location has at most one thread with pending stores: another
//! writer drains them first, which leaves out some legal executions and adds no illegal one.

use crate::choice::Kind;
use crate::world::World;

/// A store that others do not see yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    address: usize,
    old: u64,
    thread: u32,
}

/// The pending stores of all threads, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pending: Vec<Pending>,
    /// How many pending stores each thread has.
    depth: Vec<u32>,
}

/// A buffer holds no more than this; the oldest store drains for the next. Real ones hold about 50: the bound limits time, not effects.
const DEPTH: u32 = 24;

impl Buffers {
    /// Whether nothing is pending.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether `thread` has a pending store.
    #[inline]
    pub(crate) fn has(&self, thread: u32) -> bool {
        self.depth.get(thread as usize).is_some_and(|&depth| depth > 0)
    }

    /// How many threads have pending stores.
    pub(crate) fn threads(&self) -> u32 {
        self.depth.iter().filter(|&&depth| depth > 0).count() as u32
    }

    /// The `n`-th such thread.
    pub(crate) fn thread(&self, n: u32) -> Option<u32> {
        (0..self.depth.len() as u32).filter(|&thread| self.has(thread)).nth(n as usize)
    }

    /// What `thread` must read at `address`, if not memory.
    #[inline]
    pub(crate) fn load(&self, thread: u32, address: usize) -> Option<u64> {
        let first = self.pending.iter().find(|store| store.address == address)?;
        (first.thread != thread).then_some(first.old)
    }

    /// `thread` stored over `old`, and the store waits.
    pub(crate) fn store(&mut self, thread: u32, address: usize, old: u64) {
        self.others_drain(thread, address);
        if self.depth.len() <= thread as usize {
            self.depth.resize(thread as usize + 1, 0);
        }
        if self.depth[thread as usize] >= DEPTH {
            self.drain_oldest(thread);
        }
        self.depth[thread as usize] += 1;
        self.pending.push(Pending { address, old, thread });
    }

    /// Drains what others have pending at `address`, and what they stored before that.
    pub(crate) fn others_drain(&mut self, thread: u32, address: usize) {
        while let Some(last) =
            self.pending.iter().rposition(|store| store.address == address && store.thread != thread)
        {
            let other = self.pending[last].thread;
            self.drain_through(other, last);
        }
    }

    /// Drains all of `thread`.
    #[inline]
    pub(crate) fn drain(&mut self, thread: u32) {
        if self.has(thread) {
            self.depth[thread as usize] = 0;
            self.pending.retain(|store| store.thread != thread);
        }
    }

    /// Drains the oldest store of `thread`.
    pub(crate) fn drain_oldest(&mut self, thread: u32) {
        if let Some(at) = self.pending.iter().position(|store| store.thread == thread) {
            self.pending.remove(at);
            self.depth[thread as usize] -= 1;
        }
    }

    /// The location ends: what is pending there drains, with what was stored before it.
    #[inline]
    pub(crate) fn forget(&mut self, address: usize) {
        while let Some(last) = self.pending.iter().rposition(|store| store.address == address) {
            let thread = self.pending[last].thread;
            self.drain_through(thread, last);
        }
    }

    /// Drains the stores of `thread` up to index `last`.
    fn drain_through(&mut self, thread: u32, last: usize) {
        let mut at = 0;
        let mut drained = 0;
        self.pending.retain(|store| {
            let drains = at <= last && store.thread == thread;
            at += 1;
            drained += u32::from(drains);
            !drains
        });
        self.depth[thread as usize] -= drained;
    }

    /// Empties all.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.depth.clear();
    }
}

impl World {
    /// Perhaps drains somebody's oldest store at a point.
    #[cold]
    #[inline(never)]
    pub(crate) fn maybe_drain(&mut self) {
        let options = 1 + self.tso.threads();
        let rank = self.rarely(Kind::Drain, options, self.options.tso_drain);
        if rank > 0
            && let Some(thread) = self.tso.thread(rank - 1)
        {
            self.tso.drain_oldest(thread);
        }
    }

    /// The running thread stored over `old`.
    pub(crate) fn stored(&mut self, address: usize, old: u64) {
        let me = self.current;
        if self.tso.has(me) || self.rarely(Kind::Hold, 2, self.options.tso_hold) != 0 {
            self.tso.store(me, address, old);
        } else {
            self.tso.others_drain(me, address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_the_old_value_until_the_store_drains() {
        let mut buffers = Buffers::default();
        buffers.store(0, 8, 10);
        buffers.store(0, 8, 11);
        buffers.store(0, 16, 20);
        assert_eq!(buffers.load(0, 8), None);
        assert_eq!(buffers.load(1, 8), Some(10));
        buffers.drain_oldest(0);
        assert_eq!(buffers.load(1, 8), Some(11));
        assert_eq!(buffers.load(1, 16), Some(20));
        buffers.drain(0);
        assert!(buffers.is_empty() && buffers.load(1, 16).is_none());
    }

    #[test]
    fn stores_drain_in_order() {
        let mut buffers = Buffers::default();
        buffers.store(0, 8, 1);
        buffers.store(0, 16, 2);
        buffers.store(0, 24, 3);
        buffers.store(1, 32, 4);
        // Somebody's read-modify-write of 16 drains what thread 0 stored up to there, and no more.
        buffers.others_drain(1, 16);
        assert_eq!(buffers.load(1, 8), None);
        assert_eq!(buffers.load(1, 16), None);
        assert_eq!(buffers.load(1, 24), Some(3));
        assert_eq!(buffers.load(0, 32), Some(4));
        assert_eq!(buffers.threads(), 2);
        buffers.forget(24);
        assert!(!buffers.has(0) && buffers.has(1));
    }

    #[test]
    fn a_second_writer_drains_the_first() {
        let mut buffers = Buffers::default();
        buffers.store(0, 8, 1);
        buffers.store(1, 8, 2);
        assert_eq!(buffers.load(0, 8), Some(2));
        assert_eq!(buffers.load(1, 8), None);
        assert!(!buffers.has(0));
    }

    #[test]
    fn a_buffer_is_bounded() {
        let mut buffers = Buffers::default();
        for n in 0..100 {
            buffers.store(0, n * 8, 0);
        }
        assert_eq!(buffers.pending.len(), DEPTH as usize);
        assert_eq!(buffers.load(1, 0), None);
        assert_eq!(buffers.load(1, 99 * 8), Some(0));
    }
}
