//! The command line.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use pirn_sim::{Faults, Kernel, Layout, Shard, Strategy};

use crate::calibrate;
use crate::compare::load::{self, Load};
use crate::compare::shape::Shape;
use crate::workloads::{self, Workload};

/// An async runtime whose production scheduler is also its own test bed.
#[derive(Parser)]
#[command(
    name = "pirn",
    version,
    after_help = "Start with `pirn run echo`. Exit codes: 0 fine, 1 a violation was found, 2 bad usage or input."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a workload: live and measured, then simulated (or one of the two, with --os).
    Run(Run),
    /// Run a workload in the simulator under many schedules, until one breaks an invariant.
    Explore(Explore),
    /// Run workloads on every topology, live and simulated, and draw the picture.
    Compare(Compare),
    /// Measure what `compare` simulates with: what system calls, wakes and cache lines cost on this machine.
    Calibrate(Calibrate),
    /// Add the summaries of a sweep's shards up.
    Merge(Merge),
    /// Run a recorded trace again (any difference is an error) and walk through it.
    Replay(Replay),
    /// Make a page, or a file for Perfetto, of a flight-recorder dump or a trace.
    View(View),
    /// Serve the files of a folder over HTTP/1.1 and HTTP/2, until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Say what this machine offers and what Pirn will use.
    Doctor,
}

/// `pirn serve`.
#[derive(Args)]
pub(crate) struct Serve {
    /// The folder.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where to listen (port 0: any free one).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The backend.
    #[arg(long, value_enum, default_value_t = Machine::Auto)]
    pub(crate) os: Machine,
    /// Workers of the runtime [default: one a CPU].
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<usize>,
    /// Serve over TLS: a chain of certificates and their private key, both PEM files.
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    pub(crate) tls: Option<Vec<PathBuf>>,
    /// Connections at a time; more wait until one ends.
    #[arg(long, value_name = "N", default_value = "8192", value_parser = connections)]
    pub(crate) connections: usize,
    /// Seconds that open connections may take to end after SIGTERM or Ctrl-C.
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub(crate) drain: u64,
    /// Append a line for each answer to a file; `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Answer GET /metrics with counters of server and runtime, for Prometheus. Anybody who can connect can see them.
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Keep a flight recorder, and write what it has and all tasks into this folder on SIGUSR1 and on a panic, for `pirn view`.
    #[arg(long, value_name = "DIR")]
    pub(crate) dump: Option<PathBuf>,
    /// Answer 404 for folders without index.html.
    #[arg(long)]
    pub(crate) no_listing: bool,
    /// Serve and list names that begin with a dot, too.
    #[arg(long)]
    pub(crate) hidden: bool,
}

/// What a live runtime runs on.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// io_uring where it is to be had, else epoll.
    Auto,
    /// epoll.
    Epoll,
    /// io_uring.
    Uring,
}

/// What cold reads do: see `pirn::fs::ColdReads`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// An op of the ring, or of a side thread on epoll.
    Ring,
    /// A hop to the group `slow`.
    Slow,
    /// Readahead, then a copy from memory.
    Readahead,
}

impl From<Policy> for pirn::fs::ColdReads {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Ring => Self::Ring,
            Policy::Slow => Self::SlowGroup,
            Policy::Readahead => Self::Readahead,
        }
    }
}

