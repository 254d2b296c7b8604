//! Callers: several threads inside `block_on` of one runtime; the seat that they share goes from one to the next while tasks
//! are in its ring, timers on its wheel and bytes on their way in its driver.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::zip;
use pirn::Handle;
use pirn::net::{TcpListener, TcpStream};
use pirn::task::JoinHandle;
use pirn::time::{Instant, sleep};

use super::mailbox::Bell;
use super::{Host, Place, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "callers",
    about: "threads inside block_on that come and go, and the seat that they share",
    unit: "calls",
    latency: "",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 2, rounds: 2, bytes: 1_500 },
    large: Size { width: 8, rounds: 50, bytes: 1_000_000 },
};

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let handle = Handle::current();
    let callers: Vec<_> = (0..setting.size.width)
        .map(|_| {
            let (handle, setting) = (handle.clone(), setting.clone());
            pirn::spawn_blocking(move || caller(&handle, &setting))
        })
        .collect();
    let ip = match setting.place {
        Place::Live { listen, .. } => listen.ip(),
        Place::Simulated => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    };
    let mut transfers = Vec::new();
    for _ in 0..setting.size.width {
        transfers.extend(transfer(ip, setting.size.bytes as usize).await?);
    }
    let random = Random::new();
    for _ in 0..random.below(4) {
        pirn::yield_now().await;
    }
    // What this call leaves on its seat goes on without it.
    let (first, left) = leave_some(2);
    first.ring();
    let mut report = setting.report();
    report.after = Some(Box::new(move || {
        std::thread::sleep(Duration::from_micros(300));
        handle.block_on(async {
            for task in left {
                finished(task).await?;
            }
            for caller in callers {
                finished(caller).await??;
            }
            for transfer in transfers {
                finished(transfer).await??;
            }
            Ok(())
        })
    }));
    Ok(report)
}

/// Two tasks that send and receive, whoever is on the seat: the connection is at home there.
async fn transfer(ip: IpAddr, all: usize) -> Result<[JoinHandle<Result<(), String>>; 2], String> {
    let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await.map_err(failed)?;
    let address = SocketAddr::new(ip, listener.local_addr().map_err(failed)?.port());
    let (sender, accepted) = zip(TcpStream::connect(address), listener.accept()).await;
    let (sender, (receiver, _)) = (sender.map_err(failed)?, accepted.map_err(failed)?);
    // What comes back is less, so that both directions are watched for a while, and then one.
    let there = pirn::spawn(async move {
        let (sent, received) = zip(send(&sender, all), receive(&sender, all / 3)).await;
        sent.and(received)
    });
    let back = pirn::spawn(async move {
        let (received, sent) = zip(receive(&receiver, all), send(&receiver, all / 3)).await;
        received.and(sent)
    });
    Ok([there, back])
}

fn failed(error: std::io::Error) -> String {
    format!("a connection within the host: {error}")
}

/// Sends so many bytes in small pieces, with breaks, and ends its direction.
async fn send(stream: &TcpStream, all: usize) -> Result<(), String> {
    let random = Random::new();
    let mut sent = 0;
    while sent < all {
        let end = (sent + 1 + random.below(300) as usize).min(all);
        let bytes: Vec<u8> = (sent..end).map(|at| at as u8).collect();
        stream.write_all(&bytes).await.map_err(failed)?;
        sent = end;
        match random.below(3) {
            0 => sleep(Duration::from_micros(100)).await,
            1 => pirn::yield_now().await,
            _ => {}
        }
    }
    stream.shutdown(Shutdown::Write).await.map_err(failed)
}

async fn receive(stream: &TcpStream, all: usize) -> Result<(), String> {
    let (mut received, mut bytes) = (0, [0; 200]);
    loop {
        let n = stream.read(&mut bytes).await.map_err(failed)?;
        if n == 0 {
            return check(received == all, || format!("{received} of {all} bytes came"));
        }
        let right = bytes[..n].iter().enumerate().all(|(at, byte)| *byte == (received + at) as u8);
        check(right, || format!("a wrong byte came behind {received} right ones"))?;
        received += n;
    }
}

/// Tasks of which each waits for the one before it, and the bell that the first one waits for.
fn leave_some(count: usize) -> (Arc<Bell>, Vec<JoinHandle<()>>) {
    let bells: Vec<Arc<Bell>> = (0..=count).map(|_| Arc::default()).collect();
    let task = |number: usize| {
        let (mine, next) = (bells[number].clone(), bells[number + 1].clone());
        pirn::spawn(async move {
            mine.rung(1).await;
            next.ring();
            match number % 2 {
                0 => sleep(Duration::from_micros(200)).await,
                _ => pirn::yield_now().await,
            }
        })
    };
    let tasks = (0..count).map(task).collect();
    (bells[0].clone(), tasks)
}

/// Calls again and again, with pauses in which it is in no call.
fn caller(handle: &Handle, setting: &Setting) -> Result<(), String> {
    let mut left = Vec::new();
    let mut clock = setting.clock();
    while clock.again() {
        let more = handle.block_on(async {
            let random = Random::new();
            let (first, tasks) = leave_some(1 + random.below(2) as usize);
            let due = Instant::now() + Duration::from_micros(random.below(500).into());
            sleep(due - Instant::now()).await;
            let now = Instant::now();
            check(now >= due, || format!("a caller's timer for {due:?} fired at {now:?}"))?;
            first.ring();
            if random.below(2) == 0 {
                return Ok(tasks);
            }
            for task in tasks {
                finished(task).await?;
            }
            Ok::<_, String>(Vec::new())
        })?;
        left.extend(more);
        std::thread::sleep(Duration::from_micros(100));
    }
    // Others may have finished them, from whatever seat.
    handle.block_on(async {
        for task in left {
            finished(task).await?;
        }
        Ok(())
    })
}
