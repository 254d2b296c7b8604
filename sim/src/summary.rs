//! Summaries: what a sweep, or a part of one, did, as a JSON file. Shards merge into the whole, and an unfinished sweep resumes from its own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use pirn::trace::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::assertion::{Demand, Site, is_real, sites};
use crate::choice::Kind;
use crate::explore::Explore;
use crate::plan::{Frontier, Shard};
use crate::report::Outcome;
use crate::simulation::Simulation;
use crate::strategy::Walk;
use crate::tally::Tally;

/// The version of the format.
const FORMAT: u32 = 1;

/// No larger file is read.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// What a sweep did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    format: u32,
    pirn: String,
    program: String,
    args: BTreeMap<String, String>,
    hosts: Vec<String>,
    /// What was asked for: strategy, faults and so on.
    asked: BTreeMap<String, Value>,
    first: u64,
    seeds: u64,
    /// Which parts it covers.
    shards: Vec<Shard>,
    /// Executions that ended, as slices from their number on to the number behind the last, in order.
    done: Vec<(u64, u64)>,
    executions: u64,
    points: u64,
    switches: u64,
    /// Real seconds, of all parts together.
    seconds: f64,
    /// The sum of the digests of all executions: equal wherever and in whatever parts they ran.
    digest: String,
    /// Executions of each walk.
    walks: BTreeMap<String, u64>,
    /// In how many executions each event came up.
    events: BTreeMap<String, u64>,
    /// In how many executions each kind of choice fell on another than the default.
    choices: BTreeMap<String, u64>,
    /// The assertions of the program.
    #[serde(default)]
    assertions: Vec<Asserted>,
    /// Failures that were found.
    pub failures: Vec<Failed>,
    /// What a depth-first search has still to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) frontier: Option<Frontier>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// An assertion of the program in a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asserted {
    /// What it asks for.
    pub demand: Demand,
    /// Its name.
    pub name: String,
    /// File and line.
    pub place: String,
    /// Executions that evaluated it.
    pub evaluated: u64,
    /// Executions in which it held at least once.
    pub held: u64,
}

/// A failure in a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The name of the verdict.
    pub verdict: String,
    /// What it says.
    pub message: String,
    /// Where its trace was written.
    pub trace: Option<String>,
}

impl Asserted {
    fn of(site: &Site) -> Self {
        let place = format!("{}:{}", site.file, site.line);
        Self { demand: site.demand, name: site.name.to_owned(), place, evaluated: 0, held: 0 }
    }
}

impl std::fmt::Display for Asserted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let demand = match self.demand {
            Demand::Always => "always",
            Demand::Sometimes => "sometimes",
            Demand::Eventually => "eventually",
        };
        write!(f, "{demand} `{}` at {}", self.name, self.place)
    }
}

impl Failed {
    pub(crate) fn new(outcome: &Outcome) -> Self {
        let Outcome { seed, verdict, .. } = outcome;
        Self { seed: *seed, verdict: verdict.name().to_owned(), message: verdict.message(), trace: None }
    }
}

/// Why a summary can't be read, resumed or merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryError(String);

impl fmt::Display for SummaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SummaryError {}

fn error<T>(message: String) -> Result<T, SummaryError> {
    Err(SummaryError(message))
}

impl Summary {
    /// Of an exploration that has not started.
    pub(crate) fn of(simulation: &Simulation, first: u64, seeds: u64, shard: Shard) -> Self {
        let none = |names: &mut dyn Iterator<Item = String>| names.map(|name| (name, 0)).collect();
        Self {
            format: FORMAT,
            pirn: env!("CARGO_PKG_VERSION").to_owned(),
            program: simulation.name().to_owned(),
            args: simulation.args.clone(),
            hosts: simulation.host_names(),
            asked: simulation.asked.describe(),
            first,
            seeds,
            shards: vec![shard],
            done: Vec::new(),
            executions: 0,
            points: 0,
            switches: 0,
            seconds: 0.0,
            digest: hex(0),
            walks: none(&mut Walk::NAMES.iter().map(|&name| name.to_owned())),
            events: none(&mut Event::NAMES.iter().map(|&name| name.to_owned())),
            choices: none(&mut Kind::ALL.iter().map(|kind| kind.name().to_owned())),
            assertions: sites().iter().filter(|site| is_real(site)).map(Asserted::of).collect(),
            failures: Vec::new(),
            frontier: None,
            unknown: BTreeMap::new(),
        }
    }

