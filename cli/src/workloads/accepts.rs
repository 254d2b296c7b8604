//! Accepts: listeners, accepts and reads that go away while connections and bytes are on their way, and several accepts
//! at once on one listener.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::time::timeout;

use super::{Host, Place, Random, Report, Setting, Size, Workload, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "accepts",
    about: "listeners, accepts and reads dropped in flight; several accepts on one listener",
    unit: "listeners",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 2, bytes: 0 },
    large: Size { width: 8, rounds: 50, bytes: 0 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let ip = match setting.place {
        Place::Live { listen, .. } => listen.ip(),
        Place::Simulated => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    };
    let tasks: Vec<_> =
        (0..setting.size.width).map(|_| pirn::spawn(listeners(setting.clone(), ip))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    Ok(report)
}

async fn listeners(setting: Arc<Setting>, ip: IpAddr) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    while clock.again() {
        let failed = |error: std::io::Error| format!("a listener is refused: {error}");
        let listener = Arc::new(TcpListener::bind(SocketAddr::new(ip, 0)).await.map_err(failed)?);
        let port = listener.local_addr().map_err(failed)?.port();
        let address = SocketAddr::new(ip, port);
        match random.below(3) {
            // Two accepts at once; each must get one of two connections.
            0 => {
                let accepts = [0, 1].map(|_| {
                    let listener = listener.clone();
                    pirn::spawn(async move { listener.accept().await })
                });
                let connects = [0, 1].map(|_| pirn::spawn(talk(address)));
                for accept in accepts {
                    let (stream, _) =
                        finished(accept).await?.map_err(|error| format!("no accept: {error}"))?;
                    answer(stream).await;
                }
                for connect in connects {
                    finished(connect).await?;
                }
            }
            // The accept is dropped, the listener goes on or goes too.
            1 => {
                let connect = pirn::spawn(talk(address));
                let limit = Duration::from_micros(random.below(3_000).into());
                if let Ok(Ok((stream, _))) = timeout(limit, listener.accept()).await {
                    answer(stream).await;
                }
                drop(listener);
                finished(connect).await?;
            }
            // A listener that goes with its accept in flight, before and while somebody connects.
            _ => {
                begin(listener.accept()).await;
                let connect = pirn::spawn(talk(address));
                for _ in 0..random.below(4) {
                    pirn::yield_now().await;
                }
                drop(listener);
                finished(connect).await?;
            }
        }
        report.count += 1;
    }
    Ok(report)
}

/// Polls once and drops.
async fn begin(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Connects and says a word; what becomes of it is the other side's business.
async fn talk(address: SocketAddr) {
    let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await else { return };
    let _ = stream.write_all(b"word").await;
    let mut bytes = [0; 4];
    let _ = timeout(Duration::from_millis(50), stream.read(&mut bytes)).await;
}

/// Reads a little, begins another read and drops the stream in the middle of it.
async fn answer(stream: TcpStream) {
    let random = Random::new();
    let mut bytes = [0; 2];
    if random.below(2) == 0 {
        let _ = timeout(Duration::from_micros(500), stream.read(&mut bytes)).await;
    }
    begin(stream.read(&mut bytes)).await;
    if random.below(2) == 0 {
        pirn::yield_now().await;
    }
}
