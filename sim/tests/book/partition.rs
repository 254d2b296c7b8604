//! A request that hangs when the network partitions at the wrong moment.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::time::{sleep, timeout};
use pirn_sim::{Faults, Network, Simulation, Verdict};

/// No request may take longer.
const PATIENCE: Duration = Duration::from_secs(2);

type Asking = Pin<Box<dyn Future<Output = io::Result<u8>>>>;

/// The bug: only the connect has a limit.
fn connect_has_a_limit(server: SocketAddr) -> Asking {
    Box::pin(async move {
        let stream = timeout(PATIENCE, TcpStream::connect(server)).await??;
        exchange(&stream).await
    })
}

/// The fix: the limit is on the whole request.
fn the_request_has_a_limit(server: SocketAddr) -> Asking {
    Box::pin(async move {
        let request = async {
            let stream = TcpStream::connect(server).await?;
            exchange(&stream).await
        };
        timeout(PATIENCE, request).await?
    })
}

async fn exchange(stream: &TcpStream) -> io::Result<u8> {
    stream.write_all(b"?").await?;
    stream.flush().await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    Ok(answer[0])
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    let accepting = pirn::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            pirn::spawn(answer(stream)).detach();
        }
    });
    sleep(Duration::from_secs(60)).await;
    accepting.abort();
    Ok(())
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut question = [0];
    stream.read_exact(&mut question).await?;
    stream.write_all(b"!").await?;
    stream.flush().await
}

/// Asks the first server, and if that fails the second one.
async fn ask(how: fn(SocketAddr) -> Asking) -> io::Result<()> {
    // The servers listen by then.
    sleep(Duration::from_millis(50)).await;
    for server in ["first", "second"] {
        let answer = how(SocketAddr::new(pirn_sim::host_addr(server), 7)).await;
        pirn_sim::say!("the answer of the {server} server: {answer:?}");
        if answer.is_ok_and(|answer| answer == b'!') {
            return Ok(());
        }
    }
    Err(io::Error::other("no server answered"))
}

/// Cuts the client off from the first server at some moment, for good.
async fn cut() {
    let moment = 40_000 + pirn_sim::random() % 60_000;
    sleep(Duration::from_micros(moment)).await;
    pirn_sim::partition("client", "first");
}

fn system(how: fn(SocketAddr) -> Asking) -> Simulation {
    let network =
        Network { latency: Duration::from_millis(1)..=Duration::from_millis(10), ..Network::default() };
    Simulation::new("partition")
        .workers(1..=2)
        .network(network)
        .faults(Faults::none())
        .host("first", serve)
        .host("second", serve)
        .host("client", move || ask(how))
        .host("saboteur", cut)
}

#[test]
fn a_request_without_a_limit_hangs() {
    let simulation = system(connect_has_a_limit);
    let (shrunk, story) = super::super::found(&simulation, 2_000);
    assert!(matches!(shrunk.outcome.verdict, Verdict::Deadlock(_)), "{}", shrunk.outcome.verdict);
    // No schedule is needed, only the moment.
    assert!(shrunk.to.switches <= 2, "{}", shrunk.to);
    let text = story.to_string();
    assert!(text.contains("client and first are cut off from one another"), "{text}");
    assert!(text.contains("nothing can go on"), "{text}");
    // The line that waits for ever.
    assert!(text.contains("stream.read_exact(&mut answer).await?"), "{text}");
}

#[test]
fn a_limit_on_the_whole_request_finds_the_other_server() {
    super::super::clean(&system(the_request_has_a_limit), 1_000);
}
