//! Assertions of programs: what fails a run, and what a sweep reports.

use std::time::Duration;

use pirn_sim::{Explore, Report, Simulation, Verdict, always, eventually, sometimes};

fn explore(simulation: &Simulation) -> Report {
    simulation.explore(Explore { seeds: 100, ..Explore::default() })
}

fn violation(report: &Report) -> (&'static str, String) {
    let failure = report.failure.as_ref().expect("nothing failed");
    assert_eq!(failure.confirmed, Ok(()));
    match &failure.outcome.verdict {
        Verdict::Violation(violation) => (violation.invariant, violation.message.clone()),
        other => panic!("{other}"),
    }
}

#[test]
fn what_must_always_hold_ends_the_run_where_it_does_not() {
    let simulation = Simulation::new("always").host("a", || async {
        let random = pirn_sim::random() % 8;
        always!(random < 7, "the number is small");
    });
    let (invariant, message) = violation(&explore(&simulation));
    assert_eq!(invariant, "always");
    assert!(message.contains("`the number is small`") && message.contains("assertions.rs:"), "{message}");
}

#[test]
fn what_must_happen_eventually_is_missed_at_the_end() {
    let simulation = |rounds: u32| {
        Simulation::new("eventually").arg("rounds", rounds).host("a", move || async move {
            for round in 0..rounds {
                pirn::time::sleep(Duration::from_millis(1)).await;
                eventually!(round == 3, "the fourth round comes");
            }
        })
    };
    assert!(explore(&simulation(4)).failure.is_none());
    assert!(explore(&simulation(0)).failure.is_none(), "who never asks is owed nothing");
    let (invariant, message) = violation(&explore(&simulation(3)));
    assert_eq!(invariant, "eventually");
    assert!(message.contains("the fourth round comes"), "{message}");
}

#[test]
fn a_sweep_says_which_assertions_never_held_and_which_were_never_evaluated() {
    let simulation = Simulation::new("sometimes").host("a", || async {
        sometimes!(pirn_sim::random().is_multiple_of(2), "an even number");
        sometimes!(pirn_sim::random() == 1, "the number one");
        if pirn_sim::random() == 1 {
            sometimes!(true, "beyond reach");
        }
    });
    let summary = explore(&simulation).summary;
    let never: Vec<String> = summary.assertions_never_held().map(ToString::to_string).collect();
    assert!(never.len() == 1 && never[0].contains("sometimes `the number one` at "), "{never:?}");
    let names: Vec<&str> =
        summary.assertions_never_evaluated().map(|assertion| assertion.name.as_str()).collect();
    assert!(names.contains(&"beyond reach") && !names.contains(&"an even number"), "{names:?}");
}

#[test]
fn live_only_always_counts() {
    sometimes!(false, "live");
    eventually!(false, "live");
    always!(true, "live");
    let panicked = std::panic::catch_unwind(|| always!(1 + 1 == 3, "sums"));
    let payload = panicked.unwrap_err();
    assert!(payload.downcast_ref::<String>().is_some_and(|text| text.contains("`sums`")));
}
