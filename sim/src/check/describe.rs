//! Who holds what, for reports.

use std::fmt::Write as _;

use super::{Checker, NONE, counted, tasks::whereabouts, workers::Worker};

/// Tasks listed one by one; the rest is counted.
const LISTED: usize = 24;

impl Checker {
    /// Who holds what: workers, containers, tasks that are on their way, timers, ops, tokens, debts.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        let state = match (self.running, self.shutdown.asked()) {
            (false, _) => "no runtime is running",
            (true, false) => "a runtime is running",
            (true, true) => "a runtime is shutting down",
        };
        let _ = writeln!(
            out,
            "at {} ns {state}: {} alive of {}, {} in the injector, {} for the blocking pool, {}, {}",
            self.now,
            counted(self.places.alive(), "task"),
            self.places.spawned,
            self.places.injector,
            self.places.blocking,
            counted(self.sleep.sleepers, "sleeper"),
            counted(self.sleep.searchers, "searcher")
        );
        for (worker, seat) in self.workers.list.iter().enumerate() {
            let _ = writeln!(out, "  worker {worker}{}: {}", on_thread(seat), self.worker(worker, seat));
        }
        for (thread, debts) in self.sleep.debts() {
            let _ = writeln!(out, "  thread {thread} owes: {debts}");
        }
        let mut busy = self.places.busy();
        for (task, at, scheduled) in busy.by_ref().take(LISTED) {
            let bit = if scheduled { "" } else { ", not scheduled" };
            let _ = writeln!(out, "  task {task}: {}{bit}", whereabouts(at));
        }
        let rest = busy.count();
        if rest != 0 {
            let _ = writeln!(out, "  and {rest} more tasks");
        }
        out
    }

    /// Tasks that were spawned so far on the runtime that runs, or ran last.
    pub(crate) fn tasks_spawned(&self) -> u64 {
        self.places.spawned
    }

    fn worker(&self, worker: usize, seat: &Worker) -> String {
        let mut parts = Vec::new();
        match (seat.polling, seat.park) {
            (0, Some(park)) if park.deadline == u64::MAX => {
                parts.push(format!("parked since {} ns", park.since))
            }
            (0, Some(park)) => parts.push(format!("parked since {} until {} ns", park.since, park.deadline)),
            (0, None) if seat.main => parts.push("in or after the main future".to_owned()),
            (0, None) => parts.push("awake".to_owned()),
            (task, _) => parts.push(format!("polling task {task} since {} ns", seat.polling_since)),
        }
        let flags = [
            (seat.joined, "sleeper"),
            (seat.searching, "searching"),
            (seat.token, "token pending"),
            (seat.owed != 0, "token owed to it"),
        ];
        parts.extend(flags.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()));
        let counts = [(seat.ring, "in ring"), (seat.lifo, "in LIFO slot"), (seat.inbox, "in inbox")];
        parts.extend(
            counts.iter().filter(|(count, _)| *count != 0).map(|(count, name)| format!("{count} {name}")),
        );
        if let Some(wheel) = self.wheels.get(worker).filter(|wheel| wheel.len() != 0) {
            parts.push(format!("{}, next {} ns", counted(wheel.len() as u64, "timer"), wheel.earliest()));
        }
        if let Some(count) = self.ops.in_flight.get(worker).filter(|count| **count != 0) {
            parts.push(format!("{} in flight", counted(*count, "op")));
        }
        if let Some(by) = self.ops.holder(worker).filter(|by| *by as usize != worker) {
            parts.push(format!("its driver held by worker {by}"));
        }
        if seat.phase != 0 {
            parts.push(format!("shutdown phase {}", seat.phase));
        }
        parts.join(", ")
    }
}

fn on_thread(seat: &Worker) -> String {
    if seat.thread == NONE { String::new() } else { format!(" (thread {})", seat.thread) }
}
