//! Work: a loop of a known length. It takes the same number of instructions however often its thread is interrupted, as real work does.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Turns of the loop in a nanosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spin(f64);

impl Spin {
    /// Measures the loop: the fastest of some short runs, because interruptions only slow it down.
    pub(crate) fn measure() -> Self {
        const TURNS: u64 = 200_000;
        let run = || {
            let started = Instant::now();
            turn(TURNS);
            started.elapsed().as_nanos() as f64
        };
        let best = (0..40).map(|_| run()).fold(f64::MAX, f64::min);
        Self(TURNS as f64 / best.max(1.0))
    }

    /// Works for so long, on a CPU of one's own.
    pub(crate) fn work(self, span: Duration) {
        turn((span.as_nanos() as f64 * self.0) as u64);
    }
}

/// Each step needs the one before.
fn turn(turns: u64) {
    let mut x = black_box(1_u64);
    for _ in 0..turns {
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    }
    black_box(x);
}
