//! `pirn explore`: many schedules, up to the first failure.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use pirn_sim::{Explore, Progress, Report, Simulation, Strategy, Tso};

use crate::args;
use crate::failure::Failure;
use crate::program::{self, Schedule};
use crate::show;
use crate::summary;
use crate::tell::Telling;
use crate::verify;
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
    let (number, of) = args.shard.parts();
    if of > args.seeds {
        return Err(Failure::input(format!(
            "--shard {number}/{of}: {} seeds have at most {} shards",
            args.seeds, args.seeds
        )));
    }
    let resume = args.resume.as_deref().map(summary::load).transpose()?;
    let target = args.summary.as_deref().or(args.resume.as_deref());
    let schedule = Schedule {
        workers: args.workers.clone(),
        strategy: args.strategy,
        faults: args.faults.clone(),
        tso: if args.tso { Tso::On } else { Tso::Off },
        kernel: args.kernel,
        layout: args.topology,
    };
    let simulation = program::simulation(workload, size, &schedule);
    let sweep = Explore {
        seeds: args.seeds,
        first: args.first,
        shard: args.shard,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        ..Explore::default()
    };
    if let Some((from, to)) = args.digests {
        verify::print(&simulation, sweep, from, to);
        return Ok(());
    }
    let searches = matches!(args.strategy, Strategy::Dfs(_) | Strategy::Portfolio);
    if args.verify && searches {
        return Err(Failure::input(format!(
            "--verify compares runs by their seeds, and --strategy {} has runs that depend on earlier ones: choose another strategy",
            args.strategy
        )));
    }
    let runs = verify::Runs::default();
    let sweep = Explore { each: &|ran| runs.add(args.verify, ran), ..sweep };
    let limit = args.seconds.map(Duration::from_secs_f64);
    let mut report = summary::sweep(&simulation, workload.name, sweep, limit, resume, target)?;
    if let (Some(failed), Some(failure)) = (report.summary.failures.last_mut(), &report.failure) {
        let name = format!("pirn-{}-{}.json", workload.name, failure.outcome.seed);
        failed.trace = Some(args.traces.join(name).display().to_string());
    }
    if let Some(path) = target {
        summary::save(&report.summary, path)?;
    }
    let summary = &report.summary;
    println!(
        "{}: {} schedules (seeds {} to {last}{}), {} points, {:.1} s: {} schedules/s",
        workload.name,
        show::count(summary.executions()),
        args.first,
        if of > 1 { format!(", shard {number}/{of}") } else { String::new() },
        show::count(summary.points()),
        summary.seconds(),
        show::rate(summary.executions(), Duration::from_secs_f64(summary.seconds())),
    );
    summary::print(summary);
    match &report.failure {
        Some(failure) => {
            let shrink = Duration::from_secs_f64(if args.no_shrink { 0.0 } else { args.shrink_seconds });
            let telling = Telling { workload, schedule: &schedule, directory: &args.traces, shrink };
            Err(telling.failed(&simulation, &failure.outcome))
        }
        None => {
            println!("no violation");
            if args.verify {
                verify::compare(&runs, args.first)?;
            }
            if summary.is_complete() && of == 1 && !summary.has_seen_all() {
                let more = format!(
                    "explore {} --seeds {} --first {}",
                    workload.name,
                    args.seeds.saturating_mul(10),
                    last.saturating_add(1)
                );
                println!("go on with: {}", show::command(&more));
            }
            Ok(())
        }
    }
}

/// Explores with a progress bar.
pub(crate) fn search(simulation: &Simulation, title: &str, sweep: Explore<'_>) -> Report {
    let (number, of) = sweep.shard.parts();
    let bar = show::bar(
        sweep.seeds / of + u64::from(number <= sweep.seeds % of),
        title,
        "{pos}/{len} schedules, {msg}, about {eta} left",
    );
    let report = simulation.explore(Explore { progress: &|progress| advance(&bar, &progress), ..sweep });
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
