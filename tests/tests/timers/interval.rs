//! Intervals and what becomes of ticks that nobody awaited in time.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use pirn::Handle;
use pirn::time::{Instant, Missed, interval, interval_at};

use super::{HOUR, MS, armed};
use crate::support::{PATIENCE, runtime, text, within};

const PERIOD: Duration = Duration::from_millis(4);

#[test]
fn the_first_tick_comes_at_once_and_each_after_its_moment() {
    within(PATIENCE, || {
        runtime(2).block_on(async {
            let start = Instant::now();
            let mut ticks = interval(PERIOD);
            assert_eq!(ticks.period(), PERIOD);
            let first = ticks.tick().await;
            assert!(first >= start && first <= Instant::now());
            for number in 1..10 {
                // Late or not, a burst keeps the schedule.
                let due = ticks.tick().await;
                assert_eq!(due, first + number * PERIOD);
                assert!(Instant::now() >= due, "early");
            }
        });
    });
}

#[test]
fn missed_ticks() {
    within(PATIENCE, || {
        runtime(1).block_on(async {
            for missed in [Missed::Burst, Missed::Skip, Missed::Delay] {
                // On a machine that stops for a whole period in between, once more.
                let (first, mut ticks) = loop {
                    let first = Instant::now();
                    let mut ticks = interval_at(first, PERIOD).missed(missed);
                    assert_eq!(ticks.tick().await, first);
                    if first.elapsed() < PERIOD {
                        break (first, ticks);
                    }
                };
                // Busy over five ticks.
                thread::sleep(5 * PERIOD + PERIOD / 2);
                let before = Instant::now();
                assert_eq!(ticks.tick().await, first + PERIOD, "the oldest missed one");
                let after = Instant::now();
                let next = ticks.tick().await;
                match missed {
                    Missed::Burst => assert_eq!(next, first + 2 * PERIOD),
                    Missed::Skip => {
                        assert!(next > before, "what was missed is left out");
                        assert_eq!((next - first).as_nanos() % PERIOD.as_nanos(), 0, "on schedule");
                        assert!(next <= after + PERIOD);
                    }
                    Missed::Delay => {
                        assert!(
                            (before + PERIOD..=after + PERIOD).contains(&next),
                            "a period after the late one"
                        );
                    }
                }
                assert!(Instant::now() >= next);
            }
        });
    });
}

#[test]
fn a_dropped_tick_is_not_lost() {
    within(PATIENCE, || {
        runtime(1).block_on(async {
            let first = Instant::now() + 2 * PERIOD;
            let mut ticks = interval_at(first, PERIOD);
            for _ in 0..5 {
                let polled = pin!(ticks.tick()).poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending() || Instant::now() >= first);
                if polled.is_ready() {
                    // A machine this slow has nothing to say here.
                    return;
                }
            }
            assert_eq!(ticks.tick().await, first);
            let handle = Handle::current();
            let mut rare = interval(HOUR);
            rare.tick().await;
            assert!(pin!(rare.tick()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(armed(&handle), 1);
            drop(rare);
            assert_eq!(armed(&handle), 0);
        });
    });
}

#[test]
fn periods_from_zero_to_ever() {
    within(PATIENCE, || {
        runtime(1).block_on(async {
            let zero = catch_unwind(AssertUnwindSafe(|| interval(Duration::ZERO)));
            assert!(text(&*zero.unwrap_err()).contains("above zero"));
            let mut ever = interval(Duration::MAX).missed(Missed::Skip);
            ever.tick().await;
            assert!(pirn::time::timeout(MS, ever.tick()).await.is_err());
            // Shorter than anybody can keep up with.
            for missed in [Missed::Burst, Missed::Skip, Missed::Delay] {
                let mut fast = interval(Duration::from_nanos(1)).missed(missed);
                let mut last = fast.tick().await;
                for _ in 0..1_000 {
                    let next = fast.tick().await;
                    assert!(next > last);
                    last = next;
                }
            }
        });
    });
}
