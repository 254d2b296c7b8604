//! The coroutine chart: a server over real sockets that processes each request in a task of its own, in six ways. Everything but
//! the way is the same: runtime, sockets, one worker, the load of 32 connections with one request each under way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use pirn::Builder;
use pirn::net::TcpListener;

use crate::handlers::{MESSAGE, Way};
use crate::{Samples, cpu_ns, picture};

const CONNECTIONS: usize = 32;

/// Measures and prints; draws the picture if it is asked for.
pub(crate) fn run(rounds: usize, scale: f64, file: Option<&str>) -> Result<(), String> {
    let requests = (10_000.0 * scale) as usize + 1;
    let mut samples = vec![Samples::default(); Way::ALL.len()];
    for _ in 0..rounds {
        for (way, samples) in Way::ALL.iter().zip(&mut samples) {
            samples.0.push(serve(*way, requests)?);
        }
    }
    println!(
        "server CPU a request over TCP, {CONNECTIONS} connections, {} requests, ns: median (lowest – highest) of {rounds}",
        requests * CONNECTIONS
    );
    let floor = samples[0].median();
    for (way, samples) in Way::ALL.iter().zip(&samples) {
        println!("  {:<44}{}  {:.3} x callbacks", way.name(), samples.show(0), samples.median() / floor);
    }
    if let Some(file) = file {
        let bars: Vec<(&str, f64)> =
            Way::ALL.iter().zip(&samples).map(|(way, samples)| (way.name(), samples.median())).collect();
        picture::draw(file, &bars).map_err(|error| format!("{file} can't be written: {error}"))?;
    }
    Ok(())
}

/// CPU nanoseconds of the server's thread for a request.
fn serve(way: Way, requests: usize) -> Result<f64, String> {
    let (tell, told) = mpsc::channel::<SocketAddr>();
    let server = thread::spawn(move || {
        let runtime = Builder::new().workers(1).build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
            let mut connections = Vec::new();
            for _ in 0..CONNECTIONS {
                let (stream, _) = listener.accept().await.expect("a client");
                connections.push(pirn::spawn_local(connection(way, Arc::new(stream))));
            }
            // All are there, and none has begun: each waits for a first byte.
            let before = cpu_ns();
            let mut served = 0;
            for connection in connections {
                served += connection.await.expect("no panic");
            }
            (cpu_ns() - before) / served as f64
        })
    });
    let address = told.recv().map_err(|_| "the server did not start".to_owned())?;
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|_| Client::connect(address).and_then(|client| client.set_nodelay(true).map(|()| client)))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("a client can't connect: {error}"))?;
    let load = thread::spawn(move || drive(clients, requests));
    load.join()
        .map_err(|_| "the load generator panicked".to_owned())?
        .map_err(|error| format!("the load: {error}"))?;
    server.join().map_err(|_| "the server panicked".to_owned())
}

/// A request on every connection, then all answers, and again.
fn drive(mut clients: Vec<Client>, requests: usize) -> std::io::Result<()> {
    let mut answer = [0; MESSAGE];
    for round in 0..requests {
        for client in &mut clients {
            client.write_all(&[round as u8; MESSAGE])?;
        }
        for client in &mut clients {
            client.read_exact(&mut answer)?;
            assert_eq!(answer[0], round as u8, "another request's answer");
        }
    }
    Ok(())
}

/// One connection: a task for each request, one after another.
async fn connection(way: Way, stream: Arc<pirn::net::TcpStream>) -> usize {
    let mut served = 0;
    let mut request = [0; MESSAGE];
    while stream.read_exact(&mut request).await.is_ok() {
        way.start(stream.clone(), request).await.expect("no panic");
        served += 1;
    }
    served
}
