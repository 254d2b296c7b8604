//! A machine under test with drivers over it: submits ops, polls, and holds every machine to the laws.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pirn::os::{
    Address, Completion, DriverConfig, DriverParts, Fd, Op, Os, SocketKind, SocketOption, Submitted, Token,
    Wait, Yielded,
};

/// An op that has not resolved by then never will.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is going to happen on a machine at rest has happened by then.
pub(crate) const QUIET: Duration = Duration::from_millis(20);

/// A machine and how to use it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) os: Arc<dyn Os>,
    /// An address of this machine, port 0.
    pub(crate) here: SocketAddr,
}

/// Drivers of one machine, polled in turn by the calling thread.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) drivers: Vec<DriverParts>,
    next_slot: u32,
    pending: HashMap<Token, String>,
    done: HashMap<Token, Completion>,
}

impl World {
    /// A bench with `drivers` drivers that collect `batch` completions a look.
    pub(crate) fn bench(&self, drivers: u32, batch: usize) -> Bench {
        let drivers = (0..drivers)
            .map(|worker| {
                let mut parts =
                    self.os.driver(&DriverConfig { worker, batch, near: usize::MAX }).expect("a driver");
                parts.reap.attach().expect("attach");
                parts
            })
            .collect();
        Bench { world: self.clone(), drivers, next_slot: 0, pending: HashMap::new(), done: HashMap::new() }
    }

    /// A listener on a free port.
    pub(crate) fn listener(&self) -> (Fd, SocketAddr) {
        let fd = self.os.socket(SocketKind::tcp(self.here)).expect("socket");
        self.os.set_option(&fd, SocketOption::ReuseAddress(true)).expect("SO_REUSEADDR");
        self.os.bind(&fd, &self.here.into()).expect("bind");
        self.os.listen(&fd, 128).expect("listen");
        let address = self.os.local_addr(&fd).and_then(Address::ip).expect("local address");
        assert_ne!(address.port(), 0, "a bound socket has a port");
        (fd, SocketAddr::new(self.here.ip(), address.port()))
    }

    /// An address of this machine where nobody listens.
    pub(crate) fn deaf(&self) -> SocketAddr {
        let (fd, address) = self.listener();
        drop(fd);
        address
    }
}

impl Bench {
    fn token(&mut self, driver: usize) -> Token {
        let token = Token::new(driver as u32, self.next_slot % 64, self.next_slot / 64);
        self.next_slot += 1;
        token
    }

    /// Submits to a driver. The answer may be there at once.
    pub(crate) fn submit_at(&mut self, driver: usize, op: Op) -> Token {
        let token = self.token(driver);
        let mut op = op;
        let what = name(&op);
        for _ in 0..1_000 {
            match self.drivers[driver].submit.submit(token, op) {
                Submitted::Done(completion) => {
                    assert_eq!(completion.token, token, "an op that resolved at once has its own token");
                    self.done.insert(token, completion);
                    return token;
                }
                Submitted::Pending => {
                    self.pending.insert(token, what);
                    return token;
                }
                Submitted::Full(back) => {
                    op = back;
                    self.poll(Wait::No);
                }
            }
        }
        panic!("law 7: a queue stayed full for 1,000 looks");
    }

    /// Submits to the first driver.
    pub(crate) fn submit(&mut self, op: Op) -> Token {
        self.submit_at(0, op)
    }

    /// One look at one driver; checks that what comes was asked for, once.
    pub(crate) fn poll_at(&mut self, driver: usize, wait: Wait) -> usize {
        let mut out = Vec::new();
        self.drivers[driver].reap.poll(wait, &mut out).expect("poll");
        self.take(out)
    }

    /// Files completions that a look brought.
    pub(crate) fn take(&mut self, out: Vec<Completion>) -> usize {
        let count = out.len();
        for completion in out {
            let token = completion.token;
            let known = self.pending.remove(&token);
            assert!(known.is_some(), "law 1: {token:?} resolved twice, or was never submitted");
            self.done.insert(token, completion);
        }
        count
    }

    /// A look at every driver; only a lone one is waited in.
    pub(crate) fn poll(&mut self, wait: Wait) -> usize {
        if let [_] = self.drivers[..] {
            return self.poll_at(0, wait);
        }
        let mut count = 0;
        for driver in 0..self.drivers.len() {
            count += self.poll_at(driver, Wait::Until(self.world.os.now() + Duration::from_millis(1)));
        }
        count
    }

    /// Whether an op has resolved, as far as was looked.
    pub(crate) fn resolved(&self, token: Token) -> bool {
        self.done.contains_key(&token)
    }

    /// Looks until the op resolves.
    pub(crate) fn wait(&mut self, token: Token) -> Completion {
        let start = self.world.os.now();
        loop {
            if let Some(completion) = self.done.remove(&token) {
                return completion;
            }
            let now = self.world.os.now();
            assert!(now - start < PATIENCE, "law 1: never resolved: {:?}", self.pending.get(&token));
            self.poll(Wait::Until(now + Duration::from_millis(100)));
        }
    }

    /// Looks for a while, and says how many ops resolved.
    pub(crate) fn settle(&mut self) -> usize {
        let end = self.world.os.now() + QUIET;
        let mut count = 0;
        while self.world.os.now() < end {
            count += self.poll(Wait::Until(end));
        }
        count
    }

