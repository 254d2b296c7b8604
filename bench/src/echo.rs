//! Echo, 64 connections of 64 bytes, closed loop: server CPU a message. The server is a process of its own, and the
//! load generator is the same for all.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::child::{self, Figures, Server};
use crate::peer::{Name, Peer};
use crate::table::{Table, Target, interleave};
use crate::with_peer;

const CONNECTIONS: usize = 64;
const BYTES: usize = 64;
const WARM_UP: Duration = Duration::from_millis(300);

/// The child: serves for ever.
pub(crate) fn serve(peer: Name, workers: usize, buffer: usize) {
    fn serve_on<P: Peer>(workers: usize, buffer: usize) {
        P::run(workers, P::serve_echo(buffer, child::announce));
    }
    with_peer!(peer, serve_on(workers, buffer));
}

/// Loads the server and returns messages and latencies in nanoseconds.
async fn load(address: SocketAddr, span: Duration) -> (u64, hdrhistogram::Histogram<u64>) {
    let until = Instant::now() + span;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let mut latencies = hdrhistogram::Histogram::<u64>::new(3).expect("three figures are valid");
                let (message, mut answer) = ([7; BYTES], [0; BYTES]);
                while Instant::now() < until {
                    let start = Instant::now();
                    stream.write_all(&message).await.expect("the server took no message");
                    stream.read_exact(&mut answer).await.expect("the server sent no answer");
                    let _ = latencies.record(start.elapsed().as_nanos() as u64);
                }
                latencies
            })
        })
        .collect();
    let all = together(tasks).await;
    (all.len(), all)
}

/// What all tasks of a load generator saw.
pub(crate) async fn together(
    tasks: Vec<tokio::task::JoinHandle<hdrhistogram::Histogram<u64>>>,
) -> hdrhistogram::Histogram<u64> {
    let mut all = hdrhistogram::Histogram::<u64>::new(3).expect("three figures are valid");
    for task in tasks {
        all.add(task.await.expect("a load task failed")).expect("histograms of one kind add up");
    }
    all
}

/// One measurement against a server started as `program serve echo <peer> <workers>`.
pub(crate) fn measure(program: &Path, peer: &str, workers: usize, seconds: f64) -> Result<Figures, String> {
    let mut server = Server::start(program, &["echo", peer, &workers.to_string()])?;
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the load generator can't be built: {error}"))?;
    client.block_on(load(server.address, WARM_UP));
    let before = server.cpu()?;
    let started = Instant::now();
    let (messages, latencies) = client.block_on(load(server.address, Duration::from_secs_f64(seconds)));
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = server.cpu()? - before;
    Ok(Figures::from([
        ("cpu_us".to_owned(), cpu * 1e6 / messages as f64),
        ("rate".to_owned(), messages as f64 / elapsed),
        ("p50_us".to_owned(), latencies.value_at_quantile(0.5) as f64 / 1e3),
        ("p99_us".to_owned(), latencies.value_at_quantile(0.99) as f64 / 1e3),
    ]))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64) -> Result<(), String> {
    let program = child::own_program()?;
    let all = interleave("echo", rounds, &Name::ALL, |peer| measure(&program, peer.text(), 2, seconds))?;
    table.title(&format!(
        "echo, {CONNECTIONS} connections x {BYTES} B, 2 server workers; median (lowest – highest) of {rounds}"
    ));
    for (peer, samples) in Name::ALL.iter().zip(&all) {
        let name = peer.text();
        table.row(
            &format!("{name}: server CPU µs a message"),
            samples.show("cpu_us"),
            samples.median("cpu_us"),
            Target::None,
        );
        table.row(&format!("{name}: messages/s"), samples.show("rate"), 0.0, Target::None);
        let latency = format!("{} / {}", samples.show("p50_us"), samples.show("p99_us"));
        table.row(&format!("{name}: latency p50 / p99, µs"), latency, 0.0, Target::None);
    }
    let ratio = all[0].median("cpu_us") / all[1].median("cpu_us");
    table.row("pirn's CPU a message / tokio's", format!("{ratio:.3}"), ratio, Target::Most(1.15));
    table.flush();
    Ok(())
}
