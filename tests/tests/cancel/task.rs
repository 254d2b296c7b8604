//! Tasks, sets of them, blocking work and timers that nobody awaits any more.

use super::uses;

uses! { All:
    join_handle
    blocking_work
    join_next_of_a_set
    join_all_of_a_set
    shutdown_of_a_set
    sleep_then_more
    ticks
}

mod cuts {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use pirn::task::JoinSet;
    use pirn::time::{Instant, interval, sleep};

    use super::super::{Cut, pause};

    pub(super) async fn join_handle(cut: Cut) -> io::Result<bool> {
        let mut task = pirn::spawn(async {
            pause().await;
            pirn::yield_now().await;
            7
        });
        let first = cut.at(&mut task).await;
        let ended = first.is_some();
        let result = match first {
            Some(result) => result,
            None => task.await,
        };
        assert_eq!(result.expect("no panic"), 7);
        Ok(ended)
    }

    pub(super) async fn blocking_work(cut: Cut) -> io::Result<bool> {
        let mut work = pirn::spawn_blocking(|| 7);
        let first = cut.at(&mut work).await;
        let ended = first.is_some();
        let result = match first {
            Some(result) => result,
            None => work.await,
        };
        assert_eq!(result.expect("no panic"), 7);
        Ok(ended)
    }

    pub(super) async fn join_next_of_a_set(cut: Cut) -> io::Result<bool> {
        let mut set = JoinSet::new();
        for number in 0..6u64 {
            set.spawn(async move {
                sleep(Duration::from_micros(100 * (number % 3))).await;
                number
            });
        }
        let (mut seen, mut ended) = (Vec::new(), true);
        while seen.len() < 6 {
            match cut.at(set.join_next()).await {
                Some(result) => seen.push(result.expect("members are left").expect("no panic")),
                None => {
                    ended = false;
                    pause().await;
                }
            }
        }
        assert!(set.is_empty() && set.join_next().await.is_none());
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5], "a result is lost or came twice");
        Ok(ended)
    }

    pub(super) async fn join_all_of_a_set(cut: Cut) -> io::Result<bool> {
        let live = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..4 {
            let guard = crate::support::Guard::new(&live);
            set.spawn(async move {
                pause().await;
                drop(guard);
            });
        }
        // Dropped, it takes the set along, and that aborts its members.
        let ended = cut.at(set.join_all()).await.is_some();
        let mut waits = 0;
        while live.load(Ordering::SeqCst) > 0 {
            pause().await;
            waits += 1;
            assert!(waits < 10_000, "a member of a dropped set is still there");
        }
        Ok(ended)
    }

    pub(super) async fn shutdown_of_a_set(cut: Cut) -> io::Result<bool> {
        let live = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..4 {
            set.spawn(crate::support::hold(crate::support::Guard::new(&live)));
        }
        pause().await;
        let ended = cut.at(set.shutdown()).await.is_some();
        if !ended {
            set.shutdown().await;
        }
        assert!(set.is_empty());
        assert_eq!(live.load(Ordering::SeqCst), 0, "a member was not dropped");
        Ok(ended)
    }

    pub(super) async fn sleep_then_more(cut: Cut) -> io::Result<bool> {
        let started = Instant::now();
        let span = Duration::from_micros(300);
        let three = async {
            for _ in 0..3 {
                sleep(span).await;
            }
        };
        let ended = cut.at(three).await.is_some();
        assert!(!ended || started.elapsed() >= 3 * span);
        Ok(ended)
    }

    pub(super) async fn ticks(cut: Cut) -> io::Result<bool> {
        let period = Duration::from_micros(500);
        let mut ticks = interval(period);
        let first = ticks.tick().await;
        let second = cut.at(ticks.tick()).await;
        let ended = second.is_some();
        let second = match second {
            Some(tick) => tick,
            None => ticks.tick().await,
        };
        assert_eq!(second.saturating_duration_since(first), period, "a dropped tick took a turn");
        Ok(ended)
    }
}
