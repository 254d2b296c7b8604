//! `pirn explore`: many schedules, the first failure, its trace and the command that replays it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use indicatif::ProgressBar;
use pirn_sim::{Explore, Outcome, Progress, Report, Simulation, Tso};

use crate::args;
use crate::failure::Failure;
use crate::program::{self, Schedule};
use crate::show;
use crate::workloads::{Size, Workload};

pub(crate) fn explore(args: &args::Explore) -> Result<(), Failure> {
    let workload = args.workload.0;
    let small = workload.small;
    let size = Size {
        width: args.connections.unwrap_or(small.width),
        rounds: args.rounds.unwrap_or(small.rounds),
        bytes: args.bytes.unwrap_or(small.bytes),
    };
    let last = args.first.checked_add(args.seeds - 1).ok_or_else(|| {
        Failure::input(format!(
            "{} seeds from {} on pass the last seed, {}",
            args.seeds,
            args.first,
            u64::MAX
        ))
    })?;
    check_directory(&args.traces)?;
    let schedule = Schedule {
        workers: args.workers.clone(),
        strategy: args.strategy.into(),
        tso: if args.tso { Tso::On } else { Tso::Off },
    };
    let simulation = program::simulation(workload, size, &schedule);
    let jobs = args.jobs.map_or_else(default_jobs, usize::from);
    let report = search(&simulation, workload.name, args.seeds, args.first, jobs);
    println!(
        "{}: {} schedules (seeds {} to {last}), {} points, {} switches, {:.1} s: {} schedules/s",
        workload.name,
        show::count(report.executions),
        args.first,
        show::count(report.points),
        show::count(report.switches),
        report.seconds,
        show::rate(report.executions, Duration::from_secs_f64(report.seconds)),
    );
    match report.failure {
        Some(failure) => Err(fail(workload, &failure.outcome, &args.traces)),
        None => {
            println!("no violation");
            let more = format!(
                "explore {} --seeds {} --first {}",
                workload.name,
                args.seeds * 10,
                last.saturating_add(1)
            );
            println!("go on with: {}", show::command(&more));
            Ok(())
        }
    }
}

/// Explores with a progress bar.
pub(crate) fn search(simulation: &Simulation, title: &str, seeds: u64, first: u64, jobs: usize) -> Report {
    let bar = show::bar(seeds, title, "{pos}/{len} schedules, {msg}, about {eta} left");
    let report =
        simulation.explore(Explore { seeds, first, jobs, progress: &|progress| advance(&bar, &progress) });
    bar.finish_and_clear();
    report
}

fn advance(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(progress.executions);
    bar.set_message(format!("{} schedules/s", show::rate(progress.executions, bar.elapsed())));
}

/// One for each CPU.
pub(crate) fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Refuses a trace directory before the work, not after it.
fn check_directory(directory: &Path) -> Result<(), Failure> {
    if directory.is_dir() {
        return Ok(());
    }
    Err(Failure::input(format!(
        "--traces {}: there is no such directory; create it first",
        directory.display()
    )))
}

/// Describes a failed execution, writes its trace, confirms it in a fresh process.
pub(crate) fn fail(workload: &Workload, outcome: &Outcome, directory: &Path) -> Failure {
    println!("\nseed {} fails: {}", outcome.seed, outcome.verdict);
    let path = directory.join(format!("pirn-{}-{}.json", workload.name, outcome.seed));
    if let Err(error) = outcome.trace.save(&path) {
        return Failure::Violation(format!(
            "the trace can't be written to {}: {error}; choose another directory with --traces",
            path.display()
        ));
    }
    println!("trace: {}", path.display());
    match replay_elsewhere(&path) {
        Ok(Some(1)) => println!("confirmed: a fresh process replayed it to the same failure"),
        Ok(code) => println!(
            "NOT confirmed: a fresh process replayed it with exit code {code:?}; the run depends on something the simulator does not control"
        ),
        Err(error) => println!("not confirmed: no fresh process ({error})"),
    }
    Failure::Violation(format!("replay it with: {}", show::command(&format!("replay {}", path.display()))))
}

/// Replays in another process, silently; its exit code.
pub(crate) fn replay_elsewhere(trace: &PathBuf) -> std::io::Result<Option<i32>> {
    let status = Command::new(std::env::current_exe()?)
        .arg("replay")
        .arg(trace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.code())
}
