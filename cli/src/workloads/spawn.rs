//! Spawn: batches of tasks, spawned and joined from inside a task.

use std::sync::Arc;

use pirn::time::Instant;

use super::{Host, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "spawn",
    about: "batches of tasks, spawned and joined from inside a task",
    unit: "tasks",
    latency: "spawn to join of a batch",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 12, rounds: 2, bytes: 0 },
    large: Size { width: 1_000, rounds: 0, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    finished(pirn::spawn(batches(setting))).await?
}

async fn batches(setting: Arc<Setting>) -> Result<Report, String> {
    let mut report = setting.report();
    let mut clock = setting.clock();
    let mut handles = Vec::with_capacity(setting.size.width as usize);
    let mut tasks = 0;
    while clock.again() {
        let start = Instant::now();
        handles.extend((0..setting.size.width).map(|number| pirn::spawn(async move { number })));
        for (number, handle) in handles.drain(..).enumerate() {
            let output = finished(handle).await?;
            check(output as usize == number, || format!("task {number} of a batch returned {output}"))?;
        }
        report.record(Instant::now() - start);
        tasks += u64::from(setting.size.width);
    }
    report.count = tasks;
    Ok(report)
}
