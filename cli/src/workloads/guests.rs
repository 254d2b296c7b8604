//! Guests: threads that are no workers use the runtime: their timers and ops go to seats they are not on.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pirn::net::TcpStream;
use pirn::time::{Instant, sleep, timeout};

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "guests",
    about: "threads that are no workers: timers, spawns and connections from outside",
    unit: "rounds",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 3, bytes: 8 },
    large: Size { width: 8, rounds: 100, bytes: 64 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    naps_beside_a_held_worker().await?;
    let listener = setting.listen().await?;
    let handle = pirn::Handle::current();
    let guests: Vec<_> = (0..setting.size.width)
        .map(|_| {
            let (handle, setting) = (handle.clone(), setting.clone());
            pirn::spawn_blocking(move || handle.block_on(guest(setting)))
        })
        .collect();
    let mut served = Vec::new();
    for _ in 0..setting.size.width {
        let (stream, _) = listener.accept().await.map_err(|error| format!("no accept: {error}"))?;
        served.push(pirn::spawn(serve(stream)));
    }
    let mut report = setting.report();
    for guest in guests {
        report.merge(finished(guest).await??);
    }
    for task in served {
        finished(task).await?.map_err(|error| format!("a connection broke: {error}"))?;
    }
    Ok(report)
}

/// Longer than the others take to look after a worker, but after a long quiet spell.
const HELD: Duration = Duration::from_millis(100);

/// A plain thread's timers go to any worker, to one that is held in a task, too. Nothing else is armed or in flight yet: the others sleep
/// without a limit.
async fn naps_beside_a_held_worker() -> Result<(), String> {
    let handle = pirn::Handle::current();
    let held = Arc::new(AtomicBool::new(false));
    let holds = held.clone();
    let holder = pirn::spawn(async move {
        holds.store(true, Ordering::Relaxed);
        std::thread::sleep(HELD);
    });
    let naps = pirn::spawn_blocking(move || {
        while !held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(200));
        }
        for _ in 0..4 {
            handle.block_on(sleep(Duration::from_millis(1)));
        }
    });
    finished(holder).await?;
    finished(naps).await
}

async fn guest(setting: Arc<Setting>) -> Result<Report, String> {
    let failed = |error: std::io::Error| format!("a guest's connection broke: {error}");
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    let stream = setting.connect().await?;
    let message = vec![7; setting.size.bytes as usize];
    let mut answer = vec![0; message.len()];
    while clock.again() {
        let due = Instant::now() + Duration::from_micros(random.below(2_000).into());
        let nap = pirn::spawn(sleep(Duration::from_micros(random.below(500).into())));
        sleep(due - Instant::now()).await;
        let now = Instant::now();
        check(now >= due, || format!("a guest's timer for {due:?} fired at {now:?}"))?;
        finished(nap).await?;
        // A timer that is armed from outside and cancelled again.
        let limit = timeout(Duration::from_secs(60), pirn::yield_now()).await;
        check(limit.is_ok(), || "a minute passed within one yield".to_owned())?;
        stream.write_all(&message).await.map_err(failed)?;
        stream.read_exact(&mut answer).await.map_err(failed)?;
        check(answer == message, || "a guest's answer is not what it sent".to_owned())?;
        report.count += 1;
    }
    stream.shutdown(Shutdown::Write).await.map_err(failed)?;
    let rest = stream.read(&mut answer).await.map_err(failed)?;
    check(rest == 0, || format!("{rest} bytes came that nobody sent"))?;
    Ok(report)
}

async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 256];
    loop {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..n]).await?;
    }
}
