//! The mutant suite: each patch in this folder re-creates a bug that some runtime once shipped. It is applied to a copy of
//! the tree, the copy is built, and the simulator looks for the bug with each strategy and several seeds.
//!
//! `cargo run --release -p pirn-mutants -- --help` has the options, `mutants/README.md` the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::cell::How;
use self::merge::Merged;
use self::patch::Mutant;
use self::state::{State, Tested};
use self::tree::Tree;

mod cell;
mod cpu;
mod merge;
mod patch;
mod state;
mod table;
mod tree;

/// Applies each mutant to a copy of the tree, explores, and writes the table into docs/mutants.md.
#[derive(Parser)]
#[command(
    after_help = "Exit codes: 0 the table was written, 1 a control was killed, 2 a patch does not apply or something can't be done."
)]
struct Args {
    /// Numbers of mutants, such as 4,06b,control [default: all].
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One part of all mutants: number and count of parts, such as 1/4. Each part keeps a state of its own.
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// CPU seconds of a cell.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    budget: f64,
    /// Seeds a strategy.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Kills of each mutant that are shrunk, the first ones. The traces of the others are replayed as they were found.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    shrinks: u64,
    /// How the next thread is chosen.
    #[arg(long, value_delimiter = ',', default_value = "mix,stay,pct,pos,uniform")]
    strategies: Vec<String>,
    /// Also run the loom models on each mutant.
    #[arg(long)]
    loom: bool,
    /// Also run the tests of the core on each mutant.
    #[arg(long)]
    tests: bool,
    /// Seconds that a suite of tests, or of models, may take: one that takes longer counts as one that hangs.
    #[arg(long, default_value_t = 900, value_name = "S")]
    patience: u64,
    /// Build each mutant by itself, also those that could share a build.
    #[arg(long)]
    apart: bool,
    /// Keep results of an older state of the code.
    #[arg(long)]
    keep: bool,
    /// Add the results in these state files, of other shards, and write the table.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    merge: Vec<PathBuf>,
    /// Measure nothing: write the table from what was measured.
    #[arg(long)]
    table: bool,
    /// Where the copy, its build and the state are [default: target/mutants].
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((k, n)) if (1..=n).contains(&k) => Ok((k, n)),
        _ => Err("write K/N with K from 1 to N, for example 2/4".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .ok_or_else(|| "it must be a positive number".to_owned())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn wanted(mutant: &Mutant, only: &[String]) -> bool {
    let trim = |number: &str| number.trim_start_matches('0').to_owned();
    only.is_empty() || only.iter().any(|name| trim(name) == trim(mutant.number()) || *name == mutant.name)
}

/// False: a control was killed.
fn run(args: &Args) -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|e| e.to_string())?;
    let work = args.work.clone().unwrap_or_else(|| root.join("target/mutants"));
    // Whole, for cargo runs in the copy.
    let work = fs::create_dir_all(&work)
        .and_then(|()| work.canonicalize())
        .map_err(|error| format!("{}: {error}", work.display()))?;
    let all = patch::all(&root)?;
    let stale: Vec<String> = all.iter().filter_map(|mutant| mutant.apply(&root).err()).collect();
    if !stale.is_empty() {
        return Err(stale.join("\n"));
    }
    let tree = Tree::new(&root, &work).map_err(|error| format!("the copy can't be made: {error}"))?;
    let hash = tree.hash().map_err(|error| error.to_string())?;
    let file = match args.shard {
        Some((k, n)) => format!("state-{k}-of-{n}.json"),
        None => "state.json".to_owned(),
    };
    let mut state = State::load(&work.join(file), hash, args.keep)?;
    args.merge.iter().try_for_each(|path| state.merge(path))?;
    if args.table {
        write(&root, &all, &state, &args.strategies)?;
        return Ok(no_dead_control(&all, &state));
    }
    let (k, n) = args.shard.unwrap_or((1, 1));
    let chosen = all.iter().filter(|mutant| wanted(mutant, &args.only));
    let chosen: Vec<&Mutant> = chosen.enumerate().filter(|(at, _)| at % n == k - 1).map(|(_, m)| m).collect();
    if chosen.is_empty() {
        return Err("no mutant is chosen: see the names of the patches in mutants/".to_owned());
    }
    let job = Job { args, tree: &tree, work: &work };
    let restored = |outcome: Result<(), String>| {
        // Whatever came of it.
        tree.reset().map_err(|error| format!("the copy can't be restored: {error}"))?;
        outcome
    };
    if !args.apart {
        restored(job.together(&all, &chosen, &mut state))?;
    }
    for (at, mutant) in chosen.iter().enumerate() {
        println!("[{}/{}] {}", at + 1, chosen.len(), mutant.name);
        restored(job.apart(mutant, &mut state))?;
    }
    if args.shard.is_none() {
        write(&root, &all, &state, &args.strategies)?;
    }
    Ok(no_dead_control(&all, &state))
}

