//! Streams: large transfers in odd pieces, reads and accepts dropped half-way, half-closes and abrupt ends. What a write
//! accepted arrives once and in order.

use std::sync::Arc;
use std::time::Duration;

use pirn::net::TcpStream;
use pirn::time::timeout;

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "streams",
    about: "transfers in odd pieces, dropped reads and accepts, half-closes, abrupt ends",
    unit: "connections",
    latency: "",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 3, rounds: 1, bytes: 700 },
    large: Size { width: 64, rounds: 1, bytes: 1_000_000 },
};

/// The byte at a place of every transfer.
fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8)) as u8
}

/// Whether a connection of that number ends without a word.
fn abrupt(number: u32) -> bool {
    number % 3 == 2
}

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let listener = setting.listen().await?;
    let random = Random::new();
    let mut tasks = Vec::new();
    while tasks.len() < setting.size.width as usize {
        // An accept that is dropped loses no connection.
        let limit = Duration::from_micros(u64::from(random.below(3_000)));
        if let Ok(accepted) = timeout(limit, listener.accept()).await {
            let (stream, _) = accepted.map_err(|error| format!("the server can't accept: {error}"))?;
            tasks.push(pirn::spawn(serve(setting.clone(), stream)));
        }
    }
    let mut report = setting.report();
    for task in tasks {
        finished(task).await??;
        report.count += 1;
    }
    Ok(report)
}

/// Receives until the end and then sends the same amount.
async fn serve(setting: Arc<Setting>, stream: TcpStream) -> Result<(), String> {
    let random = Random::new();
    let mut bytes = vec![0; 97 + random.below(400) as usize];
    // The first byte says what this connection is about.
    let mut kind = [0];
    if stream.read_exact(&mut kind).await.is_err() {
        return Ok(());
    }
    let mut received = 0;
    loop {
        let limit = Duration::from_micros(u64::from(random.below(2_000)));
        // A read that is dropped loses no byte.
        let n = match timeout(limit, stream.read(&mut bytes)).await {
            Err(_) => continue,
            Ok(Ok(n)) => n,
            Ok(Err(_)) if kind[0] == 1 => return Ok(()),
            Ok(Err(error)) => {
                return Err(format!("the server's read failed after {received} bytes: {error}"));
            }
        };
        if n == 0 {
            break;
        }
        for byte in &bytes[..n] {
            check(*byte == pattern(received), || format!("the server got a wrong byte at {received}"))?;
            received += 1;
        }
    }
    if kind[0] == 1 {
        return Ok(());
    }
    let all = setting.size.bytes as usize;
    check(received == all, || format!("{received} of {all} bytes arrived at the server"))?;
    send(&stream, all).await.map_err(|error| format!("the server's answer broke: {error}"))
}

/// Sends the pattern in odd pieces, then closes its direction.
async fn send(stream: &TcpStream, all: usize) -> std::io::Result<()> {
    let random = Random::new();
    let mut sent = 0;
    while sent < all {
        let piece = (1 + random.below(300) as usize).max(all / 64).min(all - sent);
        let bytes: Vec<u8> = (sent..sent + piece).map(pattern).collect();
        stream.write_all(&bytes).await?;
        sent += piece;
    }
    stream.flush().await?;
    stream.shutdown(std::net::Shutdown::Write).await
}

async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks: Vec<_> =
        (0..setting.size.width).map(|number| pirn::spawn(talk(setting.clone(), number))).collect();
    let mut report = setting.report();
    for task in tasks {
        finished(task).await??;
        report.count += 1;
    }
    Ok(report)
}

async fn talk(setting: Arc<Setting>, number: u32) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("connection {number} broke: {error}");
    let stream = setting.connect().await?;
    let all = setting.size.bytes as usize;
    stream.write_all(&[u8::from(abrupt(number))]).await.map_err(failed)?;
    if abrupt(number) {
        // The second write may be one that the kernel has no room for: accepted, and on its way when the stream goes.
        let (bytes, mut sent): (Vec<u8>, _) = ((0..2 * all).map(pattern).collect(), 0);
        for _ in 0..2 {
            let Ok(n) = stream.write(&bytes[sent..]).await else { break };
            sent += n;
        }
        return Ok(());
    }
    send(&stream, all).await.map_err(failed)?;
    let (mut received, mut bytes) = (0, [0; 333]);
    loop {
        let n = stream.read(&mut bytes).await.map_err(failed)?;
        if n == 0 {
            break;
        }
        for byte in &bytes[..n] {
            check(*byte == pattern(received), || {
                format!("connection {number} got a wrong byte at {received}")
            })?;
            received += 1;
        }
    }
    check(received == all, || format!("{received} of {all} bytes arrived at connection {number}"))
}
