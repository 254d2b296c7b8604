//! The programs that `pirn` runs and explores. Each is an async program over Pirn's public API, in one file, and the very
//! same code runs live and simulated: nothing in it asks where it is, except for the address of its peer.

use std::cell::Cell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hdrhistogram::Histogram;
use pirn::time::Instant;

mod accepts;
mod blocking;
mod burst;
mod busy;
mod callers;
mod cancel;
pub(crate) mod cold;
mod coroutines;
mod echo;
mod files;
mod flood;
mod guests;
mod hog;
mod hops;
mod local;
mod mailbox;
mod pingpong;
mod remote;
mod sets;
mod shutdown;
mod spawn;
mod spin;
mod stages;
mod storm;
mod streams;
mod stuck;
mod timers;
mod ways;

/// A program for one host or more.
pub(crate) struct Workload {
    /// Its name on the command line and in traces.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What [`Report::count`] counts.
    pub(crate) unit: &'static str,
    /// What [`Report::latencies`] are of.
    pub(crate) latency: &'static str,
    /// Its hosts. Live, the first one gets `--workers` and its CPU time is reported; the others are load generators.
    pub(crate) hosts: &'static [Host],
    /// Its size when simulated; live sizes are the defaults of the command line.
    pub(crate) small: Size,
    /// Its size when live.
    pub(crate) large: Size,
}

/// One host's program.
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its main future.
    pub(crate) main: fn(Arc<Setting>) -> Main,
}

/// A host's main future. It stays on the thread that called `block_on`.
pub(crate) type Main = Pin<Box<dyn Future<Output = Result<Report, String>>>>;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Connections, pairs or tasks at a time.
    pub(crate) width: u32,
    /// Rounds of each; 0: until the time is over.
    pub(crate) rounds: u32,
    /// Bytes of a message.
    pub(crate) bytes: u32,
}

/// What a program is told.
#[derive(Debug)]
pub(crate) struct Setting {
    /// How much there is to do.
    pub(crate) size: Size,
    /// When to stop if `size.rounds` is 0, counted from the start of the host.
    pub(crate) span: Duration,
    /// Whether latencies are kept.
    pub(crate) measure: bool,
    /// Where the first host listens.
    pub(crate) place: Place,
    /// Of the workload `cold`.
    pub(crate) cold: cold::Cold,
}

/// The one thing that differs between the worlds: the first host's address.
#[derive(Debug)]
pub(crate) enum Place {
    /// The first host listens here (port 0: any) and tells the others where it does.
    Live { listen: SocketAddr, told: OnceLock<SocketAddr> },
    /// The first host of a simulated network.
    Simulated,
}

/// The port of the first host in the simulator.
const PORT: u16 = 7;

impl Setting {
    /// The first host's listener.
    pub(crate) async fn listen(&self) -> Result<pirn::net::TcpListener, String> {
        let address = match &self.place {
            Place::Live { listen, .. } => *listen,
            Place::Simulated => SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        };
        // The error names the address.
        let failed = |error: std::io::Error| {
            format!("{error}; choose another address with --listen (port 0: any free one)")
        };
        let listener = pirn::net::TcpListener::bind(address).await.map_err(failed)?;
        if let Place::Live { told, .. } = &self.place {
            let _ = told.set(listener.local_addr().map_err(failed)?);
        }
        Ok(listener)
    }

    /// A connection to the first host, which may not listen yet.
    pub(crate) async fn connect(&self) -> Result<pirn::net::TcpStream, String> {
        let mut last = "it does not listen yet".to_owned();
        for tries in 0..1_000 {
            let address = match &self.place {
                Place::Live { told, .. } => told.get().copied(),
                Place::Simulated => Some(SocketAddr::from((IpAddr::from([10, 0, 0, 1]), PORT))),
            };
            if let Some(address) = address {
                match pirn::net::TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = format!("connecting to {address}: {error}"),
                }
            }
            // A simulated host may stand still for seconds.
            let patience = if matches!(self.place, Place::Simulated) { tries / 20 } else { 0 };
            pirn::time::sleep(Duration::from_millis(2 + patience)).await;
        }
        Err(format!("the first host can't be reached; {last}"))
    }

    /// Counts rounds: the loop's condition in every program.
    pub(crate) fn clock(&self) -> Clock {
        let until = (self.size.rounds == 0).then(|| Instant::now() + self.span);
        Clock { left: self.size.rounds, until }
    }

    /// An empty report.
    pub(crate) fn report(&self) -> Report {
        Report { count: 0, latencies: self.measure.then(histogram), after: None }
    }
}

/// Says when to stop.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    left: u32,
    until: Option<Instant>,
}

impl Clock {
    /// Whether another round is due.
    pub(crate) fn again(&mut self) -> bool {
        match self.until {
            Some(until) => Instant::now() < until,
            None => {
                let again = self.left > 0;
                self.left = self.left.saturating_sub(1);
                again
            }
        }
    }
}

/// What a program does on its host's first thread after its main future, while the runtime is still there.
pub(crate) type After = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// What a host did.
pub(crate) struct Report {
    /// Messages, tasks, timers: see [`Workload::unit`].
    pub(crate) count: u64,
    /// Latencies in nanoseconds, if they were asked for.
    pub(crate) latencies: Option<Histogram<u64>>,
    /// What is left to do without a main future.
    pub(crate) after: Option<After>,
}

impl Report {
    /// Counts one, with its latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.count += 1;
        if let Some(latencies) = &mut self.latencies {
            // Fails for more than a histogram can hold (centuries) only.
            let _ = latencies.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Adds what another task did.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        if let (Some(latencies), Some(others)) = (&mut self.latencies, other.latencies) {
            latencies.add(others).expect("histograms that resize themselves add up");
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three figures are valid")
}

/// A stream of random numbers, seeded by the runtime's machine: real entropy live, a recorded choice simulated.
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// A stream of its own.
    pub(crate) fn new() -> Self {
        Self(Cell::new(pirn::Handle::current().os().entropy() | 1))
    }

    /// A number below `bound` (at least 1).
    pub(crate) fn below(&self, bound: u32) -> u32 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        ((x >> 32) % u64::from(bound)) as u32
    }
}

/// Fails the program with a sentence when `holds` is false.
pub(crate) fn check(holds: bool, says: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(says()) }
}

/// The output of a task that must have finished.
pub(crate) async fn finished<T>(handle: pirn::task::JoinHandle<T>) -> Result<T, String> {
    handle.await.map_err(|error| format!("a task that should have finished did not: {error}"))
}

/// All of them, those for `run` first.
pub(crate) const ALL: &[&Workload] = &[
    &echo::WORKLOAD,
    &pingpong::WORKLOAD,
    &spawn::WORKLOAD,
    &timers::WORKLOAD,
    &storm::WORKLOAD,
    &spin::WORKLOAD,
    &remote::WORKLOAD,
    &cancel::WORKLOAD,
    &local::WORKLOAD,
    &coroutines::WORKLOAD,
    &blocking::WORKLOAD,
    &callers::WORKLOAD,
    &sets::WORKLOAD,
    &hog::WORKLOAD,
    &burst::WORKLOAD,
    &stuck::WORKLOAD,
    &busy::WORKLOAD,
    &streams::WORKLOAD,
    &flood::WORKLOAD,
    &ways::WORKLOAD,
    &accepts::WORKLOAD,
    &guests::WORKLOAD,
    &files::WORKLOAD,
    &cold::WORKLOAD,
    &shutdown::WORKLOAD,
    &stages::WORKLOAD,
    &hops::WORKLOAD,
];

/// The workload of that name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().copied().find(|workload| workload.name == name)
}
