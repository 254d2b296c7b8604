//! Shrinking: a failure's trace with as few choices as still show it.
//!
//! What is not recorded falls on the default, so a trace gets simpler by deleting entries and replaying the rest guided. Windows of
//! entries are deleted, large ones first, then single ones and pairs, as in delta debugging (Zeller and Hildebrandt, 2002); every
//! run that still fails in the same way and measures less is the next one to work on, as it was recorded. Then faults are
//! switched off, workers taken away, and smaller programs tried if the caller knows some. A walk of this
//! kind ends in a local minimum, so other failing seeds are looked for and shrunk too while there is time.

use std::cmp::Ordering;
use std::fmt;
use std::time::{Duration, Instant};

use crate::choice::{Entry, Source};
use crate::disk::DiskDrawn;
use crate::options::{Datagrams, Options};
use crate::plan::Plan;
use crate::replay::Follow;
use crate::report::{Outcome, Verdict};
use crate::simulation::{Simulation, lease};
use crate::thread::Lease;

/// How simple a failing run is. Less is simpler; the fields count in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    /// Switches of threads that are not the default: what a reader has to follow.
    pub switches: usize,
    /// Other choices that are not the default: faults, orders of completions, stores that wait.
    pub faults: usize,
    /// Tasks that were spawned.
    pub tasks: u64,
    /// Hosts.
    pub hosts: usize,
    /// Simulated threads.
    pub threads: usize,
    /// Kinds of faults that are switched on.
    pub allowed: u32,
    /// Points.
    pub points: u64,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        write!(
            f,
            "{}, {}, {}, {}, {}",
            count(self.switches as u64, "switch", "switches"),
            count(self.faults as u64, "other choice", "other choices"),
            count(self.tasks, "task", "tasks"),
            count(self.threads as u64, "thread", "threads"),
            count(self.points, "point", "points")
        )
    }
}

/// How to shrink.
#[derive(Clone, Copy)]
pub struct Shrink<'a> {
    /// The longest time it may take. The last run that was begun ends later.
    pub limit: Duration,
    /// Smaller variants of a program, the smallest first: fewer tasks, fewer rounds, fewer hosts. Asked for again for each that still fails.
    pub smaller: &'a (dyn Fn(&Simulation) -> Vec<Simulation> + Sync),
    /// Called now and then with the runs so far and the measure of the simplest failing one.
    pub progress: &'a (dyn Fn(u64, Measure) + Sync),
}

impl Default for Shrink<'_> {
    /// At most five seconds, with the program as it is, in silence.
    fn default() -> Self {
        Self { limit: Duration::from_secs(5), smaller: &|_| Vec::new(), progress: &|_, _| {} }
    }
}

impl fmt::Debug for Shrink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shrink").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The program that failed: the given one, or a smaller one.
    pub simulation: Simulation,
    /// Its run; the trace replays strictly.
    pub outcome: Outcome,
    /// The measure of the run it began with.
    pub from: Measure,
    /// The measure of this one.
    pub to: Measure,
    /// Runs that it took.
    pub runs: u64,
    /// Real time.
    pub seconds: f64,
    /// Whether it ended because nothing simpler was found, and not because of the limit.
    pub finished: bool,
}

/// What two failures share if they are the same one: the invariant, the place of a panic, else the first line without its numbers.
pub(crate) fn signature(verdict: &Verdict) -> String {
    if let Verdict::Violation(violation) = verdict {
        return violation.invariant.to_owned();
    }
    let message = verdict.message();
    let line = message.lines().next().unwrap_or_default();
    // A panic's place is added by the hook as "(at file:line:column)".
    let place =
        message.rfind("(at ").map(|at| &message[at..]).filter(|_| matches!(verdict, Verdict::Panic(_)));
    match place {
        Some(place) => format!("panic {place}"),
        None => {
            let text: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
            format!("{} {text}", verdict.name())
        }
    }
}

/// Pairs of entries are tried only in lists up to this long: their number is its square.
const PAIRS: usize = 40;

/// Failing runs leak what their threads held, so their number is bounded, whatever the time.
const MOST_FAILING: u64 = 20_000;

/// Runs that look for another failing seed, at most, before each that is shrunk.
const LOOK: u64 = 2_000;

/// Other failing seeds that are shrunk too.
const RESTARTS: u32 = 6;

/// With so few switches no other seed is looked for.
const FEW: usize = 2;

/// A failing run.
#[derive(Clone)]
struct Best {
    simulation: Simulation,
    seed: u64,
    options: Options,
    entries: Vec<Entry>,
    measure: Measure,
}

struct Shrinker<'a> {
    lease: Lease,
    signature: String,
    deadline: Instant,
    shrink: Shrink<'a>,
    best: Best,
    runs: u64,
    failing: u64,
}

