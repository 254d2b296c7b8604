//! What a runtime tells of itself: metrics, slow polls, its tasks, dumps.

mod dump;
mod tasks;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pirn::Builder;
use pirn::observe::SlowPoll;

use crate::support::{PATIENCE, eventually, within, yields};

/// Holds its worker for about this long, without the clock's help.
pub(crate) fn hold(time: Duration) {
    thread::sleep(time);
}

#[test]
fn times_are_measured_when_asked_for() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).timing(true).build().unwrap();
        runtime.block_on(async {
            for _ in 0..100 {
                pirn::spawn(yields(2)).await.unwrap();
            }
            pirn::spawn(async { hold(Duration::from_millis(20)) }).await.unwrap();
            pirn::time::sleep(Duration::from_millis(5)).await;
        });
        let metrics = runtime.metrics();
        let (polls, delays) = (&metrics.poll_time, &metrics.schedule_delay);
        // Three polls each, and one; the main future's besides.
        assert!(polls.count() > 301, "{}", polls.count());
        assert!(delays.count() >= 301 && delays.count() < polls.count(), "{}", delays.count());
        assert!(polls.sum() >= Duration::from_millis(20));
        assert!(polls.quantile(1.0).is_none_or(|longest| longest >= Duration::from_millis(20)));
        assert!(polls.quantile(0.5) < polls.quantile(1.0) || polls.quantile(1.0).is_none());
        assert!(metrics.workers.iter().map(|worker| worker.parked).sum::<Duration>() > Duration::ZERO);
        assert!(metrics.workers.iter().any(|worker| worker.searches > 0));

        // Not asked for: counters only.
        let plain = Builder::new().workers(1).build().unwrap();
        plain.block_on(async { pirn::spawn(yields(2)).await.unwrap() });
        let metrics = plain.metrics();
        assert!(metrics.workers[0].polls >= 4);
        assert_eq!((metrics.poll_time.count(), metrics.schedule_delay.count()), (0, 0));
        assert_eq!(metrics.workers[0].parked, Duration::ZERO);
    });
}

#[test]
fn wakes_panics_and_blocking_calls_are_counted() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(1).build().unwrap();
        runtime.block_on(async {
            assert!(pirn::spawn(async { panic!("as asked for") }).await.is_err());
            pirn::spawn_blocking(|| hold(Duration::from_millis(5))).await.unwrap();
        });
        let metrics = runtime.metrics();
        assert_eq!(metrics.workers[0].tasks_panicked, 1);
        // The end of the blocking call woke the worker, and its wake was not wasted.
        assert!(metrics.workers[0].wakes >= 1, "{metrics:?}");
        assert!(metrics.workers[0].wakes_wasted < metrics.workers[0].wakes, "{metrics:?}");
        assert_eq!((metrics.blocking.calls, metrics.blocking.queued), (1, 0));
        assert_eq!(metrics.blocking.threads, 1);
    });
}

#[test]
fn the_text_for_prometheus_is_well_formed() {
    within(PATIENCE, || {
        let runtime = Builder::new().workers(2).timing(true).build().unwrap();
        runtime.block_on(async { pirn::spawn(yields(10)).await.unwrap() });
        let metrics = runtime.metrics();
        let mut text = String::new();
        metrics.write_prometheus(&mut text).unwrap();
        let mut announced = "";
        let mut last_bucket = (String::new(), 0);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                announced = name;
            }
            if line.starts_with('#') {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(series.starts_with(announced), "{line} stands under {announced}");
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            if let Some((family, _)) = series.split_once("_bucket{le=") {
                let count = value.parse().expect("a count");
                assert!(family != last_bucket.0 || last_bucket.1 <= count, "buckets are cumulative: {line}");
                last_bucket = (family.to_owned(), count);
            }
        }
        let polls = format!("pirn_poll_seconds_count {}\n", metrics.poll_time.count());
        assert!(text.contains(&polls), "{polls} in\n{text}");
        assert!(text.contains("pirn_worker_polls_total{worker=\"1\"}"), "{text}");
    });
}

#[test]
fn a_slow_poll_is_reported_with_its_spawn_location() {
    within(PATIENCE, || {
        let heard = Arc::new(Mutex::new(Vec::<SlowPoll>::new()));
        let hear = heard.clone();
        let runtime = Builder::new()
            .workers(2)
            .on_slow_poll(Duration::from_millis(30), move |slow| {
                hear.lock().unwrap().push(slow.clone());
                panic!("a handler's panic stays where it is");
            })
            .build()
            .unwrap();
        let (line, id) = runtime.block_on(async {
            pirn::spawn(yields(3)).await.unwrap();
            let line = line!() + 1;
            let task = pirn::spawn(async { hold(Duration::from_millis(40)) });
            let id = task.id();
            task.await.unwrap();
            (line, id)
        });
        let all = || heard.lock().unwrap().clone();
        eventually("the report", || !all().is_empty());
        let slow = all().into_iter().find(|slow| slow.task == Some(id)).expect("of this task");
        let at = slow.spawned_at.expect("a task has a location");
        assert_eq!((at.file(), at.line()), (file!(), line));
        assert!(slow.took >= Duration::from_millis(40) && slow.name.contains("slow_poll"), "{slow}");
        assert!(runtime.metrics().workers.iter().map(|worker| worker.slow_polls).sum::<u64>() >= 1);
        // The main future's too.
        runtime.block_on(async { hold(Duration::from_millis(40)) });
        assert!(all().iter().any(|slow| slow.task.is_none() && slow.worker == 0), "{:?}", all());
    });
}
