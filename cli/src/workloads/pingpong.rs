//! Ping-pong: pairs of tasks that wake each other through mailboxes.

use std::sync::Arc;

use pirn::time::Instant;

use super::mailbox::Mailbox;
use super::{Clock, Host, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "pingpong",
    about: "pairs of tasks that wake each other through mailboxes",
    unit: "round trips",
    latency: "round trip",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 3, rounds: 8, bytes: 0 },
    large: Size { width: 64, rounds: 0, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let clock = setting.clock();
    let pairs: Vec<_> = (0..setting.size.width)
        .map(|_| {
            let (there, back) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
            let pong = pirn::spawn(pong(there.clone(), back.clone()));
            (pirn::spawn(ping(setting.clone(), clock.clone(), there, back)), pong)
        })
        .collect();
    let mut report = setting.report();
    for (ping, pong) in pairs {
        let pinged = finished(ping).await??;
        let ponged = finished(pong).await?;
        check(pinged.count == ponged, || format!("{} pings had {ponged} pongs", pinged.count))?;
        report.merge(pinged);
    }
    Ok(report)
}

async fn ping(
    setting: Arc<Setting>,
    mut clock: Clock,
    there: Arc<Mailbox<Option<u64>>>,
    back: Arc<Mailbox<u64>>,
) -> Result<Report, String> {
    let full = |_| "a mailbox that was emptied is full".to_owned();
    let mut report = setting.report();
    while clock.again() {
        let (start, number) = (Instant::now(), report.count);
        there.put(Some(number)).map_err(full)?;
        let answer = back.take().await;
        report.record(Instant::now() - start);
        check(answer == number + 1, || format!("ping {number} was answered with {answer}"))?;
    }
    there.put(None).map_err(full)?;
    Ok(report)
}

async fn pong(there: Arc<Mailbox<Option<u64>>>, back: Arc<Mailbox<u64>>) -> u64 {
    let mut count = 0;
    while let Some(number) = there.take().await {
        count += 1;
        back.put(number + 1).expect("ping takes each answer before it sends the next");
    }
    count
}