impl Simulation {
    /// Looks for a simpler run that fails in the same way as `outcome`, which must be of this simulation.
    pub fn shrink(&self, outcome: &Outcome, shrink: Shrink<'_>) -> Shrunk {
        let started = Instant::now();
        let options = outcome.trace.header.options.clone();
        let mut shrinker = Shrinker {
            lease: lease(),
            signature: signature(&outcome.verdict),
            deadline: started + shrink.limit,
            shrink,
            best: Best {
                simulation: self.clone(),
                seed: outcome.seed,
                entries: outcome.trace.choices.clone(),
                measure: Measure { switches: usize::MAX, points: outcome.points, ..Measure::default() },
                options,
            },
            runs: 0,
            failing: 0,
        };
        // Measured by a run of its own, which also says whether guided replay fails as the trace does.
        let best = shrinker.best.clone();
        let same = shrinker.attempt(best.simulation, best.entries, best.options);
        let from = shrinker.best.measure;
        if same {
            shrinker.all();
        }
        let shrunk = if same { shrinker.result() } else { None };
        let (simulation, outcome) = shrunk.unwrap_or_else(|| (self.clone(), outcome.clone()));
        Shrunk {
            simulation,
            outcome,
            from,
            to: if same { shrinker.best.measure } else { from },
            runs: shrinker.runs,
            seconds: started.elapsed().as_secs_f64(),
            finished: same && !shrinker.over(),
        }
    }
}

