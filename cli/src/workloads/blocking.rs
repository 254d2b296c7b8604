//! Blocking: work on the blocking pool, awaited, abandoned, panicking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pirn::time::sleep;

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "blocking",
    about: "work on the blocking pool: awaited, abandoned, panicking, waking tasks, waiting for one another",
    unit: "jobs",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 4, rounds: 2, bytes: 0 },
    large: Size { width: 64, rounds: 50, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks: Vec<_> =
        (0..setting.size.width).map(|number| pirn::spawn(user(setting.clone(), number))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    Ok(report)
}

async fn user(setting: Arc<Setting>, number: u32) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    while clock.again() {
        report.count += 1;
        match random.below(6) {
            0 => pirn::spawn_blocking(move || number).detach(),
            1 => {
                let job = pirn::spawn_blocking(|| std::panic::resume_unwind(Box::new(7_u8)));
                let error: pirn::task::JoinError = match job.await {
                    Ok(()) => return Err("a job that panics returned".to_owned()),
                    Err(error) => error,
                };
                check(error.is_panic(), || format!("a job that panics ended otherwise: {error}"))?;
            }
            2 => {
                let job = pirn::spawn_blocking(|| std::thread::sleep(Duration::from_micros(200)));
                finished(job).await?;
            }
            // The thread of the call before may be about to leave.
            3 => {
                sleep(Duration::from_micros(100 << random.below(2))).await;
                finished(pirn::spawn_blocking(|| ())).await?;
            }
            4 => {
                // One call waits for another: a queue behind a thread that is busy would never end.
                let begun = Arc::new(AtomicBool::new(false));
                let other = begun.clone();
                let waits = pirn::spawn_blocking(move || {
                    (0..1_000).any(|_| {
                        std::thread::sleep(Duration::from_micros(500));
                        begun.load(Ordering::Relaxed)
                    })
                });
                let begins = pirn::spawn_blocking(move || other.store(true, Ordering::Relaxed));
                let seen = finished(waits).await?;
                check(seen, || "a call waited half a second for another one to begin".to_owned())?;
                finished(begins).await?;
            }
            _ => {
                let handle = pirn::Handle::current();
                let task =
                    finished(pirn::spawn_blocking(move || handle.spawn(async move { number }))).await?;
                let output = finished(task).await?;
                check(output == number, || format!("the task of job {number} returned {output}"))?;
            }
        }
    }
    Ok(report)
}
