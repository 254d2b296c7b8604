//! Random op sequences against a model of TCP. The log of one seed is the same on every machine.

use std::fmt::Write;
use std::io::IoSliceMut;
use std::net::{Shutdown, SocketAddr};

use pirn::os::{Fd, Op, SocketKind, Token};

use super::world::{Bench, World, accepted, bytes_of, errno, number, pattern, received};

/// Steps of one sequence that did something.
const STEPS: usize = 120;
/// Bytes in flight in one direction at most: any kernel buffers that much.
const BUFFERED: usize = 10_000;

/// Small numbers from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// One direction of a connection, as TCP should have it.
#[derive(Default)]
struct Stream {
    sent: usize,
    taken: usize,
    /// The sender said that this was all.
    ended: bool,
    /// A receive that waits at the far end, and its `max`.
    waiting: Option<(Token, usize)>,
}

/// A connection: two ends, and the stream that each end sends.
struct Connection {
    ends: [Option<Fd>; 2],
    streams: [Stream; 2],
}

struct Run {
    bench: Bench,
    draw: Draw,
    listener: Fd,
    address: SocketAddr,
    accept: Option<Token>,
    connections: Vec<Connection>,
    log: Vec<String>,
}

/// Plays the sequence of a seed, asserts what the model says, and returns the log of what happened.
pub(crate) fn play(world: &World, seed: u64) -> Vec<String> {
    let (listener, address) = world.listener();
    let mut run = Run {
        bench: world.bench(1, 1 + (seed % 5) as usize),
        draw: Draw(seed),
        listener,
        address,
        accept: None,
        connections: Vec::new(),
        log: Vec::new(),
    };
    while run.log.len() < STEPS {
        run.step();
    }
    run.end();
    run.log
}

impl Run {
    fn step(&mut self) {
        if self.connections.is_empty() {
            return self.connect();
        }
        let at = self.draw.below(self.connections.len());
        let end = self.draw.below(2);
        match self.draw.below(16) {
            0 => self.connect(),
            1 => self.wait_for_accept(),
            2..=5 => self.send(at, end),
            6..=8 => self.receive(at, end),
            9 => self.peek(at, end),
            10..=11 => self.wait_for_bytes(at, end),
            12..=13 => self.cancel(at, end),
            14 => self.shut(at, end),
            _ => self.close(at, end),
        }
    }

    fn note(&mut self, args: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        line.write_fmt(args).expect("a string takes all");
        self.log.push(line);
    }

    fn wait_for_accept(&mut self) {
        if self.accept.is_none() {
            self.accept = Some(self.bench.submit(Op::Accept { fd: self.listener.clone() }));
            return self.note(format_args!("accept waits"));
        }
        let op = self.accept.take().expect("checked");
        self.bench.cancelled(op);
        self.note(format_args!("accept cancelled"));
    }

    fn connect(&mut self) {
        let client = self.bench.world.os.socket(SocketKind::tcp(self.address)).expect("socket");
        let connect = self.bench.submit(Op::Connect { fd: client.clone(), address: self.address.into() });
        let listener = self.listener.clone();
        let accept = self.accept.take().unwrap_or_else(|| self.bench.submit(Op::Accept { fd: listener }));
        assert_eq!(number(&self.bench.wait(connect)), 0);
        let (server, peer) = accepted(self.bench.wait(accept));
        assert_eq!(peer, self.bench.world.os.local_addr(&client).expect("local address"));
        let ends = [Some(client), Some(server)];
        self.connections.push(Connection { ends, streams: Default::default() });
        self.note(format_args!("connection {}", self.connections.len() - 1));
    }

    /// Sends from an end, if the far end can still be told.
    fn send(&mut self, at: usize, end: usize) {
        let size = 1 + self.draw.below(2_000);
        let connection = &mut self.connections[at];
        let stream = &mut connection.streams[end];
        let Some(fd) = connection.ends[end].clone() else { return };
        if connection.ends[1 - end].is_none() || stream.sent - stream.taken + size > BUFFERED {
            return;
        }
        let bytes = pattern(stream.sent, size);
        let op = self.bench.submit(Op::Send { fd, bytes: bytes.clone(), from: 0 });
        let completion = self.bench.wait(op);
        if stream.ended {
            assert_eq!(errno(&completion), Some(libc::EPIPE), "{completion:?}");
            return self.note(format_args!("{at}.{end} send after shutdown: EPIPE"));
        }
        assert_eq!(number(&completion), size);
        assert!(bytes_of(completion) == bytes, "the buffer comes back as it was");
        stream.sent += size;
        let (sent, waiting) = (stream.sent, stream.waiting.take());
        self.note(format_args!("{at}.{end} sent {size}, {sent} in all"));
        if let Some((op, max)) = waiting {
            self.finish(at, end, op, max);
        }
    }

