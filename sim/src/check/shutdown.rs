//! S26, L11: the phases of a shutdown.

use super::{Checked, Checker, NONE, Violation, counted};

/// What is known of the shutdown.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    asked: Option<u64>,
    /// Events since, and how many are allowed.
    events: u64,
    budget: u64,
    /// When the last event was, of whatever kind.
    pub(super) last: u64,
}

impl Shutdown {
    #[inline]
    pub(super) fn asked(&self) -> bool {
        self.asked.is_some()
    }
}

impl Checker {
    pub(super) fn shutdown_phase(&mut self, worker: u32, phase: u8) -> Checked {
        if phase == 0 {
            if !self.shutdown.asked() {
                self.shutdown.asked = Some(self.now);
                let budget = self.limits.shutdown_events;
                self.shutdown.budget = budget.saturating_add(budget.saturating_mul(self.places.alive() / 8));
            }
            return Ok(());
        }
        if !self.shutdown.asked() {
            let what = format!("worker {worker} is in phase {phase} of a shutdown that nobody asked for");
            return Err(Violation::new("S26", what).worker(worker));
        }
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if phase < seat.phase {
            let what =
                format!("worker {worker} went from phase {} of the shutdown back to {phase}", seat.phase);
            return Err(Violation::new("S26", what).worker(worker));
        }
        let now = self.now;
        let waited = now.saturating_sub(seat.cleaned.max(self.ops.last).max(self.still_until));
        let in_flight: u32 = self.ops.in_flight.iter().sum();
        if phase == 3 && in_flight == 0 && waited > self.limits.shutdown_idle_ns {
            let what =
                format!("worker {worker} waited {waited} ns for ops at its end, and none is in flight");
            return Err(Violation::new("L11", what).worker(worker));
        }
        self.workers.change(worker, |seat| {
            seat.phase = phase;
            seat.cleaned = if phase == 2 { now } else { seat.cleaned };
        });
        Ok(())
    }

    /// No poll starts on a worker that has observed the shutdown.
    #[inline]
    pub(super) fn open_for_polls(&mut self, worker: u32, task: u64) -> Checked {
        match self.workers.get(worker) {
            Some(seat) if seat.phase != 0 => {
                let what =
                    format!("task {task} is polled by worker {worker}, which has observed the shutdown");
                Err(Violation::new("S26", what).task(task).worker(worker))
            }
            _ => Ok(()),
        }
    }

    /// An event of a shutdown that must end.
    #[inline]
    pub(super) fn shutdown_moves(&mut self) -> Checked {
        match self.shutdown.asked {
            Some(asked) => self.shutdown_moved(asked),
            None => Ok(()),
        }
    }

    #[cold]
    fn shutdown_moved(&mut self, asked: u64) -> Checked {
        self.shutdown.events += 1;
        let spent = self.now.saturating_sub(asked);
        if self.shutdown.events > self.shutdown.budget || spent > self.limits.shutdown_ns {
            let what = format!(
                "a shutdown asked for at {asked} ns has not ended after {} events and {spent} ns",
                self.shutdown.events
            );
            return Err(Violation::new("L11", what));
        }
        Ok(())
    }

    /// Nothing is due any more: a shutdown that has not ended never will.
    pub(super) fn shutdown_over(&self) -> Checked {
        match self.shutdown.asked {
            Some(asked) if self.running => {
                let left: Vec<_> = (0..)
                    .zip(&self.workers.list)
                    .filter(|(_, seat)| seat.phase < 3)
                    .map(|(n, _): (u32, _)| n)
                    .collect();
                let what = format!(
                    "the shutdown asked for at {asked} ns cannot end: all threads are blocked, nothing is due, workers not done: {left:?}"
                );
                let worker = left.first().copied().unwrap_or(NONE);
                Err(Violation::new("L11", what).worker(worker))
            }
            _ => Ok(()),
        }
    }

    /// The program returned. A shutdown that reached its limit may leave workers behind that are inside user code, and no others.
    pub(super) fn shutdown_left(&self) -> Checked {
        let waited = self.now.saturating_sub(self.shutdown.last.max(self.still_until));
        let busy = self.workers.list.iter().any(|seat| seat.polling != 0) || self.places.runs_outside();
        if !self.running || !self.shutdown.asked() || busy || waited <= self.limits.shutdown_idle_ns {
            return Ok(());
        }
        let what = format!(
            "the program returned with a shutdown that has not ended: nothing has moved for {waited} ns, and nobody is inside a task or a blocking call"
        );
        Err(Violation::new("L11", what))
    }

    pub(super) fn ended(&mut self) -> Checked {
        if !self.running {
            return Err(Violation::new("S26", "a runtime ended that had not begun, or had ended".to_owned()));
        }
        self.running = false;
        let waited = self.now.saturating_sub(self.shutdown.last.max(self.still_until));
        if waited > self.limits.shutdown_idle_ns && !self.places.runs_outside() {
            let what = format!(
                "the runtime waited {waited} ns at its end, and no worker and no blocking call was left to wait for"
            );
            return Err(Violation::new("L11", what));
        }
        if self.sleep.sleepers != 0 {
            let what = format!(
                "the runtime ended with {} among the sleepers",
                counted(self.sleep.sleepers, "worker")
            );
            return Err(Violation::new("S10", what));
        }
        self.all_gone()?;
        self.none_in_flight()
    }
}
