//! What `#[pirn_sim::test]` expands to.
//!
//! From the environment: `PIRN_SEED=S` runs that one seed, `PIRN_SEEDS=N` replaces the number of seeds, `PIRN_TRACE=file` replays that trace strictly,
//! `PIRN_TRACE_DIR=folder` says where the traces of failures go (default: `target/pirn-traces`).

use std::env;
use std::future::Future;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::explore::Explore;
use crate::options::{Faults, Preempt, Tso};
use crate::report::Outcome;
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
        panic!("{}{doubt}", describe(name, &failure.outcome, report.executions));
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
    match simulation.replay(&trace) {
        Ok(outcome) if outcome.verdict.is_pass() => {}
        Ok(outcome) => panic!(
            "{} replayed to the same failure (seed {}, digest {:#018x})\n{}",
            path.display(),
            outcome.seed,
            outcome.digest,
            outcome.verdict
        ),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn describe(name: &str, outcome: &Outcome, executions: u64) -> String {
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    let package = env::var("CARGO_PKG_NAME").map_or(String::new(), |package| format!(" -p {package}"));
    let saved = folder().join(format!("{}-{}.json", test.replace("::", "-"), outcome.seed));
    let how = match outcome.trace.save(&saved) {
        Ok(()) => {
            let saved = saved.canonicalize().unwrap_or(saved);
            format!(
                "trace:   {}\nreplay:  PIRN_TRACE='{}' cargo test{package} '{test}' -- --exact",
                saved.display(),
                saved.display()
            )
        }
        Err(error) => format!(
            "trace:   not written to {}: {error}\nreplay:  PIRN_SEED={} cargo test{package} '{test}' -- --exact",
            saved.display(),
            outcome.seed
        ),
    };
    format!(
        "a simulated execution failed\nseed:    {} (execution {executions})\noptions: {}\nverdict: {}\n{how}\n",
        outcome.seed,
        outcome.trace.options(),
        outcome.verdict
    )
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
