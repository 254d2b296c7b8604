//! Waiting for a moment.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Duration;

use super::Instant;
use crate::sched::{self, Armed, Near};

const ENDED: &str = "a sleep cannot end: its runtime was shut down, and nobody runs its timers any more";

/// Waits for at least `span` from now, and rarely longer than a fraction of a millisecond more.
///
/// # Panics
/// Outside of a runtime.
///
/// ```
/// # pirn::Runtime::new()?.block_on(async {
/// let start = pirn::time::Instant::now();
/// pirn::time::sleep(std::time::Duration::from_millis(2)).await;
/// assert!(start.elapsed().as_millis() >= 2);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn sleep(span: Duration) -> Sleep {
    sleep_until(Instant::now() + span)
}

/// Waits until `deadline`; ready at once if it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, armed: None, armed_for: deadline }
}

/// The future of [`sleep`]. Armed at its first poll; dropping it disarms the timer.
///
/// Polled by a thread that outlives the runtime (a guest's block_on), it panics when the runtime shuts down: it would
/// never be ready.
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    armed: Option<(Near, Armed)>,
    /// The deadline it is armed for: the one of now, or an earlier one.
    armed_for: Instant,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sets another end; counts from the next poll. May be called after the sleep was ready, for another round.
    ///
    /// To put it off costs next to nothing, so that a limit may be set anew for each of many requests: the timer stays as it is, and if it
    /// fires, the task is woken once for nothing and arms it for the later end.
    pub fn reset(&mut self, deadline: Instant) {
        if deadline < self.armed_for {
            self.disarm();
        }
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        if let Some((shared, armed)) = self.armed.take() {
            shared.timer_cancel(armed);
        }
    }
}

impl core::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Sleep(until {:?}, {})",
            self.deadline,
            if self.armed.is_some() { "armed" } else { "not armed" }
        )
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some((shared, armed)) = &this.armed {
            if shared.timer_poll(*armed, cx.waker()).is_pending() {
                return Poll::Pending;
            }
            let early = shared.os.now() < this.deadline;
            if early && shared.exit.is_closing() {
                panic!("{ENDED}");
            }
            this.armed = None;
            if !early {
                return Poll::Ready(());
            }
            // It was put off: armed anew, here.
        }
        // Cloned, and dropped if it is not needed, where nothing of the worker is borrowed: that is foreign code.
        let mut waker = Some(cx.waker().clone());
        sched::with_context(|context| {
            let context = context.expect(
                "a sleep was polled where there is no Pirn runtime: poll it inside block_on or a task",
            );
            let shared = &context.shared;
            if shared.os.now() < this.deadline
                && let Some(waker) = waker.take()
            {
                let armed = shared.timer_arm(this.deadline, waker);
                this.armed = Some((context.near(), armed));
                this.armed_for = this.deadline;
            }
            if this.armed.is_none() {
                return Poll::Ready(());
            }
            // After the arming: a shutdown that is not seen here finds the timer on its wheel.
            if shared.exit.is_closing() && context.seat.is_none() {
                panic!("{ENDED}");
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