    /// Looks until the condition holds.
    pub(crate) fn settle_until(&mut self, mut condition: impl FnMut(&World) -> bool) {
        let start = self.world.os.now();
        while !condition(&self.world) {
            let now = self.world.os.now();
            assert!(now - start < PATIENCE, "what a case waits for never came");
            self.poll(Wait::Until(now + Duration::from_millis(1)));
        }
    }

    /// Leaves an op to a driver that goes away.
    pub(crate) fn forget(&mut self, token: Token) {
        self.pending.remove(&token);
    }

    /// Asserts that an op waits and goes on waiting.
    pub(crate) fn still_waits(&mut self, token: Token) {
        self.settle();
        assert!(!self.resolved(token), "nothing happened, and yet: {:?}", self.done[&token]);
    }

    /// Asks for an early end of an op.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.drivers[token.worker() as usize].submit.cancel(token);
    }

    /// Cancels an op that nothing can complete, and sees it resolve as cancelled.
    pub(crate) fn cancelled(&mut self, token: Token) -> Completion {
        self.cancel(token);
        let completion = self.wait(token);
        assert_eq!(errno(&completion), Some(libc::ECANCELED), "{completion:?}");
        completion
    }

    /// A connected pair: the connecting side, the accepted side.
    pub(crate) fn pair(&mut self) -> (Fd, Fd) {
        let (listener, address) = self.world.listener();
        self.pair_at(&listener, address)
    }

    /// A connected pair whose kernel buffers hold little.
    pub(crate) fn narrow_pair(&mut self) -> (Fd, Fd) {
        let (client, server) = self.pair();
        for fd in [&client, &server] {
            for option in [SocketOption::SendBuffer(32 << 10), SocketOption::ReceiveBuffer(32 << 10)] {
                self.world.os.set_option(fd, option).expect("a buffer size");
            }
        }
        (client, server)
    }

    /// A connection to a listener.
    pub(crate) fn pair_at(&mut self, listener: &Fd, address: SocketAddr) -> (Fd, Fd) {
        let fd = self.world.os.socket(SocketKind::tcp(address)).expect("socket");
        let connect = self.submit(Op::Connect { fd: fd.clone(), address: address.into() });
        let accept = self.submit(Op::Accept { fd: listener.clone() });
        assert_eq!(number(&self.wait(connect)), 0);
        (fd, accepted(self.wait(accept)).0)
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&mut self, fd: &Fd, bytes: &[u8]) {
        let op = self.submit(Op::Send { fd: fd.clone(), bytes: bytes.to_vec(), from: 0 });
        let completion = self.wait(op);
        assert_eq!(number(&completion), bytes.len(), "law 9: a send sends all");
        assert_eq!(bytes_of(completion), bytes, "the buffer comes back as it was");
    }

    /// Receives exactly `count` bytes.
    pub(crate) fn recv(&mut self, fd: &Fd, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            let more = self.recv_some(fd, count - all.len());
            assert!(!more.is_empty(), "the stream ended after {} of {count} bytes", all.len());
            all.extend(more);
        }
        all
    }

    /// Receives what comes, at most `max` bytes; nothing at the end of the stream.
    pub(crate) fn recv_some(&mut self, fd: &Fd, max: usize) -> Vec<u8> {
        let op = self.submit(Op::Recv { fd: fd.clone(), max });
        received(self.wait(op), max)
    }

    /// The errno of the next receive.
    pub(crate) fn recv_error(&mut self, fd: &Fd) -> Option<i32> {
        let op = self.submit(Op::Recv { fd: fd.clone(), max: 16 });
        errno(&self.wait(op))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.pending.is_empty(), "a case left ops unresolved: {:?}", self.pending.values());
        }
    }
}

/// What an op asks for, for messages.
fn name(op: &Op) -> String {
    match op {
        Op::Send { fd, bytes, from } => format!("Send {{ {fd:?}, {} bytes }}", bytes.len() - from),
        other => format!("{other:?}"),
    }
}

/// The result of an op that has to succeed.
pub(crate) fn number(completion: &Completion) -> usize {
    match &completion.result {
        Ok(number) => *number,
        Err(error) => panic!("an op failed: {error}"),
    }
}

/// The errno of a failed op.
pub(crate) fn errno(completion: &Completion) -> Option<i32> {
    completion.result.as_ref().err().and_then(io::Error::raw_os_error)
}

/// The bytes a completion carries.
pub(crate) fn bytes_of(completion: Completion) -> Vec<u8> {
    match completion.yielded {
        Yielded::Bytes(bytes) => bytes,
        other => panic!("bytes were expected, not {other:?}"),
    }
}

/// The bytes of a receive of at most `max`.
pub(crate) fn received(completion: Completion, max: usize) -> Vec<u8> {
    let count = number(&completion);
    let bytes = bytes_of(completion);
    assert_eq!(bytes.len(), count, "a receive's result counts its bytes");
    assert!(count <= max, "a receive of at most {max} bytes brought {count}");
    bytes
}

/// The connection of an accept.
pub(crate) fn accepted(completion: Completion) -> (Fd, Address) {
    number(&completion);
    match completion.yielded {
        Yielded::Accepted(accepted) => *accepted,
        other => panic!("a connection was expected, not {other:?}"),
    }
}

/// Bytes that say where in the stream they stand.
pub(crate) fn pattern(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at ^ (at >> 8) ^ (at >> 16).wrapping_mul(31)) as u8).collect()
}
