//! What one cell of the comparison is: a workload of a size on a topology, and the world that it runs in. Server and client
//! share it, live and simulated.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pirn::Handle;
use pirn::net::{ListenOptions, TcpListener, TcpStream};
use pirn::time::Instant;

use super::load::{COLD_EVERY, Kind, Load};
use super::shape::Shape;
use super::spin::Spin;
use crate::cpu;

/// See the module.
pub(crate) struct Plan {
    pub(crate) load: &'static Load,
    pub(crate) shape: Shape,
    pub(crate) workers: usize,
    pub(crate) connections: u32,
    pub(crate) rounds: u32,
    /// Rounds before those that count.
    pub(crate) warm_up: u32,
    pub(crate) heavy: BTreeSet<u32>,
    pub(crate) file: PathBuf,
    pub(crate) world: World,
    /// Where the server listens, once it does.
    told: OnceLock<SocketAddr>,
    /// Until the last snapshot: a simulated runtime must not outlive its simulation.
    server: Mutex<Option<Handle>>,
    /// Requests that were answered, where the server has to know; one more: the client is done.
    pub(crate) served: AtomicU64,
    /// Cold pages that were read.
    cold: AtomicU64,
    snapshots: Mutex<Vec<Snapshot>>,
    outcome: Mutex<Outcome>,
}

/// What differs between the worlds.
pub(crate) enum World {
    Live {
        spin: Spin,
        /// The threads of the server's runtime.
        threads: OnceLock<BTreeSet<i32>>,
    },
    Simulated,
}

/// The counters of the server at one moment.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    at: Instant,
    cpu: Duration,
    stolen: u64,
    looks: u64,
    calls: Option<u64>,
}

/// What the parts of the program counted.
#[derive(Debug, Default)]
struct Outcome {
    latencies: Vec<u64>,
    moves: u64,
}

/// What came of a cell. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Requests a second.
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// CPU time of the server for a request.
    pub(crate) cpu: f64,
    /// Times that a request's task went on on another worker.
    pub(crate) moves: f64,
    /// Tasks that were stolen, looks at drivers, system calls of the server: for a request.
    pub(crate) stolen: f64,
    pub(crate) looks: f64,
    pub(crate) calls: Option<f64>,
}

/// Rounds after which connections, buffers and workers are where they will be.
const WARM_UP: u32 = 8;
/// The port in the simulator.
const PORT: u16 = 7;
/// A page, and how far cold ones lie apart, so that no read brings the next one in.
pub(crate) const PAGE: u64 = 4096;
const STRIDE: u64 = 16 * 1024;
/// Pages that are always in memory.
const HOT_PAGES: u64 = 256;

impl Plan {
    pub(crate) fn new(
        load: &'static Load,
        shape: Shape,
        workers: usize,
        rounds: u32,
        world: World,
        file: PathBuf,
    ) -> Self {
        let connections = load.connections(workers);
        Self {
            load,
            shape,
            workers,
            connections,
            rounds,
            warm_up: if load.kind == Kind::Graphs { 0 } else { (rounds / 4).min(WARM_UP) },
            heavy: load.heavy_ones(connections),
            file,
            world,
            told: OnceLock::new(),
            server: Mutex::default(),
            served: AtomicU64::new(0),
            cold: AtomicU64::new(0),
            snapshots: Mutex::default(),
            outcome: Mutex::default(),
        }
    }

    /// Requests in all, those for the warm-up included.
    pub(crate) fn requests(&self) -> u64 {
        u64::from(self.connections) * u64::from(self.warm_up + self.rounds)
    }

    /// Works for so many nanoseconds.
    pub(crate) fn work(&self, ns: u64) {
        let span = Duration::from_nanos(ns);
        match &self.world {
            _ if ns == 0 => {}
            World::Live { spin, .. } => spin.work(span),
            World::Simulated => pirn_sim::busy(span),
        }
    }

    /// The second stage's work of a request of connection `number`.
    pub(crate) fn answer_ns(&self, number: u32) -> u64 {
        if self.heavy.contains(&number) { self.load.heavy } else { self.load.work[1] }
    }

