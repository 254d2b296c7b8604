//! Times in buckets whose bounds double: written by one worker, read by anybody.

use std::time::Duration;

use crate::sync::Counter;

/// Bounded buckets: up to 1 µs, 2 µs, 4 µs and so on to 2.1 s; one more takes what is longer.
const BOUNDED: usize = 22;

/// The buckets of one worker.
#[derive(Debug)]
pub(crate) struct Buckets {
    counts: [Counter; BOUNDED + 1],
    sum: Counter,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { counts: [const { Counter::new(0) }; BOUNDED + 1], sum: Counter::new(0) }
    }
}

impl Buckets {
    /// Counts a time in nanoseconds; for the one writing thread.
    #[inline]
    pub(crate) fn add(&self, ns: u64) {
        // The first bound that is not below it: microseconds, rounded up, to the next power of two.
        let bits = u64::BITS - (ns.saturating_sub(1) / 1_000).leading_zeros();
        self.counts[(bits as usize).min(BOUNDED)].add(1);
        self.sum.add(ns);
    }

    /// What was counted so far is added to `into`.
    pub(crate) fn add_to(&self, into: &mut Histogram) {
        for (sum, count) in into.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        into.sum += Duration::from_nanos(self.sum.get());
    }
}

/// How often times of which length were seen. A bucket's bound is twice the one before.
///
/// ```
/// let empty = pirn::observe::Histogram::default();
/// assert_eq!((empty.count(), empty.quantile(0.99)), (0, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    sum: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BOUNDED + 1], sum: Duration::ZERO }
    }
}

impl Histogram {
    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The bound of each bucket (a time that equals it counts there; `None`: longer than all bounds) with its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bound = |at: usize| (at < BOUNDED).then(|| Duration::from_micros(1 << at));
        self.counts.iter().enumerate().map(move |(at, count)| (bound(at), *count))
    }

    /// A bound that this part (0 to 1) of the times does not exceed, at most twice as long as need be. `None` when nothing
    /// was counted, or when it lies above all bounds.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = |(_, count): &(_, u64)| {
            seen += count;
            seen >= wanted
        };
        self.buckets().find(reached).and_then(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lands_in_the_first_bucket_that_holds_it() {
        let buckets = Buckets::default();
        let times = [0, 1, 1_000, 1_001, 2_000, 2_001, 4_000, 2_097_152_000, 2_097_152_001, u64::MAX / 2];
        times.iter().for_each(|ns| buckets.add(*ns));
        let mut histogram = Histogram::default();
        buckets.add_to(&mut histogram);
        let counts: Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!((&counts[..3], counts[BOUNDED - 1], counts[BOUNDED]), (&[3, 2, 2][..], 1, 2));
        assert_eq!(histogram.count(), times.len() as u64);
        for (ns, at) in [(1_000, 0), (1_500, 1), (3_999, 2)] {
            let bound = histogram.buckets().nth(at).and_then(|(bound, _)| bound);
            assert!(bound >= Some(Duration::from_nanos(ns)), "{ns} ns in the bucket up to {bound:?}");
        }
        assert_eq!(histogram.quantile(0.3), Some(Duration::from_micros(1)));
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_micros(2)));
        assert_eq!(histogram.quantile(1.0), None);
    }
}
