//! Stuck: a task wakes another one and then blocks its worker. What it woke, its worker's connections and its timers are
//! the business of the idle workers.

use std::sync::Arc;
use std::time::Duration;

use pirn::time::{Instant, sleep};

use super::mailbox::Bell;
use super::{Host, Report, Setting, Size, Workload, echo};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "stuck",
    about: "echo beside a task that wakes another and then blocks its worker",
    unit: "messages",
    latency: "round trip",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(echo::client(setting)) },
    ],
    small: Size { width: 2, rounds: 2, bytes: 16 },
    large: Size { width: 16, rounds: 0, bytes: 64 },
};

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let bell = Arc::new(Bell::default());
    let woken = pirn::spawn(woken(bell.clone()));
    let stuck = pirn::spawn(stuck(bell));
    let ticker = pirn::spawn(ticker());
    let report = echo::server(setting).await;
    for task in [woken, stuck, ticker] {
        task.abort();
        let _ = task.await;
    }
    report
}

/// Waits for the bell again and again.
async fn woken(bell: Arc<Bell>) {
    for times in 1.. {
        bell.rung(times).await;
    }
}

/// Its timers are on the wheel of the worker it ran on, which may be the one that is blocked next.
async fn ticker() {
    loop {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Rings, and blocks its worker for 20 ms of every 25.
async fn stuck(bell: Arc<Bell>) {
    loop {
        let due = Instant::now() + Duration::from_millis(5);
        sleep(Duration::from_millis(5)).await;
        if Instant::now() >= due {
            bell.ring();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