    /// The server's runtime is the current one.
    pub(crate) fn is_served_here(&self) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(Handle::current());
    }

    /// A listener of the server; several share the port.
    pub(crate) async fn listen(&self) -> Result<TcpListener, String> {
        let address = match (&self.world, self.told.get()) {
            (World::Live { .. }, Some(told)) => *told,
            (World::Live { .. }, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            (World::Simulated, _) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        };
        let failed = |error: std::io::Error| format!("the server can't listen: {error}");
        let options = ListenOptions::new().backlog(16_384).reuse_port(true);
        let listener = options.bind(address).await.map_err(failed)?;
        if let World::Live { .. } = &self.world {
            let _ = self.told.set(listener.local_addr().map_err(failed)?);
        }
        Ok(listener)
    }

    /// Lets clients connect; call it when all listeners are there.
    pub(crate) fn open(&self) {
        let _ = self.told.set(SocketAddr::from((IpAddr::from([10, 0, 0, 1]), PORT)));
    }

    /// A connection to the server, which may not listen yet.
    pub(crate) async fn connect(&self) -> Result<TcpStream, String> {
        let mut last = "it does not listen yet".to_owned();
        for _ in 0..1_000 {
            if let Some(address) = self.told.get() {
                match TcpStream::connect(*address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = format!("connecting to {address}: {error}"),
                }
            }
            pirn::time::sleep(Duration::from_millis(2)).await;
        }
        Err(format!("the server can't be reached; {last}"))
    }

    // ---- the file ----

    /// Cold pages that a run needs.
    pub(crate) fn cold_pages(&self) -> u64 {
        if self.load.kind == Kind::Files { self.requests() / u64::from(COLD_EVERY) + 1 } else { 0 }
    }

    /// Bytes of the hot part, and of all.
    pub(crate) fn file_size(&self) -> (u64, u64) {
        let hot = HOT_PAGES * PAGE;
        (hot, hot + self.cold_pages() * STRIDE)
    }

    /// Where request `round` of connection `number` reads.
    pub(crate) fn offset(&self, number: u32, round: u32) -> u64 {
        if (number + round).is_multiple_of(COLD_EVERY) {
            // Relaxed: the number only has to differ.
            let page = self.cold.fetch_add(1, Ordering::Relaxed) % self.cold_pages();
            return HOT_PAGES * PAGE + page * STRIDE;
        }
        super::load::scatter(u64::from(number) << 32 | u64::from(round)) % HOT_PAGES * PAGE
    }

    // ---- figures ----

    /// Notes the counters: at the start of the load, and at its end.
    pub(crate) fn snapshot(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(server) = server else { return };
        let metrics = server.metrics();
        let (cpu, calls) = match &self.world {
            World::Live { threads, .. } => (threads.get().map_or(Duration::ZERO, cpu::used), None),
            World::Simulated => {
                let spent = pirn_sim::cost::spent("server");
                (spent.cpu, Some(spent.calls))
            }
        };
        let sum = |of: fn(&pirn::WorkerMetrics) -> u64| metrics.workers.iter().map(of).sum();
        let snapshot = Snapshot {
            at: Instant::now(),
            cpu,
            stolen: sum(|worker| worker.tasks_stolen),
            looks: sum(|worker| worker.looks),
            calls,
        };
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.push(snapshot);
        if snapshots.len() == 1 {
            *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        }
    }

    /// After a simulation that failed: its runtime is leaked, as all that is left of it.
    pub(crate) fn abandon(&self) {
        std::mem::forget(self.server.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Adds what a part of the program counted.
    pub(crate) fn count(&self, latencies: &[u64], moves: u64) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.latencies.extend_from_slice(latencies);
        outcome.moves += moves;
    }

    /// What came of it, if it ran to its end.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let [first, last] = snapshots[..] else { return None };
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.latencies.sort_unstable();
        let latencies = &outcome.latencies;
        let at = |part: f64| {
            let rank = (latencies.len() as f64 * part).ceil() as usize;
            latencies.get(rank.clamp(1, latencies.len().max(1)) - 1).map_or(0.0, |ns| *ns as f64)
        };
        let nodes = if self.load.kind == Kind::Graphs { u64::from(super::load::NODES) } else { 1 };
        let count = (u64::from(self.connections) * u64::from(self.rounds) * nodes) as f64;
        let each = |n: u64| n as f64 / count.max(1.0);
        Some(Figures {
            rate: count / (last.at - first.at).as_secs_f64().max(1e-9),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            cpu: last.cpu.saturating_sub(first.cpu).as_nanos() as f64 / count.max(1.0),
            // Of all requests: a connection counts from its first one on.
            moves: outcome.moves as f64 / (self.requests() * nodes) as f64,
            stolen: each(last.stolen - first.stolen),
            looks: each(last.looks - first.looks),
            calls: last.calls.zip(first.calls).map(|(last, first)| each(last - first)),
        })
    }
}
