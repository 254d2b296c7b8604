//! Timers: sleeping tasks, every second one cancelled. None may wake early; how late they wake is the latency.

use std::sync::Arc;
use std::time::Duration;

use pirn::time::{Instant, sleep, sleep_until};

use super::{Host, Random, Report, Setting, Size, Workload, check};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "timers",
    about: "sleeping tasks, every second one cancelled; none may wake early",
    unit: "timers",
    latency: "lateness",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 10, rounds: 1, bytes: 0 },
    large: Size { width: 10_000, rounds: 0, bytes: 0 },
};

/// Deadlines lie within this time.
const SPREAD: Duration = Duration::from_millis(500);

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let mut report = setting.report();
    let mut clock = setting.clock();
    let random = Random::new();
    while clock.again() {
        let base = Instant::now();
        let tasks: Vec<_> = (0..setting.size.width)
            .map(|_| {
                let deadline =
                    base + Duration::from_micros(u64::from(random.below(SPREAD.as_micros() as u32)));
                (deadline, pirn::spawn(sleeper(deadline)))
            })
            .collect();
        sleep(SPREAD / 8).await;
        for (_, task) in tasks.iter().skip(1).step_by(2) {
            task.abort();
        }
        for (number, (deadline, task)) in tasks.into_iter().enumerate() {
            match task.await {
                Ok(woken) => {
                    check(woken >= deadline, || {
                        format!("timer {number} fired {:?} early", deadline.saturating_duration_since(woken))
                    })?;
                    report.record(woken - deadline);
                }
                Err(error) if error.is_cancelled() => {
                    check(number % 2 == 1, || {
                        format!("task {number} was cancelled and nobody asked for it")
                    })?;
                    report.count += 1;
                }
                Err(error) => return Err(format!("task {number} failed: {error}")),
            }
        }
    }
    Ok(report)
}

async fn sleeper(deadline: Instant) -> Instant {
    sleep_until(deadline).await;
    Instant::now()
}
