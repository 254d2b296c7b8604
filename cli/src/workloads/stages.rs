//! Stages: an echo server whose connections are accepted, read and answered each in a group of its own, as far as there are groups: the
//! connection's task hops from one to the next. In a single group it is a plain echo.

use std::sync::Arc;

use pirn::net::TcpStream;
use pirn::{Group, Handle, hop};

use super::{Host, Report, Setting, Size, Workload, echo, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "stages",
    about: "an echo server whose connections hop from the group that reads to the one that answers",
    unit: "messages",
    latency: "round trip",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(echo::client(setting)) },
    ],
    small: Size { width: 2, rounds: 3, bytes: 16 },
    large: Size { width: 64, rounds: 0, bytes: 64 },
};

/// The groups for reading and for answering.
struct Stages {
    read: Group,
    respond: Group,
}

impl Stages {
    fn new() -> Self {
        let groups = Handle::current().groups();
        let at = |stage: usize| groups[stage.min(groups.len() - 1)].clone();
        Self { read: at(1), respond: at(2) }
    }
}

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let stages = Arc::new(Stages::new());
    let listener = setting.listen().await?;
    let mut connections = Vec::new();
    for _ in 0..setting.size.width {
        let (stream, _) =
            listener.accept().await.map_err(|error| format!("the server can't accept: {error}"))?;
        connections.push(pirn::spawn(serve(stream, stages.clone())));
    }
    let mut report = setting.report();
    for connection in connections {
        report.count +=
            finished(connection).await?.map_err(|error| format!("the server lost a connection: {error}"))?;
    }
    Ok(report)
}

async fn serve(stream: TcpStream, stages: Arc<Stages>) -> std::io::Result<u64> {
    stream.set_nodelay(true)?;
    let mut bytes = vec![0; 4096];
    let mut reads = 0;
    loop {
        hop(&stages.read).await.map_err(std::io::Error::other)?;
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(reads);
        }
        hop(&stages.respond).await.map_err(std::io::Error::other)?;
        stream.write_all(&bytes[..n]).await?;
        reads += 1;
    }
}
