//! A lost update in a counter service.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn_sim::{Simulation, Verdict};

/// Clients, each on a host of its own.
const CLIENTS: u64 = 2;

/// What a client's request does to the counter. It answers with the new value.
type Add = fn(&Mutex<u64>, u64) -> u64;

/// The bug: the lock is taken twice, and the audit line is written in between.
fn add_in_two_steps(counter: &Mutex<u64>, by: u64) -> u64 {
    let seen = *counter.lock().unwrap();
    audit(by);
    *counter.lock().unwrap() = seen + by;
    seen + by
}

/// The fix: one step under one lock.
fn add_at_once(counter: &Mutex<u64>, by: u64) -> u64 {
    audit(by);
    let mut counter = counter.lock().unwrap();
    *counter += by;
    *counter
}

/// A task of its own writes the line: nobody waits for it.
fn audit(by: u64) {
    drop(pirn::spawn(async move { drop(format!("someone adds {by}")) }));
}

async fn serve(add: Add) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    let counter = Arc::new(Mutex::new(0));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (stream, _) = listener.accept().await?;
        clients.push(pirn::spawn(answer(stream, Arc::clone(&counter), add)));
    }
    for client in clients {
        client.await.expect("no request panics")?;
    }
    assert_eq!(*counter.lock().unwrap(), CLIENTS, "every client added one");
    Ok(())
}

async fn answer(stream: TcpStream, counter: Arc<Mutex<u64>>, add: Add) -> io::Result<()> {
    let mut request = [0; 8];
    stream.read_exact(&mut request).await?;
    let value = add(&counter, u64::from_be_bytes(request));
    stream.write_all(&value.to_be_bytes()).await?;
    stream.flush().await
}

async fn ask() -> io::Result<()> {
    let server = SocketAddr::new(pirn_sim::host_addr("server"), 7);
    let stream = loop {
        match TcpStream::connect(server).await {
            Ok(stream) => break stream,
            // It does not listen yet.
            Err(_) => pirn::time::sleep(Duration::from_millis(1)).await,
        }
    };
    stream.write_all(&1_u64.to_be_bytes()).await?;
    stream.flush().await?;
    let mut value = [0; 8];
    stream.read_exact(&mut value).await
}

fn service(add: Add) -> Simulation {
    (0..CLIENTS).fold(
        Simulation::new("counter").workers(1..=2).host("server", move || serve(add)),
        |simulation, n| simulation.host(&format!("client{n}"), ask),
    )
}

#[test]
fn a_lost_update_is_found_and_told() {
    let simulation = service(add_in_two_steps);
    let (shrunk, story) = super::super::found(&simulation, 5_000);
    assert!(
        matches!(&shrunk.outcome.verdict, Verdict::Panic(text) if text.contains("every client added one"))
    );
    assert!(shrunk.to.switches <= 6, "{}", shrunk.to);
    // The story names the place between the two locks: the line of the audit.
    let text = story.to_string();
    assert!(text.contains("drop(pirn::spawn(") && text.contains("is stopped"), "{text}");
    assert!(text.contains("server: worker 0") && text.contains("server: worker 1"), "{text}");
}

#[test]
fn one_step_loses_nothing() {
    super::super::clean(&service(add_at_once), 2_000);
}
