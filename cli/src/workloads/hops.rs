//! Hops: tasks wander from group to group while others wake, abort and join them.

use std::sync::Arc;
use std::time::Duration;

use pirn::time::{Instant, sleep};
use pirn::{Group, Handle, HopError, hop};

use super::mailbox::Bell;
use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "hops",
    about: "tasks that hop from group to group while others wake, abort and join them",
    unit: "hops",
    latency: "hop",
    hosts: &[Host { name: "hops", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 3, rounds: 6, bytes: 1 },
    large: Size { width: 64, rounds: 0, bytes: 1 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let groups: Arc<[Group]> = Handle::current().groups().into();
    check(hop(&groups[groups.len() - 1]).await == Err(HopError::Pinned), || {
        "the main future hopped: it stays on its thread".to_owned()
    })?;
    let pinned = {
        let groups = groups.clone();
        pirn::spawn_local(async move { hop(&groups[0]).await })
    };
    check(finished(pinned).await? == Err(HopError::Pinned), || {
        "a task that is not Send hopped: it stays on its thread".to_owned()
    })?;
    let mut tasks = Vec::new();
    for number in 0..setting.size.width {
        let group = &groups[number as usize % groups.len()];
        let bell = Arc::new(Bell::default());
        tasks.push(group.spawn(wander(setting.clone(), groups.clone(), bell.clone())));
        groups[0].spawn(async move { bell.ring() }).detach();
    }
    let lost = groups[groups.len() - 1].spawn(wander_for_ever(groups.clone()));
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    lost.abort();
    check(lost.await.is_err_and(|error| error.is_cancelled()), || "an aborted wanderer finished".to_owned())?;
    Ok(report)
}

/// Hops at random, with pauses, wakes of its own and timers in between.
async fn wander(setting: Arc<Setting>, groups: Arc<[Group]>, bell: Arc<Bell>) -> Result<Report, String> {
    bell.rung(1).await;
    let random = Random::new();
    let (mut report, mut clock) = (setting.report(), setting.clock());
    while clock.again() {
        let start = Instant::now();
        let group = &groups[random.below(groups.len() as u32) as usize];
        match random.below(8) {
            // Two places at once: it ends in one of them, and both are satisfied on the way.
            0 => {
                let other = &groups[random.below(groups.len() as u32) as usize];
                let (one, two) = futures_lite::future::zip(hop(group), hop(other)).await;
                check(one.is_ok() && two.is_ok(), || "a hop of a joined pair failed".to_owned())?;
            }
            // A hop that is begun and dropped.
            1 => drop(futures_lite::future::poll_once(hop(group)).await),
            2 => {
                hop(group).await.map_err(|error| error.to_string())?;
                sleep(Duration::from_micros(50)).await;
            }
            _ => hop(group).await.map_err(|error| error.to_string())?,
        }
        report.record(Instant::now() - start);
        if random.below(2) == 0 {
            pirn::yield_now().await;
        }
    }
    Ok(report)
}

async fn wander_for_ever(groups: Arc<[Group]>) {
    for at in 0.. {
        // Refused never: it is a task of this runtime that may move.
        let _ = hop(&groups[at % groups.len()]).await;
        sleep(Duration::from_micros(100)).await;
    }
}
