//! `pirn run`: a workload live and measured, then the same program simulated and replayed.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pirn::Backend;
use pirn_sim::{Explore, Layout, Outcome, Simulation, Tso, Verdict};

use crate::args::{self, Policy, World};
use crate::explore;
use crate::failure::Failure;
use crate::live::{self, Ran, Share};
use crate::probe;
use crate::program::{self, Schedule};
use crate::show;
use crate::tell::{self, Telling};
use crate::workloads::cold::Cold;
use crate::workloads::{Place, Setting, Size, Workload};

/// Schedules of the simulated part.
const SEEDS: u64 = 300;
/// It stops early after this time; slow machines get through fewer.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a failure is shrunk.
const SHRINK: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &args::Run) -> Result<(), Failure> {
    match args.os {
        Some(World::Sim) => simulate_once(args),
        Some(World::Auto) => live(args, Backend::Auto).map(drop),
        Some(World::Epoll) => live(args, Backend::Epoll).map(drop),
        Some(World::Uring) => live(args, Backend::Uring).map(drop),
        None => {
            let shown = live(args, Backend::Auto)?;
            let simulated = simulate_many(args)?;
            println!("\nshown: {shown} live; {simulated}.");
            Ok(())
        }
    }
}

fn sized(args: &args::Run, default: Size) -> Size {
    Size {
        width: args.connections.unwrap_or(default.width),
        rounds: default.rounds,
        bytes: args.bytes.unwrap_or(default.bytes),
    }
}

/// The live part; returns what it showed, in a few words.
fn live(args: &args::Run, backend: Backend) -> Result<String, Failure> {
    let workload = args.workload.0;
    let setting = Arc::new(Setting {
        size: sized(args, workload.large),
        span: Duration::from_secs_f64(args.seconds),
        measure: true,
        place: Place::Live { listen: args.listen, told: OnceLock::new() },
        cold: Cold { policy: Some(args.cold_reads.into()), percent: args.cold },
    });
    enough_descriptors(workload, setting.size)?;
    let workers = args.workers.map_or_else(|| "one worker a CPU".to_owned(), |n| format!("{n} worker(s)"));
    let os = live::machine(backend)?;
    println!("live on {}: {}, {}, {workers}", os.name(), workload.name, describe(workload, setting.size));
    let bar = show::bar((args.seconds * 1e3) as u64, "live", "{elapsed} of {msg}");
    bar.set_message(format!("{} s", args.seconds));
    let dump = args.dump.as_deref();
    // The policy needs the group, and says so where another topology was asked for.
    let topology = match (args.cold_reads, args.topology) {
        (Policy::Slow, Layout::Stealing) => Layout::WithSlow,
        (_, topology) => topology,
    };
    let ran = live::run(workload, &setting, (args.workers, topology), dump, &os, |elapsed| {
        bar.set_position((elapsed.as_millis() as u64).min(bar.length().unwrap_or(0)));
    });
    bar.finish_and_clear();
    let ran = ran?;
    Ok(print(workload, &ran))
}

fn describe(workload: &Workload, size: Size) -> String {
    let mut text = if workload.hosts.len() > 1 {
        format!("{} connections", size.width)
    } else {
        format!("{} tasks at a time", size.width)
    };
    if size.bytes > 0 {
        text += &format!(" of {} bytes", size.bytes);
    }
    text
}

/// Refuses more connections than this process may have descriptors for; both ends are here.
fn enough_descriptors(workload: &Workload, size: Size) -> Result<(), Failure> {
    /// Standard streams, listeners, drivers.
    const OTHERS: u64 = 64;
    let needed = 2 * u64::from(size.width) + OTHERS;
    match probe::limit(libc::RLIMIT_NOFILE) {
        Ok((Some(limit), _)) if workload.hosts.len() > 1 && limit < needed => Err(Failure::input(format!(
            "{} connections have {needed} descriptors in this process, and its limit is {limit}: raise it (ulimit -n \
             {needed}) or ask for at most --connections {}",
            size.width,
            limit.saturating_sub(OTHERS) / 2
        ))),
        _ => Ok(()),
    }
}

/// Prints the figures: what the last host counted, what the first one cost.
fn print(workload: &Workload, ran: &[Ran]) -> String {
    let (Some(first), Some(last)) = (ran.first(), ran.last()) else { return String::new() };
    let (count, elapsed) = (last.report.count, last.elapsed);
    let rate = format!("{} {}/s", show::rate(count, elapsed), workload.unit);
    println!("  {rate}  ({} in {:.2} s)", show::count(count), elapsed.as_secs_f64());
    if let Some(latencies) = last.report.latencies.as_ref().filter(|latencies| !latencies.is_empty()) {
        println!("  {}: {}", workload.latency, show::quantiles(latencies));
    }
    if count > 0 {
        let whose = if ran.len() > 1 { format!("{} ", workload.hosts[0].name) } else { String::new() };
        let cpu = first.cpu.as_secs_f64() * 1e6 / count as f64;
        println!("  {whose}CPU: {cpu:.2} µs for each of the {}", workload.unit);
    }
    groups(first);
    rate
}

