//! Remote timers: armed on one worker, then polled, pulled forward, put off or dropped on another.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pirn::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::mailbox::Mailbox;
use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "remote",
    about: "timers armed on one worker and polled, reset or dropped on another",
    unit: "timers",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 3, rounds: 3, bytes: 0 },
    large: Size { width: 100, rounds: 20, bytes: 0 },
};

/// Before a full mailbox is tried again.
const PATIENCE: Duration = Duration::from_micros(100);

/// An armed timer on its way to another task.
type Armed = Pin<Box<Sleep>>;

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let pairs: Vec<_> = (0..setting.size.width)
        .map(|_| {
            let mailbox = Arc::new(Mailbox::new());
            let taker = pirn::spawn(taker(setting.clone(), mailbox.clone()));
            (pirn::spawn(armer(setting.clone(), mailbox)), taker)
        })
        .collect();
    let mut report = setting.report();
    for (armer, taker) in pairs {
        finished(armer).await??;
        report.merge(finished(taker).await??);
    }
    Ok(report)
}

async fn armer(setting: Arc<Setting>, mailbox: Arc<Mailbox<Option<Armed>>>) -> Result<(), String> {
    let random = Random::new();
    let mut clock = setting.clock();
    while clock.again() {
        let mut timer =
            Box::pin(sleep_until(Instant::now() + Duration::from_micros(random.below(4_000).into())));
        arm(&mut timer).await;
        let mut parcel = Some(timer);
        while let Err(back) = mailbox.put(parcel) {
            parcel = back;
            sleep(PATIENCE).await;
        }
        // A timeout whose timer never fires: armed and cancelled by the same task, wherever it runs by then.
        let limit = timeout(Duration::from_secs(60), pirn::yield_now()).await;
        check(limit.is_ok(), || "a minute passed within one yield".to_owned())?;
    }
    while mailbox.put(None).is_err() {
        sleep(PATIENCE).await;
    }
    Ok(())
}

/// Polls once, whatever comes of it.
async fn arm(timer: &mut Armed) {
    poll_fn(|cx| {
        let _ = timer.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

async fn taker(setting: Arc<Setting>, mailbox: Arc<Mailbox<Option<Armed>>>) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    while let Some(mut timer) = mailbox.take().await {
        report.count += 1;
        match random.below(4) {
            0 => drop(timer),
            1 => {
                let sooner = Instant::now() + Duration::from_micros(100);
                timer.as_mut().reset(sooner);
                fires(timer, sooner).await?;
            }
            2 => {
                let later = Instant::now() + Duration::from_millis(5);
                timer.as_mut().reset(later);
                arm(&mut timer).await;
                pirn::yield_now().await;
                fires(timer, later).await?;
            }
            _ => {
                let deadline = timer.deadline();
                fires(timer, deadline).await?;
            }
        }
    }
    Ok(report)
}

async fn fires(timer: Armed, deadline: Instant) -> Result<(), String> {
    timer.await;
    let now = Instant::now();
    check(now >= deadline, || format!("a timer for {deadline:?} fired at {now:?}"))
}
