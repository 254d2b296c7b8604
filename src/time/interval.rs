//! Moments at a fixed distance.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Duration;

use super::{Instant, Sleep, sleep_until};

/// Ticks now and then every `period`.
///
/// # Panics
/// Outside of a runtime, and for a period of zero.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let mut ticks = pirn::time::interval(std::time::Duration::from_millis(1));
/// for _ in 0..3 {
///     ticks.tick().await;
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `first` and then every `period`.
///
/// # Panics
/// For a period of zero.
#[track_caller]
pub fn interval_at(first: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "interval: the period must be above zero");
    Interval { sleep: sleep_until(first), period, missed: Missed::Burst }
}

/// What happens to ticks that nobody awaited in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They come at once, until the schedule is met again.
    #[default]
    Burst,
    /// They are left out; the schedule stays.
    Skip,
    /// The next one comes a period after the late one.
    Delay,
}

/// See [`interval`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: Missed,
}

impl Interval {
    /// Chooses what happens to missed ticks.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick and returns when it was due. Cancel-safe: a dropped wait loses no tick.
    pub async fn tick(&mut self) -> Instant {
        core::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// The same as a poll.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let due = self.sleep.deadline();
        let now = Instant::now();
        let next = due + self.period;
        self.sleep.reset(match self.missed {
            _ if next > now => next,
            Missed::Burst => next,
            Missed::Delay => now + self.period,
            Missed::Skip => {
                let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
                let behind = (now - due).as_nanos() as u64 / period;
                due + Duration::from_nanos(period.saturating_mul(behind + 1))
            }
        });
        Poll::Ready(due)
    }
}
