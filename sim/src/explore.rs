//! Exploration: many executions, on several OS threads, up to the first failure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::choice::Source;
use crate::options::Options;
use crate::plan::{Frontier, Next, Plan, Shard};
use crate::report::Outcome;
use crate::simulation::Simulation;
use crate::strategy::{Strategy, Walk};
use crate::summary::{Failed, Summary};
use crate::tally::Tally;
use crate::thread::Lease;

/// What to explore.
#[derive(Clone, Copy)]
pub struct Explore<'a> {
    /// How many seeds, one execution each. For [`Strategy::Dfs`]: how many executions at most.
    pub seeds: u64,
    /// The first of them.
    pub first: u64,
    /// Which part of them. Shards are slices of the seeds, in order; of a depth-first search, subtrees.
    pub shard: Shard,
    /// OS threads that run executions.
    pub jobs: usize,
    /// How long at most: then it stops where it is.
    pub limit: Option<Duration>,
    /// What an earlier exploration of the same seeds and shard did: that is left out, and counted in the summary.
    pub resume: Option<&'a Summary>,
    /// Called after each execution, from those threads.
    pub each: &'a (dyn Fn(Ran) + Sync),
    /// Called now and then, from those threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Explore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explore")
            .field("seeds", &self.seeds)
            .field("first", &self.first)
            .field("shard", &self.shard)
            .field("jobs", &self.jobs)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Default for Explore<'_> {
    /// A thousand seeds from 0, all of them, on one thread, in silence.
    fn default() -> Self {
        Self {
            seeds: 1000,
            first: 0,
            shard: Shard::default(),
            jobs: 1,
            limit: None,
            resume: None,
            each: &|_| {},
            progress: &|_| {},
        }
    }
}

/// One execution of an exploration, in a few words: equal in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its seed.
    pub seed: u64,
    /// The digest of its events.
    pub digest: u64,
    /// Its points.
    pub points: u64,
    /// Its virtual time at the end, in nanoseconds.
    pub time_ns: u64,
    /// Whether it passed.
    pub passed: bool,
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
    /// The same and more, with what was resumed, as a file for other processes.
    pub summary: Summary,
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
    started: Instant,
    stop: AtomicBool,
    executions: AtomicU64,
    points: AtomicU64,
    work: Mutex<Work>,
    /// Rung when the frontier has more.
    more: Condvar,
}

/// What is still to do, and what was done.
struct Work {
    /// Numbers of executions, as slices, the next one last.
    todo: Vec<(u64, u64)>,
    done: Vec<(u64, u64)>,
    frontier: Option<(Frontier, Options)>,
    tally: Tally,
    failure: Option<Outcome>,
}

/// Executions between two looks at what is shared, at most.
const BATCH: u64 = 64;

