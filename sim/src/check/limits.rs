//! The bounds of the checks that need one.

/// Bounds. The defaults are generous: a correct core stays far below them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How much later than the earliest deadline of its wheel a worker may park, ns: one slot of the wheel.
    pub park_late_ns: u64,
    /// Park, search and wake rounds a worker without a useful event while time stands still.
    pub rounds: u32,
    /// The same while time moves and nobody is inside a poll.
    pub idle_rounds: u32,
    /// Polls a worker may do past a source that has work, as a multiple of the intervals it was built with.
    pub fairness: u32,
    /// For how long a worker may keep its ring to itself while it polls, ns.
    pub kept_ns: u64,
    /// Virtual time from the cancel of an op to its end while its worker is not stuck, ns.
    pub cancel_ns: u64,
    /// What a worker may wait for in a shutdown after the last op in flight has resolved, ns.
    pub shutdown_idle_ns: u64,
    /// Events from the request of a shutdown to its end, and as many again for every 8 tasks then alive.
    pub shutdown_events: u64,
    /// Virtual time from the request of a shutdown to its end, ns.
    pub shutdown_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            park_late_ns: 0,
            rounds: 200,
            idle_rounds: 2_000,
            fairness: 4,
            kept_ns: 1_000_000,
            cancel_ns: 1_000_000_000,
            shutdown_idle_ns: 2_000_000_000,
            shutdown_events: 100_000,
            shutdown_ns: 120_000_000_000,
        }
    }
}
