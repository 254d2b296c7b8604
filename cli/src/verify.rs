//! `explore --verify`: the runs that passed once more, in fresh processes; each must have the same digest there.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use pirn_sim::{Explore, Ran, Simulation};

use crate::failure::Failure;
use crate::show;

/// Runs of one fresh process.
const BATCH: usize = 250;

/// The runs of a sweep.
#[derive(Default)]
pub(crate) struct Runs(Mutex<Vec<Ran>>);

impl Runs {
    /// Keeps a run, if that is asked for.
    pub(crate) fn add(&self, keep: bool, ran: Ran) {
        if keep {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ran);
        }
    }
}

/// A run in a line.
fn line(ran: &Ran) -> String {
    format!("{} {:016x} {} {} {}", ran.seed, ran.digest, ran.points, ran.time_ns, ran.passed)
}

/// In the fresh process: runs `from` to `to` of the sweep, in a line each.
pub(crate) fn print(simulation: &Simulation, sweep: Explore<'_>, from: u64, to: u64) {
    let out = Mutex::new(BufWriter::new(std::io::stdout()));
    let each = |ran: Ran| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads any more: then nobody wants it.
        let _ = writeln!(out, "{}", line(&ran));
    };
    let first = sweep.first.wrapping_add(from);
    simulation.explore(Explore {
        seeds: to - from,
        first,
        jobs: sweep.jobs,
        each: &each,
        ..Explore::default()
    });
    let _ = out.into_inner().unwrap_or_else(PoisonError::into_inner).flush();
}

/// In the first process: repeats `runs`, whose sweep began at seed `first`.
pub(crate) fn compare(runs: &Runs, first: u64) -> Result<(), Failure> {
    let mut runs = runs.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    runs.sort_by_key(|ran| ran.seed);
    let bar = show::bar(runs.len() as u64, "verify", "{pos}/{len} runs in fresh processes");
    let mut processes = 0;
    for batch in runs.chunk_by(|a, b| a.seed + 1 == b.seed).flat_map(|part| part.chunks(BATCH)) {
        let (from, to) = (batch[0].seed - first, batch[batch.len() - 1].seed - first + 1);
        let mut theirs = elsewhere(from, to).map_err(|error| {
            Failure::input(format!("--verify: no fresh process for runs {from} to {}: {error}", to - 1))
        })?;
        theirs.sort_by_key(|line| line.split(' ').next().and_then(|seed| seed.parse::<u64>().ok()));
        for (at, ours) in batch.iter().map(line).enumerate() {
            let theirs = theirs.get(at).map_or("no such run", String::as_str);
            if theirs != ours {
                bar.finish_and_clear();
                println!("seed {}: seed, digest, points, time and verdict are", batch[at].seed);
                println!("  {ours} here\n  {theirs} in a fresh process");
                return Err(Failure::Violation(
                    "the runs differ: something that the simulator does not own reaches the program"
                        .to_owned(),
                ));
            }
        }
        processes += 1;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let count = show::count(runs.len() as u64);
    println!("verified: {count} runs were the same in {processes} fresh processes");
    Ok(())
}

/// The lines of a fresh process: the same command, for a part of the runs.
fn elsewhere(from: u64, to: u64) -> std::io::Result<Vec<String>> {
    let output = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg(format!("--digests={from}-{to}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
