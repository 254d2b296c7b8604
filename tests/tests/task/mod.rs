//! What stands on top of tasks: sets of them, and task-locals.

mod local;
mod set;

use std::future::Future;

/// Runs a future on one and on three workers, and in the simulator for some seeds.
fn everywhere<F: Future<Output = ()> + 'static>(
    name: &str,
    test: impl Fn() -> F + Copy + Send + Sync + 'static,
) {
    for workers in [1, 3] {
        pirn::Builder::new().workers(workers).build().expect("a runtime").block_on(test());
    }
    #[cfg(feature = "sim")]
    for seed in 0..40 {
        let simulation = pirn_sim::Simulation::new(name).host("host", test).tso(seed % 2 == 1);
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "{name} fails with seed {seed}: {verdict:?}");
    }
    #[cfg(not(feature = "sim"))]
    let _ = name;
}
