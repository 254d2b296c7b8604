//! What a server counts, and what it says of an answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::{Method, StatusCode, Uri, Version};

/// Counters of a [`Server`](super::Server). They only say how often; nothing else is to be concluded from their order.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) stalled: AtomicU64,
    pub(super) slow_heads: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// By the first digit of the status.
    pub(super) answers: [AtomicU64; 6],
}

impl Stats {
    /// Connections accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Accepts that the system refused, for want of descriptors or memory.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Connections that ended in an error: of the peer, of TLS, of HTTP.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Connections cut off because an answer was not taken in [`Limits::stall`](super::Limits::stall).
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Relaxed)
    }

    /// Connections closed because a head, or the handshake, did not come in [`Limits::head`](super::Limits::head), idle ones included.
    pub fn slow_heads(&self) -> u64 {
        self.slow_heads.load(Relaxed)
    }

    /// Requests that reached the service.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Bytes of bodies handed over.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Answers whose status begins with this digit, 1 to 5.
    pub fn answers(&self, class: usize) -> u64 {
        self.answers.get(class).map_or(0, |count| count.load(Relaxed))
    }

    /// All of them in the text format of Prometheus.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (label, value) in values {
                let _ = writeln!(text, "{name}{label} {value}");
            }
        };
        let one = |value: u64| vec![(String::new(), value)];
        let (counter, gauge) = ("counter", "gauge");
        put("http_connections_open", gauge, "Connections open now.", &one(self.open()));
        put("http_connections_total", counter, "Connections accepted.", &one(self.accepted()));
        let ended = [
            ("refused", self.refused()),
            ("error", self.failed()),
            ("stalled", self.stalled()),
            ("slow_head", self.slow_heads()),
        ]
        .map(|(why, count)| (format!("{{why=\"{why}\"}}"), count));
        put("http_connections_lost_total", counter, "Connections that did not end well, by reason.", &ended);
        put("http_requests_total", counter, "Requests that reached the service.", &one(self.requests()));
        let answers: Vec<_> =
            (1..=5).map(|class| (format!("{{code=\"{class}xx\"}}"), self.answers(class))).collect();
        put("http_responses_total", counter, "Answers by the class of their status.", &answers);
        put("http_response_bytes_total", counter, "Bytes of bodies handed over.", &one(self.bytes()));
        text
    }
}

/// An answer that was given, for an access log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// To whom.
    pub peer: SocketAddr,
    /// The request's method.
    pub method: Method,
    /// What was asked for.
    pub uri: Uri,
    /// The request's version.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// Bytes of the body that were handed over to be sent.
    pub bytes: u64,
    /// All of the body was handed over.
    pub whole: bool,
    /// From the request's head to the end of the answer's body.
    pub took: Duration,
}
