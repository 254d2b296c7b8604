//! Time: the clock's unit and the futures over the timer wheel.

pub use self::interval::{Interval, Missed, interval, interval_at};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, Timeout, timeout, timeout_at};

mod interval;
mod sleep;
mod timeout;

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use crate::sched;

/// A moment of a runtime's monotonic clock, in nanoseconds. Live it counts from the start of the process, simulated from the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Now, by the clock of the current runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn now() -> Self {
        sched::with_context(|cx| cx.map(|cx| cx.shared.os.now()))
            .expect("Instant::now: there is no Pirn runtime here; its clock may be a simulated one")
    }

    /// How long ago this was; zero if it is still to come.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// The moment `ns` nanoseconds after the clock's start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How much later than `earlier` this is; zero if it is not.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({}ns)", self.0)
    }
}

/// Saturates at the end of time (584 years).
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