    /// Sees a receive through that waited at the far end of `stream`, and takes up to `max` bytes after all.
    fn finish(&mut self, at: usize, stream: usize, op: Token, max: usize) {
        let got = received(self.bench.wait(op), max);
        let connection = &mut self.connections[at];
        let state = &mut connection.streams[stream];
        // The kernel may deliver in pieces: take what is missing up to what the model expects.
        let expected = max.min(state.sent - state.taken);
        let mut all = got;
        while all.len() < expected {
            let fd = connection.ends[1 - stream].clone().expect("an end with a receive is open");
            all.extend(self.bench.recv(&fd, expected - all.len()));
        }
        assert!(all == pattern(state.taken, expected), "bytes out of order");
        state.taken += expected;
        self.note(format_args!("{at}.{} got {expected} after a wait", 1 - stream));
    }

    /// Receives at an end what the far end sent.
    fn receive(&mut self, at: usize, end: usize) {
        let wanted = 1 + self.draw.below(3_000);
        let connection = &mut self.connections[at];
        let stream = &mut connection.streams[1 - end];
        let Some(fd) = connection.ends[end].clone() else { return };
        if stream.waiting.is_some() {
            return;
        }
        let expected = wanted.min(stream.sent - stream.taken);
        if expected > 0 {
            let got = self.bench.recv(&fd, expected);
            assert!(got == pattern(stream.taken, expected), "bytes out of order");
            stream.taken += expected;
            self.note(format_args!("{at}.{end} got {expected}"));
        } else if stream.ended {
            assert_eq!(self.bench.recv_some(&fd, wanted), b"");
            self.note(format_args!("{at}.{end} end of stream"));
        }
    }

    /// Looks at the next bytes without taking them.
    fn peek(&mut self, at: usize, end: usize) {
        let connection = &self.connections[at];
        let stream = &connection.streams[1 - end];
        let Some(fd) = connection.ends[end].clone() else { return };
        if stream.waiting.is_some() || stream.sent == stream.taken {
            return;
        }
        let mut bytes = [0; 1];
        self.bench.settle_until(|world| {
            let count = world.os.try_recv(&fd, &mut [IoSliceMut::new(&mut bytes)], true).expect("peek");
            assert_ne!(count, Some(0), "the stream has not ended");
            count.is_some()
        });
        assert_eq!(bytes[..], pattern(stream.taken, 1));
        self.note(format_args!("{at}.{end} peeked"));
    }

    /// Starts a receive where nothing is to be had.
    fn wait_for_bytes(&mut self, at: usize, end: usize) {
        let max = 1 + self.draw.below(500);
        let connection = &mut self.connections[at];
        let stream = &mut connection.streams[1 - end];
        let Some(fd) = connection.ends[end].clone() else { return };
        if stream.waiting.is_some() || stream.sent > stream.taken || stream.ended {
            return;
        }
        stream.waiting = Some((self.bench.submit(Op::Recv { fd, max }), max));
        self.note(format_args!("{at}.{end} waits for {max}"));
    }

    /// Cancels a waiting receive.
    fn cancel(&mut self, at: usize, end: usize) {
        if let Some((op, _)) = self.connections[at].streams[1 - end].waiting.take() {
            self.bench.cancelled(op);
            self.note(format_args!("{at}.{end} receive cancelled"));
        }
    }

    /// Ends the stream of an end.
    fn shut(&mut self, at: usize, end: usize) {
        let connection = &mut self.connections[at];
        let Some(fd) = connection.ends[end].clone() else { return };
        if connection.ends[1 - end].is_none() || connection.streams[end].ended {
            return;
        }
        self.bench.world.os.shutdown(&fd, Shutdown::Write).expect("shutdown");
        self.note(format_args!("{at}.{end} shut"));
        self.ended(at, end);
    }

    /// Closes an end that has taken all there was.
    fn close(&mut self, at: usize, end: usize) {
        let connection = &mut self.connections[at];
        let incoming = &connection.streams[1 - end];
        if connection.ends[end].is_none() || incoming.waiting.is_some() || incoming.sent > incoming.taken {
            return;
        }
        connection.ends[end] = None;
        self.note(format_args!("{at}.{end} closed"));
        self.ended(at, end);
    }

    /// The stream of an end has ended: who waits for it sees that.
    fn ended(&mut self, at: usize, end: usize) {
        let stream = &mut self.connections[at].streams[end];
        stream.ended = true;
        if let Some((op, max)) = stream.waiting.take() {
            assert_eq!(received(self.bench.wait(op), max), b"");
            self.note(format_args!("{at}.{} end of stream after a wait", 1 - end));
        }
    }

    fn end(&mut self) {
        for at in 0..self.connections.len() {
            for end in 0..2 {
                self.cancel(at, end);
            }
        }
        if self.accept.is_some() {
            self.wait_for_accept();
        }
        assert_eq!(self.bench.settle(), 0, "nothing is in flight any more");
    }
}

#[test]
fn random_sequences_on_live_machines() {
    for seed in 0..60 {
        let logs: Vec<_> =
            (0..2).flat_map(|_| super::live::worlds()).map(|world| play(&world, seed)).collect();
        for log in &logs[1..] {
            assert_eq!(
                log, &logs[0],
                "seed {seed} went another way the second time, or on the other machine"
            );
        }
    }
}
