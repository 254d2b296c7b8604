//! Cache lines: who has one, who wants one, and until when it is on its way.
//!
//! A line is the word of one atomic or lock, found by its address while that lives. Addresses are looked up and nothing else, and they
//! are forgotten when the word goes, so a run does not depend on where memory lies.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::memory::Spread;

/// Threads that a line tells apart; more share bits.
const SHARERS: usize = 512;

#[derive(Debug)]
struct Line {
    owner: u32,
    /// Who has an up-to-date copy, the owner included.
    sharers: [u64; SHARERS / 64],
    /// It is on its way until then, in picoseconds.
    busy_until: u64,
}

fn bit(thread: u32) -> (usize, u64) {
    let at = thread as usize % SHARERS;
    (at / 64, 1 << (at % 64))
}

impl Line {
    fn of(thread: u32) -> Self {
        let mut line = Self { owner: thread, sharers: [0; SHARERS / 64], busy_until: 0 };
        line.take(thread);
        line
    }

    fn has(&self, thread: u32) -> bool {
        let (word, bit) = bit(thread);
        self.sharers[word] & bit != 0
    }

    fn share(&mut self, thread: u32) {
        let (word, bit) = bit(thread);
        self.sharers[word] |= bit;
    }

    fn take(&mut self, thread: u32) {
        self.owner = thread;
        self.sharers = [0; SHARERS / 64];
        self.share(thread);
    }

    fn is_alone(&self, thread: u32) -> bool {
        let (word, bit) = bit(thread);
        let others = |(at, sharers): (usize, &u64)| *sharers == if at == word { bit } else { 0 };
        self.sharers.iter().enumerate().all(others)
    }
}

/// What is done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Load,
    /// Does not wait.
    Store,
    /// A read-modify-write.
    Change,
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<usize, Line, BuildHasherDefault<Spread>>);

impl Lines {
    /// What a thread waits for the line, in picoseconds, if it uses it at `now`; a transfer takes what `transfer` says for its last owner.
    pub(super) fn wait(
        &mut self,
        address: usize,
        thread: u32,
        how: Use,
        now: u64,
        transfer: impl FnOnce(u32) -> u64,
    ) -> u64 {
        let Some(line) = self.0.get_mut(&address) else {
            self.0.insert(address, Line::of(thread));
            return 0;
        };
        let ready = match how {
            Use::Load => line.has(thread),
            Use::Store | Use::Change => line.owner == thread && line.is_alone(thread),
        };
        if ready {
            return 0;
        }
        let done = line.busy_until.max(now) + transfer(line.owner);
        line.busy_until = done;
        match how {
            Use::Load => line.share(thread),
            Use::Store | Use::Change => line.take(thread),
        }
        if how == Use::Store { 0 } else { done - now }
    }

    /// The words in these bytes are gone.
    pub(super) fn forget(&mut self, address: usize, bytes: usize) {
        if bytes <= 8 {
            self.0.remove(&address);
            return;
        }
        for word in (address..address + bytes).step_by(4) {
            self.0.remove(&word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_moves_to_who_writes_and_is_shared_by_who_reads() {
        let mut lines = Lines::default();
        let mut use_at = |thread, how, now| lines.wait(64, thread, how, now, |_| 100);
        assert_eq!(use_at(0, Use::Change, 0), 0, "a new line is its first user's");
        assert_eq!(use_at(1, Use::Load, 10), 100);
        assert_eq!(use_at(1, Use::Load, 500), 0, "it has a copy");
        assert_eq!(use_at(0, Use::Change, 600), 100, "the copy has to go");
        assert_eq!(use_at(0, Use::Change, 700), 0);
        assert_eq!(use_at(1, Use::Store, 800), 0, "a store does not wait");
        assert_eq!(use_at(0, Use::Change, 850), 150, "but the line is under way");
    }

    #[test]
    fn who_comes_together_queues() {
        let mut lines = Lines::default();
        let waits: Vec<_> = (0..4).map(|thread| lines.wait(8, thread, Use::Change, 1_000, |_| 100)).collect();
        assert_eq!(waits, [0, 100, 200, 300]);
        lines.forget(0, 64);
        assert_eq!(lines.wait(8, 9, Use::Change, 1_000, |_| 100), 0);
    }
}