    /// Adds what was done.
    pub(crate) fn add(&mut self, done: &[(u64, u64)], tally: &Tally, seconds: f64) {
        self.done.extend(done);
        join(&mut self.done);
        self.executions += tally.executions;
        self.points += tally.points;
        self.switches += tally.switches;
        self.seconds += seconds;
        self.digest = hex(self.digest().wrapping_add(tally.digest));
        let count = |map: &mut BTreeMap<String, u64>, name: String, more: u64| {
            *map.entry(name).or_default() += more;
        };
        for (name, more) in Walk::NAMES.iter().zip(tally.walks) {
            count(&mut self.walks, (*name).to_owned(), more);
        }
        for (name, more) in Event::NAMES.iter().zip(&tally.events[1..]) {
            count(&mut self.events, (*name).to_owned(), *more);
        }
        for (site, (evaluated, held)) in sites().iter().zip(&tally.asserted) {
            self.count_assertion(&Asserted { evaluated: *evaluated, held: *held, ..Asserted::of(site) });
        }
        for (kind, more) in Kind::ALL.iter().zip(tally.choices) {
            count(&mut self.choices, kind.name().to_owned(), more);
        }
    }

    fn count_assertion(&mut self, more: &Asserted) {
        let same = |ours: &&mut Asserted| {
            (ours.demand, &ours.name, &ours.place) == (more.demand, &more.name, &more.place)
        };
        match self.assertions.iter_mut().find(same) {
            Some(ours) => {
                ours.evaluated += more.evaluated;
                ours.held += more.held;
            }
            None if more.evaluated > 0 => self.assertions.push(more.clone()),
            None => {}
        }
    }

    /// The executions of its shard that are still to do, last first.
    pub(crate) fn todo(&self) -> Vec<(u64, u64)> {
        let mut left = Vec::new();
        for shard in &self.shards {
            let (mut from, to) = shard.slice(self.seeds);
            let begin = from;
            for &(start, end) in self.done.iter().filter(|(start, end)| *start < to && *end > begin) {
                if start > from {
                    left.push((from, start));
                }
                from = end;
            }
            if from < to {
                left.push((from, to));
            }
        }
        left.reverse();
        left
    }

    /// Whether nothing of its shards is left to do: all seeds ran, or the depth-first search has seen everything.
    pub fn is_complete(&self) -> bool {
        self.todo().is_empty() || self.has_seen_all()
    }

    /// Whether a depth-first search saw every schedule within its limit.
    pub fn has_seen_all(&self) -> bool {
        self.frontier.as_ref().is_some_and(Frontier::is_done)
            && self.asked.get("strategy").and_then(Value::as_str).is_some_and(|name| name.starts_with("dfs"))
    }

    /// Schedules that a depth-first search saw for the first time.
    pub fn fresh(&self) -> Option<u64> {
        self.frontier.as_ref().map(|frontier| frontier.fresh)
    }

    /// Whether `explore` on `simulation` can resume from this summary: the same program, arguments, options, seeds and shard.
    pub fn check(&self, simulation: &Simulation, explore: &Explore<'_>) -> Result<(), SummaryError> {
        self.fits(&Self::of(simulation, explore.first, explore.seeds, explore.shard))
    }

    /// Whether this is a summary of the same sweep as `other`, shards included.
    pub(crate) fn fits(&self, other: &Self) -> Result<(), SummaryError> {
        self.same_sweep(other)?;
        if self.shards != other.shards {
            return error(format!(
                "the summary is of shard {}, not of {}",
                list(&self.shards),
                list(&other.shards)
            ));
        }
        Ok(())
    }

    fn same_sweep(&self, other: &Self) -> Result<(), SummaryError> {
        let differs = |what: &str, theirs: &dyn fmt::Debug, ours: &dyn fmt::Debug| {
            error(format!("the summaries are of different sweeps: {what} {theirs:?} and {ours:?}"))
        };
        match self {
            _ if self.pirn != other.pirn => differs("pirn", &self.pirn, &other.pirn),
            _ if self.program != other.program => differs("the program", &self.program, &other.program),
            _ if self.args != other.args => differs("the arguments", &self.args, &other.args),
            _ if self.hosts != other.hosts => differs("the hosts", &self.hosts, &other.hosts),
            _ if self.asked != other.asked => {
                let name = self.asked.keys().find(|key| self.asked.get(*key) != other.asked.get(*key));
                let name = name.map_or("options", String::as_str);
                differs(name, &self.asked.get(name), &other.asked.get(name))
            }
            _ if self.first != other.first => differs("the first seed", &self.first, &other.first),
            _ if self.seeds != other.seeds => differs("the number of seeds", &self.seeds, &other.seeds),
            _ => Ok(()),
        }
    }

