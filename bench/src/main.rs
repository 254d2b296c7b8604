//! Pirn beside its peers: `cargo run --release -- all`, or one benchmark by name. Exit code 1 if a target is missed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::peer::Name;
use crate::table::Table;

mod child;
mod echo;
mod hog;
mod idle;
mod peer;
mod simulator;
mod spawn;
mod table;
mod timers;

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
    /// Spawn and join of 1,000,000 tasks, empty and with 1 µs of work.
    Spawn,
    /// 100,000 sleeping tasks, half of them cancelled.
    Timers,
    /// Latency beside a task that computes half of the time.
    Hog,
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
        peer: Name,
        workers: usize,
        #[arg(default_value_t = false, action = clap::ArgAction::Set)]
        busy: bool,
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

fn dispatch(cli: &Cli, table: &mut Table) -> Result<(), String> {
    let rounds = cli.rounds as usize;
    let (seconds, tasks, sleepers) =
        if cli.quick { (1.0, 200_000, 20_000) } else { (3.0, 1_000_000, 100_000) };
    let idle_seconds = if cli.quick { 2 } else { 10 };
    match &cli.what {
        What::Echo => echo::bench(table, rounds, seconds),
        What::Spawn => spawn::bench(table, rounds, tasks),
        What::Timers => timers::bench(table, rounds, sleepers),
        What::Hog => hog::bench(table, rounds, seconds),
        What::Idle => idle::bench(table, idle_seconds),
        What::Linked => simulator::linked(table, rounds, seconds),
        What::Sim => simulator::bench(table, rounds, if cli.quick { 0.5 } else { 2.0 }),
        What::All => {
            echo::bench(table, rounds, seconds)?;
            spawn::bench(table, rounds, tasks)?;
            timers::bench(table, rounds, sleepers)?;
            hog::bench(table, rounds, seconds)?;
            idle::bench(table, idle_seconds)?;
            simulator::linked(table, rounds, seconds)?;
            simulator::bench(table, rounds, if cli.quick { 0.5 } else { 2.0 })
        }
        What::Serve { what, peer, workers, busy } => {
            match what.as_str() {
                "echo" => echo::serve(*peer, *workers),
                "hog" => hog::serve(*peer, *workers, *busy),
                other => return Err(format!("there is no server `{other}`; there are echo and hog")),
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
            ("idle" | "yields", &[seconds]) => {
                idle::child(*peer, what, seconds);
                Ok(())
            }
            _ => Err(format!("there is no measurement `{what}` with {} numbers", numbers.len())),
        },
    }
}
