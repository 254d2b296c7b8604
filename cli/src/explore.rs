//! `pirn explore`: many schedules, up to the first failure.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use pirn_sim::{Explore, Progress, Report, Simulation, Tso};

use crate::args;
use crate::failure::Failure;
use crate::program::{self, Schedule};
use crate::show;
use crate::tell::Telling;
use crate::workloads::Size;

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
        Some(failure) => {
            let shrink = Duration::from_secs_f64(if args.no_shrink { 0.0 } else { args.shrink_seconds });
            let telling = Telling { workload, schedule: &schedule, directory: &args.traces, shrink };
            Err(telling.failed(&simulation, &failure.outcome))
        }
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
