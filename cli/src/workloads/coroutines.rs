//! Coroutines: pairs that ring each other across workers, aborted ones among them, and a task graph behind each pair.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use pirn::coro;
use pirn::graph::spawn_after;

use super::mailbox::Bell;
use super::{Host, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "coroutines",
    about: "coroutines that wake one another, are aborted, and end in task graphs",
    unit: "wakes",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 3, bytes: 0 },
    large: Size { width: 16, rounds: 10_000, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let rounds = setting.size.rounds.max(1);
    let (mut pairs, mut graphs) = (Vec::new(), Vec::new());
    for _ in 0..setting.size.width {
        let (there, back) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let (rung, rings) = (there.clone(), back.clone());
        pairs.push(coro::spawn(move || listener(rounds, &rung, &rings)));
        pairs.push(coro::spawn(move || ringer(rounds, &there, &back)));
        let waits = coro::spawn(|| {
            let _kept = Rc::new(());
            coro::wait(std::future::pending::<()>());
        });
        let top = spawn_after(pirn::graph::NONE, async move {
            waits.abort();
            waits.await.is_err_and(|error| error.is_cancelled())
        });
        let (left, right) = (spawn_after([&top], async { 1 }), spawn_after([&top], async { 2 }));
        graphs.push(spawn_after([left.dependency(), right.dependency()], async move {
            let (left, right, top) = (left.await, right.await, top.await);
            matches!((left, right, top), (Ok(1), Ok(2), Ok(true)))
        }));
    }
    let mut report = setting.report();
    for pair in pairs {
        report.count += finished(pair).await?;
    }
    for graph in graphs {
        let fine = graph.await.map_err(|error| error.to_string())?;
        check(fine, || "a task graph ended otherwise than it must".to_owned())?;
    }
    Ok(report)
}

/// Counts rings in something that is not `Send`, over all waits.
fn listener(rounds: u32, there: &Bell, back: &Bell) -> u64 {
    let count = Rc::new(Cell::new(0));
    for round in 1..=rounds {
        coro::wait(there.rung(round));
        count.set(count.get() + 1);
        back.ring();
    }
    count.get()
}

fn ringer(rounds: u32, there: &Bell, back: &Bell) -> u64 {
    for round in 1..=rounds {
        there.ring();
        coro::yield_now();
        coro::wait(back.rung(round));
    }
    0
}
