//! The same cases and sequences on the simulated machine, and the logs of both compared.

use std::net::SocketAddr;
use std::sync::Arc;

use pirn_sim::{Faults, Kernel, Network, Preempt, Simulation, Verdict};

use super::cases::{CASES, Case};
use super::random;
use super::world::World;

/// The machine of the simulated host that this runs on.
fn world() -> World {
    World { os: pirn_sim::os(), here: SocketAddr::new(pirn_sim::host_addr("host"), 0) }
}

fn simulation(name: &str, program: impl Fn(&World) + Send + Sync + 'static) -> Simulation {
    // As large as a live kernel's at least: some cases send a little before anybody reads.
    let network = Network { buffer: 100_000..=200_000, ..Network::default() };
    Simulation::new(name).bare_host("host", move || program(&world())).network(network)
}

/// A program that makes the calls of a kernel itself.
pub(crate) fn on_kernel(name: &str, program: impl Fn(&World) + Send + Sync + 'static) -> Simulation {
    simulation(name, program).kernel(Kernel::Epoll).faults(Faults::none())
}

/// Runs a program for some seeds; a failure names the seed.
fn failures(simulation: &Simulation, seeds: std::ops::Range<u64>) -> Vec<String> {
    let run = |seed| match simulation.run(seed).verdict {
        Verdict::Pass => None,
        verdict => Some(format!("{} with seed {seed}: {verdict:?}", simulation.name())),
    };
    seeds.filter_map(run).collect()
}

fn none(failures: Vec<String>) {
    assert!(failures.is_empty(), "in the simulator fail:\n{}", failures.join("\n"));
}

fn cases_on(kernel: Kernel) {
    let runs = |(name, case): &(&str, Case)| {
        failures(&simulation(name, *case).kernel(kernel).faults(Faults::none()), 0..5)
    };
    none(CASES.iter().flat_map(runs).collect());
}

#[test]
fn cases_on_the_simulated_machine() {
    cases_on(Kernel::Ops);
}

#[test]
fn cases_on_the_simulated_epoll() {
    cases_on(Kernel::Epoll);
}

#[test]
fn cases_on_the_simulated_uring() {
    cases_on(Kernel::Uring);
}

#[test]
fn random_sequences_go_as_they_do_live() {
    let mut found = Vec::new();
    for seed in 0..20 {
        let live = Arc::new(random::play(&super::live::world(), seed));
        let program = move |world: &World| {
            let simulated = random::play(world, seed);
            let first = live.iter().zip(&simulated).position(|(live, simulated)| live != simulated);
            if let Some(at) = first {
                panic!("step {at} is \"{}\" live, \"{}\" simulated", live[at], simulated[at]);
            }
            assert_eq!(live.len(), simulated.len(), "one log is longer");
        };
        let simulation = simulation(&format!("sequence {seed}"), program).preempt(Preempt::OsCalls);
        for kernel in [Kernel::Ops, Kernel::Epoll, Kernel::Uring] {
            let simulation = simulation.clone().kernel(kernel);
            found.extend(failures(&simulation.clone().faults(Faults::none()), 0..2));
            // Short counts, spurious returns and slow machines change no outcome either.
            found.extend(failures(&simulation.faults(Faults::default()), 2..5));
        }
    }
    none(found);
}
