//! Runs the hosts of an example: all in one process on the loopback, or in the simulator.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

use pirn_sim::{Explore, Faults, Shrink, Simulation};

use crate::net::Net;

type Program = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A part of an example that has a machine of its own.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) program: Box<dyn Fn(Net) -> Program + Send + Sync>,
}

/// A host.
pub(crate) fn host<F, P>(name: &'static str, program: P) -> Host
where
    P: Fn(Net) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    Host { name, program: Box::new(move |net| Box::pin(program(net))) }
}

/// Runs servers and clients until the clients are done; with an address, the servers only.
pub(crate) fn live(hosts: Vec<Host>, listen: Option<SocketAddr>) -> io::Result<String> {
    let runtime = pirn::Runtime::new()?;
    let start = Instant::now();
    runtime.block_on(async {
        let net = Net::live(listen);
        let mut clients = pirn::task::JoinSet::new();
        for host in hosts {
            let program = (host.program)(net.clone());
            if host.name.starts_with("client") && listen.is_none() {
                clients.spawn(program);
            } else if !host.name.starts_with("client") {
                pirn::spawn(async move {
                    if let Err(error) = program.await {
                        eprintln!("{}: {error}", host.name);
                        std::process::exit(1);
                    }
                })
                .detach();
            }
        }
        if listen.is_some() {
            println!("Ctrl-C ends it");
            pirn::signal::signal(pirn::signal::SignalKind::interrupt())?.recv().await?;
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        io::Result::Ok(())
    })?;
    Ok(format!("done in {:?}", start.elapsed()))
}

/// The same hosts as a simulation.
pub(crate) fn simulation(name: &str, hosts: Vec<Host>) -> Simulation {
    hosts.into_iter().fold(Simulation::new(name).workers(1..=3), |simulation, host| {
        simulation.host(host.name, move || (host.program)(Net::simulated()))
    })
}

/// Runs the hosts once for each seed, with faults that every program has to survive. A failure is shrunk and told.
pub(crate) fn simulated(name: &str, hosts: Vec<Host>, seeds: u64) -> io::Result<String> {
    let simulation = simulation(name, hosts).faults(Faults::mild());
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    let Some(failure) = report.failure else {
        return Ok(format!("{} simulated runs, and nothing went wrong", report.executions));
    };
    let shrunk = simulation.shrink(&failure.outcome, Shrink::default());
    let story = simulation.story(&shrunk.outcome.trace, false).map_err(io::Error::other)?;
    Err(io::Error::other(format!("run {}: {}\n{story}", report.executions, shrunk.outcome.verdict)))
}
