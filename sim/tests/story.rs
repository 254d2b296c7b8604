//! Stories: who did what, where, who was stopped, what broke. Structure, not line numbers.

use std::sync::{Arc, Mutex};

use pirn_sim::{Did, Faults, Outcome, Shrink, Simulation, Story, say};

/// Two tasks that read a counter, let others run, and write it back.
fn lost_update() -> Simulation {
    Simulation::new("lost-update").workers(2..=2).faults(Faults::none()).host("a", || async {
        let counter = Arc::new(Mutex::new(0));
        let add = |name: &'static str| {
            let counter = Arc::clone(&counter);
            pirn::spawn(async move {
                let seen = *counter.lock().unwrap();
                say!("{name} has read {seen}");
                *counter.lock().unwrap() = seen + 1;
                say!("{name} has written {}", seen + 1);
            })
        };
        let (first, second) = (add("first"), add("second"));
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!(*counter.lock().unwrap(), 2, "an update was lost");
    })
}

fn shrunk(simulation: &Simulation) -> Outcome {
    let failing = (0..2000).map(|seed| simulation.run(seed)).find(|outcome| !outcome.verdict.is_pass());
    simulation.shrink(&failing.expect("a seed that fails"), Shrink::default()).outcome
}

fn lines(story: &Story) -> Vec<&str> {
    story
        .turns
        .iter()
        .flat_map(|turn| turn.lines.iter().chain(&turn.end))
        .map(|line| line.what.as_str())
        .collect()
}

#[test]
fn the_story_of_a_lost_update_is_short_and_says_who_came_between() {
    let simulation = lost_update();
    let outcome = shrunk(&simulation);
    let story = simulation.story(&outcome.trace, false).unwrap();
    let text = story.to_string();
    println!("{text}");
    assert!(text.lines().count() <= 40, "{} lines:\n{text}", text.lines().count());

    // Both read before either has written.
    let lines = lines(&story);
    let at = |what: &str| {
        lines.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("no `{what}`:\n{text}"))
    };
    let reads = at("first has read 0").max(at("second has read 0"));
    let writes = at("first has written 1").min(at("second has written 1"));
    assert!(reads < writes, "{text}");
    // Somebody was stopped, on another worker than the one that came between.
    assert!(lines.iter().any(|line| line.starts_with("is stopped")), "{text}");
    let mut who: Vec<&str> = story.turns.iter().map(|turn| turn.who.as_str()).collect();
    who.dedup();
    assert!(who.len() >= 3 && who.iter().any(|who| who.contains("worker 1")), "{who:?}");
    // What was found, and the user's own lines.
    assert!(story.rule.is_none() && story.found.contains("an update was lost"), "{text}");
    assert!(lines.last().is_some_and(|line| line.contains("panics") && line.contains("left: 1")), "{text}");
    let places: Vec<&str> =
        story.turns.iter().flat_map(|turn| &turn.lines).filter_map(|line| line.place.as_deref()).collect();
    assert!(places.iter().any(|place| place.contains("tests/story.rs:")), "{places:?}");
    assert!(places.iter().all(|place| !place.contains("/rustc/")), "{places:?}");
}

#[test]
fn the_full_story_leaves_nothing_out() {
    let simulation = lost_update();
    let outcome = shrunk(&simulation);
    let (again, steps) = simulation.replay_steps(&outcome.trace);
    assert!(again.is_ok());
    let events = steps.iter().filter(|step| matches!(step.did, Did::Event(_))).count();
    let notes = steps.iter().filter(|step| matches!(step.did, Did::Note(_))).count();
    assert_eq!(events as u64, outcome.events);
    let story = simulation.story(&outcome.trace, true).unwrap();
    assert_eq!(story.left_out, 0);
    let told = story.turns.iter().map(|turn| turn.lines.len()).sum::<usize>();
    assert!(told >= events + notes, "{told} of {events} events and {notes} notes");
}

#[test]
fn a_hang_is_told_with_who_waits_for_what() {
    let simulation = Simulation::new("hang").workers(1..=1).faults(Faults::none()).host("a", || async {
        let waits = pirn::spawn(std::future::pending::<()>());
        say!("nobody will ever wake it");
        waits.await.unwrap();
    });
    let outcome = simulation.run(1);
    let story = simulation.story(&outcome.trace, false).unwrap();
    let text = story.to_string();
    assert!(text.contains("nothing can go on") && text.contains("nobody will ever wake it"), "{text}");
    assert!(text.contains("polls task 1") && text.contains("the poll of task 1 ends: pending"), "{text}");
}

#[test]
fn a_fault_that_matters_is_told_and_hosts_are_named() {
    let simulation = Simulation::new("cut").workers(1..=1).faults(Faults::none()).host("left", || async {
        pirn_sim::partition("left", "right");
        pirn_sim::heal("left", "right");
        assert_eq!(1, 2, "as planned");
    });
    let simulation = simulation.host("right", || async {});
    let outcome = simulation.run(1);
    let text = simulation.story(&outcome.trace, false).unwrap().to_string();
    assert!(text.contains("left and right are cut off from one another"), "{text}");
    assert!(text.contains("left and right see one another again"), "{text}");
    assert!(text.contains("left: worker 0") && text.contains("as planned"), "{text}");
}

#[test]
fn a_word_outside_of_a_simulation_is_silent() {
    say!("nobody hears {}", "this");
}
