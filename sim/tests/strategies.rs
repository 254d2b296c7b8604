//! Strategies find bugs and replay; sweeps divide into shards, merge, resume, and end a depth-first search when all was seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pirn::os::ThreadSpec;
use pirn::sync::{AtomicUsize, Ordering};
use pirn_sim::{Explore, Report, Shard, Simulation, Strategy, Summary};

fn thread(body: impl FnOnce() + Send + 'static) -> Box<dyn pirn::os::ThreadHandle> {
    pirn_sim::os()
        .spawn_thread(ThreadSpec { name: "t".into(), stack: None }, Box::new(body))
        .expect("a thread")
}

/// Two threads that each load and store; with `atomic` an update in one step, so that none is lost.
fn counter(atomic: bool) -> Simulation {
    Simulation::new("counter").arg("atomic", atomic).bare_host("a", move || {
        let count = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread(move || {
                    if atomic {
                        count.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let seen = count.load(Ordering::Relaxed);
                        count.store(seen + 1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(count.load(Ordering::Relaxed), 2, "an update was lost");
    })
}

fn tasks() -> Simulation {
    Simulation::new("tasks").workers(1..=3).host("a", || async {
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                pirn::spawn(async move {
                    pirn::time::sleep(Duration::from_micros(n % 3)).await;
                    n
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), n as u64);
        }
    })
}

const ALL: [Strategy; 9] = [
    Strategy::Mix,
    Strategy::Stay,
    Strategy::StayWith(500),
    Strategy::Pct,
    Strategy::PctWith(2),
    Strategy::Pos,
    Strategy::Uniform,
    Strategy::Dfs(1),
    Strategy::Portfolio,
];

#[test]
fn every_strategy_finds_a_lost_update_and_its_trace_replays() {
    for strategy in ALL {
        let report = counter(false).strategy(strategy).explore(Explore { seeds: 2000, ..Explore::default() });
        let failure = report.failure.unwrap_or_else(|| panic!("{strategy} found nothing"));
        assert_eq!(failure.confirmed, Ok(()), "{strategy}");
        assert!(failure.outcome.verdict.to_string().contains("lost"), "{strategy}");
        assert_eq!(report.summary.failures.len(), 1);
    }
}

#[test]
fn every_strategy_runs_the_runtime_clean_and_replays() {
    for strategy in ALL {
        let simulation = tasks().strategy(strategy);
        let report = simulation.explore(Explore { seeds: 300, ..Explore::default() });
        assert!(report.failure.is_none(), "{strategy}: {:?}", report.failure.map(|f| f.outcome.verdict));
        let outcome = simulation.run(5);
        assert_eq!(simulation.replay(&outcome.trace).map(|again| again.digest), Ok(outcome.digest));
    }
}

#[test]
fn a_depth_first_search_ends_when_it_has_seen_everything() {
    let explore = |strategy, shard| {
        counter(true).strategy(strategy).explore(Explore { seeds: 100_000, shard, ..Explore::default() })
    };
    let whole = explore(Strategy::Dfs(2), Shard::default());
    assert!(whole.failure.is_none() && whole.summary.has_seen_all() && whole.summary.is_complete());
    assert!((20..20_000).contains(&whole.executions), "{}", whole.executions);
    assert!(explore(Strategy::Dfs(1), Shard::default()).executions < whole.executions);
    // The root belongs to each shard, everything below it to one.
    let parts: Vec<_> = (1..=3).map(|n| explore(Strategy::Dfs(2), Shard::new(n, 3).unwrap())).collect();
    let fresh: u64 = parts.iter().filter_map(|part| part.summary.fresh()).sum();
    assert_eq!(Some(fresh), whole.summary.fresh().map(|fresh| fresh + 2));
}

#[test]
fn a_depth_first_search_on_many_threads_sees_the_same() {
    let explore = |jobs| {
        counter(true).strategy(Strategy::Dfs(2)).explore(Explore {
            seeds: 100_000,
            jobs,
            ..Explore::default()
        })
    };
    let (one, three) = (explore(1), explore(3));
    assert!(three.summary.has_seen_all());
    assert_eq!(one.summary.fresh(), three.summary.fresh());
}

fn sweep(explore: Explore<'_>) -> Report {
    let report = tasks().strategy(Strategy::Portfolio).explore(explore);
    assert!(report.failure.is_none());
    report
}

#[test]
fn shards_merge_into_the_whole() {
    let simulation = tasks();
    let explore = Explore { seeds: 250, first: 40, ..Explore::default() };
    let whole = simulation.explore(explore).summary;
    let mut parts: Vec<Summary> = (1..=4)
        .map(|n| simulation.explore(Explore { shard: Shard::new(n, 4).unwrap(), jobs: 2, ..explore }).summary)
        .collect();
    let same = parts[0].clone();
    assert!(parts[0].merge(&same).unwrap_err().to_string().contains("twice"));
    let mut merged = parts.remove(2);
    assert!(merged.is_complete() && merged.executions() < 70);
    for part in &parts {
        let part = Summary::parse(&serde_json::to_vec(part).unwrap()).unwrap();
        merged.merge(&part).unwrap();
    }
    assert_eq!((merged.executions(), merged.points()), (250, whole.points()));
    assert_eq!(merged.digest(), whole.digest());
    assert_eq!(merged.events_never_reached(), whole.events_never_reached());
    assert!(merged.is_complete() && merged.coverage().contains("250 of 250"), "{}", merged.coverage());
    let other = simulation.explore(Explore { first: 41, ..explore }).summary;
    assert!(merged.merge(&other).unwrap_err().to_string().contains("the first seed"));
    let other = tasks().tso(true).explore(explore).summary;
    assert!(merged.merge(&other).unwrap_err().to_string().contains("tso"));
}

#[test]
fn an_unfinished_sweep_resumes() {
    let ran = AtomicU64::new(0);
    let each = |_| {
        ran.fetch_add(1, Relaxed);
    };
    let explore = Explore { seeds: 400, jobs: 2, each: &each, ..Explore::default() };
    let first = sweep(Explore { limit: Some(Duration::from_millis(5)), ..explore }).summary;
    let done = first.executions();
    assert!(done < 400, "the limit of time had no effect");
    let second = sweep(Explore { resume: Some(&first), ..explore });
    assert_eq!(second.executions, 400 - done);
    assert_eq!((second.summary.executions(), ran.load(Relaxed)), (400, 400));
    assert!(second.summary.is_complete());
    let third = sweep(Explore { resume: Some(&second.summary), ..explore });
    assert_eq!(third.executions, 0);
}

#[test]
fn a_sweep_says_what_was_never_reached() {
    let explore = Explore { seeds: 200, ..Explore::default() };
    let one = tasks().workers(1..=1).explore(explore).summary;
    assert!(one.events_never_reached().contains(&"Steal"), "{:?}", one.events_never_reached());
    assert!(one.choices_never_taken().contains(&"partition"));
    let many = tasks().workers(3..=3).explore(explore).summary;
    assert!(!many.events_never_reached().contains(&"Steal"), "{:?}", many.events_never_reached());
}

#[test]
fn bad_summaries_are_named() {
    let said = |text: &str| Summary::parse(text.as_bytes()).unwrap_err().to_string();
    let good = serde_json::to_string(&sweep(Explore { seeds: 3, ..Explore::default() }).summary).unwrap();
    assert!(Summary::parse(good.as_bytes()).is_ok());
    assert!(said("").contains("EOF"));
    assert!(said(&good[..good.len() / 2]).contains("EOF"));
    assert!(said(&good.replace("\"format\":1", "\"format\":7")).contains("format 7"));
    assert!(said(&good.replace("\"done\":[[0,3]]", "\"done\":[[0,9]]")).contains("no sense"));
    assert!(said(&good.replace("\"shards\":[[1,1]]", "\"shards\":[[2,1]]")).contains("no shard 2/1"));
    let kept = good.replacen('{', "{\"machine\":\"a\",", 1);
    let again = serde_json::to_string(&Summary::parse(kept.as_bytes()).unwrap()).unwrap();
    assert!(again.contains("\"machine\":\"a\""), "unknown fields are lost");
}
