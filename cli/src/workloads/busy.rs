//! Busy: echo beside tasks that yield and yield, so that no worker of the server is ever without work: its connections are served by looks
//! between polls alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pirn::task::JoinHandle;
use pirn::time::Instant;

use super::mailbox::Bell;
use super::{Host, Random, Report, Setting, Size, Workload, echo};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "busy",
    about: "echo beside tasks that yield for ever, so that workers do not park",
    unit: "messages",
    latency: "round trip",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(echo::client(setting)) },
    ],
    small: Size { width: 2, rounds: 2, bytes: 16 },
    large: Size { width: 64, rounds: 0, bytes: 64 },
};

/// Readings of the clock in each of their polls: a short computation.
const READINGS: u32 = 40;

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let done = Arc::new(AtomicBool::new(false));
    let yielders: Vec<_> = (0..2).map(|_| pirn::spawn(yields(done.clone()))).collect();
    let others = if Random::new().below(2) == 0 { never_idle(&done) } else { Vec::new() };
    let report = echo::server(setting).await;
    // Relaxed: they see it some time.
    done.store(true, Ordering::Relaxed);
    for task in yielders.into_iter().chain(others) {
        let _ = task.await;
    }
    report
}

/// Tasks because of which neither the LIFO slot nor the inbox of a worker is ever empty.
fn never_idle(done: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let (one, other) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let over = done.clone();
    let local = pirn::spawn_local(async move {
        while !over.load(Ordering::Relaxed) {
            pirn::yield_now().await;
        }
    });
    let volley = |mine, other| pirn::spawn(volley(done.clone(), mine, other));
    vec![local, volley(one.clone(), other.clone()), volley(other, one)]
}

/// Rings back whenever it is rung.
async fn volley(done: Arc<AtomicBool>, mine: Arc<Bell>, other: Arc<Bell>) {
    for round in 1.. {
        // Looked at before the ring: whoever is let into its next round by it sees what was seen here, and waits for no ring of who has left.
        let last = done.load(Ordering::Relaxed);
        other.ring();
        if last {
            break;
        }
        mine.rung(round).await;
    }
}

async fn yields(done: Arc<AtomicBool>) {
    while !done.load(Ordering::Relaxed) {
        for _ in 0..READINGS {
            std::hint::black_box(Instant::now());
        }
        pirn::yield_now().await;
    }
}
