//! Pirn beside its peers: `cargo run --release -- all`, or one benchmark by name. Exit code 1 if a target is missed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::peer::Name;
use crate::table::Table;

mod cells;
mod child;
mod churn;
mod cold;
mod coroutines;
mod echo;
mod epoll;
mod fairness;
mod floor;
mod hog;
mod hop;
mod http;
mod idle;
mod load;
mod peer;
mod recorder;
mod simulator;
mod soak;
mod spawn;
mod table;
mod timers;
mod urgent;

/// Pirn beside its peers, interleaved, on this machine.
#[derive(Parser)]
#[command(
    after_help = "Each figure is a median with the lowest and the highest in brackets. Run it on a machine that does nothing else."
)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Rounds of each benchmark; a round runs every variant once.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Shorter runs, for a first look.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum What {
    /// All of them.
    All,
    /// Echo over 64 connections: server CPU a message, messages/s.
    Echo,
    /// Echo in nine cells, beside a plain epoll loop: server CPU a message.
    EchoCells {
        /// Server threads: workers of Pirn, loops of the floor.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        workers: u8,
        /// Leaves threads to the kernel; else a server with one thread has a CPU of its own, and the load generator another.
        #[arg(long)]
        unpinned: bool,
    },
    /// 200,000 connections, 512 at a time: connect, one exchange, close; descriptors and memory of the server.
    Churn {
        /// Connections; 20,000 with --quick.
        #[arg(long)]
        connections: Option<usize>,
    },
    /// 1,000 connections on one server thread: latency beside a plain epoll loop.
    Fairness,
    /// Spawn and join of 1,000,000 tasks, empty and with 1 µs of work.
    Spawn,
    /// 100,000 sleeping tasks, half of them cancelled.
    Timers,
    /// Latency beside a task that computes half of the time.
    Hog {
        /// Requests a second, once each.
        #[arg(long, value_delimiter = ',', default_values_t = [2_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rates: Vec<u32>,
    },
    /// Hot reads of 4 KiB beside cold ones of 16 MiB: Pirn's policies, blocking in place, thread pools, plain rings.
    Cold {
        /// Of a hundred requests so many are cold, one run for each.
        #[arg(long, value_delimiter = ',', default_values_t = cold::SHARES, value_parser = clap::value_parser!(u32).range(0..=50))]
        shares: Vec<u32>,
        /// Requests a second [default: the cold ones keep the disk busy for a quarter of the time].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: Option<u32>,
        /// Where the files lie: on a disk [default: beside this program].
        #[arg(long)]
        folder: Option<std::path::PathBuf>,
    },
    /// Moves of tasks between two groups of one worker.
    Hop,
    /// Coroutines: switch, yield, spawn and join beside the crate may, memory, and requests processed in six ways.
    Coro {
        /// Where the chart goes, an SVG file.
        #[arg(long)]
        picture: Option<String>,
    },
    /// hyper on Pirn beside hyper on tokio: server CPU a request.
    Http {
        /// Connections, once each.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1_000])]
        connections: Vec<usize>,
        /// Server threads; with one, it has a CPU of its own, and the load generator another.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
        workers: u8,
    },
    /// `pirn serve` under load for a while: descriptors, memory, errors, its end. Not among `all`.
    Soak {
        /// Minutes on each backend.
        #[arg(long, default_value_t = 1.0, value_parser = minutes)]
        minutes: f64,
        /// Connections, in turn.
        #[arg(long, value_delimiter = ',', default_values_t = [64, 1_000])]
        connections: Vec<usize>,
        /// Backends.
        #[arg(long, value_delimiter = ',', default_values_t = ["epoll".to_owned(), "uring".to_owned()])]
        os: Vec<String>,
        /// The binary `pirn` [default: the release build of the repository].
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// The flight recorder, on against off: server CPU a message.
    Recorder,
    /// System calls of an idle runtime and of yields, by strace.
    Idle,
    /// What the simulator costs a live program that links it.
    Linked,
    /// The simulator's speed, beside shuttle's.
    Sim,
    /// (internal) A server in a process of its own.
    #[command(hide = true)]
    Serve {
        what: String,
        server: String,
        workers: usize,
        #[arg(default_value_t = false, action = clap::ArgAction::Set)]
        busy: bool,
        #[arg(long, default_value_t = 4096)]
        buffer: usize,
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// (internal) A measurement in a process of its own.
    #[command(hide = true)]
    Work { what: String, peer: Name, numbers: Vec<u64> },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut table = Table::default();
    match dispatch(&cli, &mut table) {
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Ok(()) if table.missed > 0 => {
            println!("\n{} target(s) missed", table.missed);
            ExitCode::from(1)
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|minutes| (0.1..=1_440.0).contains(minutes));
    parsed.ok_or_else(|| "0.1 to 1440".to_owned())
}

/// How a server with so many threads runs.
fn threads(workers: u8, unpinned: bool) -> cells::How {
    let cpus = if unpinned || workers > 1 { None } else { cells::cpus() };
    cells::How { workers: usize::from(workers), cpus }
}

fn dispatch(cli: &Cli, table: &mut Table) -> Result<(), String> {
    let rounds = cli.rounds as usize;
    let (seconds, tasks, sleepers) =
        if cli.quick { (1.0, 200_000, 20_000) } else { (3.0, 1_000_000, 100_000) };
    let churned = if cli.quick { 20_000 } else { 200_000 };
    let moves = if cli.quick { 400_000 } else { 2_000_000 };
    let idle_seconds = if cli.quick { 2 } else { 10 };
    match &cli.what {
        What::EchoCells { workers, unpinned } => {
            cells::bench(table, rounds, seconds / 2.0, threads(*workers, *unpinned))
        }
        What::Churn { connections } => churn::bench(table, rounds, connections.unwrap_or(churned)),
        What::Fairness => fairness::bench(table, rounds, seconds),
        What::Echo => echo::bench(table, rounds, seconds),
        What::Spawn => spawn::bench(table, rounds, tasks),
        What::Timers => timers::bench(table, rounds, sleepers),
        What::Hog { rates } => hog::bench(table, rounds, seconds, rates),
        What::Cold { shares, rate, folder } => {
            let (rate, folder) = (*rate, folder.clone());
            cold::bench(table, &cold::How { rounds, seconds: 2.0 * seconds, rate, shares, folder })
        }
        What::Hop => hop::bench(table, rounds, moves),
        What::Coro { picture } => coroutines::bench(rounds, cli.quick, picture.as_deref()),
        What::Http { connections, workers } => {
            http::bench(table, rounds, seconds, connections, threads(*workers, false))
        }
        What::Soak { minutes, connections, os, program } => {
            let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/pirn");
            let soak = soak::Soak {
                program: program.clone().unwrap_or_else(built),
                span: Duration::from_secs_f64(minutes * 60.0),
                connections: connections.clone(),
                backends: os.clone(),
            };
            soak::bench(table, &soak)
        }
        What::Recorder => recorder::bench(table, rounds, seconds, threads(1, false)),
        What::Idle => idle::bench(table, idle_seconds),
        What::Linked => simulator::linked(table, rounds, seconds),
        What::Sim => simulator::bench(table, rounds, if cli.quick { 0.5 } else { 2.0 }),
        What::All => {
            echo::bench(table, rounds, seconds)?;
            http::bench(table, rounds, seconds, &[1, 64, 1_000], threads(2, false))?;
            spawn::bench(table, rounds, tasks)?;
            timers::bench(table, rounds, sleepers)?;
            hog::bench(table, rounds, seconds, &[2_000, 10_000])?;
            let how =
                cold::How { rounds, seconds: 2.0 * seconds, rate: None, shares: &cold::SHARES, folder: None };
            cold::bench(table, &how)?;
            cells::bench(table, rounds, seconds / 2.0, threads(1, false))?;
            churn::bench(table, rounds, churned)?;
            fairness::bench(table, rounds, seconds)?;
            hop::bench(table, rounds, moves)?;
            recorder::bench(table, rounds, seconds, threads(1, false))?;
            idle::bench(table, idle_seconds)?;
            simulator::linked(table, rounds, seconds)?;
            simulator::bench(table, rounds, if cli.quick { 0.5 } else { 2.0 })
        }
        What::Serve { what, server, workers, busy, buffer, cpu } => {
            if let Some(cpu) = cpu {
                epoll::pin(*cpu).map_err(|error| format!("CPU {cpu} can't be had: {error}"))?;
            }
            if server == "floor" {
                return floor::serve(*workers, *buffer).map_err(|error| format!("the floor: {error}"));
            }
            let peer = Name::from_str(server, false)?;
            match what.as_str() {
                "echo" => echo::serve(peer, *workers, *buffer),
                "hog" => hog::serve(peer, *workers, *busy),
                "http" => http::serve(peer, *workers)?,
                other => return Err(format!("there is no server `{other}`; there are echo, hog and http")),
            }
            Ok(())
        }
        What::Work { what, peer, numbers } => match (what.as_str(), &numbers[..]) {
            ("spawn", &[workers, tasks, work_ns]) => {
                spawn::child(*peer, workers as usize, tasks as usize, work_ns);
                Ok(())
            }
            ("timers", &[workers, tasks]) => {
                timers::child(*peer, workers as usize, tasks);
                Ok(())
            }
            ("hop", &[kind, moves]) => {
                hop::child(kind, moves);
                Ok(())
            }
            ("idle" | "yields", &[seconds]) => {
                idle::child(*peer, what, seconds);
                Ok(())
            }
            _ => Err(format!("there is no measurement `{what}` with {} numbers", numbers.len())),
        },
    }
}