    /// Adds another part of the same sweep. An error if it is of another one, or if both cover the same executions.
    pub fn merge(&mut self, other: &Self) -> Result<(), SummaryError> {
        self.same_sweep(other)?;
        for theirs in &other.done {
            if let Some(ours) = self.done.iter().find(|ours| ours.0 < theirs.1 && theirs.0 < ours.1) {
                return error(format!(
                    "both summaries have executions {} to {}: the same shard was given twice",
                    ours.0.max(theirs.0),
                    ours.1.min(theirs.1) - 1
                ));
            }
        }
        for shard in &other.shards {
            if !self.shards.contains(shard) {
                self.shards.push(*shard);
            }
        }
        self.done.extend(&other.done);
        join(&mut self.done);
        self.executions += other.executions;
        self.points += other.points;
        self.switches += other.switches;
        self.seconds += other.seconds;
        self.digest = hex(self.digest().wrapping_add(other.digest()));
        for (into, from) in [
            (&mut self.walks, &other.walks),
            (&mut self.events, &other.events),
            (&mut self.choices, &other.choices),
        ] {
            for (name, more) in from {
                *into.entry(name.clone()).or_default() += more;
            }
        }
        for more in &other.assertions {
            self.count_assertion(more);
        }
        self.failures.extend(other.failures.iter().cloned());
        self.failures.sort_by_key(|failed| failed.seed);
        // The rest of a search belongs to its shard: the shards go on, not the sum.
        self.frontier = None;
        Ok(())
    }

    /// Reads a summary.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SummaryError> {
        let path = path.as_ref();
        let failed =
            |what: &dyn fmt::Display| SummaryError(format!("{} is no summary: {what}", path.display()));
        let size = fs::metadata(path)
            .map_err(|error| SummaryError(format!("{} can't be read: {error}", path.display())))?
            .len();
        if size > MAX_BYTES {
            return Err(failed(&format!("{size} bytes are too many (at most {MAX_BYTES})")));
        }
        let bytes = fs::read(path)
            .map_err(|error| SummaryError(format!("{} can't be read: {error}", path.display())))?;
        Self::parse(&bytes).map_err(|error| failed(&error))
    }

    /// Reads a summary from JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, SummaryError> {
        #[derive(Deserialize)]
        struct Peek {
            format: u64,
        }
        let malformed = |error: serde_json::Error| SummaryError(error.to_string());
        let peek: Peek = serde_json::from_slice(bytes).map_err(malformed)?;
        if peek.format != u64::from(FORMAT) {
            return error(format!(
                "it has format {}, this version reads format {FORMAT}: use the pirn that wrote it",
                peek.format
            ));
        }
        let summary: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        let slices_fit = summary.done.windows(2).all(|pair| pair[0].1 <= pair[1].0)
            && summary.done.iter().all(|(from, to)| from < to && *to <= summary.seeds);
        if !slices_fit || u64::from_str_radix(summary.digest.trim_start_matches("0x"), 16).is_err() {
            return error("its slices of executions or its digest make no sense".to_owned());
        }
        Ok(summary)
    }

    /// Writes the summary; a file that is there is replaced as a whole.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let half = path.with_extension("half");
        let mut file = BufWriter::new(File::create(&half)?);
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(half, path)
    }

    /// The name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Executions that ended.
    pub fn executions(&self) -> u64 {
        self.executions
    }

    /// Their points.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Real seconds, of all parts together.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The sum of the digests of all executions.
    pub fn digest(&self) -> u64 {
        u64::from_str_radix(self.digest.trim_start_matches("0x"), 16).unwrap_or(0)
    }

    /// The shards it covers, and how many executions these have in all.
    pub fn coverage(&self) -> String {
        let all: u64 = self.shards.iter().map(|shard| shard.slice(self.seeds)).map(|(a, b)| b - a).sum();
        format!("shard {}: {} of {all} executions", list(&self.shards), self.executions)
    }

    /// Executions of each walk, those that were used.
    pub fn walks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.walks.iter().filter(|(_, count)| **count > 0).map(|(name, count)| (name.as_str(), *count))
    }

    /// The assertions of all programs in the binary that no execution evaluated.
    pub fn assertions_never_evaluated(&self) -> impl Iterator<Item = &Asserted> {
        self.assertions.iter().filter(|assertion| assertion.evaluated == 0)
    }

    /// The assertions that were evaluated and held in no execution: a `sometimes` among them says that the sweep misses something.
    pub fn assertions_never_held(&self) -> impl Iterator<Item = &Asserted> {
        self.assertions.iter().filter(|assertion| assertion.evaluated > 0 && assertion.held == 0)
    }

    /// The events of the runtime that no execution emitted.
    pub fn events_never_reached(&self) -> Vec<&str> {
        never(&self.events)
    }

    /// The kinds of choices that took the default in every execution: what never went wrong, or otherwise.
    pub fn choices_never_taken(&self) -> Vec<&str> {
        never(&self.choices)
    }
}

fn never(counts: &BTreeMap<String, u64>) -> Vec<&str> {
    counts.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect()
}

fn hex(value: u64) -> String {
    format!("{value:#018x}")
}

fn list(shards: &[Shard]) -> String {
    let names: Vec<String> = shards.iter().map(|shard| shard.to_string()).collect();
    names.join(" and ")
}

/// Sorts slices and joins those that touch.
fn join(slices: &mut Vec<(u64, u64)>) {
    slices.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for &(from, to) in slices.iter() {
        match joined.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    *slices = joined;
}