/// `pirn run`.
#[derive(Args)]
pub(crate) struct Run {
    /// What to run.
    #[arg(value_enum, value_name = "WORKLOAD", hide_possible_values = true, long_help = workloads_help("What to run"))]
    pub(crate) workload: Choice,
    /// Where: `epoll`, `uring` and `auto` are live, `sim` is one simulated run. Left out: live, then many simulated ones.
    #[arg(long, value_enum)]
    pub(crate) os: Option<World>,
    /// Workers of the first host's runtime [default: one a CPU; simulated: drawn from the seed].
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<usize>,
    /// How the first host's workers are grouped: stealing, per-core, stages, dispatcher or with-slow; simulated runs draw it with `drawn`.
    #[arg(long, value_name = "NAME", default_value = "stealing")]
    pub(crate) topology: Layout,
    /// Connections, pairs or tasks at a time [default: depends on the workload].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: Option<u32>,
    /// Bytes of a message [default: depends on the workload].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64_000_000))]
    pub(crate) bytes: Option<u32>,
    /// How long the live run lasts.
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The first seed of the simulated part.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Of the live workload `cold`: what reads do about bytes that are not in memory. `slow` brings a group `slow` of one worker.
    #[arg(long, value_enum, default_value_t = Policy::Ring)]
    pub(crate) cold_reads: Policy,
    /// Of the live workload `cold`: of a hundred requests so many read what is not in memory.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) cold: u32,
    /// Half way through the live run, have each host write a flight-recorder dump into this folder, for `pirn view`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dump: Option<PathBuf>,
    /// Where the live server listens (port 0: any free one).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

/// `pirn explore`.
#[derive(Args)]
pub(crate) struct Explore {
    /// What to explore.
    #[arg(value_enum, value_name = "WORKLOAD", hide_possible_values = true, long_help = workloads_help("What to explore"))]
    pub(crate) workload: Choice,
    /// How many schedules, one for each seed.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = seeds)]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) first: u64,
    /// How the next thread is chosen: mix, stay, pct, pos, uniform, dfs or portfolio; stay:PERMILLE, pct:DEPTH, dfs:DEVIATIONS set a parameter.
    #[arg(long, value_name = "NAME", default_value = "mix")]
    pub(crate) strategy: Strategy,
    /// Explore part K of N of the seeds only; `merge` adds the summaries of the parts up.
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Stop after so many seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// Write what was done and reached as JSON, now and then and at the end.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Go on where the sweep of this summary stopped; writes it anew unless --summary says otherwise.
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Threads that explore [default: one a CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) jobs: Option<u16>,
    /// Repeat the passing runs in fresh processes and compare their digests.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print the digest of each of the runs FROM-TO (counted from --first) and nothing else: what --verify asks fresh processes for.
    #[arg(long, value_name = "FROM-TO", hide = true, value_parser = span)]
    pub(crate) digests: Option<(u64, u64)>,
    /// What goes wrong: a list of default, none, mild, swarm, all and names of faults; a minus leaves one out. `mild` is a swarm
    /// of what every workload survives; `swarm` and `all` reset connections and crash hosts, which no workload expects.
    #[arg(long, value_name = "LIST", default_value = "default", value_parser = Faults::parse)]
    pub(crate) faults: Faults,
    /// Simulate store buffers in every schedule.
    #[arg(long)]
    pub(crate) tso: bool,
    /// What the simulated hosts run on: `epoll` and `uring` are Pirn's own drivers over simulated system calls, `ops` plays
    /// the ops of the runtime without one; `drawn` takes one of these by the seed.
    #[arg(long, value_name = "NAME", default_value = "ops")]
    pub(crate) kernel: Kernel,
    /// How the workers of each host are grouped: stealing, per-core, stages, dispatcher, with-slow, or drawn from the seed.
    #[arg(long, value_name = "NAME", default_value = "stealing")]
    pub(crate) topology: Layout,
    /// Workers of each host, drawn from the seed: a number or a range.
    #[arg(long, value_name = "A-B", default_value = "1-4", value_parser = worker_range)]
    pub(crate) workers: RangeInclusive<usize>,
    /// Connections, pairs or tasks at a time [default: depends on the workload].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: Option<u32>,
    /// Rounds of each [default: depends on the workload].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rounds: Option<u32>,
    /// Bytes of a message [default: depends on the workload].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64_000_000))]
    pub(crate) bytes: Option<u32>,
    /// Where a failure's traces are written: as found, and shrunk.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) traces: PathBuf,
    /// How long a failure may be shrunk at most.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) shrink_seconds: f64,
    /// Keep a failure as it was found.
    #[arg(long)]
    pub(crate) no_shrink: bool,
}

/// `pirn compare`.
#[derive(Args)]
pub(crate) struct Compare {
    /// What to run [default: all].
    #[arg(value_name = "WORKLOAD", value_parser = load::find, long_help = loads_help())]
    pub(crate) workloads: Vec<&'static Load>,
    /// Which topologies: stealing, per-core, stages, dispatcher, with-slow [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) topologies: Vec<Shape>,
    /// On what: `auto` is both live, where io_uring is to be had, and both simulated up to 16 workers, epoll beyond.
    #[arg(long, value_enum, hide_possible_values = true, value_name = "auto|epoll|uring", default_value_t = Machine::Auto)]
    pub(crate) os: Machine,
    /// Numbers of workers of the live runs.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2", value_parser = workers)]
    pub(crate) workers: Vec<usize>,
    /// Numbers of workers of the simulated runs.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,4,8,16,64,256", value_parser = simulated_workers)]
    pub(crate) simulated_workers: Vec<usize>,
    /// What the simulation costs, as `pirn calibrate` measured it [default: `pirn-costs.json` if it is there, else built-in].
    #[arg(long, value_name = "FILE")]
    pub(crate) costs: Option<PathBuf>,
    /// Run one half only.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Half>,
    /// Times that each live cell is run; the medians are told.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Where the file of the workload `files` is made, and removed again [default: the folder for temporary files].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Where the page with picture and table is written.
    #[arg(long, value_name = "FILE", default_value = "pirn-compare.html")]
    pub(crate) page: PathBuf,
    /// Put picture and table into a document, too: the table between its marks, the picture beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    /// Run everything once and shortly, to see whether it works: the figures say nothing.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// `pirn calibrate`.
#[derive(Args)]
pub(crate) struct Calibrate {
    /// Where the costs are kept: `compare` reads this file.
    #[arg(short, long, value_name = "FILE", default_value = calibrate::FILE)]
    pub(crate) output: PathBuf,
    /// Where a file is made, and removed again, for measuring reads [default: the folder for temporary files].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Measure little, to see whether it works.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// A half of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Half {
    /// On this machine.
    Live,
    /// By the cost model.
    Simulated,
}

/// `pirn merge`.
#[derive(Args)]
pub(crate) struct Merge {
    /// Summaries that `explore --summary` wrote.
    #[arg(required = true, value_name = "SUMMARY")]
    pub(crate) summaries: Vec<PathBuf>,
    /// Where the sum is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
}

/// `pirn replay`.
#[derive(Args)]
pub(crate) struct Replay {
    /// A trace that `explore`, `run` or a test wrote.
    pub(crate) trace: PathBuf,
    /// Show the last N events and notes of the run, also when it differs from the recording.
    #[arg(long, value_name = "N")]
    pub(crate) events: Option<usize>,
    /// Stop after this event: its number, as `--events` shows it, or its name for the first one of that name.
    #[arg(long, value_name = "EVENT")]
    pub(crate) until: Option<String>,
    /// Show who runs, who waits for what and where the tasks are, after `--until` or at the end.
    #[arg(long)]
    pub(crate) state: bool,
    /// Tell every event and note, not only those that matter.
    #[arg(long)]
    pub(crate) full: bool,
    /// Take each recorded choice where it is on offer and the default elsewhere: for a trace of older code.
    #[arg(long, conflicts_with_all = ["events", "until", "state", "prefix"])]
    pub(crate) guided: bool,
    /// Follow the first N recorded choices as long as they fit, then explore.
    #[arg(long, value_name = "N", conflicts_with_all = ["events", "until", "state"])]
    pub(crate) prefix: Option<usize>,
    /// The seed with which `--prefix` goes on.
    #[arg(long, value_name = "S", default_value_t = 0, requires = "prefix")]
    pub(crate) seed: u64,
}

/// `pirn view`.
#[derive(Args)]
pub(crate) struct View {
    /// A dump that a runtime wrote, or a trace that `explore`, `run` or a test wrote.
    pub(crate) file: PathBuf,
    /// Where the page is written [default: the file's name with the ending html, or json for Perfetto].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write trace-event JSON for ui.perfetto.dev instead of a page.
    #[arg(long)]
    pub(crate) perfetto: bool,
    /// For a trace of older code: take each recorded choice where it is on offer.
    #[arg(long)]
    pub(crate) guided: bool,
}

/// A workload, by name.
#[derive(Clone, Copy)]
pub(crate) struct Choice(pub(crate) &'static Workload);

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        static CHOICES: std::sync::LazyLock<Vec<Choice>> =
            std::sync::LazyLock::new(|| workloads::ALL.iter().map(|workload| Choice(workload)).collect());
        &CHOICES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name).help(self.0.about))
    }
}

