//! What `#[pirn_sim::test]` expands to.
//!
//! From the environment: `PIRN_SEED=S` runs that one seed, `PIRN_SEEDS=N` replaces the number of seeds, `PIRN_TRACE=file` replays that trace strictly
//! (with `PIRN_REPLAY=guided` what of it still fits), `PIRN_TRACE_DIR=folder` says where the traces of failures go (default: `target/pirn-traces`),
//! `PIRN_SHRINK=S` how many seconds a failure may be shrunk (default: 5; 0: not at all).

use std::env;
use std::fmt::Write as _;
use std::future::Future;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::explore::Explore;
use crate::fault::Faults;
use crate::options::{Preempt, Tso};
use crate::report::Outcome;
use crate::shrink::Shrink;
use crate::simulation::{Returned, Simulation};
use crate::strategy::Strategy;
use crate::trace::Trace;

/// The options of a simulated test.
#[derive(Clone, Debug)]
pub struct Config {
    seeds: u64,
    hosts: usize,
    workers: RangeInclusive<usize>,
    tso: bool,
    strategy: Strategy,
    preempt: Preempt,
    faults: Faults,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// 100 seeds, 1 host, 1 to 3 workers, a mix of strategies, preemption everywhere, faults that every program must expect.
    pub fn new() -> Self {
        Self {
            seeds: 100,
            hosts: 1,
            workers: 1..=3,
            tso: false,
            strategy: Strategy::Mix,
            preempt: Preempt::Everywhere,
            faults: Faults::default(),
        }
    }

    /// How many seeds.
    #[must_use]
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds;
        self
    }

    /// How many hosts; they are called `host0`, `host1` and so on.
    #[must_use]
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.hosts = hosts;
        self
    }

    /// Workers of each host.
    #[must_use]
    pub fn workers(mut self, workers: RangeInclusive<usize>) -> Self {
        self.workers = workers;
        self
    }

    /// Store buffers for half of the seeds.
    #[must_use]
    pub fn tso(mut self, tso: bool) -> Self {
        self.tso = tso;
        self
    }

    /// A name for [`Strategy`], such as `mix`, `pct:3` or `portfolio`. Panics at any other.
    #[must_use]
    pub fn strategy(mut self, strategy: &str) -> Self {
        self.strategy = strategy.parse().unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// `everywhere` or `os-calls`. Panics at any other.
    #[must_use]
    pub fn preempt(mut self, preempt: &str) -> Self {
        self.preempt = preempt.parse().unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// A list for [`Faults::parse`]. Panics at a name that it does not know.
    #[must_use]
    pub fn faults(mut self, list: &str) -> Self {
        self.faults = Faults::parse(list).unwrap_or_else(|error| panic!("{error}"));
        self
    }
}

/// Runs a simulated test: `program` on each host with its number, once for each seed. Panics at the first failure, after
/// printing its seed and verdict and writing its trace. `name` is the path of the test.
pub fn run<F, Fut>(name: &str, config: Config, program: F)
where
    F: Fn(usize) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future + 'static,
    Fut::Output: Returned,
{
    let mut simulation = Simulation::new(name)
        .workers(config.workers.clone())
        .strategy(config.strategy)
        .preempt(config.preempt)
        .faults(config.faults.clone())
        .tso(if config.tso { Tso::Half } else { Tso::Off });
    for host in 0..config.hosts {
        let program = program.clone();
        simulation = simulation.host(&format!("host{host}"), move || program(host));
    }
    if let Some(path) = env::var_os("PIRN_TRACE") {
        replay(&simulation, Path::new(&path));
        return;
    }
    let seeds = match (number("PIRN_SEED"), number("PIRN_SEEDS")) {
        (Some(seed), _) => Explore { seeds: 1, first: seed, ..Explore::default() },
        (None, Some(seeds)) => Explore { seeds, ..Explore::default() },
        (None, None) => Explore { seeds: config.seeds, ..Explore::default() },
    };
    let report = simulation.explore(seeds);
    if let Some(failure) = report.failure {
        let doubt = failure.confirmed.err().map_or(String::new(), |why| {
            format!("\nThe failure did not replay: {why}. Something that executions share (a global variable?) reaches the program.")
        });
        panic!("{}{doubt}", describe(&simulation, &failure.outcome, report.executions));
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable} is `{text}`: it takes a whole number"),
    }
}