impl Simulation {
    /// Runs one execution a seed and stops at the first failure. Panics if `resume` is the summary of something else ([`Summary::check`] says so).
    pub fn explore(&self, explore: Explore<'_>) -> Report {
        let mut summary = Summary::of(self, explore.first, explore.seeds, explore.shard);
        if let Some(resume) = explore.resume {
            resume.fits(&summary).unwrap_or_else(|error| panic!("{error}"));
            summary = resume.clone();
        }
        let shared = Shared {
            explore,
            started: Instant::now(),
            stop: AtomicBool::new(false),
            executions: AtomicU64::new(0),
            points: AtomicU64::new(0),
            work: Mutex::new(self.work(&explore, &mut summary)),
            more: Condvar::new(),
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
        let seconds = shared.started.elapsed().as_secs_f64();
        let work = shared.work.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = &work.failure {
            summary.failures.push(Failed::new(outcome));
        }
        summary.add(&work.done, &work.tally, seconds);
        summary.frontier = work.frontier.map(|(frontier, _)| frontier.saved());
        Report {
            executions: work.tally.executions,
            points: work.tally.points,
            switches: work.tally.switches,
            seconds,
            failure: work.failure.map(|outcome| Failure {
                confirmed: self.replay(&outcome.trace).map(drop).map_err(|error| error.to_string()),
                outcome,
            }),
            summary,
        }
    }

    fn work(&self, explore: &Explore<'_>, summary: &mut Summary) -> Work {
        let limit = match self.asked.strategy {
            Strategy::Dfs(limit) => Some(limit),
            Strategy::Portfolio => Some(2),
            _ => None,
        };
        let frontier = limit.map(|limit| {
            let frontier = summary.frontier.take().unwrap_or_else(|| Frontier::new(limit, explore.shard));
            (frontier, self.search_options(explore.first, limit))
        });
        Work { todo: summary.todo(), done: Vec::new(), frontier, tally: Tally::default(), failure: None }
    }

    fn job(&self, shared: &Shared<'_>) {
        let lease = Lease::take().unwrap_or_else(|error| panic!("the simulator can't start: {error}"));
        while let Some((from, to)) = shared.batch() {
            let mut tally = Tally::default();
            let mut number = from;
            while number < to && !shared.is_over() && self.one(&lease, shared, number, &mut tally) {
                number += 1;
            }
            shared.finish((from, number), &tally);
        }
    }

    /// Execution `number`. False: there is none.
    fn one(&self, lease: &Lease, shared: &Shared<'_>, number: u64, tally: &mut Tally) -> bool {
        let seed = shared.explore.first.wrapping_add(number);
        let options = self.options(lease, seed);
        let searches = matches!(options.walk, Walk::Dfs { .. });
        let seed = if searches {
            match shared.plan(self.asked.strategy != Strategy::Portfolio) {
                Planned::Run(plan, options) => {
                    self.execute(lease, shared.explore.first, *options, plan);
                    shared.explore.first
                }
                Planned::Nothing if self.asked.strategy == Strategy::Portfolio => {
                    self.execute(lease, seed, Options { walk: Walk::Pos, ..options }, Plan::default());
                    seed
                }
                Planned::Nothing => return false,
            }
        } else {
            self.execute(lease, seed, options, Plan::default());
            seed
        };
        let world = lease.executor().world();
        tally.count(number, world);
        (shared.explore.each)(Ran {
            seed,
            digest: world.final_digest(),
            points: world.points,
            time_ns: world.now,
            passed: world.failure.is_none(),
        });
        // Relaxed: counters for people, and a flag that only has to be seen soon.
        let executions = 1 + shared.executions.fetch_add(1, Ordering::Relaxed);
        let points = world.points + shared.points.fetch_add(world.points, Ordering::Relaxed);
        if world.failure.is_some() {
            shared.stop.store(true, Ordering::Relaxed);
            let outcome = self.outcome(lease, seed);
            let mut work = shared.lock();
            if work.failure.as_ref().is_none_or(|before| before.seed > seed) {
                work.failure = Some(outcome);
            }
        }
        let world = lease.executor().world();
        if let (Walk::Dfs { .. }, Source::Draw(draw)) = (world.options.walk, &mut world.source) {
            shared.report(draw.plan());
        }
        if executions.is_multiple_of(BATCH) {
            (shared.explore.progress)(Progress { executions, points });
        }
        true
    }
}

enum Planned {
    Run(Plan, Box<Options>),
    Nothing,
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.explore.limit.is_some_and(|limit| self.started.elapsed() >= limit)
    }

    /// The next numbers of executions.
    fn batch(&self) -> Option<(u64, u64)> {
        if self.is_over() {
            return None;
        }
        let mut work = self.lock();
        let left: u64 = work.todo.iter().map(|(from, to)| to - from).sum();
        let size = (left / (4 * self.explore.jobs.max(1) as u64)).clamp(1, BATCH);
        let (from, to) = work.todo.pop()?;
        let end = to.min(from.saturating_add(size));
        if end < to {
            work.todo.push((end, to));
        }
        Some((from, end))
    }

    /// A batch ended, perhaps early.
    fn finish(&self, done: (u64, u64), tally: &Tally) {
        let mut work = self.lock();
        if done.1 > done.0 {
            work.done.push(done);
            work.tally.add(tally);
        }
        drop(work);
        (self.explore.progress)(Progress {
            executions: self.executions.load(Ordering::Relaxed),
            points: self.points.load(Ordering::Relaxed),
        });
    }

    /// A plan of the depth-first search, for which a job may `wait` until another one finds more.
    fn plan(&self, wait: bool) -> Planned {
        let mut work = self.lock();
        loop {
            let Some((frontier, options)) = &mut work.frontier else { return Planned::Nothing };
            match frontier.take() {
                Next::Plan(plan) => return Planned::Run(plan, Box::new(options.clone())),
                Next::Later if wait && !self.is_over() => {
                    let patience = Duration::from_millis(20);
                    work = self.more.wait_timeout(work, patience).unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Later | Next::Done => return Planned::Nothing,
            }
        }
    }

    fn report(&self, plan: &Plan) {
        if let Some((frontier, _)) = &mut self.lock().frontier {
            frontier.report(plan);
        }
        self.more.notify_all();
    }
}