/// How busy each group was, and what to turn, where there is more than one.
fn groups(ran: &Ran) {
    /// From here on a group is full; up to there it has time to spare.
    const FULL: f64 = 0.85;
    const IDLE: f64 = 0.6;
    if ran.groups.len() < 2 {
        return;
    }
    for share in &ran.groups {
        let (name, workers, busy) = (&share.name, share.workers, share.busy * 100.0);
        println!("  group {name}: {workers} worker(s), {busy:.0} % busy");
    }
    let by_load = |a: &&Share, b: &&Share| a.busy.total_cmp(&b.busy);
    let (most, least) = (ran.groups.iter().max_by(by_load), ran.groups.iter().min_by(by_load));
    let (Some(most), Some(least)) = (most, least) else { return };
    if most.busy >= FULL && least.busy <= IDLE {
        println!(
            "  {} is full while {} has time: move workers or work from one to the other",
            most.name, least.name
        );
    } else if most.busy >= FULL {
        println!("  all groups are full: more workers, if there are CPUs for them");
    } else {
        println!("  no group is full: the load is what the clients make");
    }
}

/// One simulated run, described.
fn simulate_once(args: &args::Run) -> Result<(), Failure> {
    let workload = args.workload.0;
    let schedule = schedule(args);
    let simulation = program::simulation(workload, sized(args, workload.small), &schedule);
    let outcome = simulation.run(args.seed);
    println!(
        "simulated: {}, seed {}: {} points, {} switches, {} events, {} of virtual time, event digest {:016x}",
        workload.name,
        outcome.seed,
        show::count(outcome.points),
        show::count(outcome.switches),
        show::count(outcome.events),
        show::time(outcome.time_ns),
        outcome.digest,
    );
    match outcome.verdict {
        Verdict::Pass => {
            println!(
                "outcome: pass\nmore schedules: {}",
                show::command(&format!("explore {}", workload.name))
            );
            Ok(())
        }
        _ => Err(failed(workload, &schedule, &simulation, &outcome)),
    }
}

/// A failure of the simulated part; its traces go where the command was called.
fn failed(
    workload: &'static Workload,
    schedule: &Schedule,
    simulation: &Simulation,
    outcome: &Outcome,
) -> Failure {
    Telling { workload, schedule, directory: Path::new("."), shrink: SHRINK }.failed(simulation, outcome)
}

fn schedule(args: &args::Run) -> Schedule {
    Schedule {
        workers: args.workers.map_or(1..=4, |n| n..=n),
        tso: Tso::Half,
        layout: args.topology,
        ..Schedule::default()
    }
}

/// Many schedules of the same program, and one of them replayed; returns what that showed.
fn simulate_many(args: &args::Run) -> Result<String, Failure> {
    let workload = args.workload.0;
    let size = sized(args, workload.small);
    println!(
        "\nsimulated: the same program on the same scheduler, {}; threads, clock and network from a seed",
        describe(workload, size)
    );
    let schedule = schedule(args);
    let simulation = program::simulation(workload, size, &schedule);
    let (started, jobs) = (Instant::now(), explore::default_jobs());
    let (mut executions, mut points, mut switches) = (0, 0, 0);
    while executions < SEEDS && started.elapsed() < PATIENCE {
        let batch = (SEEDS - executions).min(100);
        let report = explore::search(
            &simulation,
            "simulated",
            Explore { seeds: batch, first: args.seed + executions, jobs, ..Explore::default() },
        );
        executions += report.executions;
        points += report.points;
        switches += report.switches;
        if let Some(failure) = report.failure {
            return Err(failed(workload, &schedule, &simulation, &failure.outcome));
        }
    }
    println!(
        "  {} schedules, {} points, {} switches in {:.1} s: {} schedules/s, no violation",
        show::count(executions),
        show::count(points),
        show::count(switches),
        started.elapsed().as_secs_f64(),
        show::rate(executions, started.elapsed()),
    );

    let outcome = simulation.run(args.seed);
    let path = std::env::temp_dir().join(format!("pirn-{}-{}.json", workload.name, args.seed));
    outcome.trace.save(&path).map_err(|error| {
        Failure::input(format!("the trace can't be written to {}: {error}", path.display()))
    })?;
    match tell::replay_elsewhere(&path) {
        Ok(Some(0)) => {}
        Ok(code) => {
            return Err(Failure::Violation(format!(
                "seed {} does not replay in a fresh process (exit code {code:?}): {}",
                args.seed,
                show::command(&format!("replay {}", path.display()))
            )));
        }
        Err(error) => return Err(Failure::input(format!("no fresh process for the replay: {error}"))),
    }
    println!(
        "  seed {} recorded and replayed in a fresh process: the same {} events",
        args.seed,
        show::count(outcome.events)
    );
    println!("  again: {}", show::command(&format!("replay {}", path.display())));
    Ok(format!(
        "the same program and scheduler under {} simulated schedules without a violation; a recorded run replays to the bit in another process",
        show::count(executions)
    ))
}
