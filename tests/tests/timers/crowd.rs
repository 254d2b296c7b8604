//! Many timers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::time::{Instant, sleep};

use super::armed;
use crate::support::{Guard, PATIENCE, eventually, runtime, within};

/// A small generator, so that each run is the same (splitmix64; Steele, Lea, Flood 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn report(what: &str, mut late: Vec<Duration>) {
    late.sort_unstable();
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
    println!("{what}: late by p50 {:?}, p99 {:?}, at most {:?}", at(0.5), at(0.99), at(1.0));
    assert!(at(0.99) < PATIENCE / 3, "p99 is no lateness any more");
}

#[test]
fn ten_thousand_random_sleeps_are_never_early() {
    within(2 * PATIENCE, || {
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            let mut seed = workers as u64;
            let late = runtime.block_on(async {
                let tasks: Vec<_> = (0..10_000)
                    .map(|_| {
                        // Spread over the orders of magnitude: nanoseconds to 130 ms.
                        let bits = random(&mut seed) % 28;
                        let span = Duration::from_nanos(random(&mut seed) % (1 << bits));
                        pirn::spawn(async move {
                            let deadline = Instant::now() + span;
                            sleep(span).await;
                            let now = Instant::now();
                            assert!(now >= deadline, "{:?} early", deadline - now);
                            now - deadline
                        })
                    })
                    .collect();
                let mut late = Vec::new();
                for task in tasks {
                    late.push(task.await.expect("not early"));
                }
                late
            });
            report(&format!("10,000 sleeps on {workers} workers"), late);
            assert_eq!(armed(&runtime.handle()), 0);
        }
    });
}

#[test]
fn a_hundred_thousand_sleepers_half_of_them_cancelled() {
    const COUNT: usize = 100_000;
    within(2 * PATIENCE, || {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let live = Arc::new(AtomicUsize::new(0));
        let late = Arc::new(Mutex::new(Vec::with_capacity(COUNT)));
        let mut seed = 1;
        runtime.block_on(async {
            let tasks: Vec<_> = (0..COUNT)
                .map(|_| {
                    let span = Duration::from_micros(300_000 + random(&mut seed) % 700_000);
                    let (guard, late) = (Guard::new(&live), late.clone());
                    pirn::spawn(async move {
                        let _guard = guard;
                        let deadline = Instant::now() + span;
                        sleep(span).await;
                        let now = Instant::now();
                        assert!(now >= deadline, "{:?} early", deadline - now);
                        late.lock().unwrap().push(now - deadline);
                    })
                })
                .collect();
            pirn::yield_now().await;
            let aborted: Vec<bool> = (0..COUNT).map(|_| random(&mut seed).is_multiple_of(2)).collect();
            for (task, &abort) in tasks.iter().zip(&aborted) {
                if abort {
                    task.abort();
                }
            }
            let (mut ended, mut cancelled) = (0, 0);
            for (task, abort) in tasks.into_iter().zip(aborted) {
                match task.await {
                    Ok(()) => ended += 1,
                    Err(error) => {
                        assert!(abort && error.is_cancelled(), "{error}");
                        cancelled += 1;
                    }
                }
            }
            assert_eq!(ended, late.lock().unwrap().len());
            assert!(ended >= COUNT / 3 && cancelled >= COUNT / 3, "{ended} ended, {cancelled} cancelled");
        });
        eventually("no timer is left", || armed(&handle) == 0);
        assert_eq!(live.load(Ordering::SeqCst), 0);
        report("100,000 sleeps, half cancelled", std::mem::take(&mut *late.lock().unwrap()));
    });
}
