//! A cell of the comparison in the simulator, by the cost model: the same programs as live, on as many workers as asked for.

use std::sync::Arc;
use std::time::Duration;

use pirn::{Builder, Topology};
use pirn_sim::cost::{Costs, Model};
use pirn_sim::{Faults, Kernel, Network, Simulation, Sizes, Storage, Strategy};

use super::load::{Kind, Load};
use super::plan::{Figures, Plan, World};
use super::program;
use super::shape::Shape;
use crate::failure::Failure;

/// What is simulated.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) load: &'static Load,
    pub(crate) shape: Shape,
    pub(crate) workers: usize,
    pub(crate) kernel: Kernel,
    /// CPUs that server and clients share, as live; `None`: one for each worker, and clients that cost nothing.
    pub(crate) cpus: Option<u32>,
    pub(crate) quick: bool,
}

/// Requests in a run at least, and rounds of each connection at least: what varies from request to request has to even out.
const REQUESTS: u32 = 3_200;
const ROUNDS: u32 = 8;
/// With hogs a run has to last for several of their turns.
const HOG_ROUNDS: u32 = 24;
/// Graphs in a run at least.
const GRAPHS: u32 = 160;
/// Where the simulated disk has the file.
const FILE: &str = "/compare.data";
/// From a send to its arrival: the loopback interface delivers within the call.
const LATENCY: Duration = Duration::from_nanos(1);

impl Asked {
    fn rounds(&self) -> u32 {
        let connections = self.load.connections(self.workers);
        match self.load.kind {
            _ if self.quick => 3,
            Kind::Graphs => (GRAPHS / connections).max(ROUNDS),
            Kind::Hog => (REQUESTS / connections).max(HOG_ROUNDS),
            _ => (REQUESTS / connections).max(ROUNDS),
        }
    }
}

/// Runs it. The same costs give the same figures, in any process.
pub(crate) fn run(asked: Asked, costs: &Costs) -> Result<Figures, Failure> {
    let Asked { load, shape, workers, kernel, cpus, .. } = asked;
    let plan = Arc::new(Plan::new(load, shape, workers, asked.rounds(), World::Simulated, FILE.into()));
    let fixed = Duration::from_nanos(costs.cold_read as u64);
    let free_hosts = if cpus.is_none() { vec!["client".to_owned()] } else { Vec::new() };
    let mut simulation = Simulation::new("compare")
        .kernel(kernel)
        .strategy(Strategy::Stay)
        .sizes(Sizes::Default)
        .faults(Faults::none())
        .network(Network {
            latency: LATENCY..=LATENCY,
            buffer: 65_536..=65_536,
            descriptors: 1 << 20,
            ..Network::default()
        })
        .storage(Storage { latency: fixed..=fixed, ..Storage::default() })
        .max_points(u64::MAX)
        .cost(Model { costs: costs.clone(), cpus, free_hosts });
    let served = plan.clone();
    simulation = simulation.bare_host("server", move || {
        let plan = served.clone();
        let topology = plan.shape.topology(plan.workers);
        if plan.load.kind == Kind::Graphs {
            block_on(topology, program::graphs(plan));
        } else {
            block_on(topology, program::server(plan));
        }
    });
    if load.kind != Kind::Graphs {
        let asking = plan.clone();
        simulation = simulation
            .bare_host("client", move || block_on(Topology::stealing(1), program::client(asking.clone())));
    }
    let outcome = simulation.run(0);
    plan.abandon();
    let named = |what: &str| {
        Failure::Violation(format!(
            "{} on {} with {workers} worker(s), simulated: {what}",
            load.name,
            shape.name()
        ))
    };
    if !outcome.verdict.is_pass() {
        return Err(named(&outcome.verdict.to_string()));
    }
    plan.figures().ok_or_else(|| named("it ended without figures"))
}

/// A simulated host's program. Panics with what failed, which ends the run.
fn block_on(topology: Topology, program: impl Future<Output = Result<(), String>>) {
    let runtime = Builder::new()
        .os(pirn_sim::os())
        .topology(topology)
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    if let Err(message) = runtime.block_on(program) {
        panic!("{message}");
    }
}
