//! Cancel: tasks aborted in every state, handles dropped, panics contained. Every future is dropped exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Host, Random, Report, Setting, Size, Workload, check};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "cancel",
    about: "tasks aborted in every state, dropped handles, contained panics; each future dropped once",
    unit: "tasks",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 8, rounds: 2, bytes: 0 },
    large: Size { width: 500, rounds: 20, bytes: 0 },
};

/// Counts its own drop.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a task does with its life.
async fn life(kind: u32, dropped: Dropped) -> u32 {
    let _dropped = dropped;
    match kind {
        0 => {}
        1 => {
            for _ in 0..4 {
                pirn::yield_now().await;
            }
        }
        2 => pirn::time::sleep(Duration::from_millis(1)).await,
        3 => std::future::pending().await,
        4 => std::panic::resume_unwind(Box::new("a panic that belongs to the program")),
        _ => {
            // A task that is aborted while it waits for another one.
            let child = pirn::spawn(async { pirn::yield_now().await });
            let _ = child.await;
        }
    }
    kind
}

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    while clock.again() {
        let dropped = Arc::new(AtomicU32::new(0));
        let mut waited = Vec::new();
        for number in 0..setting.size.width {
            let kind = number % 6;
            let task = pirn::spawn(life(kind, Dropped(dropped.clone())));
            if random.below(3) == 0 {
                pirn::yield_now().await;
            }
            let abort = kind == 3 || random.below(2) == 0;
            if abort {
                abort_somewhere(&task, random.below(2) == 0).await;
            }
            if random.below(4) > 0 {
                waited.push((kind, abort, task));
            }
        }
        for (kind, abort, task) in waited {
            match task.await {
                Ok(output) => check(output == kind, || format!("a task of kind {kind} returned {output}"))?,
                Err(error) if error.is_cancelled() => {
                    check(abort, || format!("a task of kind {kind} was cancelled and nobody asked for it"))?;
                }
                Err(error) => {
                    check(error.is_panic() && kind == 4, || {
                        format!("a task of kind {kind} failed: {error}")
                    })?;
                    let payload =
                        error.into_panic().map_err(|error| format!("a panic without a payload: {error}"))?;
                    check(payload.is::<&str>(), || {
                        "a panic's payload is not the one that was thrown".to_owned()
                    })?;
                }
            }
            report.count += 1;
        }
        // The detached ones end too.
        let mut patience = 10_000;
        while dropped.load(Ordering::Relaxed) < setting.size.width && patience > 0 {
            pirn::time::sleep(Duration::from_millis(1)).await;
            patience -= 1;
        }
        let dropped = dropped.load(Ordering::Relaxed);
        check(dropped == setting.size.width, || {
            format!("{} tasks were spawned and {dropped} futures dropped", setting.size.width)
        })?;
    }
    Ok(report)
}

/// Aborts from here or from another task.
async fn abort_somewhere(task: &pirn::task::JoinHandle<u32>, here: bool) {
    if here {
        task.abort();
        return;
    }
    let handle = task.abort_handle();
    pirn::spawn(async move { handle.abort() }).detach();
}
