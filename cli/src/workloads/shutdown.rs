//! Shutdown: the main futures return while everything is in flight: accepts, reads, writes, timers, local tasks, blocking
//! work, wakes. Each runtime must end, and each future be dropped once.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::mailbox::Bell;
use super::{Host, Random, Report, Setting, Size, Workload};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "shutdown",
    about: "the program ends with accepts, reads, writes, timers, local tasks and blocking work in flight",
    unit: "tasks",
    latency: "",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 2, rounds: 1, bytes: 2_000 },
    large: Size { width: 32, rounds: 1, bytes: 1_000_000 },
};

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let listener = setting.listen().await?;
    let tasks = background(&setting);
    let accepting = pirn::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            pirn::spawn(async move {
                let mut bytes = [0; 512];
                while let Ok(1..) = stream.read(&mut bytes).await {}
            })
            .detach();
        }
    });
    linger().await;
    accepting.detach();
    Ok(Report { count: tasks, ..setting.report() })
}

async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks = background(&setting);
    for _ in 0..setting.size.width {
        let setting = setting.clone();
        pirn::spawn(async move {
            // The other host may be gone at any point: that is no error here.
            let Ok(stream) = setting.connect().await else { return };
            let bytes = vec![1; setting.size.bytes as usize];
            while stream.write_all(&bytes).await.is_ok() {}
        })
        .detach();
    }
    linger().await;
    Ok(Report { count: tasks, ..setting.report() })
}

/// A little of everything that needs no connection.
fn background(setting: &Setting) -> u64 {
    for number in 0..setting.size.width {
        pirn::spawn(std::future::pending::<()>()).detach();
        pirn::spawn(pirn::time::sleep(Duration::from_secs(3_600))).detach();
        pirn::spawn(async {
            loop {
                pirn::time::sleep(Duration::from_micros(300)).await;
            }
        })
        .detach();
        let (bell, other) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        pirn::spawn(volley(bell.clone(), other.clone())).detach();
        if number % 2 == 0 {
            pirn::spawn_local(volley(other, bell)).detach();
        } else {
            pirn::spawn(volley(other, bell)).detach();
        }
        pirn::spawn_blocking(|| std::thread::sleep(Duration::from_micros(500))).detach();
        // A thread that is no worker waits for a connection that never comes.
        let handle = pirn::Handle::current();
        pirn::spawn_blocking(move || {
            handle.block_on(async {
                let Ok(listener) = pirn::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await else {
                    return;
                };
                let _ = listener.accept().await;
            });
        })
        .detach();
        // One starts accepts until they are refused.
        let handle = pirn::Handle::current();
        pirn::spawn_blocking(move || {
            while handle.block_on(accepts_in_vain()) {
                std::thread::sleep(Duration::from_micros(200));
            }
        })
        .detach();
        // One waits for a call that may end when all workers have; by then it may have been on their seat, and be on none.
        let handle = pirn::Handle::current();
        pirn::spawn_blocking(move || {
            let call = handle.spawn_blocking(|| std::thread::sleep(Duration::from_millis(1)));
            drop(handle.block_on(call));
        })
        .detach();
        // Dropped in a shutdown, it spawns: which must be refused or dropped as well, not lost.
        pirn::spawn(async {
            let _last = SpawnsWhenDropped;
            std::future::pending::<()>().await;
        })
        .detach();
    }
    10 * u64::from(setting.size.width)
}

/// Begins to accept and gives it up; false: the runtime refused.
async fn accepts_in_vain() -> bool {
    let Ok(listener) = pirn::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await else { return false };
    futures_lite::future::poll_once(listener.accept()).await.is_none()
}

/// Two tasks that wake each other for ever.
async fn volley(mine: Arc<Bell>, other: Arc<Bell>) {
    for round in 1.. {
        other.ring();
        mine.rung(round).await;
        pirn::yield_now().await;
    }
}

struct SpawnsWhenDropped;

impl Drop for SpawnsWhenDropped {
    fn drop(&mut self) {
        if let Some(handle) = pirn::Handle::try_current() {
            handle.spawn(async {}).detach();
        }
    }
}

/// Long enough for some of it to happen.
async fn linger() {
    let random = Random::new();
    for _ in 0..random.below(20) {
        pirn::yield_now().await;
    }
    pirn::time::sleep(Duration::from_micros(u64::from(random.below(1_500)))).await;
}
