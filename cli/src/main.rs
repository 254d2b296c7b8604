//! The command `pirn`: run a workload live or simulated, explore its schedules, replay a trace, compare topologies, serve
//! files, examine the machine.
//! Exit codes: 0 fine, 1 a violation was found, 2 bad usage or input.

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

mod args;
mod calibrate;
mod compare;
mod cpu;
mod doctor;
mod explore;
mod failure;
mod live;
mod probe;
mod program;
mod replay;
mod run;
mod serve;
mod show;
mod summary;
mod tell;
mod verify;
mod view;
mod workloads;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Explore(args) => explore::explore(args),
        Command::Compare(args) => compare::compare(args),
        Command::Calibrate(args) => calibrate::calibrate(args),
        Command::Merge(args) => summary::merge(args),
        Command::Replay(args) => replay::replay(args),
        Command::View(args) => view::view(args),
        Command::Serve(args) => serve::serve(args),
        Command::Doctor => doctor::doctor(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
