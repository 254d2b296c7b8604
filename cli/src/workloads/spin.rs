//! Spin: a task that gives work away and then holds its worker until a peer has run it. What a sleeping peer was never
//! woken for stays undone here, while in other programs its pusher would do it in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::mailbox::Bell;
use super::{Host, Report, Setting, Size, Workload, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "spin",
    about: "a task that spins until a peer has run what it spawned or woke",
    unit: "hand-overs",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 3, bytes: 0 },
    large: Size { width: 2, rounds: 2_000, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    finished(pirn::spawn(spinner(setting))).await?
}

/// The only task that spins: two of them could wait for each other's work.
async fn spinner(setting: Arc<Setting>) -> Result<Report, String> {
    let alone = pirn::Handle::current().groups()[0].workers() < 2;
    let mut report = setting.report();
    let mut clock = setting.clock();
    let bells: Arc<[Bell; 3]> = Arc::default();
    let mut round = 0;
    while clock.again() {
        round += 1;
        // Spawned: in the ring, stealable.
        for _ in 0..setting.size.width {
            let (ran, handle) = flagged(async {});
            wait(&ran, || alone).await;
            finished(handle).await?;
        }
        // Woken alone: in the LIFO slot, which somebody empties who looks after workers that are long in a poll.
        let (ran, handle) = {
            let bells = bells.clone();
            flagged(async move { bells[2].rung(round).await })
        };
        while !bells[2].is_awaited() {
            pirn::yield_now().await;
        }
        bells[2].ring();
        wait(&ran, || alone).await;
        finished(handle).await?;
        // Woken: the second wake moves the first task from the LIFO slot to the ring.
        let [first, second] = [0, 1].map(|at| {
            let bells = bells.clone();
            flagged(async move { bells[at].rung(round).await })
        });
        while !bells[..2].iter().all(Bell::is_awaited) {
            pirn::yield_now().await;
        }
        bells[0].ring();
        bells[1].ring();
        // If the second runs while this task does, it was still in its last poll elsewhere and moved nothing.
        wait(&first.0, || alone || second.0.load(Ordering::Acquire)).await;
        finished(first.1).await?;
        finished(second.1).await?;
        report.count += 1;
    }
    Ok(report)
}

/// A task that raises a flag when it has run to its end.
fn flagged(
    before: impl Future<Output = ()> + Send + 'static,
) -> (Arc<AtomicBool>, pirn::task::JoinHandle<()>) {
    let ran = Arc::new(AtomicBool::new(false));
    let raised = ran.clone();
    let handle = pirn::spawn(async move {
        before.await;
        // Pairs with the acquire in `wait`.
        raised.store(true, Ordering::Release);
    });
    (ran, handle)
}

/// Holds the worker until the flag is up; yields instead where nobody else would raise it.
async fn wait(ran: &AtomicBool, yields: impl Fn() -> bool) {
    // Pairs with the release in `flagged`.
    while !ran.load(Ordering::Acquire) {
        if yields() {
            pirn::yield_now().await;
        } else {
            std::hint::spin_loop();
            std::thread::yield_now();
        }
    }
}