/// Where to run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum World {
    /// Live, on the best backend there is.
    Auto,
    /// Live, on epoll.
    Epoll,
    /// Live, on io_uring.
    Uring,
    /// In the simulator.
    Sim,
}

fn loads_help() -> String {
    let mut text = "What to run [default: all]:".to_owned();
    for load in load::ALL {
        text += &format!("\n  {:<9} {}", load.name, load.about);
    }
    text
}

fn workloads_help(what: &str) -> String {
    let mut text = format!("{what}:");
    for workload in workloads::ALL {
        text += &format!("\n  {:<9} {}", workload.name, workload.about);
    }
    text
}

/// Token and event formats have room for this many workers.
const MOST_WORKERS: usize = 4_000;

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a runtime has at least one worker; leave the option out for one a CPU".to_owned()),
        Ok(n) if n <= MOST_WORKERS => Ok(n),
        Ok(_) => Err(format!("a runtime has at most {MOST_WORKERS} workers")),
        Err(_) => Err("it is no number; write for example 2".to_owned()),
    }
}

fn simulated_workers(text: &str) -> Result<usize, String> {
    const MOST: usize = 256;
    match workers(text)? {
        n if n <= MOST => Ok(n),
        _ => Err(format!("the cost model is for at most {MOST} workers")),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    const MOST: usize = pirn_hyper::Limits::MOST_CONNECTIONS;
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        Ok(_) => Err(format!("a server has 1 to {MOST} connections at a time")),
        Err(_) => Err("it is no number; write for example 1000".to_owned()),
    }
}

fn seeds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("without a seed nothing is explored; it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("it is no number; write for example 1000".to_owned()),
    }
}

fn span(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    parts.filter(|(from, to)| from < to).ok_or_else(|| "write FROM-TO, for example 0-100".to_owned())
}

fn worker_range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (workers(from.trim())?, workers(to.trim())?);
    if from > to {
        return Err(format!("the range is empty; did you mean {to}-{from}?"));
    }
    Ok(from..=to)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.1..=86_400.0).contains(&s) => Ok(s),
        Ok(_) => Err("it must lie between 0.1 and 86400".to_owned()),
        Err(_) => Err("it is no number; write for example 3 or 0.5".to_owned()),
    }
}
