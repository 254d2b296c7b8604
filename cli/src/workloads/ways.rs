//! Ways: streams that are read and written in every way there is: whole buffers that travel with the op, slices, peeks, the runtime's own buffers,
//! small writes in a row behind which the worker is held, reads, writes, flushes and shutdowns that are given up, by tasks that hop meanwhile. What
//! a write accepted arrives once and in order, also where nobody flushes before a shutdown or a drop; what was flushed arrives after an abort too.

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use pirn::Handle;
use pirn::net::TcpStream;
use pirn::time::{sleep, timeout};

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "ways",
    about: "streams read and written in every way: owned, peeked, staged, flushed in vain, aborted",
    unit: "connections",
    latency: "",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 2, rounds: 1, bytes: 12_000 },
    large: Size { width: 32, rounds: 10, bytes: 400_000 },
};

/// How the side that goes last ends the connection, when the other one has said all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It drops its stream, with what nobody flushed.
    Drop,
    /// It flushes and gives the connection up.
    FlushAndAbort,
    /// It gives the connection up, with what was accepted and has not left.
    Abort,
    /// It begins to write its last piece, drops that and then its stream.
    BeginAndDrop,
}

const LASTS: [Last; 4] = [Last::Drop, Last::FlushAndAbort, Last::Abort, Last::BeginAndDrop];

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// What it carries depends on that.
    number: u32,
    /// Bytes to the server, and to the client.
    amounts: [u32; 2],
    client_is_last: bool,
    last: Last,
}

/// Bytes of a header.
const HEADER: usize = 13;

impl Header {
    fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [self.last as u8 | u8::from(self.client_is_last) << 7; HEADER];
        for (at, number) in [self.number, self.amounts[0], self.amounts[1]].into_iter().enumerate() {
            bytes[4 * at..4 * at + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8; HEADER]) -> Self {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[4 * at + i]));
        let ends = bytes[HEADER - 1];
        Self {
            number: number(0),
            amounts: [number(1), number(2)],
            client_is_last: ends & 1 << 7 != 0,
            last: LASTS[usize::from(ends & 3)],
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Way {
    number: u32,
    down: bool,
    all: usize,
    /// How its sender ends the connection; `None`: it only ends this direction.
    last: Option<Last>,
}

impl Way {
    fn of(header: Header, down: bool) -> Self {
        let last = (header.client_is_last != down).then_some(header.last);
        let all = header.amounts[usize::from(down)] as usize;
        Self { number: header.number, down, all, last }
    }

    /// The byte at a place.
    fn pattern(self, at: usize) -> u8 {
        (at.wrapping_mul(29) ^ (at >> 8) ^ (self.number as usize * 57) ^ usize::from(self.down)) as u8
    }

    fn bytes(self, from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|at| self.pattern(at)).collect()
    }

    /// The error of a call, in words.
    fn failed(self, what: &'static str) -> impl Fn(std::io::Error) -> String {
        let who = if self.down { "to the client" } else { "to the server" };
        move |error| format!("connection {}, {who}: {what}: {error}", self.number)
    }

    fn check(self, holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
        let who = if self.down { "to the client" } else { "to the server" };
        check(holds, || format!("connection {}, {who}: {}", self.number, what()))
    }
}

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let listener = setting.listen().await?;
    let mut tasks = Vec::new();
    for _ in 0..setting.size.width * setting.size.rounds.max(1) {
        let (stream, _) =
            listener.accept().await.map_err(|error| format!("the server can't accept: {error}"))?;
        tasks.push(pirn::spawn(async move {
            let mut bytes = [0; HEADER];
            stream.read_exact(&mut bytes).await.map_err(|error| format!("no header came: {error}"))?;
            let header = Header::read(&bytes);
            talk(stream, Way::of(header, true), Way::of(header, false)).await
        }));
    }
    let mut report = setting.report();
    for task in tasks {
        finished(task).await??;
        report.count += 1;
    }
    Ok(report)
}

