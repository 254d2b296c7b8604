//! Exploration: many seeds, on several OS threads, up to the first failure.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::report::Outcome;
use crate::simulation::Simulation;
use crate::thread::Lease;

/// What to explore.
#[derive(Clone, Copy)]
pub struct Explore<'a> {
    /// How many seeds.
    pub seeds: u64,
    /// The first of them.
    pub first: u64,
    /// OS threads that run executions.
    pub jobs: usize,
    /// Called now and then, from those threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Explore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explore")
            .field("seeds", &self.seeds)
            .field("first", &self.first)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

impl Default for Explore<'_> {
    /// A thousand seeds from 0, on one thread, in silence.
    fn default() -> Self {
        Self { seeds: 1000, first: 0, jobs: 1, progress: &|_| {} }
    }
}

/// How far an exploration has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Executions that ended.
    pub executions: u64,
    /// Their points.
    pub points: u64,
}

/// What came of an exploration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Executions that ended.
    pub executions: u64,
    /// Their points.
    pub points: u64,
    /// Their switches.
    pub switches: u64,
    /// Real time.
    pub seconds: f64,
    /// The failure with the lowest seed of those that were found.
    pub failure: Option<Failure>,
}

/// A failure.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The execution that failed.
    pub outcome: Outcome,
    /// Whether its trace replayed to the same failure; if not, how it differed. Then something reaches the program that
    /// the simulator does not own, such as a global variable shared by executions.
    pub confirmed: Result<(), String>,
}

struct Shared<'a> {
    explore: Explore<'a>,
    next: AtomicU64,
    stop: AtomicBool,
    executions: AtomicU64,
    points: AtomicU64,
    switches: AtomicU64,
    failure: Mutex<Option<Outcome>>,
}

/// Executions between two calls of `progress` on one thread.
const PROGRESS: u64 = 64;

impl Simulation {
    /// Runs one execution a seed and stops at the first failure.
    pub fn explore(&self, explore: Explore<'_>) -> Report {
        let started = Instant::now();
        let shared = Shared {
            explore,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            executions: AtomicU64::new(0),
            points: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            failure: Mutex::new(None),
        };
        if explore.jobs <= 1 {
            self.job(&shared);
        } else {
            std::thread::scope(|scope| {
                for _ in 0..explore.jobs {
                    scope.spawn(|| self.job(&shared));
                }
            });
        }
        let failure = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report {
            executions: shared.executions.into_inner(),
            points: shared.points.into_inner(),
            switches: shared.switches.into_inner(),
            seconds: started.elapsed().as_secs_f64(),
            failure: failure.map(|outcome| Failure {
                confirmed: self.replay(&outcome.trace).map(drop).map_err(|error| error.to_string()),
                outcome,
            }),
        }
    }

    // Relaxed throughout: counters, and a flag that only has to be seen soon; the join orders the rest.
    fn job(&self, shared: &Shared<'_>) {
        let lease = Lease::take().unwrap_or_else(|error| panic!("the simulator can't start: {error}"));
        loop {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            if number >= shared.explore.seeds || shared.stop.load(Ordering::Relaxed) {
                break;
            }
            let seed = shared.explore.first.wrapping_add(number);
            let options = self.options(&lease, seed);
            self.execute(&lease, seed, options);
            let world = lease.executor().world();
            let executions = 1 + shared.executions.fetch_add(1, Ordering::Relaxed);
            let points = world.points + shared.points.fetch_add(world.points, Ordering::Relaxed);
            shared.switches.fetch_add(world.switches, Ordering::Relaxed);
            if world.failure.is_some() {
                shared.stop.store(true, Ordering::Relaxed);
                let outcome = self.outcome(&lease, seed);
                let mut failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                if failure.as_ref().is_none_or(|before| before.seed > seed) {
                    *failure = Some(outcome);
                }
            }
            if executions.is_multiple_of(PROGRESS) {
                (shared.explore.progress)(Progress { executions, points });
            }
        }
        (shared.explore.progress)(Progress {
            executions: shared.executions.load(Ordering::Relaxed),
            points: shared.points.load(Ordering::Relaxed),
        });
    }
}