impl Shrinker<'_> {
    fn over(&self) -> bool {
        self.failing >= MOST_FAILING || Instant::now() >= self.deadline
    }

    /// Runs `simulation` guided; if it fails in the same way and measures less than the best, it is the best.
    fn attempt(&mut self, simulation: Simulation, entries: Vec<Entry>, options: Options) -> bool {
        let mut bounded = options.clone();
        if !self.signature.starts_with("livelock") {
            // A run that goes astray need not go on for ever.
            bounded.max_points = bounded.max_points.min(4 * self.best.measure.points.max(100_000));
        }
        self.lease.executor().beat.seed(self.best.seed);
        simulation.execute_from(&self.lease, bounded, Source::Follow(Follow::guided(entries)), None);
        let Some(measure) = self.failed() else { return false };
        if measure.cmp(&self.best.measure) != Ordering::Less {
            return false;
        }
        let entries = self.lease.executor().world().entries.clone();
        self.best = Best { simulation, seed: self.best.seed, options, entries, measure };
        true
    }

    /// The measure of the run that just ended, if it failed in the same way.
    fn failed(&mut self) -> Option<Measure> {
        self.runs += 1;
        if self.runs.is_multiple_of(64) {
            (self.shrink.progress)(self.runs, self.best.measure);
        }
        let world = self.lease.executor().world();
        let verdict = world.failure.as_ref()?;
        self.failing += 1;
        if signature(verdict) != self.signature {
            return None;
        }
        let switches = world.entries.iter().filter(|entry| entry.kind.is_switch()).count();
        Some(Measure {
            switches,
            faults: world.entries.len() - switches,
            tasks: world.hosts.iter().map(|host| host.checker.tasks_spawned()).sum(),
            hosts: world.hosts.len(),
            threads: world.threads.len(),
            allowed: switched_on(&world.options),
            points: world.points,
        })
    }

    /// The best with other choices.
    fn attempt_choices(&mut self, entries: Vec<Entry>) -> bool {
        if self.over() {
            return false;
        }
        let (simulation, options) = (self.best.simulation.clone(), self.best.options.clone());
        self.attempt(simulation, entries, options)
    }

    fn all(&mut self) {
        self.descend();
        self.smaller();
        for restart in 0..RESTARTS {
            if self.best.measure.switches <= FEW || self.over() {
                break;
            }
            self.elsewhere(restart);
        }
    }

    /// Shrinks the best until nothing helps.
    fn descend(&mut self) {
        loop {
            let before = self.best.measure;
            self.kinds();
            self.threads();
            self.windows();
            self.pairs();
            self.calm();
            self.fewer_workers();
            if self.best.measure == before || self.over() {
                return;
            }
        }
    }

    /// All faults at once, then each kind of them.
    fn kinds(&mut self) {
        let switches: Vec<Entry> =
            self.best.entries.iter().copied().filter(|entry| entry.kind.is_switch()).collect();
        if switches.len() == self.best.entries.len() || self.attempt_choices(switches) {
            return;
        }
        let mut kinds: Vec<_> = self.best.entries.iter().map(|entry| entry.kind).collect();
        kinds.sort_unstable_by_key(|kind| *kind as u8);
        kinds.dedup();
        for kind in kinds {
            self.without(|entry| entry.kind == kind);
        }
    }

    /// All that one thread chose.
    fn threads(&mut self) {
        let mut threads: Vec<u32> = self.best.entries.iter().map(|entry| entry.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        for thread in threads {
            self.without(|entry| entry.thread == thread);
        }
    }

    fn without(&mut self, drop: impl Fn(&Entry) -> bool) -> bool {
        let rest: Vec<Entry> = self.best.entries.iter().copied().filter(|entry| !drop(entry)).collect();
        rest.len() < self.best.entries.len() && self.attempt_choices(rest)
    }

    /// Windows of entries from the end on: what is deleted late changes nothing before it.
    fn windows(&mut self) {
        let mut size = self.best.entries.len().div_ceil(2);
        while size > 0 {
            let mut end = self.best.entries.len();
            while end > 0 && !self.over() {
                let start = end.saturating_sub(size);
                let mut rest = self.best.entries.clone();
                rest.drain(start..end);
                self.attempt_choices(rest);
                end = start.min(self.best.entries.len());
            }
            size /= 2;
        }
    }

    /// Pairs: a switch away and the one back can only go together.
    fn pairs(&mut self) {
        let mut first = 0;
        while first < self.best.entries.len() && self.best.entries.len() <= PAIRS {
            let mut second = first + 1;
            while second < self.best.entries.len() && !self.over() {
                let mut rest = self.best.entries.clone();
                rest.remove(second);
                rest.remove(first);
                if !self.attempt_choices(rest) {
                    second += 1;
                }
            }
            first += 1;
        }
    }

    /// Switches off what need not go wrong.
    fn calm(&mut self) {
        for off in SWITCHES {
            let mut options = self.best.options.clone();
            off(&mut options);
            if options != self.best.options && !self.over() {
                self.attempt(self.best.simulation.clone(), self.best.entries.clone(), options);
            }
        }
    }

    fn fewer_workers(&mut self) {
        for host in 0..self.best.options.workers.len() {
            while self.best.options.workers[host] > 1 && !self.over() {
                let mut options = self.best.options.clone();
                options.workers[host] -= 1;
                if !self.attempt(self.best.simulation.clone(), self.best.entries.clone(), options) {
                    break;
                }
            }
        }
    }

    /// Smaller programs: the best's choices first, then seeds of their own.
    fn smaller(&mut self) {
        'again: loop {
            for program in (self.shrink.smaller)(&self.best.simulation) {
                if self.over() {
                    return;
                }
                let (entries, options) = (self.best.entries.clone(), self.best.options.clone());
                if self.attempt(program.clone(), entries, options) {
                    self.descend();
                    continue 'again;
                }
                if self.another(&program, 0) {
                    continue 'again;
                }
            }
            return;
        }
    }

    /// Another failing seed of the same program.
    fn elsewhere(&mut self, restart: u32) {
        let program = self.best.simulation.clone();
        let from = u64::from(restart + 1).wrapping_mul(LOOK);
        if self.another(&program, from) {
            self.smaller();
        }
    }

    /// Looks for a seed of `program` that fails in the same way and shrinks that; true if the result is simpler than the best.
    fn another(&mut self, program: &Simulation, from: u64) -> bool {
        let share = self.deadline.saturating_duration_since(Instant::now()) / 4;
        let until = Instant::now() + share;
        for step in 0..LOOK {
            if self.over() || Instant::now() >= until {
                return false;
            }
            let seed = self.best.seed.wrapping_add(1 + from + step);
            let options = program.options(&self.lease, seed);
            program.execute(&self.lease, seed, options.clone(), Plan::default());
            let Some(measure) = self.failed() else { continue };
            let entries = self.lease.executor().world().entries.clone();
            let found = Best { simulation: program.clone(), seed, options, entries, measure };
            let before = std::mem::replace(&mut self.best, found);
            let deadline = std::mem::replace(&mut self.deadline, until);
            self.descend();
            self.deadline = deadline;
            if self.best.measure < before.measure {
                return true;
            }
            self.best = before;
            return false;
        }
        false
    }

    /// The best as it is recorded under its own limits, if its trace replays strictly.
    fn result(&mut self) -> Option<(Simulation, Outcome)> {
        let Best { simulation, seed, options, entries, .. } = self.best.clone();
        let (outcome, _) = simulation.guided_on(&self.lease, seed, options, entries);
        let same = signature(&outcome.verdict) == self.signature;
        (same && simulation.replay(&outcome.trace).is_ok()).then_some((simulation, outcome))
    }
}

/// What can be switched off.
const SWITCHES: [fn(&mut Options); 19] = [
    |options| options.rates.strike = 0,
    |options| options.rates.crash = false,
    |options| options.rates.pause = false,
    |options| options.rates.stall = false,
    |options| options.rates.jump = false,
    |options| options.rates.clog = false,
    |options| options.rates.loss = 0,
    |options| options.rates.refuse = 0,
    |options| options.rates.delay = 0,
    |options| options.rates.one_way = false,
    |options| options.rates.half_open = false,
    |options| options.datagrams = Datagrams::default(),
    |options| options.disk = DiskDrawn::default(),
    |options| options.short = 0,
    |options| options.spurious = 0,
    |options| options.slow = 0,
    |options| options.reset = 0,
    |options| options.partition = 0,
    |options| options.tso = false,
];

fn switched_on(options: &Options) -> u32 {
    let differs = |off: &&fn(&mut Options)| {
        let mut without = options.clone();
        off(&mut without);
        without != *options
    };
    SWITCHES.iter().filter(differs).count() as u32
}
