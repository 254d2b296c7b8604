//! `pirn replay`: a recorded run again: strictly, along a prefix, or guided; and a walk through it.

use pirn_sim::{Did, Outcome, ReplayError, Simulation, Step, Trace, Verdict};

use crate::args;
use crate::failure::Failure;
use crate::program;
use crate::show;

/// Events that are shown before the one where a replay stops.
const BEFORE: usize = 20;

pub(crate) fn replay(args: &args::Replay) -> Result<(), Failure> {
    let path = args.trace.display();
    let trace = Trace::load(&args.trace).map_err(|error| Failure::input(format!("{path}: {error}")))?;
    let simulation = program::of_trace(&trace)?;
    let differs = |error: ReplayError| Failure::input(format!("{path} does not replay: {error}"));
    if args.guided {
        let (outcome, fit) = simulation.replay_guided(&trace).map_err(differs)?;
        println!("{path}: {}, seed {}, guided: {fit}", trace.program(), outcome.seed);
        return ended(&simulation, &outcome, args.full);
    }
    if let Some(count) = args.prefix {
        if count > trace.choices().len() {
            return Err(Failure::input(format!(
                "--prefix {count}: the trace has {} recorded choices",
                trace.choices().len()
            )));
        }
        let (outcome, fit) = simulation.replay_prefix(&trace, count, args.seed).map_err(differs)?;
        println!("{path}: {}, prefix: {fit}; then explored with seed {}", trace.program(), args.seed);
        return ended(&simulation, &outcome, args.full);
    }
    if args.events.is_some() || args.until.is_some() || args.state {
        let (outcome, steps) = simulation.replay_steps(&trace);
        let until = args.until.as_deref().map(|event| find(&steps, event)).transpose()?;
        list(&steps, args.events, until);
        if args.state {
            let state = simulation.replay_state(&trace, until.unwrap_or(u64::MAX)).map_err(differs)?;
            println!("\nthe state there:\n{state}");
        }
        if until.is_some() {
            // A walk up to an event says nothing about the end.
            return outcome.map(drop).map_err(differs);
        }
        return replayed(args, &trace, &simulation, &outcome.map_err(differs)?);
    }
    replayed(args, &trace, &simulation, &simulation.replay(&trace).map_err(differs)?)
}

/// The number of an event that is given by its number or its name.
fn find(steps: &[Step], asked: &str) -> Result<u64, Failure> {
    let events = steps.iter().filter_map(|step| match &step.did {
        Did::Event(event) => Some((step.event, event)),
        _ => None,
    });
    let last = events.clone().map(|(number, _)| number).max().unwrap_or(0);
    if let Ok(number) = asked.parse::<u64>() {
        return match number {
            1.. if number <= last => Ok(number),
            _ => Err(Failure::input(format!("--until {number}: the run has the events 1 to {last}"))),
        };
    }
    let names = pirn::trace::Event::NAMES;
    if !names.contains(&asked) {
        return Err(Failure::input(format!(
            "--until {asked}: no event is called so; there are {}, or the number of an event (--events shows them)",
            names.join(", ")
        )));
    }
    events
        .clone()
        .find(|(_, event)| event.name() == asked)
        .map(|(number, _)| number)
        .ok_or_else(|| Failure::input(format!("--until {asked}: there is no such event in this run")))
}

/// Shows the last events and notes, up to one.
fn list(steps: &[Step], last: Option<usize>, until: Option<u64>) {
    let shown: Vec<_> = steps
        .iter()
        .filter(|step| !matches!(step.did, Did::Point(..)))
        .filter(|step| until.is_none_or(|until| step.event < until || is_event(step, until)))
        .collect();
    let Some(last) = last.or(until.map(|_| BEFORE)) else { return };
    let last = last.min(shown.len());
    println!(
        "the last {} of {} events{}:",
        show::count(last as u64),
        show::count(shown.len() as u64),
        until.map_or_else(String::new, |until| format!(" up to event {until}"))
    );
    shown.iter().skip(shown.len() - last).for_each(|step| println!("{step}"));
}

fn is_event(step: &Step, number: u64) -> bool {
    step.event == number && matches!(step.did, Did::Event(_))
}

fn replayed(
    args: &args::Replay,
    trace: &Trace,
    simulation: &Simulation,
    outcome: &Outcome,
) -> Result<(), Failure> {
    println!(
        "{}: {}, seed {}: {} points, {} switches, {} events, {} of virtual time",
        args.trace.display(),
        trace.program(),
        outcome.seed,
        show::count(outcome.points),
        show::count(outcome.switches),
        show::count(outcome.events),
        show::time(outcome.time_ns),
    );
    println!("replayed to the bit: event digest {:016x}, as recorded", outcome.digest);
    ended(simulation, outcome, args.full)
}

/// How it ended; a failure with its story.
fn ended(simulation: &Simulation, outcome: &Outcome, full: bool) -> Result<(), Failure> {
    if outcome.verdict != Verdict::Pass || full {
        match simulation.story(&outcome.trace, full) {
            Ok(story) => println!("\n{story}"),
            Err(error) => println!("no story: {error}"),
        }
    }
    match &outcome.verdict {
        Verdict::Pass => {
            println!("outcome: pass");
            Ok(())
        }
        verdict => Err(Failure::Violation(format!("outcome: {verdict}"))),
    }
}
