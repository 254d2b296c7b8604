//! Programs on Pirn, each live: `cargo run -p pirn-examples -- chat`; and with `--sim`, the same program on the same scheduler under
//! many simulated schedules.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

mod api;
mod chat;
mod copy;
mod echo;
mod net;
mod proxy;
mod run;

#[cfg(test)]
mod tests;

use crate::run::Host;

/// Runs an example: its servers and its clients, which check what they get.
#[derive(Parser)]
struct Cli {
    /// Which.
    #[arg(value_enum)]
    example: Example,
    /// Run it in the simulator, once for each of many seeds.
    #[arg(long)]
    sim: bool,
    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "sim")]
    seeds: u64,
    /// Run the servers only, on this address, until Ctrl-C: for a client of your own.
    #[arg(long, value_name = "ADDR", conflicts_with = "sim")]
    listen: Option<std::net::SocketAddr>,
}

/// The examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Example {
    /// Sends back what comes.
    Echo,
    /// A chat room: everybody sees everything, in one order.
    Chat,
    /// A REST service on axum, with state, extractors and a cache.
    Api,
    /// The same with a bug: its cache may be filled twice.
    ApiBug,
    /// A TCP proxy in front of echo.
    Proxy,
    /// Copies a file, reading ahead while it writes, and survives a loss of power.
    Copy,
}

impl Example {
    fn hosts(self) -> Vec<Host> {
        match self {
            Self::Echo => echo::hosts(),
            Self::Chat => chat::hosts(),
            Self::Api => api::hosts(api::Cache::Once),
            Self::ApiBug => api::hosts(api::Cache::Twice),
            Self::Proxy => proxy::hosts(),
            Self::Copy => copy::hosts(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let name = cli.example.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let result = match (cli.sim, cli.listen) {
        (true, _) => run::simulated(&name, cli.example.hosts(), cli.seeds),
        (false, listen) => run::live(cli.example.hosts(), listen),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
