//! Burst: many tasks become ready at one moment, and each computes for a while. What one look brought to one worker is
//! too much for it alone.

use std::sync::Arc;
use std::time::Duration;

use pirn::time::{Instant, sleep_until};

use super::{Host, Report, Setting, Size, Workload, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "burst",
    about: "timers that fire together, and a short computation behind each",
    unit: "computations",
    latency: "lateness",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 24, rounds: 2, bytes: 0 },
    large: Size { width: 1_000, rounds: 0, bytes: 0 },
};

/// Between two bursts.
const PERIOD: Duration = Duration::from_millis(20);
/// What one task computes.
const WORK: Duration = Duration::from_micros(100);

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let first = Instant::now() + PERIOD;
    let tasks: Vec<_> =
        (0..setting.size.width).map(|_| pirn::spawn(computes(setting.clone(), first))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await?);
    }
    Ok(report)
}

async fn computes(setting: Arc<Setting>, first: Instant) -> Report {
    let mut report = setting.report();
    let mut clock = setting.clock();
    let mut due = first;
    while clock.again() {
        sleep_until(due).await;
        let began = Instant::now();
        while Instant::now() < began + WORK {
            std::hint::spin_loop();
        }
        report.record(began - due);
        due += PERIOD;
    }
    report
}
