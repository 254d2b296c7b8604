//! Hog: a task of the server computes half of the time, and connections and timers are served by the other workers.

use std::sync::Arc;
use std::time::Duration;

use pirn::time::{Instant, sleep};

use super::{Host, Report, Setting, Size, Workload, check, echo};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "hog",
    about: "echo and timers beside a task that computes half of the time",
    unit: "messages",
    latency: "round trip",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(echo::client(setting)) },
    ],
    small: Size { width: 2, rounds: 3, bytes: 16 },
    large: Size { width: 64, rounds: 0, bytes: 64 },
};

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let hog = pirn::spawn(hog());
    let ticker = pirn::spawn(ticker());
    let report = echo::server(setting).await;
    hog.abort();
    ticker.abort();
    if let Ok(early) = ticker.await {
        early?;
    }
    let _ = hog.await;
    report
}

/// Computes 20 ms of every 40.
async fn hog() {
    let busy = Duration::from_millis(20);
    loop {
        let until = Instant::now() + busy;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        sleep(busy).await;
    }
}

/// A timer that must never be early, on whatever worker its task runs.
async fn ticker() -> Result<(), String> {
    loop {
        let due = Instant::now() + Duration::from_millis(3);
        sleep(Duration::from_millis(3)).await;
        let now = Instant::now();
        check(now >= due, || format!("a timer for {due:?} fired at {now:?}"))?;
    }
}
