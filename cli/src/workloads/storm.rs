//! Storm: tasks that wake one another in a changing pattern.

use std::sync::Arc;

use super::mailbox::Bell;
use super::{Host, Report, Setting, Size, Workload, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "storm",
    about: "tasks that wake one another in a changing pattern, and yield in between",
    unit: "wakes",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 20, rounds: 2, bytes: 0 },
    large: Size { width: 20, rounds: 20_000, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let bells: Arc<[Bell]> = (0..setting.size.width).map(|_| Bell::default()).collect();
    let tasks: Vec<_> =
        (0..bells.len()).map(|number| pirn::spawn(ringer(setting.clone(), bells.clone(), number))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.count += finished(task).await?;
    }
    Ok(report)
}

/// In each round every task rings one other and is rung by one other.
async fn ringer(setting: Arc<Setting>, bells: Arc<[Bell]>, number: usize) -> u64 {
    let others = bells.len().max(2) - 1;
    let mut clock = setting.clock();
    let mut round = 0;
    while clock.again() {
        bells[(number + 1 + round % others) % bells.len()].ring();
        round += 1;
        bells[number].rung(round as u32).await;
        if (number + round).is_multiple_of(4) {
            pirn::yield_now().await;
        }
    }
    round as u64
}
