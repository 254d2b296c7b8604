//! A set of thread numbers, as bits.

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    words: Vec<u64>,
    count: u32,
}

impl Set {
    /// Adds `n`; whether it was absent.
    #[inline]
    pub(crate) fn insert(&mut self, n: u32) -> bool {
        let (word, bit) = (n as usize / 64, 1 << (n % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let absent = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u32::from(absent);
        absent
    }

    /// Removes `n`; whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, n: u32) -> bool {
        let there = self.contains(n);
        if there {
            self.words[n as usize / 64] &= !(1 << (n % 64));
            self.count -= 1;
        }
        there
    }

    /// Whether `n` is in it.
    #[inline]
    pub(crate) fn contains(&self, n: u32) -> bool {
        self.words.get(n as usize / 64).is_some_and(|word| word & (1 << (n % 64)) != 0)
    }

    /// How many are in it.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Empties it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.count > 0 {
            self.words.fill(0);
            self.count = 0;
        }
    }

    #[inline]
    fn word_without(&self, at: usize, without: &Self) -> u64 {
        self.words[at] & !without.words.get(at).copied().unwrap_or(0)
    }

    /// How many are in it and not in `without`.
    #[inline]
    pub(crate) fn count_without(&self, without: &Self) -> u32 {
        (0..self.words.len()).map(|at| self.word_without(at, without).count_ones()).sum()
    }

    /// The `n`-th smallest that is not in `without`.
    #[inline]
    pub(crate) fn nth_without(&self, without: &Self, mut n: u32) -> Option<u32> {
        for at in 0..self.words.len() {
            let mut word = self.word_without(at, without);
            let count = word.count_ones();
            if n < count {
                for _ in 0..n {
                    word &= word - 1;
                }
                return Some(at as u32 * 64 + word.trailing_zeros());
            }
            n -= count;
        }
        None
    }

    /// How many smaller than `n` are in it and not in `without`.
    pub(crate) fn rank_without(&self, without: &Self, n: u32) -> u32 {
        let mut rank = 0;
        for at in 0..self.words.len() {
            let mut word = self.word_without(at, without);
            if at == n as usize / 64 {
                word &= (1 << (n % 64)) - 1;
            } else if at > n as usize / 64 {
                break;
            }
            rank += word.count_ones();
        }
        rank
    }

    /// Calls `f` with each that is not in `without`, in order.
    #[inline]
    pub(crate) fn each_without(&self, without: &Self, mut f: impl FnMut(u32)) {
        for at in 0..self.words.len() {
            let mut word = self.word_without(at, without);
            while word != 0 {
                f(at as u32 * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    }

    /// A hash of its members that are not in `without`.
    #[inline]
    pub(crate) fn hash_without(&self, without: &Self) -> u64 {
        let mut hash = 0;
        for at in 0..self.words.len() {
            let word = self.word_without(at, without);
            if word != 0 {
                hash = crate::rng::mix(hash ^ at as u64, word);
            }
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_ranks_agree_with_a_list() {
        let mut set = Set::default();
        let mut without = Set::default();
        for n in [1, 5, 63, 64, 130] {
            assert!(set.insert(n));
        }
        assert!(!set.insert(5));
        without.insert(63);
        without.insert(400);
        let list = [1, 5, 64, 130];
        assert_eq!(set.count(), 5);
        assert_eq!(set.count_without(&without), 4);
        for (rank, &n) in list.iter().enumerate() {
            assert_eq!(set.nth_without(&without, rank as u32), Some(n));
            assert_eq!(set.rank_without(&without, n), rank as u32);
        }
        assert_eq!(set.nth_without(&without, 4), None);
        let mut seen = Vec::new();
        set.each_without(&without, |n| seen.push(n));
        assert_eq!(seen, list);
        assert!(set.remove(64) && !set.remove(64) && !set.contains(64));
        assert_eq!(set.count(), 4);
    }

    #[test]
    fn the_hash_does_not_depend_on_room() {
        let mut a = Set::default();
        let mut b = Set::default();
        a.insert(3);
        b.insert(300);
        b.insert(3);
        b.remove(300);
        assert_eq!(a.hash_without(&Set::default()), b.hash_without(&Set::default()));
    }
}
