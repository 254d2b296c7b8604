//! Connection churn: 512 at a time, connect, one exchange, close, 200,000 times. The server's descriptors and memory
//! before and after, and the rate.
//!
//! The client closes first and keeps the TIME_WAITs; its source addresses go round 127.0.0.0/8, so that ports suffice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{self, Figures, Server};
use crate::epoll::{self, EDGES, Set};
use crate::table::{Table, Target, interleave};

const AT_A_TIME: usize = 512;
const BYTES: usize = 64;
const WORKERS: usize = 2;
/// Source addresses in turn.
const SOURCES: u32 = 64;
/// No progress for this long ends the measurement.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the server's memory may grow by between the first tenth and the end: an allocator's noise.
const GROWTH_KIB: f64 = 1024.0;

/// Who is measured; the first is the floor.
const VARIANTS: [&str; 5] = ["floor", "pirn", "pirn-uring", "tokio", "smol"];

/// A connection under way.
struct Exchange {
    stream: TcpStream,
    sent: usize,
    received: usize,
}

/// All connections at a time, and how many were begun before.
struct Churn {
    server: SocketAddr,
    set: Set,
    slots: Vec<Option<Exchange>>,
    begun: u32,
}

impl Churn {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let slots = (0..AT_A_TIME).map(|_| None).collect();
        Ok(Self { server, set: Set::new()?, slots, begun: 0 })
    }

    /// So many connections from beginning to end.
    fn run(&mut self, connections: usize) -> io::Result<()> {
        let mut left = connections;
        let mut open = 0;
        for slot in 0..AT_A_TIME.min(left) {
            self.begin(slot)?;
            (left, open) = (left - 1, open + 1);
        }
        while open > 0 {
            let events = self.set.wait(PATIENCE.as_millis() as i32)?;
            if events == 0 {
                let message = format!("{open} connections made no progress for {} s", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            for at in 0..events {
                let slot = self.set.key(at) as usize;
                let Some(exchange) = &mut self.slots[slot] else { continue };
                if exchange.turn()? {
                    // The close of the client's end.
                    self.slots[slot] = None;
                    open -= 1;
                    if left > 0 {
                        self.begin(slot)?;
                        (left, open) = (left - 1, open + 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, slot: usize) -> io::Result<()> {
        let source = Ipv4Addr::new(127, 0, 1, (self.begun % SOURCES) as u8 + 1);
        self.begun += 1;
        let stream = connect(source, self.server)?;
        self.set.add(stream.as_raw_fd(), EDGES, slot as u64)?;
        self.slots[slot] = Some(Exchange { stream, sent: 0, received: 0 });
        Ok(())
    }
}

impl Exchange {
    /// Moves what can move; whether the answer is whole.
    fn turn(&mut self) -> io::Result<bool> {
        let message = [7; BYTES];
        while self.sent < BYTES {
            match epoll::write(&self.stream, &message[self.sent..]) {
                Ok(Some(count)) => self.sent += count,
                Ok(None) => return Ok(false),
                // Not connected yet: an edge comes when it is.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut answer = [0; BYTES];
        while self.received < BYTES {
            match epoll::read(&self.stream, &mut answer)? {
                Some(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed a connection",
                    ));
                }
                Some(count) => self.received += count,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Begins to connect from an address of its own.
fn connect(source: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(server) = server else {
        return Err(io::Error::other("the server listens on IPv4"));
    };
    let name = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
        sin_zero: [0; 8],
    };
    let (own, other, one) = (name(source, 0), name(*server.ip(), server.port()), 1_i32);
    let (int, size) = (size_of::<i32>() as u32, size_of::<libc::sockaddr_in>() as u32);
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the descriptor is fresh and owned at once; the pointers are to locals, with their sizes.
    unsafe {
        let stream = TcpStream::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?);
        let (fd, one) = (stream.as_raw_fd(), (&raw const one).cast());
        check(libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, one, int))?;
        check(libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, one, int))?;
        check(libc::bind(fd, (&raw const own).cast(), size))?;
        match check(libc::connect(fd, (&raw const other).cast(), size)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(stream),
        }
    }
}

/// Descriptors the server has open.
fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The server's resident memory, KiB.
fn memory(pid: u32) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.and_then(|text| text.split_whitespace().next());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/<pid>/status has no VmRSS line"))
}

/// Waits until the server has no more descriptors open than `before`, and returns how many it has.
fn settled(pid: u32, before: usize) -> io::Result<usize> {
    let started = Instant::now();
    loop {
        let now = descriptors(pid)?;
        if now <= before || started.elapsed() > PATIENCE {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One measurement, against a server process of its own.
fn measure(program: &Path, server: &str, connections: usize) -> Result<Figures, String> {
    let broken = |error: io::Error| format!("{server}: {error}");
    let workers = if server == VARIANTS[0] { 1 } else { WORKERS };
    let mut process = Server::start(program, &["echo", server, &workers.to_string()])?;
    let pid = process.pid();
    let mut churn = Churn::new(process.address).map_err(broken)?;
    // One connection, for what a server opens when it is first used.
    churn.run(1).map_err(broken)?;
    std::thread::sleep(Duration::from_millis(100));
    let (fds, fresh) = (descriptors(pid).map_err(broken)?, memory(pid).map_err(broken)?);
    let (cpu, started) = (process.cpu()?, Instant::now());
    churn.run(connections / 10).map_err(broken)?;
    let warm = memory(pid).map_err(broken)?;
    churn.run(connections - connections / 10).map_err(broken)?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = process.cpu()? - cpu;
    let left = settled(pid, fds).map_err(broken)? as f64 - fds as f64;
    let end = memory(pid).map_err(broken)?;
    Ok(Figures::from([
        ("rate".to_owned(), connections as f64 / elapsed),
        ("cpu_us".to_owned(), cpu * 1e6 / connections as f64),
        ("leaked".to_owned(), left),
        ("fresh_kib".to_owned(), fresh),
        ("warm_kib".to_owned(), warm),
        ("end_kib".to_owned(), end),
        ("growth_kib".to_owned(), end - warm),
    ]))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, connections: usize) -> Result<(), String> {
    let program = child::own_program()?;
    let all = interleave("churn", rounds, &VARIANTS, |server| measure(&program, server, connections))?;
    table.title(&format!(
        "churn: {connections} connections, {AT_A_TIME} at a time: connect, {BYTES} B there and back, close; {WORKERS} server workers (the floor: one loop); median (lowest – highest) of {rounds}"
    ));
    for (name, samples) in VARIANTS.iter().zip(&all) {
        let judged = |target| if name.starts_with("pirn") { target } else { Target::None };
        table.row(&format!("{name}: connections/s"), samples.show("rate"), 0.0, Target::None);
        table.row(&format!("{name}: server CPU µs a connection"), samples.show("cpu_us"), 0.0, Target::None);
        let (leaked, most) = (samples.show("leaked"), samples.most("leaked"));
        table.row(&format!("{name}: descriptors more than before"), leaked, most, judged(Target::Most(0.0)));
        let memory = ["fresh_kib", "warm_kib", "end_kib"].map(|figure| samples.show(figure)).join("; ");
        table.row(
            &format!("{name}: resident KiB before; after a tenth; at the end"),
            memory,
            0.0,
            Target::None,
        );
        table.row(
            &format!("{name}: KiB grown since the first tenth"),
            samples.show("growth_kib"),
            samples.median("growth_kib"),
            judged(Target::Most(GROWTH_KIB)),
        );
    }
    let (rate, tokio) = (all[1].median("rate"), all[3].median("rate"));
    table.row("pirn's rate / tokio's", format!("{:.2}", rate / tokio), 0.0, Target::None);
    let rate = all[2].median("rate");
    table.row("pirn-uring's rate / tokio's", format!("{:.2}", rate / tokio), 0.0, Target::None);
    table.flush();
    Ok(())
}
