//! The builder: hosts, options, and one execution from a seed or a trace.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::check::Checker;
use crate::choice::Source;
use crate::cost::{Cost, Model};
use crate::disk::Storage;
use crate::fault::Faults;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::log::Log;
use crate::options::{Asked, Network, Options, Preempt, Sizes, Tso};
use crate::plan::Plan;
use crate::report::{Outcome, Verdict};
use crate::strategy::Strategy;
use crate::thread::{Executor, Lease};
use crate::trace::{FORMAT, Header, Summary, Trace};
use crate::world::NONE;

/// What a host's program may return.
pub trait Returned {
    /// What to report if this is a failure.
    fn failure(self) -> Option<String>;
}

impl Returned for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> Returned for Result<T, E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("returned an error: {error:?}"))
    }
}

/// A host's main thread.
pub(crate) type Main = Arc<dyn Fn() + Send + Sync>;

/// A program for the simulator: hosts, and how to run them. Cloning it is cheap.
#[derive(Clone)]
pub struct Simulation {
    pub(crate) name: String,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) hosts: Vec<(String, Main)>,
    pub(crate) asked: Asked,
    /// About how many points an execution has; measured once by a run of its own.
    length: Arc<OnceLock<u64>>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.hosts.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Simulation")
            .field("name", &self.name)
            .field("args", &self.args)
            .field("hosts", &hosts)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// A simulation without hosts. `name` stands in its traces.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            args: BTreeMap::new(),
            hosts: Vec::new(),
            asked: Asked::default(),
            length: Arc::default(),
        }
    }

    /// An argument of the program, for the trace header: whoever replays needs it to build the program again.
    #[must_use]
    pub fn arg(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.args.insert(key.to_owned(), value.to_string());
        self
    }

    /// Adds a host: a runtime whose main future is what `program` returns. Host number `i` has the address 10.0.0.(i+1). The
    /// run ends when all hosts have returned. `program` is called once an execution, on the host.
    #[must_use]
    pub fn host<F, Fut>(self, name: &str, program: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future + 'static,
        Fut::Output: Returned,
    {
        self.bare_host(name, move || crate::entry::run_host(&program))
    }

    /// Adds a host without a runtime: its main thread runs `program`.
    #[must_use]
    pub fn bare_host(mut self, name: &str, program: impl Fn() + Send + Sync + 'static) -> Self {
        self.hosts.push((name.to_owned(), Arc::new(program)));
        self.changed()
    }

    /// Workers of each host, drawn from the range. Default: 1 to 3.
    #[must_use]
    pub fn workers(mut self, range: impl Into<RangeInclusive<usize>>) -> Self {
        self.asked.workers = range.into();
        self.changed()
    }

    /// Whether sizes and intervals of the runtime are drawn. Default: they are.
    #[must_use]
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.asked.sizes = sizes;
        self.changed()
    }

    /// How threads are chosen. Default: a mix.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.asked.strategy = strategy;
        self.changed()
    }

    /// Store buffers, in all executions or none ([`Tso`] and `bool` fit). Default: none.
    #[must_use]
    pub fn tso(mut self, tso: impl Into<Tso>) -> Self {
        self.asked.tso = tso.into();
        self.changed()
    }

    /// Where threads may be switched. Default: everywhere.
    #[must_use]
    pub fn preempt(mut self, preempt: Preempt) -> Self {
        self.asked.preempt = preempt;
        self.changed()
    }

    /// What the hosts run on. Default: [`Kernel::Ops`].
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.asked.kernel = kernel;
        self.changed()
    }

    /// How the workers of each host are grouped. Default: [`Layout::Stealing`].
    #[must_use]
    pub fn topology(mut self, layout: Layout) -> Self {
        self.asked.layout = layout;
        self.changed()
    }

    /// What goes wrong. Default: [`Faults::default`].
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.asked.faults = faults;
        self.changed()
    }

    /// The network.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.asked.network = network;
        self.changed()
    }

    /// The disks of the hosts.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.asked.storage = storage;
        self.changed()
    }

    /// An execution with more points is a livelock (checked at each 1,024th). Default: 20 million.
    #[must_use]
    pub fn max_points(mut self, points: u64) -> Self {
        self.asked.max_points = points;
        self.changed()
    }

    /// An execution that lasts longer in virtual time is a livelock. Default: a day.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.asked.max_time = time;
        self.changed()
    }

    /// Has the schedule follow from what things cost, instead of from choices: see [`cost`](crate::cost). Wants [`Kernel::Epoll`] or
    /// [`Kernel::Uring`], whose system calls have costs, and [`Faults::none`]. Such a run is checked by nobody, and its trace does not replay.
    #[must_use]
    pub fn cost(mut self, model: Model) -> Self {
        self.asked.cost = Some(model);
        self.changed()
    }

    fn changed(mut self) -> Self {
        self.length = Arc::default();
        self
    }

    /// The names of its hosts.
    pub(crate) fn host_names(&self) -> Vec<String> {
        self.hosts.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its arguments.
    pub fn args(&self) -> &BTreeMap<String, String> {
        &self.args
    }

    /// One execution. The same seed gives the same execution, in any process.
    pub fn run(&self, seed: u64) -> Outcome {
        let lease = lease();
        let options = self.options(&lease, seed);
        self.execute(&lease, seed, options, Plan::default());
        self.outcome(&lease, seed)
    }

    /// The options of a seed.
    pub(crate) fn options(&self, lease: &Lease, seed: u64) -> Options {
        lease.executor().beat.seed(seed);
        self.asked.draw(seed, self.hosts.len(), self.length(lease))
    }

    /// The options of a depth-first search that starts at `seed`: the same for all its executions.
    pub(crate) fn search_options(&self, seed: u64, deviations: u32) -> Options {
        let asked = Asked { strategy: Strategy::Dfs(deviations), ..self.asked.clone() };
        asked.draw(seed, self.hosts.len(), 0)
    }

    /// About how many points an execution has: PCT needs to know. From one run that depends on nothing but the simulation.
    fn length(&self, lease: &Lease) -> u64 {
        if !self.asked.strategy.needs_length() {
            return 0;
        }
        *self.length.get_or_init(|| {
            let measure = Asked { strategy: Strategy::Stay, ..self.asked.clone() };
            let seed = 0x6c65_6e67_7468;
            self.execute(lease, seed, measure.draw(seed, self.hosts.len(), 0), Plan::default());
            lease.executor().world().points
        })
    }

    /// Runs once, on `lease`, whose world holds what came of it.
    pub(crate) fn execute(&self, lease: &Lease, seed: u64, options: Options, plan: Plan) {
        let source = Source::draw(&options, seed, plan);
        self.execute_from(lease, options, source, None);
    }

    /// The same, with choices from elsewhere.
    pub(crate) fn execute_from(&self, lease: &Lease, options: Options, source: Source, log: Option<Log>) {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only has to differ.
        let run = 1 + RUNS.fetch_add(1, Ordering::Relaxed);
        assert!(
            !self.hosts.is_empty(),
            "the simulation `{}` has no hosts: add one with .host(..)",
            self.name
        );
        let executor = lease.executor();
        executor.begin(run, options, source);
        executor.world().log = log;
        executor.world().cost = self.asked.cost.clone().map(|model| Box::new(Cost::new(model)));
        for (name, main) in &self.hosts {
            executor.add_host(name, Arc::clone(main));
        }
        executor.world().begin_faults();
        executor.run();
    }

    /// What came of the last execution on `lease`.
    pub(crate) fn outcome(&self, lease: &Lease, seed: u64) -> Outcome {
        let world = lease.executor().world();
        let verdict = world.failure.clone().unwrap_or(Verdict::Pass);
        let digest = world.final_digest();
        let header = Header {
            format: FORMAT,
            pirn: env!("CARGO_PKG_VERSION").to_owned(),
            program: self.name.clone(),
            args: self.args.clone(),
            hosts: self.host_names(),
            seed,
            options: world.drawn.as_deref().unwrap_or(&world.options).clone(),
        };
        let summary = Summary {
            verdict: verdict.name().to_owned(),
            message: verdict.message(),
            points: world.points,
            switches: world.switches,
            events: world.events,
            time_ns: world.now,
            digest,
        };
        Outcome {
            seed,
            digest,
            points: world.points,
            switches: world.switches,
            events: world.events,
            time_ns: world.now,
            threads: if verdict.is_pass() { String::new() } else { world.describe_threads() },
            verdict,
            trace: Trace::new(header, world.entries.clone(), world.digests.clone(), summary),
        }
    }
}

/// An executor for a run of its own.
pub(crate) fn lease() -> Lease {
    assert!(
        crate::thread::current().is_none(),
        "a simulation was started inside a simulated program: start it from an ordinary thread"
    );
    Lease::take().unwrap_or_else(|error| panic!("the simulator can't start: {error}"))
}

impl Executor {
    fn add_host(&self, name: &str, main: Main) {
        let world = self.world();
        let number = world.hosts.len() as u32;
        world.hosts.push(crate::world::Host {
            name: name.to_owned(),
            checker: Checker::new(),
            main: world.threads.len() as u32,
            program: main,
            returned: false,
            down: false,
            frozen: false,
            crashes: 0,
            wall_ns: 0,
        });
        world.hosts_left += 1;
        if let Some(cost) = &mut world.cost {
            cost.host(name);
        }
        world.add_thread(number, format!("{name}/main"), NONE);
    }
}
