//! A small random stream (splitmix64) and the mixing function behind digests and offer hashes.

/// A stream of random numbers from one seed. Its output is part of the trace format: never change it.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

/// A certainty of [`Rng::chance`].
pub(crate) const ALWAYS: u32 = 1000;

impl Rng {
    /// The stream of `seed`; `salt` keeps streams of one seed apart.
    pub(crate) fn new(seed: u64, salt: u64) -> Self {
        Self(mix(mix(0x5049_524e, seed), salt))
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.0)
    }

    /// A number below `n` (0 if `n` is 0).
    #[inline]
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next() as u32) * u64::from(n)) >> 32) as u32
    }

    /// True in `permille` of 1000 cases.
    #[inline]
    pub(crate) fn chance(&mut self, permille: u32) -> bool {
        self.below(ALWAYS) < permille
    }

    /// One of `list`.
    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u32) as usize]
    }

    /// How often in a row something of chance `permille` happens before it does not.
    #[inline]
    pub(crate) fn run_length(&mut self, permille: u32) -> u32 {
        if permille >= ALWAYS {
            return u32::MAX;
        }
        let mut length = 0;
        while self.chance(permille) {
            length += 1;
        }
        length
    }
}

#[inline]
fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `hash` with `value` mixed in. Part of the trace format.
#[inline]
pub(crate) fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// A hash of bytes, by the same mixing.
pub(crate) fn mix_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    mix(hash, bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_part_of_the_trace_format() {
        let mut rng = Rng::new(1, 2);
        let first: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        let mut again = Rng::new(1, 2);
        assert_eq!(first, (0..3).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::new(2, 2).next());
        assert_ne!(first[0], Rng::new(1, 3).next());
    }

    #[test]
    fn below_reaches_all_and_nothing_else() {
        let mut rng = Rng::new(7, 0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[rng.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 120), "{seen:?}");
        assert_eq!(rng.below(1), 0);
    }
}
