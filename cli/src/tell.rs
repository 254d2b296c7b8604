//! What follows a failed execution: its trace, shrunk, told as a story, confirmed in a fresh process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pirn_sim::{Measure, Outcome, Shrink, Shrunk, Simulation, Trace};

use crate::failure::Failure;
use crate::program::{self, Schedule};
use crate::show;
use crate::workloads::{Size, Workload};

/// What to do with a failure.
pub(crate) struct Telling<'a> {
    pub(crate) workload: &'static Workload,
    pub(crate) schedule: &'a Schedule,
    /// Where traces go.
    pub(crate) directory: &'a Path,
    /// How long it may be shrunk; zero: not at all.
    pub(crate) shrink: Duration,
}

impl Telling<'_> {
    /// Describes a failed execution of `simulation`.
    pub(crate) fn failed(&self, simulation: &Simulation, outcome: &Outcome) -> Failure {
        println!("\noptions of seed {}: {}", outcome.seed, outcome.trace.options());
        println!("seed {} fails: {}", outcome.seed, outcome.verdict);
        let name = format!("pirn-{}-{}", self.workload.name, outcome.seed);
        let whole = self.directory.join(format!("{name}.json"));
        if let Err(failure) = save(&outcome.trace, &whole) {
            return failure;
        }
        println!("trace: {}", whole.display());
        let (again, path) = match self.shrink.is_zero() {
            true => (None, whole),
            false => {
                let shrunk = self.shrink(simulation, outcome);
                let path = self.directory.join(format!("{name}-shrunk.json"));
                if let Err(failure) = save(&shrunk.outcome.trace, &path) {
                    return failure;
                }
                println!("shrunk trace: {}", path.display());
                (Some(shrunk), path)
            }
        };
        let (simulation, trace) = match &again {
            Some(shrunk) => (&shrunk.simulation, &shrunk.outcome.trace),
            None => (simulation, &outcome.trace),
        };
        match simulation.story(trace, false) {
            Ok(story) => println!("\n{story}"),
            Err(error) => println!("no story: {error}"),
        }
        match replay_elsewhere(&path) {
            Ok(Some(1)) => println!("confirmed: a fresh process replayed it to the same failure"),
            Ok(code) => println!(
                "NOT confirmed: a fresh process replayed it with exit code {code:?}; the run depends on something the simulator does not control"
            ),
            Err(error) => println!("not confirmed: no fresh process ({error})"),
        }
        Failure::Violation(format!(
            "replay it with: {}",
            show::command(&format!("replay {}", path.display()))
        ))
    }

    fn shrink(&self, simulation: &Simulation, outcome: &Outcome) -> Shrunk {
        let bar = show::bar(self.shrink.as_millis() as u64, "shrinking", "{msg}");
        let shrunk = simulation.shrink(
            outcome,
            Shrink {
                limit: self.shrink,
                smaller: &|simulation| smaller(self.workload, self.schedule, simulation.args()),
                progress: &|runs, measure: Measure| {
                    bar.set_position(bar.elapsed().as_millis() as u64);
                    bar.set_message(format!("{} runs, {measure}", show::count(runs)));
                },
            },
        );
        bar.finish_and_clear();
        println!(
            "shrunk in {:.1} s and {} runs{}:\n  from {}\n  to   {}",
            shrunk.seconds,
            show::count(shrunk.runs),
            if shrunk.finished { "" } else { " (the time is over; --shrink-seconds gives more)" },
            shrunk.from,
            shrunk.to
        );
        shrunk
    }
}

/// The same workload with less to do, the smallest first.
fn smaller(
    workload: &'static Workload,
    schedule: &Schedule,
    args: &BTreeMap<String, String>,
) -> Vec<Simulation> {
    let Ok(size) = program::size(args) else { return Vec::new() };
    let halves = |n: u32| [n / 2, n.saturating_sub(n / 4 + 1), n.saturating_sub(1)];
    let mut sizes: Vec<Size> = Vec::new();
    sizes.extend(halves(size.width).map(|width| Size { width, ..size }));
    sizes.extend(halves(size.rounds).map(|rounds| Size { rounds, ..size }));
    sizes.extend([size.bytes / 2].map(|bytes| Size { bytes, ..size }));
    sizes.retain(|s| *s != size && s.width > 0 && s.rounds > 0 && (s.bytes > 0 || size.bytes == 0));
    sizes.dedup();
    sizes.into_iter().map(|size| program::simulation(workload, size, schedule)).collect()
}

fn save(trace: &Trace, path: &Path) -> Result<(), Failure> {
    trace.save(path).map_err(|error| {
        Failure::Violation(format!(
            "the trace can't be written to {}: {error}; choose another directory with --traces",
            path.display()
        ))
    })
}

/// Replays in another process, silently; its exit code.
pub(crate) fn replay_elsewhere(trace: &Path) -> std::io::Result<Option<i32>> {
    let status = Command::new(std::env::current_exe()?)
        .arg("replay")
        .arg(trace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.code())
}
