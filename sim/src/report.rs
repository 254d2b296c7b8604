//! What came of a run: verdict, outcome, and who waits for what.

use std::fmt::{self, Write};
use std::panic;
use std::sync::Once;

use crate::check::Violation;
use crate::thread::current;
use crate::trace::Trace;
use crate::world::{State, Why, World};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// All hosts returned and no invariant broke.
    Pass,
    /// An invariant of the runtime broke.
    Violation(Violation),
    /// A host's program, or a thread of the runtime, panicked.
    Panic(String),
    /// All threads wait, and nothing will wake them.
    Deadlock(String),
    /// Threads run, and nothing gets on.
    Livelock(String),
    /// The program did something that can't be simulated.
    Unsupported(String),
}

impl Verdict {
    /// Whether this is `Pass`.
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// The name in traces: `pass`, `violation`, `panic`, `deadlock`, `livelock`, `unsupported`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Violation(_) => "violation",
            Self::Panic(_) => "panic",
            Self::Deadlock(_) => "deadlock",
            Self::Livelock(_) => "livelock",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// What it says beyond its name.
    pub fn message(&self) -> String {
        match self {
            Self::Pass => String::new(),
            Self::Violation(violation) => violation.to_string(),
            Self::Panic(text) | Self::Deadlock(text) | Self::Livelock(text) | Self::Unsupported(text) => {
                text.clone()
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            other => write!(f, "{}: {}", other.name(), other.message()),
        }
    }
}

/// One execution.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// A digest of all its events: equal in every replay.
    pub digest: u64,
    /// Points at which threads could be switched.
    pub points: u64,
    /// Switches of threads.
    pub switches: u64,
    /// Events of the runtimes.
    pub events: u64,
    /// Virtual time at the end, in nanoseconds.
    pub time_ns: u64,
    /// Where every thread was at the end, if the run failed.
    pub threads: String,
    /// The run, for replay.
    pub trace: Trace,
}

impl World {
    /// Who waits for what, and who holds what.
    pub(crate) fn describe_threads(&self) -> String {
        let mut text = format!("at {:.6} s, after {} points:\n", self.now as f64 / 1e9, self.points);
        for (number, thread) in self.threads.iter().enumerate() {
            let state = match thread.state {
                State::Finished => continue,
                State::Ready => "runnable".to_owned(),
                State::Blocked { why, until } => self.describe_wait(why, until),
            };
            let _ = write!(text, "  thread {number} {}: {state}", thread.name);
            if let Some(at) = thread.at {
                let _ = write!(text, ", last seen at {}:{}", at.file(), at.line());
            }
            let waits_for = self.peers_at(number as u32);
            if !waits_for.is_empty() {
                let _ = write!(text, " (so do {waits_for})");
            }
            text.push('\n');
        }
        for host in self.hosts.iter().filter(|host| !host.returned) {
            let described = host.checker.describe();
            if !described.trim().is_empty() {
                let _ = writeln!(text, "  host {}:", host.name);
                for line in described.lines() {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text
    }

    /// What a thread waits for.
    pub(crate) fn describe_wait(&self, why: Why, until: u64) -> String {
        let what = match why {
            Why::Address(_) => "waits for a lock or notification of the runtime".to_owned(),
            Why::Futex(_) => "waits for a user's lock, condition or thread wake-up".to_owned(),
            Why::Driver(driver) => format!("waits in {}", self.describe_driver(driver)),
            Why::Kernel => "waits in a call of the kernel".to_owned(),
            Why::Join(thread) => format!("waits for the end of {}", self.threads[thread as usize].name),
            Why::Busy => "sleeps or computes".to_owned(),
        };
        if until == u64::MAX { what } else { format!("{what} until {:.6} s", until as f64 / 1e9) }
    }

    /// The other threads that wait for the same thing.
    fn peers_at(&self, number: u32) -> String {
        let waits = |thread: &crate::world::Thread| match thread.state {
            State::Blocked { why: Why::Address(address) | Why::Futex(address), .. } => Some(address),
            _ => None,
        };
        let Some(address) = waits(&self.threads[number as usize]) else { return String::new() };
        let names: Vec<&str> = self
            .threads
            .iter()
            .enumerate()
            .filter(|(other, thread)| *other as u32 != number && waits(thread) == Some(address))
            .map(|(_, thread)| thread.name.as_str())
            .collect();
        names.join(", ")
    }
}

/// Panics of simulated threads are noted for the verdict instead of printed: exploring would print thousands that the program expects.
pub(crate) fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match current() {
            Some(executor) => {
                let what = crate::thread::message(info.payload_as_any());
                let text = match info.location() {
                    Some(at) => format!("{what} (at {at})"),
                    None => what,
                };
                executor.world().me().panic = Some(text);
            }
            None => before(info),
        }));
    });
}

trait PayloadAsAny {
    fn payload_as_any(&self) -> &(dyn std::any::Any + Send);
}

impl PayloadAsAny for panic::PanicHookInfo<'_> {
    fn payload_as_any(&self) -> &(dyn std::any::Any + Send) {
        self.payload()
    }
}
