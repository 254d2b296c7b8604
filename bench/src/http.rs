//! hyper on Pirn beside hyper on tokio: HTTP/1.1 with keep-alive, closed loop, server CPU a request. Both serve the same service with the
//! same limits, through the adapters that each has; the server is a process of its own, and the load generator is the same for all.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{self, Timer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use pirn_hyper::{PirnIo, PirnTimer};

use crate::cells::{self, How};
use crate::child::{self, Figures};
use crate::load::Load;
use crate::peer::pirn_peer::Pirn;
use crate::peer::tokio_peer::Tokio;
use crate::peer::{Name, Peer};
use crate::table::{Table, Target, interleave, short};

/// Who is measured; the last is what the others are compared with.
const PEERS: [Name; 3] = [Name::Pirn, Name::PirnUring, Name::Tokio];
/// Bytes of an answer's body.
const BODY: usize = 1024;
const REQUEST: &[u8] =
    b"GET /some/path HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";

/// One connection of either runtime.
async fn connection(
    io: impl rt::Read + rt::Write + Unpin + 'static,
    timer: impl Timer + Send + Sync + 'static,
) {
    let service =
        service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("x".repeat(BODY))) });
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
        Name::Tokio => <Tokio>::run(workers, on_tokio()),
        _ => {
            return Err("HTTP is measured on pirn, pirn-uring and tokio".to_owned());
        }
    }
    Ok(())
}

/// How many bytes an answer has: all have the same head.
fn answer(address: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(REQUEST)?;
    let mut bytes = Vec::new();
    loop {
        let mut room = [0; 4096];
        let count = stream.read(&mut room)?;
        bytes.extend_from_slice(&room[..count]);
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        match head {
            Some(head) if bytes.len() == head + BODY && bytes[head..].iter().all(|byte| *byte == b'x') => {
                return Ok(bytes.len());
            }
            _ if count > 0 => {}
            _ => return Err(io::Error::other("the server closed the first connection")),
        }
    }
}

fn measure(
    program: &Path,
    peer: Name,
    how: How,
    connections: usize,
    span: Duration,
) -> Result<Figures, String> {
    cells::under_load(program, ["http", peer.text()], &[], how, span, |address| {
        Load::asking(address, connections, REQUEST.to_vec(), answer(address)?, b"HTTP/1.1 200 OK\r\n")
    })
}

/// The whole benchmark.
pub(crate) fn bench(
    table: &mut Table,
    rounds: usize,
    seconds: f64,
    connections: &[usize],
    how: How,
) -> Result<(), String> {
    let program = child::own_program()?;
    let span = Duration::from_secs_f64(seconds);
    table.title(&format!(
        "hyper, HTTP/1.1, answers of {BODY} B, {} server worker(s){}; median (lowest – highest) of {rounds}",
        how.workers,
        if how.cpus.is_some() { " on a CPU of their own" } else { "" }
    ));
    for count in connections {
        let all = interleave(&format!("http: {count}"), rounds, &PEERS, |peer| {
            measure(&program, peer, how, *count, span)
        })?;
        for (peer, samples) in PEERS.iter().zip(&all) {
            let shown = format!(
                "{} µs of CPU a request; {} requests/s; p50 {}, p99 {} µs",
                samples.show("cpu_us"),
                short(samples.median("rate")),
                short(samples.median("p50_us")),
                short(samples.median("p99_us")),
            );
            table.row(&format!("{count} connections, {}", peer.text()), shown, 0.0, Target::None);
        }
        for (peer, samples) in PEERS.iter().zip(&all).take(2) {
            let ratio = samples.over(&all[2], "cpu_us");
            table.row(
                &format!("{count} connections, {}'s CPU a request / tokio's", peer.text()),
                ratio.show("cpu_us"),
                ratio.median("cpu_us"),
                Target::Most(1.0),
            );
        }
        table.flush();
    }
    Ok(())
}
