//! A set of thread numbers, as bits.

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    words: Vec<u64>,
    count: u32,
    /// Counts its changes.
    version: u32,
}

/// For `except`: nobody.
pub(crate) const NOBODY: u32 = u32::MAX;

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
        self.version = self.version.wrapping_add(1);
        absent
    }

    /// Removes `n`; whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, n: u32) -> bool {
        let there = self.contains(n);
        if there {
            self.words[n as usize / 64] &= !(1 << (n % 64));
            self.count -= 1;
            self.version = self.version.wrapping_add(1);
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
            self.version = self.version.wrapping_add(1);
        }
    }

    /// Grows with each change.
    #[inline]
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    #[inline]
    fn word(&self, at: usize, without: &Self, except: u32) -> u64 {
        let mut word = self.words[at] & !without.words.get(at).copied().unwrap_or(0);
        if except as usize / 64 == at {
            word &= !(1 << (except % 64));
        }
        word
    }

    /// How many are in it, not in `without` and not `except`.
    #[inline]
    pub(crate) fn count_but(&self, without: &Self, except: u32) -> u32 {
        if without.count == 0 {
            return self.count - u32::from(self.contains(except));
        }
        (0..self.words.len()).map(|at| self.word(at, without, except).count_ones()).sum()
    }

    /// The `n`-th smallest of those.
    #[inline]
    pub(crate) fn nth_but(&self, without: &Self, except: u32, mut n: u32) -> Option<u32> {
        for at in 0..self.words.len() {
            match select(self.word(at, without, except), n) {
                Ok(bit) => return Some(at as u32 * 64 + bit),
                Err(ones) => n -= ones,
            }
        }
        None
    }

    /// How many of those are smaller than `n`.
    pub(crate) fn rank_but(&self, without: &Self, except: u32, n: u32) -> u32 {
        let mut rank = 0;
        for at in 0..self.words.len().min(n as usize / 64 + 1) {
            let mut word = self.word(at, without, except);
            if at == n as usize / 64 {
                word &= (1 << (n % 64)) - 1;
            }
            rank += word.count_ones();
        }
        rank
    }

    /// Calls `f` with each of those, in order.
    #[inline]
    pub(crate) fn each_but(&self, without: &Self, except: u32, mut f: impl FnMut(u32)) {
        for at in 0..self.words.len() {
            let mut word = self.word(at, without, except);
            while word != 0 {
                f(at as u32 * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    }

    /// A hash of those.
    #[inline]
    pub(crate) fn hash_but(&self, without: &Self, except: u32) -> u64 {
        let mut hash = 0;
        for at in 0..self.words.len() {
            let word = self.word(at, without, except);
            if word != 0 {
                hash = crate::rng::mix(hash ^ at as u64, word);
            }
        }
        hash
    }
}

/// A one in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// The place of the `n`-th lowest one of `word`, or how many ones it has. Without a branch that could be mispredicted (Vigna, 2008): sums of ones up to each byte,
/// all compared with `n` at once, then halves of the byte.
#[inline]
fn select(word: u64, n: u32) -> Result<u32, u32> {
    let pairs = word - ((word >> 1) & (EACH * 0x55));
    let fours = (pairs & (EACH * 0x33)) + ((pairs >> 2) & (EACH * 0x33));
    let sums = ((fours + (fours >> 4)) & (EACH * 0x0f)).wrapping_mul(EACH);
    let ones = (sums >> 56) as u32;
    if n >= ones {
        return Err(ones);
    }
    let passed = ((EACH * 0x80) | (EACH * u64::from(n))) - sums;
    let byte = ((passed >> 7) & EACH).wrapping_mul(EACH) >> 56;
    let mut at = 8 * byte;
    let mut left = u64::from(n) - ((sums << 8) >> at & 0xff);
    for (counts, width) in [(fours, 4), (pairs, 2), (word, 1)] {
        let ones = counts >> at & ((1 << width) - 1);
        let beyond = u64::from(left >= ones);
        left -= ones * beyond;
        at += width * beyond;
    }
    Ok(at as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_ranks_agree_with_a_list() {
        let mut set = Set::default();
        let mut without = Set::default();
        for n in [1, 5, 7, 63, 64, 130] {
            assert!(set.insert(n));
        }
        assert!(!set.insert(5));
        without.insert(63);
        without.insert(400);
        let list = [1, 5, 64, 130];
        assert_eq!(set.count(), 6);
        assert_eq!(set.count_but(&Set::default(), 7), 5);
        assert_eq!(set.count_but(&without, 7), 4);
        assert_eq!(set.count_but(&without, NOBODY), 5);
        for (rank, &n) in list.iter().enumerate() {
            assert_eq!(set.nth_but(&without, 7, rank as u32), Some(n));
            assert_eq!(set.rank_but(&without, 7, n), rank as u32);
        }
        assert_eq!(set.nth_but(&without, 7, 4), None);
        assert_eq!(set.rank_but(&without, 7, 1000), 4);
        let mut seen = Vec::new();
        set.each_but(&without, 7, |n| seen.push(n));
        assert_eq!(seen, list);
        assert!(set.remove(64) && !set.remove(64) && !set.contains(64));
        assert_eq!(set.count(), 5);
    }

    #[test]
    fn selected_bits_are_those_of_a_walk() {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..2_000 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = [word, word & (word >> 7) & (word << 9), u64::MAX, 0, 1 << (round % 64)][round % 5];
            let ones: Vec<u32> = (0..64).filter(|bit| word >> bit & 1 == 1).collect();
            for (n, &bit) in (0..).zip(&ones) {
                assert_eq!(select(word, n), Ok(bit), "{word:#x}");
            }
            for beyond in [0, 1, 64, 300] {
                assert_eq!(select(word, ones.len() as u32 + beyond), Err(ones.len() as u32), "{word:#x}");
            }
        }
    }

    #[test]
    fn the_hash_does_not_depend_on_room() {
        let mut a = Set::default();
        let mut b = Set::default();
        a.insert(3);
        b.insert(300);
        b.insert(3);
        b.remove(300);
        assert_eq!(a.hash_but(&Set::default(), NOBODY), b.hash_but(&Set::default(), NOBODY));
    }
}