fn replay(simulation: &Simulation, path: &Path) {
    let trace = Trace::load(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if trace.program() != simulation.name() {
        // Another test of the same binary: PIRN_TRACE concerns one.
        eprintln!("PIRN_TRACE is a trace of `{}`: `{}` is skipped", trace.program(), simulation.name());
        return;
    }
    let guided = match env::var("PIRN_REPLAY").as_deref() {
        Ok("guided") => true,
        Ok("strict") | Err(_) => false,
        Ok(other) => panic!("PIRN_REPLAY is `{other}`: it takes strict or guided"),
    };
    let replayed = match guided {
        true => simulation.replay_guided(&trace).map(|(outcome, fit)| {
            eprintln!("{}: guided, {fit}", path.display());
            outcome
        }),
        false => simulation.replay(&trace),
    };
    match replayed {
        Ok(outcome) if outcome.verdict.is_pass() => {}
        Ok(outcome) => panic!(
            "{} replayed to {} (seed {}, digest {:#018x})\n{}",
            path.display(),
            if guided { "a failure" } else { "the same failure" },
            outcome.seed,
            outcome.digest,
            story(simulation, &outcome)
        ),
        Err(error) => panic!("{}: {error} (PIRN_REPLAY=guided)", path.display()),
    }
}

/// What happened, or at least how it ended.
fn story(simulation: &Simulation, outcome: &Outcome) -> String {
    match simulation.story(&outcome.trace, env::var_os("PIRN_FULL").is_some()) {
        Ok(story) => story.to_string(),
        Err(error) => format!("{}\n(no story: {error})", outcome.verdict),
    }
}

/// Writes the trace as it was found and as it was shrunk, tells the story, and says how to see it again.
fn describe(simulation: &Simulation, outcome: &Outcome, executions: u64) -> String {
    let name = simulation.name();
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    let package = env::var("CARGO_PKG_NAME").map_or(String::new(), |package| format!(" -p {package}"));
    let limit = Duration::from_secs(number("PIRN_SHRINK").unwrap_or(5));
    let whole = save(test, "", outcome);
    let mut text = format!(
        "a simulated execution failed\noptions: {}\nseed:    {} (execution {executions})\nverdict: {}\n",
        outcome.trace.options(),
        outcome.seed,
        outcome.verdict
    );
    let (told, saved) = if limit.is_zero() {
        (outcome.clone(), whole)
    } else {
        let shrunk = simulation.shrink(outcome, Shrink { limit, ..Shrink::default() });
        let _ = writeln!(text, "shrunk:  to {}\n         from {}", shrunk.to, shrunk.from);
        let saved = save(test, "-shrunk", &shrunk.outcome);
        if let Ok(whole) = whole {
            let _ = writeln!(text, "whole:   {}", whole.display());
        }
        (shrunk.outcome, saved)
    };
    let _ = writeln!(text, "\n{}", story(simulation, &told));
    let how = match saved {
        Ok(saved) => format!(
            "{}\ntrace:   {}\nreplay:  PIRN_TRACE='{}' cargo test{package} '{test}' -- --exact",
            confirm(test, &saved),
            saved.display(),
            saved.display()
        ),
        Err(error) => format!(
            "trace:   {error}\nreplay:  PIRN_SEED={} cargo test{package} '{test}' -- --exact",
            outcome.seed
        ),
    };
    text + &how + "\n"
}

/// Runs this test binary again to replay the trace there. A binary that is not built on the usual test harness runs no such
/// test: then nothing is confirmed.
fn confirm(test: &str, trace: &Path) -> String {
    let output = env::current_exe().and_then(|binary| {
        Command::new(binary)
            .args([test, "--exact", "--include-ignored", "--nocapture"])
            .env("PIRN_TRACE", trace)
            .env("PIRN_REPLAY", "strict")
            .env("PIRN_SHRINK", "0")
            .output()
    });
    let said = output.map(|output| {
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    });
    match said {
        Ok(said) if said.contains("replayed to the same failure") => "confirmed: a fresh process replayed it to the same failure".to_owned(),
        Ok(said) if said.contains("does not replay") || said.contains("differs from the trace") => {
            "NOT confirmed: a fresh process replayed it and it went otherwise. Something that the simulator does not own reaches the program"
                .to_owned()
        }
        _ => "not confirmed: no fresh process ran this test".to_owned(),
    }
}

fn save(test: &str, ending: &str, outcome: &Outcome) -> Result<PathBuf, String> {
    let path = folder().join(format!("{}-{}{ending}.json", test.replace("::", "-"), outcome.seed));
    match outcome.trace.save(&path) {
        Ok(()) => Ok(path.canonicalize().unwrap_or(path)),
        Err(error) => Err(format!("not written to {}: {error}", path.display())),
    }
}

/// Where traces go: the variable, else `target/pirn-traces` of the package or workspace.
fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("PIRN_TRACE_DIR") {
        return folder.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).or_else(|| {
        let binary = env::current_exe().ok()?;
        binary.ancestors().find(|folder| folder.ends_with("target")).map(Path::to_path_buf)
    });
    target.unwrap_or_else(|| "target".into()).join("pirn-traces")
}
