//! Summaries of sweeps: written while one runs, read to resume it, merged from the shards of one.

use std::path::Path;
use std::time::{Duration, Instant};

use pirn_sim::{Explore, Report, Simulation, Summary};

use crate::args;
use crate::explore;
use crate::failure::Failure;
use crate::show;

/// How often a summary is written while a sweep runs: what a sweep loses when it is killed.
const INTERVAL: Duration = Duration::from_secs(20);

/// Reads a summary.
pub(crate) fn load(path: &Path) -> Result<Summary, Failure> {
    Summary::load(path).map_err(Failure::input)
}

/// Writes a summary.
pub(crate) fn save(summary: &Summary, path: &Path) -> Result<(), Failure> {
    summary.save(path).map_err(|error| {
        Failure::input(format!(
            "the summary can't be written to {}: {error}; choose another file with --summary",
            path.display()
        ))
    })
}

/// Explores up to `limit`; with a `target` in parts, between which the summary is written there.
pub(crate) fn sweep(
    simulation: &Simulation,
    title: &str,
    sweep: Explore<'_>,
    limit: Option<Duration>,
    mut resume: Option<Summary>,
    target: Option<&Path>,
) -> Result<Report, Failure> {
    let started = Instant::now();
    if let Some(resume) = &resume {
        resume.check(simulation, &sweep).map_err(Failure::input)?;
    }
    loop {
        let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
        let part = match (target, left) {
            (Some(_), left) => Some(left.map_or(INTERVAL, |left| left.min(INTERVAL))),
            (None, left) => left,
        };
        let report =
            explore::search(simulation, title, Explore { limit: part, resume: resume.as_ref(), ..sweep });
        let over = limit.is_some_and(|limit| started.elapsed() >= limit);
        let Some(target) = target else { return Ok(report) };
        if over || report.failure.is_some() || report.summary.is_complete() {
            return Ok(report);
        }
        save(&report.summary, target)?;
        resume = Some(report.summary);
    }
}

/// What a sweep reached, in a few lines.
pub(crate) fn print(summary: &Summary) {
    let walks: Vec<String> =
        summary.walks().map(|(name, count)| format!("{name} {}", show::count(count))).collect();
    println!("strategies: {}", walks.join(", "));
    if summary.has_seen_all() {
        println!("all schedules within the bound were seen");
    }
    let events = summary.events_never_reached();
    if !events.is_empty() {
        println!("no schedule reached the events {}", events.join(", "));
    }
    for assertion in summary.assertions_never_held() {
        println!("no schedule in which it held: {assertion}");
    }
    let choices = summary.choices_never_taken();
    if !choices.is_empty() {
        println!("no schedule had {}", choices.join(", "));
    }
}

/// `pirn merge`.
pub(crate) fn merge(args: &args::Merge) -> Result<(), Failure> {
    let mut paths = args.summaries.iter();
    let Some(first) = paths.next() else { return Err(Failure::input("merge needs a summary")) };
    let mut sum = load(first)?;
    for path in paths {
        let other = load(path)?;
        sum.merge(&other).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    }
    if let Some(path) = &args.into {
        save(&sum, path)?;
    }
    println!(
        "{}, {}, {} points, {:.1} s, digest {:016x}",
        sum.program(),
        sum.coverage(),
        show::count(sum.points()),
        sum.seconds(),
        sum.digest()
    );
    print(&sum);
    for failed in &sum.failures {
        let trace = failed.trace.as_deref().unwrap_or("not written");
        println!("seed {} fails: {}: {} (trace: {trace})", failed.seed, failed.verdict, failed.message);
    }
    match sum.failures.len() {
        0 => {
            println!("no violation");
            Ok(())
        }
        n => Err(Failure::Violation(format!("{n} violation(s)"))),
    }
}
