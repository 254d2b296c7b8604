//! Local: tasks that may not leave their worker, woken from other workers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::mailbox::Bell;
use super::{Host, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "local",
    about: "!Send tasks woken from other workers",
    unit: "wakes",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 3, rounds: 4, bytes: 0 },
    large: Size { width: 16, rounds: 10_000, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let count = Rc::new(Cell::new(0_u64));
    let mut handles = Vec::new();
    for number in 0..setting.size.width {
        let (there, back) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let rounds = setting.size.rounds.max(1);
        handles.push(pirn::spawn_local(listener(count.clone(), rounds, there.clone(), back.clone())));
        // Every second ringer has a local task of its own, on whatever worker it starts.
        handles.push(pirn::spawn(ringer(number % 2 == 0, rounds, there, back)));
    }
    for handle in handles {
        finished(handle).await?;
    }
    let (all, want) = (count.get(), u64::from(setting.size.width) * u64::from(setting.size.rounds.max(1)));
    check(all == want, || format!("{all} of {want} wakes were counted"))?;
    let mut report = setting.report();
    report.count = all;
    Ok(report)
}

async fn listener(count: Rc<Cell<u64>>, rounds: u32, there: Arc<Bell>, back: Arc<Bell>) {
    for round in 1..=rounds {
        there.rung(round).await;
        count.set(count.get() + 1);
        back.ring();
    }
}

async fn ringer(with_local: bool, rounds: u32, there: Arc<Bell>, back: Arc<Bell>) {
    let mut nested = None;
    if with_local {
        let (own, rung) = (Rc::new(Cell::new(0)), Arc::new(Bell::default()));
        let listens = rung.clone();
        nested = Some((
            pirn::spawn_local(async move {
                listens.rung(1).await;
                own.set(own.get() + 1);
            }),
            rung,
        ));
    }
    for round in 1..=rounds {
        there.ring();
        back.rung(round).await;
    }
    if let Some((handle, rung)) = nested {
        rung.ring();
        let _ = handle.await;
    }
}
