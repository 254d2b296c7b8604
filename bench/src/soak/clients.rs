//! Clients of a soak: each answer is compared with what it should be, and some leave before its end.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::{Known, Site};

/// No byte for this long is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients saw.
#[derive(Default)]
pub(super) struct Tally {
    answers: AtomicU64,
    left: AtomicU64,
    wrong: AtomicU64,
    first_wrong: Mutex<Option<String>>,
}

impl Tally {
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// Connections that their client closed in the midst of an answer.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Relaxed)
    }

    pub(super) fn first_wrong(&self) -> Option<String> {
        self.first_wrong.lock().expect("no client panics here").clone()
    }

    fn note_wrong(&self, what: String) {
        self.wrong.fetch_add(1, Relaxed);
        self.first_wrong.lock().expect("no client panics here").get_or_insert(what);
    }
}

/// A stream of numbers that need not be good.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// So many clients for so long; returns when all have had their last answer.
pub(super) fn run(
    address: SocketAddr,
    site: &Arc<Site>,
    tally: &Arc<Tally>,
    clients: usize,
    span: Duration,
) -> Result<(), String> {
    let until = Instant::now() + span;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the clients' runtime can't be built: {error}"))?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..clients)
            .map(|number| {
                let (site, tally) = (Arc::clone(site), Arc::clone(tally));
                tokio::spawn(async move {
                    let mut dice =
                        Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1).wrapping_mul(0xa5a5_a5a5_1234_5677));
                    while Instant::now() < until {
                        if let Err(error) = connection(address, &site, &tally, &mut dice, until).await {
                            tally.note_wrong(error);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|error| format!("a client: {error}"))?;
        }
        Ok(())
    })
}

/// What is asked for.
enum Wanted<'a> {
    /// All of a file that stays as it is, or its bytes from the first to the second.
    Known(&'a Known, Option<(usize, usize)>),
    Missing,
    /// Whatever comes is right; the connection may be broken off when the file shrinks.
    Changing,
}

/// One connection, with some requests.
async fn connection(
    address: SocketAddr,
    site: &Site,
    tally: &Tally,
    dice: &mut Dice,
    until: Instant,
) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| format!("connecting: {error}"))?;
    let mut ahead = Vec::new();
    for _ in 0..=dice.roll(40) {
        if Instant::now() >= until {
            break;
        }
        let (path, range, wanted) = match dice.roll(10) {
            0 => (format!("/missing-{}", dice.roll(1_000)), None, Wanted::Missing),
            1 | 2 => (Site::changing(dice.roll(1 << 20)), None, Wanted::Changing),
            kind => {
                let known = &site.known[dice.roll(site.known.len() as u64) as usize];
                let length = known.content.len();
                let range = (kind == 3).then(|| {
                    let from = dice.roll(length as u64) as usize;
                    (from, from + dice.roll((length - from) as u64) as usize)
                });
                (known.path.clone(), range, Wanted::Known(known, range))
            }
        };
        let range = range.map_or(String::new(), |(from, to)| format!("range: bytes={from}-{to}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{range}\r\n");
        let leaves = dice.roll(50) == 0;
        let asked = async {
            stream.write_all(request.as_bytes()).await?;
            if leaves {
                return Ok(None);
            }
            answer(&mut stream, &mut ahead, &wanted).await.map(Some)
        };
        match (tokio::time::timeout(PATIENCE, asked).await, &wanted) {
            (Ok(Ok(None)), _) => {
                // Some of the answer may be on its way, or all of it, or nothing.
                let mut some = vec![0; dice.roll(100_000) as usize + 1];
                let _ =
                    tokio::time::timeout(Duration::from_millis(dice.roll(20)), stream.read(&mut some)).await;
                tally.left.fetch_add(1, Relaxed);
                return Ok(());
            }
            (Ok(Ok(Some(Ok(())))), _) => drop(tally.answers.fetch_add(1, Relaxed)),
            // The file shrank while it was sent.
            (Ok(Err(_)), Wanted::Changing) => return Ok(()),
            (Ok(Ok(Some(Err(why)))), _) => return Err(format!("{path}: {why}")),
            (Ok(Err(error)), _) => return Err(format!("{path}: {error}")),
            (Err(_), _) => return Err(format!("{path}: no answer in {} s", PATIENCE.as_secs())),
        }
    }
    Ok(())
}

/// Reads an answer and compares it; the inner error: it is another one.
async fn answer(
    stream: &mut TcpStream,
    ahead: &mut Vec<u8>,
    wanted: &Wanted<'_>,
) -> io::Result<Result<(), String>> {
    let end = loop {
        if let Some(at) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(ahead).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&ahead[..end]).to_ascii_lowercase();
    let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let Some(length) = length else { return Ok(Err(format!("no length in {head}"))) };
    let expected = match wanted {
        Wanted::Known(known, None) if status == 200 => Some(&known.content[..]),
        Wanted::Known(known, Some((from, to))) if status == 206 => Some(&known.content[*from..=*to]),
        Wanted::Missing if status == 404 => None,
        // 500: it shrank between the look at its length and the read.
        Wanted::Changing if [200, 404, 500].contains(&status) => None,
        _ => return Ok(Err(format!("status {status}: {head}"))),
    };
    if expected.is_some_and(|expected| expected.len() != length) {
        return Ok(Err(format!("{length} bytes: {head}")));
    }
    ahead.drain(..end);
    let mut at = 0;
    while at < length {
        if ahead.is_empty() && stream.read_buf(ahead).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{at} of {length} bytes came")));
        }
        let count = ahead.len().min(length - at);
        if expected.is_some_and(|expected| expected[at..at + count] != ahead[..count]) {
            return Ok(Err(format!("another content in {count} bytes from {at}")));
        }
        ahead.drain(..count);
        at += count;
        ahead.reserve(64 << 10);
    }
    Ok(Ok(()))
}

/// Reads a file in about two seconds; whether all of it came. At the barrier the answer has begun.
pub(super) fn slowly(address: SocketAddr, file: &Known, begun: &Barrier) -> bool {
    let mut first = [0; 1 << 10];
    let stream = std::net::TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", file.path)?;
        stream.read_exact(&mut first)?;
        Ok(stream)
    });
    begun.wait();
    let Ok(mut stream) = stream else { return false };
    let mut all = first.to_vec();
    let mut part = vec![0; file.content.len() / 20];
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let mut filled = 0;
        while filled < part.len() {
            match stream.read(&mut part[filled..]) {
                Ok(0) => {
                    all.extend_from_slice(&part[..filled]);
                    return all.ends_with(&file.content) && all.starts_with(b"HTTP/1.1 200 ");
                }
                Ok(count) => filled += count,
                Err(_) => return false,
            }
        }
        all.extend_from_slice(&part);
    }
}
