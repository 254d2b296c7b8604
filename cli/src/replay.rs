//! `pirn replay`: a recorded run again, strictly.

use pirn_sim::{Did, ReplayError, Trace, Verdict};

use crate::args;
use crate::failure::Failure;
use crate::program;
use crate::show;

pub(crate) fn replay(args: &args::Replay) -> Result<(), Failure> {
    let path = args.trace.display();
    let trace = Trace::load(&args.trace).map_err(|error| Failure::input(format!("{path}: {error}")))?;
    let simulation = program::of_trace(&trace)?;
    if args.guided {
        let differs = |error| Failure::input(format!("{path} does not replay: {error}"));
        let (outcome, fit) = simulation.replay_guided(&trace).map_err(differs)?;
        println!("{path}: {}, seed {}, guided: {fit}", trace.program(), outcome.seed);
        return ended(outcome.verdict);
    }
    let outcome = match args.events {
        None => simulation.replay(&trace),
        Some(last) => {
            let (outcome, steps) = simulation.replay_steps(&trace);
            let events: Vec<_> = steps.iter().filter(|step| !matches!(step.did, Did::Point(..))).collect();
            println!(
                "the last {} of {} events:",
                show::count(last.min(events.len()) as u64),
                show::count(events.len() as u64)
            );
            events.iter().skip(events.len().saturating_sub(last)).for_each(|step| println!("{step}"));
            outcome
        }
    };
    let outcome =
        outcome.map_err(|error: ReplayError| Failure::input(format!("{path} does not replay: {error}")))?;
    println!(
        "{path}: {}, seed {}: {} points, {} switches, {} events, {} of virtual time",
        trace.program(),
        outcome.seed,
        show::count(outcome.points),
        show::count(outcome.switches),
        show::count(outcome.events),
        show::time(outcome.time_ns),
    );
    println!("replayed to the bit: event digest {:016x}, as recorded", outcome.digest);
    ended(outcome.verdict)
}

fn ended(verdict: Verdict) -> Result<(), Failure> {
    match verdict {
        Verdict::Pass => {
            println!("outcome: pass");
            Ok(())
        }
        verdict => Err(Failure::Violation(format!("outcome: {verdict}"))),
    }
}
