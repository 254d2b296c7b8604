//! S24, S25, L5, L6: the armed timers of each wheel.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, Checker, Violation};

/// One wheel.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    armed: BTreeMap<u32, u64>,
    order: BTreeSet<(u64, u32)>,
    /// The earliest deadline as the wheel itself published it.
    next: Option<u64>,
}

impl Wheel {
    /// The earliest armed deadline, `u64::MAX` for none.
    pub(super) fn earliest(&self) -> u64 {
        self.order.first().map_or(u64::MAX, |(deadline, _)| *deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.armed.len()
    }

    fn disarm(&mut self, key: u32) -> Option<u64> {
        let deadline = self.armed.remove(&key)?;
        self.order.remove(&(deadline, key));
        Some(deadline)
    }
}

#[cold]
fn timer(invariant: &'static str, worker: u32, key: u32, what: String) -> Violation {
    Violation::new(invariant, format!("timer {key} of the wheel of worker {worker} {what}")).worker(worker)
}

impl Checker {
    pub(super) fn timer_armed(&mut self, worker: u32, key: u32, deadline: u64) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        if let Some(old) = wheel.armed.insert(key, deadline) {
            let what = format!("was armed for {deadline} ns, but it is armed for {old} ns already");
            return Err(timer("S24", worker, key, what));
        }
        wheel.order.insert((deadline, key));
        Ok(())
    }

    pub(super) fn timer_fired(&mut self, worker: u32, key: u32, now: u64) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        let Some(deadline) = wheel.disarm(key) else {
            let what = format!("fired at {now} ns, but it is not armed: it fired before or was cancelled");
            return Err(timer("S24", worker, key, what));
        };
        if now < deadline {
            let early = deadline - now;
            return Err(timer(
                "S24",
                worker,
                key,
                format!("fired {early} ns before its deadline {deadline}"),
            ));
        }
        self.useful();
        Ok(())
    }

    pub(super) fn timer_cancelled(&mut self, worker: u32, key: u32) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        if wheel.disarm(key).is_none() {
            let what = "was cancelled, but it is not armed: it fired before or was cancelled before";
            return Err(timer("S24", worker, key, what.to_owned()));
        }
        Ok(())
    }

    pub(super) fn wheel_next(&mut self, worker: u32, deadline: u64) {
        if let Some(wheel) = self.wheels.get_mut(worker as usize) {
            wheel.next = Some(deadline);
        }
    }

    /// All threads are blocked: each parked worker comes back in time for its wheel, and nothing is overdue that somebody could have served.
    pub(super) fn wheels_served(&self) -> Checked {
        let idle_since = self.workers.list.iter().filter_map(|seat| seat.park.map(|park| park.since)).min();
        for (worker, (seat, wheel)) in self.workers.list.iter().zip(&self.wheels).enumerate() {
            let (worker, earliest) = (worker as u32, wheel.earliest());
            if earliest == u64::MAX {
                continue;
            }
            if let Some(park) = seat.park
                && !seat.token
                && park.deadline > earliest.saturating_add(self.limits.park_late_ns)
            {
                return Err(park_unbound(worker, park.deadline, earliest, wheel.next));
            }
            // Somebody has been idle since before it was late.
            let late = earliest.saturating_add(self.limits.timer_late_ns);
            let free =
                idle_since.is_some_and(|since| since.max(earliest) + self.limits.timer_late_ns < self.now);
            if free && late < self.now && !self.shutdown.asked() {
                let owner = match (seat.polling, seat.park) {
                    (0, Some(_)) => "parked".to_owned(),
                    (0, None) => "awake".to_owned(),
                    (task, _) => format!("inside a poll of task {task}"),
                };
                let what = format!(
                    "of the wheel of worker {worker} was due at {earliest} ns and has not fired by {} ns: the owner is {owner} and a worker has been idle all the time",
                    self.now
                );
                return Err(Violation::new("L6", format!("a timer {what}")).worker(worker));
            }
        }
        Ok(())
    }
}

#[cold]
fn park_unbound(worker: u32, deadline: u64, earliest: u64, published: Option<u64>) -> Violation {
    let published = match published {
        Some(u64::MAX) => "nothing".to_owned(),
        Some(next) => format!("{next} ns"),
        None => "not yet anything".to_owned(),
    };
    if deadline == u64::MAX {
        let what = format!(
            "worker {worker} is parked without limit, no token is pending, and its wheel holds a timer for {earliest} ns (published: {published})"
        );
        return Violation::new("L5", what).worker(worker);
    }
    let what = format!(
        "worker {worker} is parked until {deadline} ns, no token is pending, and its wheel holds a timer for {earliest} ns (published: {published})"
    );
    Violation::new("S25", what).worker(worker)
}
