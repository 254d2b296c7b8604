//! What a checker says when an invariant breaks.

use std::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number: `S7`, `L1`.
    pub invariant: &'static str,
    /// Its short name.
    pub name: &'static str,
    /// What was expected and what was found, in a sentence or two.
    pub message: String,
    /// The task it is about.
    pub task: Option<u64>,
    /// The worker it is about.
    pub worker: Option<u32>,
}

impl Violation {
    /// A violation of `invariant`, one of the numbers in [`NAMES`].
    #[cold]
    pub fn new(invariant: &'static str, message: String) -> Self {
        let name = NAMES.iter().find(|(id, _)| *id == invariant).map_or("", |(_, name)| name);
        Self { invariant, name, message, task: None, worker: None }
    }

    /// A violation of something that has no number.
    #[cold]
    pub fn named(invariant: &'static str, name: &'static str, message: String) -> Self {
        Self { invariant, name, message, task: None, worker: None }
    }

    /// The same, about `task`.
    #[must_use]
    pub fn task(mut self, task: u64) -> Self {
        self.task = Some(task);
        self
    }

    /// The same, about `worker`.
    #[must_use]
    pub fn worker(mut self, worker: u32) -> Self {
        self.worker = Some(worker);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.invariant, self.name, self.message)
    }
}

impl std::error::Error for Violation {}

/// The invariants that are checked, by number.
pub const NAMES: &[(&str, &str)] = &[
    ("S1", "one place"),
    ("S2", "conservation"),
    ("S3", "single poll"),
    ("S4", "bit truth"),
    ("S5", "terminal is terminal"),
    ("S6", "exact references"),
    ("S7", "ring order"),
    ("S8", "steal tag owned"),
    ("S9", "owner pushes"),
    ("S10", "exact idle set"),
    ("S11", "wake owed"),
    ("S12", "exact counters"),
    ("S13", "one holder"),
    ("S14", "nothing after publish"),
    ("S15", "no user code under a lock"),
    ("S16", "lock order"),
    ("S17", "token generation"),
    ("S18", "op lifetime"),
    ("S19", "once"),
    ("S20", "adopted"),
    ("S21", "right address"),
    ("S23", "edges not lost"),
    ("S24", "timer in one place"),
    ("S25", "park bound"),
    ("S26", "closed is closed"),
    ("S27", "affinity"),
    ("S29", "latest waker"),
    ("S30", "accepted bytes"),
    ("L1", "work conservation"),
    ("L2", "quiescent is empty"),
    ("L3", "no lost wake"),
    ("L4", "no lost unpark"),
    ("L5", "armed park"),
    ("L6", "timers live"),
    ("L7", "completions live"),
    ("L8", "fairness"),
    ("L9", "token forwarded"),
    ("L10", "no livelock"),
    ("L11", "shutdown ends"),
    ("L12", "cancel ends"),
    ("L13", "searching is finite"),
    ("L14", "core recovered"),
];
