//! Flood: connections with a lot to say in both directions at once, readers that pause until their socket is full or hold their worker,
//! and ends of all kinds: shut down, dropped with a read in flight, dropped with bytes on their way. What arrives is
//! the connection's own, in order.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use pirn::net::TcpStream;
use pirn::time::{Instant, sleep};

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "flood",
    about: "large transfers both ways, slow readers, a held worker, connections that end in all ways",
    unit: "connections",
    latency: "",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 3, rounds: 2, bytes: 180_000 },
    large: Size { width: 32, rounds: 20, bytes: 1_000_000 },
};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both directions are shut down in turn.
    Quiet,
    /// The server drops its stream with a read in flight; the client waits for that.
    Server,
    /// The client does; the server waits for that.
    Client,
    /// The client goes when it has half of what it asked for, whatever is on its way.
    Abrupt,
}

const ENDS: [End; 4] = [End::Quiet, End::Server, End::Client, End::Abrupt];

/// A network in which a connect takes longer than that is a slow one.
const SLOW: Duration = Duration::from_millis(10);

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// Its number: what it carries depends on that.
    number: u32,
    /// Bytes to the server, and to the client.
    up: u32,
    down: u32,
    end: End,
}

/// Bytes of a header.
const HEADER: usize = 13;

impl Header {
    fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [self.end as u8; HEADER];
        for (at, number) in [self.number, self.up, self.down].into_iter().enumerate() {
            bytes[4 * at..4 * at + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8; HEADER]) -> Self {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[4 * at + i]));
        let end = ENDS[usize::from(bytes[HEADER - 1]) % ENDS.len()];
        Self { number: number(0), up: number(1), down: number(2), end }
    }

    /// The byte at a place of a direction.
    fn pattern(self, down: bool, at: usize) -> u8 {
        (at.wrapping_mul(31) ^ (at >> 8) ^ (self.number as usize * 57) ^ usize::from(down)) as u8
    }
}

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let holder = pirn::spawn(holder());
    let listener = setting.listen().await?;
    let mut tasks = Vec::new();
    for _ in 0..setting.size.width * setting.size.rounds.max(1) {
        let (stream, _) =
            listener.accept().await.map_err(|error| format!("the server can't accept: {error}"))?;
        tasks.push(pirn::spawn(serve(stream)));
    }
    let mut report = setting.report();
    for task in tasks {
        finished(task).await??;
        report.count += 1;
    }
    holder.abort();
    let _ = holder.await;
    Ok(report)
}

/// Blocks its worker again and again.
async fn holder() {
    let random = Random::new();
    loop {
        sleep(Duration::from_micros(500 + u64::from(random.below(5_000)))).await;
        std::thread::sleep(Duration::from_micros(u64::from(random.below(8_000))));
    }
}

async fn serve(stream: TcpStream) -> Result<(), String> {
    let mut bytes = [0; HEADER];
    stream.read_exact(&mut bytes).await.map_err(|error| format!("no header came: {error}"))?;
    let header = Header::read(&bytes);
    let both = zip(
        receive(&stream, header, false, header.up as usize),
        send(&stream, header, true, header.down as usize),
    );
    let (received, sent) = both.await;
    if header.end == End::Abrupt {
        // The client may be gone at any point; what came is right.
        return received.or_else(|error| error.only_wrong());
    }
    let failed = |error: Broken| error.tell(header.number, "the server");
    received.map_err(failed)?;
    sent.map_err(failed)?;
    match header.end {
        End::Quiet => {
            at_end(&stream, header.number).await?;
            let shut = stream.shutdown(Shutdown::Write).await;
            shut.map_err(|error| format!("connection {}: the server's shutdown: {error}", header.number))
        }
        End::Client => at_end(&stream, header.number).await,
        _ => {
            // Begun and dropped.
            let _ = poll_once(stream.read(&mut [0; 8])).await;
            Ok(())
        }
    }
}

async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks: Vec<_> = (0..setting.size.width)
        .map(|slot| {
            let setting = setting.clone();
            pirn::spawn(async move {
                let rounds = setting.size.rounds.max(1);
                for round in 0..rounds {
                    talk(&setting, slot * rounds + round).await?;
                }
                Ok::<_, String>(u64::from(rounds))
            })
        })
        .collect();
    let mut report = setting.report();
    for task in tasks {
        report.count += finished(task).await??;
    }
    Ok(report)
}

/// Bytes of one direction: mostly few, for a schedule with one large transfer shows as much as one with many.
fn amount(random: &Random, most: u32) -> u32 {
    match random.below(4) {
        0 => random.below(most.max(1)),
        1 => 0,
        _ => random.below(most.clamp(1, 10_000)),
    }
}

