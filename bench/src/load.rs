//! The load generator of the larger benchmarks: closed loop over any number of connections, one thread, a plain epoll
//! loop. A runtime of its own would compete with the server for what is measured.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::epoll::{self, EDGES, Set};

/// No answer for this long ends the measurement.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to one server.
pub(crate) struct Load {
    set: Set,
    connections: Vec<Connection>,
    exchange: Exchange,
    buffer: Vec<u8>,
}

/// What is sent, and what comes back.
struct Exchange {
    message: Vec<u8>,
    /// Bytes of an answer.
    answer: usize,
    /// How an answer begins.
    begin: &'static [u8],
}

struct Connection {
    stream: TcpStream,
    /// When the message under way was begun.
    since: Instant,
    sent: usize,
    received: usize,
    messages: u64,
}

/// What came of a span of load.
pub(crate) struct Outcome {
    /// Answers.
    pub(crate) messages: u64,
    /// How long it took, with the answers that were still due at its end.
    pub(crate) elapsed: Duration,
    /// From sending to the whole answer, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Answers of the connection that got fewest, and of the one that got most.
    pub(crate) fewest: u64,
    pub(crate) most: u64,
}

impl Load {
    /// Connects to an echo server.
    pub(crate) fn connect(address: SocketAddr, connections: usize, bytes: usize) -> io::Result<Self> {
        Self::asking(address, connections, vec![7; bytes], bytes, &[7])
    }

    /// Connects to a server whose answers all have the same length and beginning.
    pub(crate) fn asking(
        address: SocketAddr,
        connections: usize,
        message: Vec<u8>,
        answer: usize,
        begin: &'static [u8],
    ) -> io::Result<Self> {
        let set = Set::new()?;
        let mut all = Vec::with_capacity(connections);
        for key in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            set.add(stream.as_raw_fd(), EDGES, key as u64)?;
            all.push(Connection { stream, since: Instant::now(), sent: 0, received: 0, messages: 0 });
        }
        Ok(Self {
            set,
            connections: all,
            exchange: Exchange { message, answer, begin },
            buffer: vec![0; 64 << 10],
        })
    }

    /// One message under way on every connection until the span is over; returns when all are answered.
    pub(crate) fn run(&mut self, span: Duration) -> io::Result<Outcome> {
        let started = Instant::now();
        let until = started + span;
        let mut latencies = Histogram::new(3).expect("three figures are valid");
        for connection in &mut self.connections {
            connection.messages = 0;
            connection.begin(&self.exchange)?;
        }
        let mut open = self.connections.len();
        while open > 0 {
            let events = self.set.wait(PATIENCE.as_millis() as i32)?;
            if events == 0 {
                let message = format!("{open} connections had no answer for {} s", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            for at in 0..events {
                let connection = &mut self.connections[self.set.key(at) as usize];
                if let Some(now) = connection.turn(&self.exchange, &mut self.buffer)? {
                    let _ = latencies.record(now.duration_since(connection.since).as_nanos() as u64);
                    if now < until {
                        connection.begin(&self.exchange)?;
                    } else {
                        open -= 1;
                    }
                }
            }
        }
        let counts = || self.connections.iter().map(|connection| connection.messages);
        Ok(Outcome {
            messages: counts().sum(),
            elapsed: started.elapsed(),
            latencies,
            fewest: counts().min().unwrap_or(0),
            most: counts().max().unwrap_or(0),
        })
    }
}

impl Connection {
    fn begin(&mut self, exchange: &Exchange) -> io::Result<()> {
        (self.since, self.sent, self.received) = (Instant::now(), 0, 0);
        self.send(&exchange.message)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        while self.sent < message.len() {
            match epoll::write(&self.stream, &message[self.sent..])? {
                Some(count) => self.sent += count,
                None => break,
            }
        }
        Ok(())
    }

    /// Moves what can move; the time if that was the end of an answer.
    fn turn(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> io::Result<Option<Instant>> {
        if self.received == exchange.answer {
            return Ok(None);
        }
        self.send(&exchange.message)?;
        loop {
            match epoll::read(&self.stream, buffer)? {
                Some(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed a connection",
                    ));
                }
                Some(count) => {
                    if self.received == 0 && !buffer.starts_with(exchange.begin) {
                        let begin = String::from_utf8_lossy(&buffer[..count.min(80)]).into_owned();
                        return Err(io::Error::other(format!("the server answered `{begin}`")));
                    }
                    self.received += count;
                    if self.received == exchange.answer {
                        self.messages += 1;
                        return Ok(Some(Instant::now()));
                    }
                    if count < buffer.len() {
                        return Ok(None);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}
