//! hyper on Pirn beside hyper on tokio: HTTP/1.1 over 64 connections, closed loop, server CPU a request. Both serve the same service with the
//! same limits, through the adapters that each has; the server is a process of its own, and the load generator is the same for all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use pirn_hyper::{PirnIo, PirnTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::child::{self, Figures, Server};
use crate::peer::pirn_peer::Pirn;
use crate::peer::tokio_peer::Tokio;
use crate::peer::{Name, Peer};
use crate::table::{Table, Target, interleave};

const CONNECTIONS: usize = 64;
/// Bytes of an answer's body.
const BODY: usize = 1024;
const WARM_UP: Duration = Duration::from_millis(300);
const REQUEST: &[u8] =
    b"GET /some/path HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";

/// One connection of either runtime.
async fn connection(io: impl Read + Write + Unpin + 'static, timer: impl Timer + Send + Sync + 'static) {
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(String::from_utf8_lossy(&[b'x'; BODY]).into_owned()))
    });
    // The client ends connections as it likes.
    let _ = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(io, service)
        .await;
}

async fn on_pirn() {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = pirn::net::TcpListener::bind(address).await.expect("bind");
    child::announce(listener.local_addr().expect("the listener's address"));
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        pirn::spawn(connection(PirnIo::new(stream), PirnTimer)).detach();
    }
}

async fn on_tokio() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    child::announce(listener.local_addr().expect("the listener's address"));
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        tokio::spawn(connection(TokioIo::new(stream), TokioTimer::new()));
    }
}

/// The child: serves for ever.
pub(crate) fn serve(peer: Name, workers: usize) -> Result<(), String> {
    match peer {
        Name::Pirn => Pirn::<false>::run(workers, on_pirn()),
        Name::PirnUring => Pirn::<true>::run(workers, on_pirn()),
        Name::Tokio => Tokio::run(workers, on_tokio()),
        Name::Smol => return Err("HTTP is measured on pirn and tokio".to_owned()),
    }
    Ok(())
}

/// Loads the server and returns the latencies in nanoseconds.
async fn load(address: SocketAddr, span: Duration) -> hdrhistogram::Histogram<u64> {
    let until = Instant::now() + span;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let mut latencies = hdrhistogram::Histogram::<u64>::new(3).expect("three figures are valid");
                let mut answer = Vec::with_capacity(2 * BODY);
                while Instant::now() < until {
                    let start = Instant::now();
                    stream.write_all(REQUEST).await.expect("the server took no request");
                    answer.clear();
                    // The body has no line ends: its place is right behind the head.
                    loop {
                        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
                        if head.is_some_and(|head| answer.len() == head + 4 + BODY) {
                            break;
                        }
                        let count = stream.read_buf(&mut answer).await.expect("the server sent no answer");
                        assert!(count > 0, "the server closed a connection");
                    }
                    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "the server sent another answer");
                    let _ = latencies.record(start.elapsed().as_nanos() as u64);
                }
                latencies
            })
        })
        .collect();
    crate::echo::together(tasks).await
}

fn measure(program: &Path, peer: Name, seconds: f64) -> Result<Figures, String> {
    let mut server = Server::start(program, &["http", peer.text(), "2"])?;
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the load generator can't be built: {error}"))?;
    client.block_on(load(server.address, WARM_UP));
    let before = server.cpu()?;
    let started = Instant::now();
    let latencies = client.block_on(load(server.address, Duration::from_secs_f64(seconds)));
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = server.cpu()? - before;
    Ok(Figures::from([
        ("cpu_us".to_owned(), cpu * 1e6 / latencies.len() as f64),
        ("rate".to_owned(), latencies.len() as f64 / elapsed),
        ("p50_us".to_owned(), latencies.value_at_quantile(0.5) as f64 / 1e3),
        ("p99_us".to_owned(), latencies.value_at_quantile(0.99) as f64 / 1e3),
    ]))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64) -> Result<(), String> {
    let program = child::own_program()?;
    let peers = [Name::Pirn, Name::PirnUring, Name::Tokio];
    let all = interleave("http", rounds, &peers, |peer| measure(&program, peer, seconds))?;
    table.title(&format!(
        "hyper, HTTP/1.1, {CONNECTIONS} connections, answers of {BODY} B, 2 server workers; median (lowest – highest) of {rounds}"
    ));
    for (peer, samples) in peers.iter().zip(&all) {
        let name = peer.text();
        table.row(
            &format!("{name}: server CPU µs a request"),
            samples.show("cpu_us"),
            samples.median("cpu_us"),
            Target::None,
        );
        table.row(&format!("{name}: requests/s"), samples.show("rate"), 0.0, Target::None);
        let latency = format!("{} / {}", samples.show("p50_us"), samples.show("p99_us"));
        table.row(&format!("{name}: latency p50 / p99, µs"), latency, 0.0, Target::None);
    }
    for (at, peer) in peers.iter().enumerate().take(2) {
        let ratio = all[at].over(&all[2], "cpu_us");
        table.row(
            &format!("{}'s CPU a request / tokio's", peer.text()),
            ratio.show("cpu_us"),
            ratio.median("cpu_us"),
            Target::Most(1.0),
        );
    }
    table.flush();
    Ok(())
}