async fn talk(setting: &Setting, number: u32) -> Result<(), String> {
    let random = Random::new();
    let end = ENDS[random.below(ENDS.len() as u32) as usize];
    let began = Instant::now();
    let stream = setting.connect().await?;
    // Where every few hundred bytes take a while there are fewer of them.
    let most = if began.elapsed() > SLOW { setting.size.bytes / 8 } else { setting.size.bytes };
    let mut header = Header { number, up: amount(&random, most), down: amount(&random, most), end };
    if end == End::Abrupt {
        // Who has got a byte knows that the header was read.
        header.down = header.down.max(2);
    }
    let told = stream.write_all(&header.bytes()).await;
    told.map_err(|error| format!("connection {number}: the header can't be sent: {error}"))?;
    let wanted = if end == End::Abrupt { header.down / 2 } else { header.down };
    let (received, sent) = zip(
        receive(&stream, header, true, wanted as usize),
        send(&stream, header, false, header.up as usize),
    )
    .await;
    if end == End::Abrupt {
        // It may have gone first, with what the other one still had to say.
        return received.or_else(|error| error.only_wrong());
    }
    let failed = |error: Broken| error.tell(number, "the client");
    received.map_err(failed)?;
    sent.map_err(failed)?;
    match end {
        End::Quiet => {
            let shut = stream.shutdown(Shutdown::Write).await;
            shut.map_err(|error| format!("connection {number}: the client's shutdown: {error}"))?;
            at_end(&stream, number).await
        }
        End::Server => at_end(&stream, number).await,
        _ => {
            // Begun and dropped.
            let _ = poll_once(stream.read(&mut [0; 8])).await;
            Ok(())
        }
    }
}

/// Why a transfer failed.
enum Broken {
    Io(std::io::Error),
    Ended(usize),
    Wrong(usize),
}

impl Broken {
    fn tell(self, number: u32, who: &str) -> String {
        match self {
            Self::Io(error) => format!("connection {number} broke, says {who}: {error}"),
            Self::Ended(at) => {
                format!("connection {number} ended for {who} after {at} bytes: there was more to come")
            }
            Self::Wrong(at) => format!("connection {number}: {who} got a wrong byte at {at}"),
        }
    }

    /// An error where connections may break: a wrong byte is wrong there too.
    fn only_wrong(self) -> Result<(), String> {
        match self {
            Self::Wrong(at) => Err(format!("a wrong byte came at {at}")),
            _ => Ok(()),
        }
    }
}

/// Reads so many bytes, perhaps with pauses.
async fn receive(stream: &TcpStream, header: Header, down: bool, all: usize) -> Result<(), Broken> {
    let random = Random::new();
    let mut bytes = vec![0; 500 + random.below(8_000) as usize];
    let (slow, holds) = (random.below(3) == 0, random.below(3) == 0);
    let mut received = 0;
    while received < all {
        if slow && random.below(8) == 0 {
            sleep(Duration::from_micros(random.below(60_000).into())).await;
        }
        if holds && random.below(6) == 0 {
            // What else its worker has is for others meanwhile.
            std::thread::sleep(Duration::from_micros(random.below(6_000).into()));
        }
        let room = bytes.len().min(all - received);
        let n = stream.read(&mut bytes[..room]).await.map_err(Broken::Io)?;
        if n == 0 {
            return Err(Broken::Ended(received));
        }
        let wrong = |&(at, byte): &(usize, &u8)| *byte != header.pattern(down, received + at);
        if let Some((at, _)) = bytes[..n].iter().enumerate().find(wrong) {
            return Err(Broken::Wrong(received + at));
        }
        received += n;
    }
    Ok(())
}

/// Sends so many bytes in pieces.
async fn send(stream: &TcpStream, header: Header, down: bool, all: usize) -> Result<(), Broken> {
    let random = Random::new();
    let mut sent = 0;
    while sent < all {
        let piece = (1 + random.below(30_000) as usize).min(all - sent);
        let bytes: Vec<u8> = (sent..sent + piece).map(|at| header.pattern(down, at)).collect();
        stream.write_all(&bytes).await.map_err(Broken::Io)?;
        sent += piece;
    }
    stream.flush().await.map_err(Broken::Io)
}

/// Waits for the end.
async fn at_end(stream: &TcpStream, number: u32) -> Result<(), String> {
    let n = stream
        .read(&mut [0; 8])
        .await
        .map_err(|error| format!("connection {number} broke at its end: {error}"))?;
    check(n == 0, || format!("connection {number}: {n} bytes came that nobody sent"))
}
