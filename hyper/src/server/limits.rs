//! What a client may take of a server.

use std::time::Duration;

/// The limits of a [`Server`](super::Server).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time, 1 to [`MOST_CONNECTIONS`](Self::MOST_CONNECTIONS). At the limit no more are accepted until one ends. Each takes
    /// a descriptor, and one more for an answer from a file: `ulimit -n` should be twice as much. Default: 8,192.
    pub connections: usize,
    /// How long the handshake of TLS may take, then the first bytes, then the head of each request, counted from the answer before it: so
    /// it is also how long an idle connection of HTTP/1 stays. Default: 30 s.
    pub head: Duration,
    /// How long a client may leave an answer untaken. It is cut off after one to two times that. Default: 30 s.
    pub stall: Duration,
    /// Bytes of a request's head. More: 431. Default: 32 KiB.
    pub head_bytes: usize,
    /// Fields of a request's head. More: 431. HTTP/1 only, in HTTP/2 the bytes count. Default: 100.
    pub fields: usize,
    /// Requests of one HTTP/2 connection at a time. Default: 128.
    pub streams: u32,
    /// How often an HTTP/2 connection is asked whether it is alive, and how long it may take to answer. Default: 30 s.
    pub ping: Duration,
    /// How long open connections may take to end after a stop. Default: 30 s.
    pub drain: Duration,
}

impl Limits {
    /// The most that [`connections`](Self::connections) can be.
    pub const MOST_CONNECTIONS: usize = 1 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            head_bytes: 32 << 10,
            fields: 100,
            streams: 128,
            ping: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}
