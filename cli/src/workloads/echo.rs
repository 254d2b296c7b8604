//! Echo: clients send messages over TCP, a server sends them back, and every byte is compared.

use std::sync::Arc;

use pirn::net::TcpStream;
use pirn::time::Instant;

use super::{Clock, Host, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "echo",
    about: "a TCP server that sends back what clients send; every byte is compared",
    unit: "messages",
    latency: "round trip",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 2, rounds: 4, bytes: 16 },
    large: Size { width: 64, rounds: 0, bytes: 64 },
};

/// Serves as many connections as there will be, then returns.
pub(super) async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let listener = setting.listen().await?;
    let mut connections = Vec::new();
    for _ in 0..setting.size.width {
        let (stream, _) =
            listener.accept().await.map_err(|error| format!("the server can't accept: {error}"))?;
        connections.push(pirn::spawn(serve(stream)));
    }
    let mut report = setting.report();
    for connection in connections {
        report.count +=
            finished(connection).await?.map_err(|error| format!("the server lost a connection: {error}"))?;
    }
    Ok(report)
}

/// Sends back what comes until the client has finished; returns the number of reads.
async fn serve(stream: TcpStream) -> std::io::Result<u64> {
    stream.set_nodelay(true)?;
    let mut bytes = vec![0; 4096];
    let mut reads = 0;
    loop {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(reads);
        }
        stream.write_all(&bytes[..n]).await?;
        reads += 1;
    }
}

/// Opens all connections and works on each until the end.
pub(super) async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let clock = setting.clock();
    let tasks: Vec<_> = (0..setting.size.width)
        .map(|number| pirn::spawn(talk(setting.clone(), clock.clone(), number)))
        .collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    Ok(report)
}

/// One connection: one message at a time.
async fn talk(setting: Arc<Setting>, mut clock: Clock, number: u32) -> Result<Report, String> {
    let failed = |error: std::io::Error| format!("connection {number} broke: {error}");
    let stream = setting.connect().await?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut report = setting.report();
    let mut message = vec![0; setting.size.bytes as usize];
    let mut answer = message.clone();
    let mut round = 0_u32;
    while clock.again() {
        for (at, byte) in message.iter_mut().enumerate() {
            *byte = (at as u32 ^ number ^ round) as u8;
        }
        let start = Instant::now();
        stream.write_all(&message).await.map_err(failed)?;
        stream.read_exact(&mut answer).await.map_err(failed)?;
        report.record(Instant::now() - start);
        check(answer == message, || {
            format!("connection {number}: the answer in round {round} is not what was sent")
        })?;
        round = round.wrapping_add(1);
    }
    stream.shutdown(std::net::Shutdown::Write).await.map_err(failed)?;
    let rest = stream.read(&mut answer).await.map_err(failed)?;
    check(rest == 0, || format!("connection {number}: {rest} bytes came that nobody sent"))?;
    Ok(report)
}
