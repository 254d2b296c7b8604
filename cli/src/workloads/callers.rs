//! Callers: several threads inside `block_on` of one runtime; the seat that they share goes from one to the next while tasks
//! are in its ring, timers on its wheel and ops in its driver.

use std::sync::Arc;
use std::time::Duration;

use pirn::Handle;
use pirn::task::JoinHandle;
use pirn::time::{Instant, sleep};

use super::mailbox::Bell;
use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "callers",
    about: "threads inside block_on that come and go, and the seat that they share",
    unit: "calls",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 2, bytes: 0 },
    large: Size { width: 8, rounds: 50, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let handle = Handle::current();
    let callers: Vec<_> = (0..setting.size.width)
        .map(|_| {
            let (handle, setting) = (handle.clone(), setting.clone());
            pirn::spawn_blocking(move || caller(&handle, &setting))
        })
        .collect();
    let random = Random::new();
    for _ in 0..random.below(4) {
        pirn::yield_now().await;
    }
    // What this call leaves on its seat goes on without it.
    let (first, left) = leave_some(2);
    first.ring();
    let mut report = setting.report();
    report.after = Some(Box::new(move || {
        std::thread::sleep(Duration::from_micros(300));
        handle.block_on(async {
            for task in left {
                finished(task).await?;
            }
            for caller in callers {
                finished(caller).await??;
            }
            Ok(())
        })
    }));
    Ok(report)
}

/// Tasks of which each waits for the one before it, and the bell that the first one waits for.
fn leave_some(count: usize) -> (Arc<Bell>, Vec<JoinHandle<()>>) {
    let bells: Vec<Arc<Bell>> = (0..=count).map(|_| Arc::default()).collect();
    let task = |number: usize| {
        let (mine, next) = (bells[number].clone(), bells[number + 1].clone());
        pirn::spawn(async move {
            mine.rung(1).await;
            next.ring();
            match number % 2 {
                0 => sleep(Duration::from_micros(200)).await,
                _ => pirn::yield_now().await,
            }
        })
    };
    let tasks = (0..count).map(task).collect();
    (bells[0].clone(), tasks)
}

/// Calls again and again, with pauses in which it is in no call.
fn caller(handle: &Handle, setting: &Setting) -> Result<(), String> {
    let mut left = Vec::new();
    let mut clock = setting.clock();
    while clock.again() {
        let more = handle.block_on(async {
            let random = Random::new();
            let (first, tasks) = leave_some(1 + random.below(2) as usize);
            let due = Instant::now() + Duration::from_micros(random.below(500).into());
            sleep(due - Instant::now()).await;
            let now = Instant::now();
            check(now >= due, || format!("a caller's timer for {due:?} fired at {now:?}"))?;
            first.ring();
            if random.below(2) == 0 {
                return Ok(tasks);
            }
            for task in tasks {
                finished(task).await?;
            }
            Ok::<_, String>(Vec::new())
        })?;
        left.extend(more);
        std::thread::sleep(Duration::from_micros(100));
    }
    // Others may have finished them, from whatever seat.
    handle.block_on(async {
        for task in left {
            finished(task).await?;
        }
        Ok(())
    })
}
