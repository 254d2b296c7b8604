//! How busy a worker is: its time at work, less a multiple of its time asleep; and how long its polls take.
//!
//! A worker that has had more to do than it can for as long as it would keep one look's tasks (`share_delay`) needs help, however short
//! each backlog is: those of many looks make up one long one. The time counts only from where a look brought more than one task, so a worker whose
//! events come one by one reads no clock for it, and forgets it as soon as it has slept enough.

/// How many times over a wait counts: whoever sleeps for a fifth of the time is not busy.
const REST: u64 = 4;
/// So much of it is remembered at most, in times `share_delay`: a few short waits are enough to forget it.
const MEMORY: u64 = 2;

/// See the module. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Busy {
    /// At work, without having made up for it by sleep.
    worked: u64,
    /// Until when that was counted; 0: nothing is counted.
    counted: u64,
    /// The seat's beat then.
    beat: u64,
    /// How long a poll takes (a running mean), with its share of looks.
    pace: u64,
}

impl Busy {
    /// The worker has been at work until now: counts it, from now on if nothing is counted yet.
    pub(crate) fn worked(&mut self, now: u64, beat: u64, delay: u64) {
        let (since, polls) = (self.counted, beat.wrapping_sub(self.beat) / 2);
        (self.counted, self.beat) = (now, beat);
        if since == 0 {
            return;
        }
        let span = now.saturating_sub(since);
        self.worked = self.worked.saturating_add(span).min(delay.saturating_mul(MEMORY));
        if let Some(sample) = span.checked_div(polls) {
            // By a quarter at most: a sample holds the time in which the thread did not run, too.
            let step = self.pace / 4 + 64;
            self.pace = sample.clamp(self.pace.saturating_sub(step), self.pace + step);
        }
    }

    /// It has been asleep until now.
    pub(crate) fn slept(&mut self, now: u64) {
        let rest = now.saturating_sub(self.counted).saturating_mul(REST);
        self.worked = self.worked.saturating_sub(rest);
        self.counted = if self.worked == 0 { 0 } else { now };
    }

    /// Begins anew, but for the pace.
    pub(crate) fn forget(&mut self) {
        (self.worked, self.counted) = (0, 0);
    }

    /// Whether anything is counted.
    pub(crate) fn counts(&self) -> bool {
        self.counted != 0
    }

    /// How long so many polls would take.
    pub(crate) fn time_for(&self, polls: usize) -> u64 {
        self.pace.saturating_mul(polls as u64)
    }

    /// Whether it has been at work for `delay`.
    pub(crate) fn is_busy(&self, delay: u64) -> bool {
        self.worked >= delay
    }
}
