//! S24, S25, S29, L5, L6, L14: the armed timers of each wheel.

use std::collections::{BTreeMap, BTreeSet};

use pirn::sync::Which;

use super::{Checked, Checker, Violation};

/// One wheel.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    armed: BTreeMap<u32, u64>,
    order: BTreeSet<(u64, u32)>,
    /// The earliest deadline as the wheel itself published it.
    next: Option<u64>,
    /// Generation and latest waker of each place.
    keys: Vec<(u32, Option<Which>)>,
}

impl Wheel {
    /// The earliest armed deadline, `u64::MAX` for none.
    pub(super) fn earliest(&self) -> u64 {
        self.order.first().map_or(u64::MAX, |(deadline, _)| *deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.armed.len()
    }

    fn key(&mut self, key: u32) -> &mut (u32, Option<Which>) {
        let key = key as usize;
        if self.keys.len() <= key {
            self.keys.resize(key + 1, (0, None));
        }
        &mut self.keys[key]
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

    pub(super) fn timer_key(&mut self, worker: u32, key: u32, generation: u32) {
        if let Some(wheel) = self.wheels.get_mut(worker as usize) {
            *wheel.key(key) = (generation, None);
        }
    }

    pub(super) fn timer_awaited(&mut self, worker: u32, key: u32, waker: Which) {
        if let Some(wheel) = self.wheels.get_mut(worker as usize) {
            wheel.key(key).1 = Some(waker);
        }
    }

    pub(super) fn timer_woken(&mut self, worker: u32, key: u32, waker: Which) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        match wheel.key(key).1.take() {
            Some(latest) if latest != waker => {
                let what = "fires and wakes the waker of an earlier poll, not the one of the last";
                Err(timer("S29", worker, key, what.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A cancel found it fired or cancelled.
    pub(super) fn timer_gone(&mut self, worker: u32, key: u32, generation: u32) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        if wheel.key(key).0 == generation
            && let Some(deadline) = wheel.armed.get(&key)
        {
            let what = format!("was taken for fired by a cancel, but it is armed for {deadline} ns");
            return Err(timer("S24", worker, key, what));
        }
        Ok(())
    }

    pub(super) fn wheel_next(&mut self, worker: u32, deadline: u64) {
        if let Some(wheel) = self.wheels.get_mut(worker as usize) {
            wheel.next = Some(deadline);
        }
    }

    /// How late a service may come that another worker can do.
    pub(super) fn patience(&self) -> u64 {
        self.limits.timer_late_ns.saturating_add(self.watch_ns.saturating_mul(2))
    }

    /// Whether a worker of the same group has been idle since `before`, and nobody stood still after that.
    pub(super) fn helper(&self, before: u64, worker: u32) -> bool {
        let group = self.group_of(worker);
        let helps = |seat: &super::workers::Worker| {
            seat.group == group && seat.park.is_some() && seat.idle_from < before
        };
        self.still_until < before && self.workers.list.iter().any(helps)
    }

    /// A park that is shorter than the wheel asks for is a watch: it tells how late a look after a busy worker may come.
    pub(super) fn watches(&mut self, worker: u32, deadline: u64) {
        if let Some(wheel) = self.wheels.get(worker as usize)
            && deadline < wheel.earliest()
        {
            self.watch_ns = self.watch_ns.max(deadline.saturating_sub(self.now));
        }
    }

    /// All threads are blocked: each parked worker comes back in time for its wheel, and nothing is overdue that somebody could
    /// have served: the owner if it is parked, a worker that has been idle all the time if the owner is stuck in one poll.
    pub(super) fn wheels_served(&self) -> Checked {
        let before = self.now.saturating_sub(self.patience());
        let overdue = |at: u64| at.max(self.still_until) < before;
        for (worker, (seat, wheel)) in (0u32..).zip(self.workers.list.iter().zip(&self.wheels)) {
            let earliest = wheel.earliest();
            if earliest == u64::MAX {
                continue;
            }
            if let Some(park) = seat.park
                && !seat.token
                && park.deadline > earliest.saturating_add(self.limits.park_late_ns)
            {
                return Err(park_unbound(worker, park.deadline, earliest, wheel.next));
            }
            let stuck = seat.polling != 0 && seat.polling_since < before && self.helper(before, worker);
            if overdue(earliest) && seat.left && self.helper(before, worker) && !self.shutdown.asked() {
                let what = format!(
                    "a timer of the wheel of worker {worker} was due at {earliest} ns and has not fired by {} ns: nobody is on its seat and another worker is idle",
                    self.now
                );
                return Err(Violation::new("L14", what).worker(worker));
            }
            if overdue(earliest) && (seat.park.is_some() || stuck) && !self.shutdown.asked() {
                let owner = match seat.polling {
                    0 => "the owner is parked".to_owned(),
                    task => format!(
                        "the owner is inside one poll of task {task} and another worker idle all the time"
                    ),
                };
                let what = format!(
                    "a timer of the wheel of worker {worker} was due at {earliest} ns and has not fired by {} ns: {owner}",
                    self.now
                );
                return Err(Violation::new("L6", what).worker(worker));
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
