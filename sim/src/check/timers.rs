//! S12, S24, S25, S29, L5, L6, L14: the armed timers of each wheel.

use std::collections::{BTreeMap, BTreeSet};

use pirn::sync::Which;

use super::{Checked, Checker, Violation, counted};

/// One wheel.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Deadline, and from when on it can fire.
    armed: BTreeMap<u32, (u64, u64)>,
    order: BTreeSet<(u64, u32)>,
    /// The earliest deadline as the wheel itself published it.
    next: Option<u64>,
    /// The same, as the thread on its seat read it last: its next park has that in mind.
    pub(super) own_next: Option<u64>,
    /// Generation and latest waker of each place.
    keys: Vec<(u32, Option<Which>)>,
}

impl Wheel {
    /// From when on the first of those that are armed can fire, `u64::MAX` for none.
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
        let (deadline, due) = self.armed.remove(&key)?;
        self.order.remove(&(due, key));
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
        // One that is armed late is late for no fault of those who serve it.
        let due = deadline.max(self.now);
        if let Some((old, _)) = wheel.armed.insert(key, (deadline, due)) {
            let what = format!("was armed for {deadline} ns, but it is armed for {old} ns already");
            return Err(timer("S24", worker, key, what));
        }
        wheel.order.insert((due, key));
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

    /// The count of armed timers, by which others see whether a worker is to be watched, is that of the wheel. (The last drain of a
    /// shutdown tells of no single timer.)
    pub(super) fn timers_counted(&self, worker: u32, count: u64) -> Checked {
        let Some(wheel) = self.wheels.get(worker as usize).filter(|_| !self.shutdown.asked()) else {
            return Ok(());
        };
        if wheel.len() as u64 == count {
            return Ok(());
        }
        let (armed, what) = (counted(wheel.len() as u64, "timer"), "the wheel of worker");
        let what = format!("{armed} of {what} {worker} are armed, and {count} are counted");
        Err(Violation::new("S12", what).worker(worker))
    }

    /// A cancel found it fired or cancelled.
    pub(super) fn timer_gone(&mut self, worker: u32, key: u32, generation: u32) -> Checked {
        let Some(wheel) = self.wheels.get_mut(worker as usize) else { return Ok(()) };
        if wheel.key(key).0 == generation
            && let Some((deadline, _)) = wheel.armed.get(&key)
        {
            let what = format!("was taken for fired by a cancel, but it is armed for {deadline} ns");
            return Err(timer("S24", worker, key, what));
        }
        Ok(())
    }

    pub(super) fn wheel_next(&mut self, thread: u32, worker: u32, deadline: u64) {
        let own = self.workers.seat_of(thread) == worker;
        if let Some(wheel) = self.wheels.get_mut(worker as usize) {
            wheel.next = Some(deadline);
            if own {
                wheel.own_next = Some(deadline);
            }
        }
    }

    /// All threads are blocked: each parked worker comes back in time for its wheel, and nothing is overdue that somebody could
    /// have served: the owner if it is parked, a worker that has been idle all the time if the owner is stuck in one poll.
    pub(super) fn wheels_served(&self) -> Checked {
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
            if let Some((owner, before)) = self.idle_server(seat)
                && earliest.max(self.still_until) < before
                && !self.shutdown.asked()
            {
                let what = format!(
                    "a timer of the wheel of worker {worker} was due at {earliest} ns and has not fired by {} ns: {owner}",
                    self.now
                );
                return Err(Violation::new(if seat.left { "L14" } else { "L6" }, what).worker(worker));
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
