//! Coroutines: pairs that ring each other across workers, aborted ones and ones that panic among them, and a task graph behind each pair; then
//! as many again, on stacks that were used.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pirn::graph::spawn_after;
use pirn::{Handle, coro};

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
    let (mut pairs, mut panics, mut graphs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.size.width {
        let (there, back) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let (rung, rings) = (there.clone(), back.clone());
        pairs.push(coro::spawn(move || listener(rounds, &rung, &rings)));
        pairs.push(coro::spawn(move || ringer(rounds, &there, &back)));
        let unwound = Arc::new(AtomicBool::new(false));
        let kept = Told(unwound.clone());
        let waits = coro::spawn(move || {
            let _kept = Rc::new(kept);
            coro::wait(std::future::pending::<()>());
        });
        panics.push(coro::spawn(|| {
            coro::yield_now();
            resume_unwind(Box::new(PAYLOAD))
        }));
        let top = spawn_after(pirn::graph::NONE, async move {
            waits.abort();
            // Relaxed: the handle orders it.
            waits.await.is_err_and(|error| error.is_cancelled()) && unwound.load(Ordering::Relaxed)
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
    for panics in panics {
        let came: Result<(), _> = panics.await;
        let payload =
            came.err().and_then(|error| error.into_panic().ok()).and_then(|any| any.downcast().ok());
        check(payload == Some(Box::new(PAYLOAD)), || "a panic lost its payload".to_owned())?;
    }
    let again: Vec<_> = (0..setting.size.width).map(|_| coro::spawn(coro::yield_now)).collect();
    for one in again {
        finished(one).await?;
    }
    let left: usize = Handle::current().metrics().workers.iter().map(|worker| worker.coroutines).sum();
    check(left == 0, || format!("{left} coroutine(s) kept their stacks"))?;
    Ok(report)
}

/// What a coroutine panics with.
const PAYLOAD: u32 = 7;

/// Tells that it was dropped.
struct Told(Arc<AtomicBool>);

impl Drop for Told {
    fn drop(&mut self) {
        // Relaxed: the coroutine's end orders it.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The thread that this runs on.
fn thread() -> u64 {
    Handle::current().os().thread_id()
}

/// Counts rings in something that is not `Send`, over all waits.
fn listener(rounds: u32, there: &Bell, back: &Bell) -> u64 {
    let (here, count) = (thread(), Rc::new(Cell::new(0)));
    for round in 1..=rounds {
        coro::wait(there.rung(round));
        assert_eq!(thread(), here, "a coroutine stays where it started");
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
