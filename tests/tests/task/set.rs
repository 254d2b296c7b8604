//! Sets of tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pirn::task::JoinSet;
use pirn::time::{sleep, timeout};

use super::everywhere;

#[test]
fn all_results_come_once() {
    everywhere("all_results_come_once", || async {
        let mut set = JoinSet::new();
        for number in 0..30u64 {
            set.spawn(async move {
                for _ in 0..number % 4 {
                    pirn::yield_now().await;
                }
                number
            });
        }
        set.spawn_blocking(|| 30);
        set.spawn_local(async { 31 });
        let mut seen = Vec::new();
        while let Some(result) = set.join_next().await {
            seen.push(result.expect("no panic"));
        }
        assert!(set.is_empty() && set.try_join_next().is_none());
        seen.sort_unstable();
        assert_eq!(seen, (0..32).collect::<Vec<_>>());
    });
}

#[test]
fn results_come_in_the_order_of_their_ends() {
    everywhere("results_come_in_the_order_of_their_ends", || async {
        let mut set = JoinSet::new();
        for pause in [60, 20, 40] {
            set.spawn(async move {
                sleep(Duration::from_millis(pause)).await;
                pause
            });
        }
        assert_eq!(set.join_all().await, [20, 40, 60]);
    });
}

#[test]
fn a_dropped_join_takes_nothing() {
    everywhere("a_dropped_join_takes_nothing", || async {
        let mut set = JoinSet::new();
        set.spawn(async { sleep(Duration::from_millis(5)).await });
        for _ in 0..3 {
            assert!(timeout(Duration::from_micros(10), set.join_next()).await.is_err());
        }
        assert!(set.join_next().await.is_some_and(|result| result.is_ok()));
        assert!(set.join_next().await.is_none());
    });
}

/// Counts down when dropped.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn sleepers(set: &mut JoinSet<()>, count: usize) -> Arc<AtomicUsize> {
    let alive = Arc::new(AtomicUsize::new(count));
    for _ in 0..count {
        let guard = Alive(Arc::clone(&alive));
        set.spawn(async move {
            sleep(Duration::from_secs(3_600)).await;
            drop(guard);
        });
    }
    alive
}

#[test]
fn shutdown_waits_until_all_are_dropped() {
    everywhere("shutdown_waits_until_all_are_dropped", || async {
        let mut set = JoinSet::new();
        let alive = sleepers(&mut set, 8);
        set.shutdown().await;
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert!(set.is_empty());
    });
}

#[test]
fn a_dropped_set_aborts_and_a_detached_one_does_not() {
    everywhere("a_dropped_set_aborts_and_a_detached_one_does_not", || async {
        let mut set = JoinSet::new();
        let alive = sleepers(&mut set, 5);
        pirn::yield_now().await;
        drop(set);
        while alive.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_micros(100)).await;
        }
        let mut set = JoinSet::new();
        let (give, mut done) = (Arc::new(AtomicUsize::new(0)), 0);
        for _ in 0..3 {
            let give = Arc::clone(&give);
            set.spawn(async move {
                pirn::yield_now().await;
                give.fetch_add(1, Ordering::SeqCst);
            });
        }
        set.detach_all();
        drop(set);
        while done < 3 {
            sleep(Duration::from_micros(100)).await;
            done = give.load(Ordering::SeqCst);
        }
    });
}

#[test]
fn panics_and_aborts_are_results() {
    everywhere("panics_and_aborts_are_results", || async {
        let mut set = JoinSet::<()>::new();
        set.spawn(async {
            sleep(Duration::from_millis(1)).await;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        let error = set.join_next().await.expect("one").expect_err("a panic");
        assert!(error.is_panic());
        let abort = set.spawn(async { sleep(Duration::from_secs(3_600)).await });
        abort.abort();
        assert!(set.join_next().await.expect("one").expect_err("aborted").is_cancelled());
    });
}
