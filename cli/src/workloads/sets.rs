//! Sets: tasks that join others in the order in which they end: members of all kinds, joins that are dropped, sets that move
//! to another worker. Each member is joined once.

use std::sync::Arc;
use std::time::Duration;

use pirn::task::{JoinError, JoinSet};
use pirn::time::timeout;

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "sets",
    about: "sets of tasks: members that end, panic, block or are aborted; joins that are dropped or move",
    unit: "members",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 4, rounds: 2, bytes: 0 },
    large: Size { width: 32, rounds: 50, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks: Vec<_> = (0..2).map(|_| pirn::spawn(joiner(setting.clone()))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    Ok(report)
}

/// Fills a set and joins some members; a task of its own, maybe on another worker, joins the rest.
async fn joiner(setting: Arc<Setting>) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    while clock.again() {
        let all = setting.size.width;
        let mut set = JoinSet::new();
        for number in 0..all {
            let abort = match random.below(5) {
                0 => set.spawn(async move { number }),
                1 => set.spawn(async move {
                    pirn::yield_now().await;
                    number
                }),
                2 => set.spawn(async move {
                    pirn::time::sleep(Duration::from_micros(300)).await;
                    number
                }),
                3 => set.spawn_blocking(move || number),
                _ => set.spawn(async { std::panic::resume_unwind(Box::new("of the program")) }),
            };
            if random.below(4) == 0 {
                abort.abort();
            }
        }
        let mut joined = vec![false; all as usize];
        let mut lost = 0;
        // A join that is dropped takes no result.
        let limit = Duration::from_micros(random.below(400).into());
        while let Ok(Some(result)) = timeout(limit, set.join_next()).await {
            lost += note(&mut joined, result)?;
        }
        if let Some(result) = set.try_join_next() {
            lost += note(&mut joined, result)?;
        }
        let rest = pirn::spawn(async move {
            let mut results = Vec::new();
            while let Some(result) = set.join_next().await {
                results.push(result);
            }
            results
        });
        for result in finished(rest).await? {
            lost += note(&mut joined, result)?;
        }
        let results = joined.iter().filter(|joined| **joined).count() as u32 + lost;
        check(results == all, || format!("{results} results were joined of a set of {all}"))?;
        report.count += u64::from(all);
    }
    Ok(report)
}

/// Ticks a member off; 1 if it ended without a number.
fn note(joined: &mut [bool], result: Result<u32, JoinError>) -> Result<u32, String> {
    let Ok(number) = result else { return Ok(1) };
    let twice = std::mem::replace(&mut joined[number as usize], true);
    check(!twice, || format!("member {number} was joined twice"))?;
    Ok(0)
}
