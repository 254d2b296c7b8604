//! The hog: one task of the server computes 20 ms of every 40 ms while 64 connections get requests at a steady rate, open
//! loop. A runtime whose busy worker strands its connections shows it in the tail.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{self, Figures, Server};
use crate::peer::{Name, Peer};
use crate::spawn::work;
use crate::table::{Samples, Table, Target, interleave};
use crate::urgent::urgent;
use crate::with_peer;

const CONNECTIONS: usize = 64;
/// What the p99 with the hog may be of the same server's without it, at each rate.
const TARGET: f64 = 2.0;
const BUSY: Duration = Duration::from_millis(20);
/// A request is its sending time and padding.
const BYTES: usize = 64;
/// The server's read buffer.
const BUFFER: usize = 4 << 10;

/// The child: serves for ever, with the hog or without.
pub(crate) fn serve(peer: Name, workers: usize, busy: bool) {
    fn serve_on<P: Peer>(workers: usize, busy: bool) {
        P::run(workers, async move {
            if busy {
                P::detach(P::spawn(async {
                    loop {
                        work(BUSY);
                        P::sleep(BUSY).await;
                    }
                }));
            }
            P::serve_echo(BUFFER, child::announce).await;
        });
    }
    with_peer!(peer, serve_on(workers, busy));
}

/// Receives on all connections until `until`; latencies from the moment of sending.
fn receive(mut streams: Vec<TcpStream>, epoch: Instant, until: Instant) -> hdrhistogram::Histogram<u64> {
    urgent();
    let mut latencies = hdrhistogram::Histogram::<u64>::new(3).expect("three figures are valid");
    let mut polled: Vec<libc::pollfd> = streams
        .iter()
        .map(|stream| libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let mut pending = vec![Vec::with_capacity(4 * BYTES); streams.len()];
    while Instant::now() < until {
        // SAFETY: the pointer and the count describe one live vector.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 50) };
        for (at, entry) in polled.iter().enumerate().filter(|(_, entry)| entry.revents != 0) {
            let mut bytes = [0; 1024];
            debug_assert_eq!(entry.fd, streams[at].as_raw_fd());
            let Ok(n) = streams[at].read(&mut bytes) else { continue };
            assert!(n > 0, "the server closed a connection");
            pending[at].extend_from_slice(&bytes[..n]);
            while pending[at].len() >= BYTES {
                let sent = u64::from_le_bytes(pending[at][..8].try_into().expect("eight bytes"));
                let _ = latencies.record((epoch.elapsed().as_nanos() as u64).saturating_sub(sent));
                pending[at].drain(..BYTES);
            }
        }
    }
    latencies
}

/// Sends at a steady pace, whatever comes back.
fn send(streams: &mut [TcpStream], epoch: Instant, until: Instant, rate: u32) -> u64 {
    urgent();
    // SAFETY: PR_SET_TIMERSLACK takes a number and changes how exactly this thread's sleeps end.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_u64) };
    let period = Duration::from_secs(1) / rate;
    let mut next = Instant::now();
    let mut sent = 0;
    while next < until {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let mut message = [0; BYTES];
        message[..8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_le_bytes());
        let connections = streams.len();
        streams[sent as usize % connections].write_all(&message).expect("the server took no request");
        sent += 1;
        next += period;
    }
    sent
}

fn load(
    address: SocketAddr,
    span: Duration,
    rate: u32,
) -> Result<(u64, hdrhistogram::Histogram<u64>), String> {
    let open = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let broken = |error: std::io::Error| format!("the connections to {address} can't be opened: {error}");
    let mut senders: Vec<TcpStream> = (0..CONNECTIONS).map(open).collect::<Result<_, _>>().map_err(broken)?;
    let receivers: Vec<TcpStream> =
        senders.iter().map(TcpStream::try_clone).collect::<Result<_, _>>().map_err(broken)?;
    let epoch = Instant::now();
    let until = epoch + span;
    let receiver = std::thread::spawn(move || receive(receivers, epoch, until + Duration::from_millis(200)));
    let sent = send(&mut senders, epoch, until, rate);
    Ok((sent, receiver.join().map_err(|_| "the receiving thread panicked".to_owned())?))
}

/// One measurement against a server started as `program serve hog <peer> <workers> <busy>`.
fn measure(program: &Path, peer: Name, busy: bool, rate: u32, seconds: f64) -> Result<Figures, String> {
    let server = Server::start(program, &["hog", peer.text(), "2", if busy { "true" } else { "false" }])?;
    load(server.address, Duration::from_millis(200), rate)?;
    let (sent, latencies) = load(server.address, Duration::from_secs_f64(seconds), rate)?;
    let lost = sent - latencies.len();
    if lost > 0 {
        return Err(format!("{}: {lost} of {sent} requests had no answer within 200 ms", peer.text()));
    }
    let us = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Figures::from([
        ("p50_us".to_owned(), us(0.5)),
        ("p99_us".to_owned(), us(0.99)),
        ("p999_us".to_owned(), us(0.999)),
    ]))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64, rates: &[u32]) -> Result<(), String> {
    let program = child::own_program()?;
    let variants: Vec<(Name, bool)> =
        Name::BACKENDS.iter().flat_map(|peer| [(*peer, false), (*peer, true)]).collect();
    for &rate in rates {
        let all = interleave(&format!("hog, {rate}/s"), rounds, &variants, |(peer, busy)| {
            measure(&program, peer, busy, rate, seconds)
        })?;
        table.title(&format!(
            "the hog: 20 ms of every 40 ms computed by one task, {CONNECTIONS} connections, {rate} requests/s open loop, 2 workers; latency in µs, median (lowest – highest) of {rounds}"
        ));
        for (peer, samples) in Name::BACKENDS.iter().zip(all.chunks(2)) {
            rows(table, *peer, &samples[0], &samples[1]);
        }
        table.flush();
    }
    Ok(())
}

/// One runtime's figures, without the hog and with it.
fn rows(table: &mut Table, peer: Name, without: &Samples, with: &Samples) {
    let name = peer.text();
    for (samples, text) in [(without, "without"), (with, "with the hog")] {
        for figure in ["p50", "p99", "p999"] {
            let shown = samples.show(&format!("{figure}_us"));
            table.row(&format!("{name}, {text}: {figure}"), shown, 0.0, Target::None);
        }
    }
    let ratio = with.over(without, "p99_us");
    let judged = matches!(peer, Name::Pirn | Name::PirnUring);
    let target = if judged { Target::Most(TARGET) } else { Target::None };
    table.row(&format!("{name}: p99 with / without"), ratio.show("p99_us"), ratio.median("p99_us"), target);
}