/// False: a control was killed.
fn no_dead_control(all: &[Mutant], state: &State) -> bool {
    let dead: Vec<&str> = all
        .iter()
        .filter(|mutant| mutant.is_control() && state.cells_of(mutant).any(|cell| cell.kill.is_some()))
        .map(|mutant| mutant.name.as_str())
        .collect();
    dead.iter().for_each(|name| eprintln!("{name} was killed: a false alarm, or it is not benign"));
    dead.is_empty()
}

/// What a run does with the mutants it chose.
struct Job<'a> {
    args: &'a Args,
    tree: &'a Tree,
    work: &'a Path,
}

impl Job<'_> {
    fn missing(&self, mutant: &Mutant, state: &State) -> Vec<(&str, u64)> {
        let Args { strategies, seeds, budget, .. } = self.args;
        let all =
            strategies.iter().flat_map(|strategy| (0..*seeds).map(move |seed| (strategy.as_str(), seed)));
        all.filter(|(strategy, seed)| state.cell(mutant, strategy, *seed, *budget).is_none()).collect()
    }

    /// Fills the missing cells of the mutants that can share a build.
    fn together(&self, all: &[Mutant], chosen: &[&Mutant], state: &mut State) -> Result<(), String> {
        let mut merged = Merged::default();
        let mut numbers = Vec::new();
        for mutant in all {
            if let Some(number) = merged.add(mutant, self.tree.copy())?
                && chosen.iter().any(|one| one.name == mutant.name)
                && (!self.missing(mutant, state).is_empty() || !self.suites(mutant, state).is_empty())
            {
                numbers.push((mutant, number));
            }
        }
        if numbers.len() < 2 {
            return Ok(());
        }
        println!("{} mutants in one build", numbers.len());
        merged.write(self.tree.copy())?;
        let hash = self.tree.hash_of_copy().map_err(|error| error.to_string())?;
        let pirn = self.work.join(format!("pirn-{hash:016x}"));
        let explores = numbers.iter().any(|(mutant, _)| !self.missing(mutant, state).is_empty());
        if explores && !pirn.exists() {
            let built = match self.tree.build() {
                Ok(built) => built,
                Err(error) => {
                    println!("together they can't be built, so each is by itself: {error}");
                    return Ok(());
                }
            };
            fs::copy(&built, &pirn).map_err(|error| format!("{}: {error}", pirn.display()))?;
        }
        for (at, (mutant, number)) in numbers.iter().enumerate() {
            if !self.missing(mutant, state).is_empty() {
                println!("[{}/{} together] {}", at + 1, numbers.len(), mutant.name);
                self.cells(mutant, &pirn, *number, state)?;
            }
        }
        for suite in ["loom", "tests"] {
            let missing = |mutant: &Mutant, state: &State| self.suites(mutant, state).contains(&suite);
            if !numbers.iter().any(|(mutant, _)| missing(mutant, state)) {
                continue;
            }
            let binaries = match self.tree.test_binaries(arguments(suite)) {
                Ok(binaries) => binaries,
                Err(error) => {
                    println!("the {suite} of all together: {error}");
                    continue;
                }
            };
            for (at, (mutant, number)) in numbers.iter().enumerate() {
                if missing(mutant, state) {
                    println!("[{}/{} together, {suite}] {}", at + 1, numbers.len(), mutant.name);
                    let failed = self.tree.run_tests(&binaries, *number, self.patience())?;
                    tested(mutant, suite, failed, state)?;
                }
            }
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.args.patience)
    }

    /// The suites that a mutant is still to be run through.
    fn suites(&self, mutant: &Mutant, state: &State) -> Vec<&'static str> {
        let wanted = [("loom", self.args.loom && mutant.is_modelled()), ("tests", self.args.tests)];
        let missing = wanted.into_iter().filter(|(suite, on)| *on && state.tested(mutant, suite).is_none());
        missing.map(|(suite, _)| suite).collect()
    }

    /// Fills what is missing of one mutant, in a build of its own.
    fn apart(&self, mutant: &Mutant, state: &mut State) -> Result<(), String> {
        let suites = self.suites(mutant, state);
        let missing = !self.missing(mutant, state).is_empty();
        if !missing && suites.is_empty() {
            return Ok(());
        }
        self.tree.apply(mutant)?;
        if missing {
            let pirn = self.tree.build().map_err(|error| format!("{}: {error}", mutant.name))?;
            self.cells(mutant, &pirn, 0, state)?;
        }
        for suite in suites {
            let failed = self.tree.test(arguments(suite), self.patience())?;
            tested(mutant, suite, failed, state)?;
        }
        Ok(())
    }

    fn cells(&self, mutant: &Mutant, pirn: &Path, number: usize, state: &mut State) -> Result<(), String> {
        for (strategy, seed) in self.missing(mutant, state) {
            let shrunk =
                state.cells_of(mutant).filter_map(|cell| cell.kill.as_ref()?.switches).count() as u64;
            let how = How {
                pirn,
                number,
                strategy,
                seed,
                budget: self.args.budget,
                shrinks: shrunk < self.args.shrinks,
                traces: &self.work.join("traces"),
            };
            let cell = cell::explore(mutant, &how)?;
            let found = cell.kill.as_ref().map_or("survived".to_owned(), |kill| {
                let trace = if kill.replays { "" } else { ", the trace does NOT replay" };
                format!("{} by {} after {} schedules{trace}", kill.invariant, kill.workload, kill.schedules)
            });
            println!("  {strategy} {seed}: {found}, {:.2} s of CPU", cell.cpu);
            state.put(cell);
            state.save()?;
        }
        Ok(())
    }
}

