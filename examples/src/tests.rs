//! Every example, live and simulated; and the API with a bug, which is found, shrunk and told.

use clap::ValueEnum;
use pirn_sim::{Explore, Faults, Shrink, Verdict};

use crate::{Example, run};

/// All but the one with the bug.
fn fine() -> impl Iterator<Item = &'static Example> {
    Example::value_variants().iter().filter(|example| **example != Example::ApiBug)
}

#[test]
fn live() {
    for example in fine() {
        if let Err(error) = run::live(example.hosts(), None) {
            panic!("{example:?}: {error}");
        }
    }
}

#[test]
fn simulated() {
    for example in fine() {
        if let Err(error) = run::simulated(&format!("{example:?}"), example.hosts(), 3) {
            panic!("{example:?}: {error}");
        }
    }
}

#[test]
fn a_cache_that_is_filled_twice_is_found_shrunk_and_told() {
    // One worker: the race is between two requests, not between threads.
    let simulation = run::simulation("api", Example::ApiBug.hosts()).workers(1..=1).faults(Faults::none());
    let report = simulation.explore(Explore { seeds: 100, ..Explore::default() });
    let failure = report.failure.expect("the bug is found");
    assert_eq!(failure.confirmed, Ok(()), "a replay finds it again");
    let shrunk = simulation
        .shrink(&failure.outcome, Shrink { limit: std::time::Duration::from_secs(3), ..Shrink::default() });
    let story = simulation.story(&shrunk.outcome.trace, false).expect("it is told").to_string();
    assert!(
        matches!(&shrunk.outcome.verdict, Verdict::Panic(text) if text.contains("filled more than once")),
        "seed {}\n{story}",
        failure.outcome.seed
    );
    let replayed = simulation.replay(&shrunk.outcome.trace).expect("the shrunk trace replays");
    assert_eq!(replayed.digest, shrunk.outcome.digest);
    assert!(story.contains("filled more than once") && story.contains("api.rs"), "{story}");
}
