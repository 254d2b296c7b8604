//! What an operation of `pirn::sync` costs, with the plain instructions of the runtime around it: the same tasks live, measured, and
//! simulated, counted.

use std::time::Instant;

use pirn_sim::{Faults, Simulation, Sizes, Strategy};

use super::Effort;
use crate::failure::Failure;

/// Tasks that live at the same time.
const TOGETHER: u64 = 50;

/// Spawns tasks that yield twice, and joins them.
async fn tasks(count: u64) {
    for _ in 0..count / TOGETHER {
        let together: Vec<_> = (0..TOGETHER)
            .map(|_| {
                pirn::spawn(async {
                    pirn::yield_now().await;
                    pirn::yield_now().await;
                })
            })
            .collect();
        for task in together {
            task.await.expect("it does nothing that could fail");
        }
    }
}

/// Nanoseconds of an operation.
pub(super) fn operation(effort: Effort) -> Result<f64, Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("the runtime can't be measured: {error}"));
    let runtime = pirn::Builder::new().workers(1).build().map_err(failed)?;
    let live = effort
        .median(|n| {
            runtime.block_on(tasks(n / 10));
            let started = Instant::now();
            runtime.block_on(tasks(n));
            Ok(started.elapsed())
        })
        .map_err(failed)?;
    drop(runtime);
    let points = |count: u64| {
        Simulation::new("calibrate")
            .workers(1..=1)
            .sizes(Sizes::Default)
            .faults(Faults::none())
            .strategy(Strategy::Stay)
            .host("main", move || tasks(count))
            .run(0)
            .points
    };
    // What a run has besides is in both.
    let (few, many) = (4 * TOGETHER, 24 * TOGETHER);
    let each = points(many).saturating_sub(points(few)) as f64 / (many - few) as f64;
    if each < 1.0 {
        return Err(Failure::Violation("the simulated tasks had no operations".to_owned()));
    }
    Ok(live / each)
}