async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let tasks: Vec<_> = (0..setting.size.width)
        .map(|slot| {
            let setting = setting.clone();
            pirn::spawn(async move {
                let rounds = setting.size.rounds.max(1);
                for round in 0..rounds {
                    open(&setting, slot * rounds + round).await?;
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

async fn open(setting: &Setting, number: u32) -> Result<(), String> {
    let random = Random::new();
    // Mostly few bytes: a schedule with one large transfer shows as much as one with many.
    let amounts = [(); 2].map(|()| match random.below(3) {
        0 => random.below(setting.size.bytes.max(1)),
        _ => random.below(setting.size.bytes.clamp(1, 2_000)),
    });
    let last = LASTS[random.below(LASTS.len() as u32) as usize];
    let header = Header { number, amounts, client_is_last: random.below(2) == 0, last };
    let stream = setting.connect().await?;
    let (up, down) = (Way::of(header, false), Way::of(header, true));
    stream.write_all(&header.bytes()).await.map_err(up.failed("the header"))?;
    talk(stream, up, down).await
}

/// Both directions at once, in one task or in two, and the end.
async fn talk(stream: TcpStream, out: Way, back: Way) -> Result<(), String> {
    let stream = Arc::new(stream);
    if Random::new().below(2) == 0 {
        let (sent, received) = zip(send(&stream, out), receive(&stream, back)).await;
        received?;
        sent?;
    } else {
        let reader = stream.clone();
        let receiving = pirn::spawn(async move { receive(&reader, back).await });
        let sent = send(&stream, out).await;
        finished(receiving).await??;
        sent?;
    }
    if out.last == Some(Last::FlushAndAbort) {
        flush_in_vain(&stream).await;
        stream.flush().await.map_err(out.failed("a flush at the end"))?;
    }
    if matches!(out.last, Some(Last::FlushAndAbort | Last::Abort)) {
        stream.abort().map_err(out.failed("an abort"))?;
    }
    Ok(())
}

/// Begins flushes and gives them up.
async fn flush_in_vain(stream: &TcpStream) {
    let random = Random::new();
    for _ in 0..random.below(3) {
        match random.below(2) {
            0 => drop(timeout(Duration::from_micros(random.below(300).into()), stream.flush()).await),
            _ => drop(poll_once(stream.flush()).await),
        }
    }
}

/// Sends all, in pieces of all kinds.
async fn send(stream: &TcpStream, way: Way) -> Result<(), String> {
    let random = Random::new();
    let mut sent = 0;
    while sent < way.all {
        let count = (1 + random.below(6_000) as usize).min(way.all - sent);
        let bytes = way.bytes(sent, count);
        if way.last == Some(Last::BeginAndDrop) && sent + count == way.all {
            let _ = poll_once(stream.write_owned(bytes)).await;
            break;
        }
        sent += match random.below(6) {
            0 => {
                let (result, back) = stream.write_owned(bytes).await;
                result.map_err(way.failed("an owned write"))?;
                way.check(back == way.bytes(sent, count), || "a buffer came back changed".to_owned())?;
                count
            }
            1 => {
                let (one, two) = bytes.split_at(random.below(count as u32) as usize);
                let slices = [IoSlice::new(one), IoSlice::new(two)];
                stream.write_vectored(&slices).await.map_err(way.failed("a write of slices"))?
            }
            2 => {
                // A write that is given up has accepted nothing.
                let limit = Duration::from_micros(random.below(300).into());
                match timeout(limit, stream.write(&bytes)).await {
                    Ok(wrote) => wrote.map_err(way.failed("a write"))?,
                    Err(_) => 0,
                }
            }
            3 => {
                let few = count.min(900);
                for small in bytes[..few].chunks(1 + random.below(300) as usize) {
                    stream.write_all(small).await.map_err(way.failed("a small write"))?;
                }
                if random.below(3) == 0 {
                    // What is staged is for others to send meanwhile.
                    std::thread::sleep(Duration::from_millis(20));
                }
                few
            }
            _ => {
                stream.write_all(&bytes).await.map_err(way.failed("a write"))?;
                count
            }
        };
        between(stream, way).await?;
    }
    if way.last.is_some() {
        return Ok(());
    }
    match random.below(3) {
        0 => stream.flush().await.map_err(way.failed("a flush"))?,
        1 => flush_in_vain(stream).await,
        _ => {}
    }
    if random.below(3) == 0 {
        // A shutdown that is given up has shut down nothing.
        if let Some(done) = poll_once(stream.shutdown(Shutdown::Write)).await {
            return done.map_err(way.failed("a shutdown"));
        }
    }
    stream.shutdown(Shutdown::Write).await.map_err(way.failed("a shutdown"))
}

/// What a sender does between two pieces.
async fn between(stream: &TcpStream, way: Way) -> Result<(), String> {
    let random = Random::new();
    match random.below(14) {
        0 => pirn::yield_now().await,
        1 => pirn::drained().await,
        2 => stream.set_cork(random.below(2) == 0),
        3 => sleep(Duration::from_micros(random.below(2_000).into())).await,
        4 => stream.flush().await.map_err(way.failed("a flush"))?,
        5 => flush_in_vain(stream).await,
        6 => {
            let groups = Handle::current().groups();
            let group = &groups[random.below(groups.len() as u32) as usize];
            pirn::hop(group).await.map_err(|error| format!("a task of `spawn` can't hop: {error}"))?;
        }
        _ => {}
    }
    Ok(())
}

/// Reads until the end, in every way, perhaps with pauses.
async fn receive(stream: &TcpStream, way: Way) -> Result<(), String> {
    let random = Random::new();
    let slow = random.below(3) == 0;
    let mut received = 0;
    loop {
        if slow && random.below(4) == 0 {
            sleep(Duration::from_micros(random.below(20_000).into())).await;
        }
        let room = 1 + random.below(5_000) as usize;
        let bytes = match random.below(6) {
            0 => {
                let (mut one, mut two) = (vec![0; random.below(room as u32) as usize], vec![0; room]);
                let slices = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                let count = stream.read_vectored(slices).await.map_err(way.failed("a read of slices"))?;
                let mut bytes = [one, two].concat();
                bytes.truncate(count);
                bytes
            }
            1 => {
                let before = vec![7; random.below(3) as usize];
                let mut buffer = Vec::with_capacity(before.len() + room);
                buffer.extend_from_slice(&before);
                let (count, mut buffer) = stream.read_owned(buffer).await;
                let count = count.map_err(way.failed("an owned read"))?;
                let grew = buffer.starts_with(&before) && buffer.len() == before.len() + count;
                way.check(grew, || format!("an owned read of {count} bytes left {} ones", buffer.len()))?;
                buffer.split_off(before.len())
            }
            2 => stream.receive().await.map_err(way.failed("a receive"))?.to_vec(),
            3 => {
                let mut seen = vec![0; room];
                let count = stream.peek(&mut seen).await.map_err(way.failed("a peek"))?;
                let mut bytes = vec![0; count.max(1)];
                let read = stream.read(&mut bytes).await.map_err(way.failed("a read"))?;
                let same = seen[..count.min(read)] == bytes[..count.min(read)] && (count == 0) == (read == 0);
                way.check(same, || format!("a peek saw {count} bytes, other ones than were read ({read})"))?;
                bytes.truncate(read);
                bytes
            }
            4 => {
                // A read that is given up loses no byte.
                let mut bytes = vec![0; room];
                let limit = Duration::from_micros(random.below(1_000).into());
                let Ok(read) = timeout(limit, stream.read(&mut bytes)).await else { continue };
                bytes.truncate(read.map_err(way.failed("a read"))?);
                bytes
            }
            _ => {
                let mut bytes = vec![0; room];
                let count = stream.read(&mut bytes).await.map_err(way.failed("a read"))?;
                bytes.truncate(count);
                bytes
            }
        };
        if bytes.is_empty() {
            break;
        }
        let wrong = bytes.iter().zip(received..).find(|&(byte, at)| *byte != way.pattern(at));
        way.check(wrong.is_none(), || format!("a wrong byte at {}", wrong.map_or(0, |(_, at)| at)))?;
        received += bytes.len();
    }
    let may_miss = matches!(way.last, Some(Last::Abort | Last::BeginAndDrop));
    let right = received == way.all || may_miss && received < way.all;
    way.check(right, || format!("{received} of {} bytes arrived", way.all))
}
