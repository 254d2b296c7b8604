//! The worked examples of `docs/simulator.md`: each bug is found, shrunk and told, and its fix is clean.

mod book {
    pub(crate) mod counter;
    pub(crate) mod log;
    pub(crate) mod partition;
}

use pirn_sim::{Explore, Shrink, Shrunk, Simulation, Story};

/// Explores a program that has a bug; what it was shrunk to, and its story.
fn found(simulation: &Simulation, seeds: u64) -> (Shrunk, Story) {
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    let failure = report.failure.expect("the bug is found");
    assert_eq!(failure.confirmed, Ok(()));
    let shrunk = simulation.shrink(&failure.outcome, Shrink::default());
    let story = simulation.story(&shrunk.outcome.trace, false).expect("the shrunk trace replays");
    println!("{} executions; {}\n{story}", report.executions, shrunk.to);
    (shrunk, story)
}

/// Explores a program that has none.
fn clean(simulation: &Simulation, seeds: u64) {
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    if let Some(failure) = report.failure {
        panic!("seed {}: {}\n{}", failure.outcome.seed, failure.outcome.verdict, failure.outcome.threads);
    }
    assert_eq!(report.executions, seeds);
}