/// What runs a suite.
fn arguments(suite: &str) -> &'static [&'static str] {
    match suite {
        "loom" => &["test", "-p", "pirn-model"],
        _ => &["test", "--no-fail-fast", "-p", "pirn", "-p", "pirn-tests", "--lib", "--tests"],
    }
}

/// Keeps what a suite said.
fn tested(mutant: &Mutant, suite: &str, failed: Option<String>, state: &mut State) -> Result<(), String> {
    println!("  {suite}: {}", failed.as_deref().unwrap_or("survived"));
    state.tests.push(Tested {
        mutant: mutant.name.clone(),
        hash: mutant.hash,
        suite: suite.to_owned(),
        failed,
    });
    state.save()
}

/// The place of the table in the document.
const BEGIN: &str = "<!-- table: written by cargo run -p pirn-mutants -->\n";
const END: &str = "<!-- end of table -->\n";

fn write(root: &Path, all: &[Mutant], state: &State, strategies: &[String]) -> Result<(), String> {
    let path = root.join("docs/mutants.md");
    let failed = |error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| format!("{}: the line `{}` is missing", path.display(), BEGIN.trim()))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("{}: the line `{}` is missing", path.display(), END.trim()))?;
    let table = table::table(all, state, strategies);
    fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).map_err(failed)?;
    println!("{} was written", path.display());
    Ok(())
}
