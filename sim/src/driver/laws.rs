//! What must hold at a driver's door: S18, S21, S30, L7, L12. A broken law ends the run. And what a report says of a driver.

use std::sync::Arc;

use pirn::os::{Op, Token};

use super::Driver;
use crate::check::Violation;
use crate::world::World;

/// Cancels that met no op are remembered, so many at most.
const EARLY: usize = 64;

/// How long an op may stay in flight on a descriptor that only it holds: its cancel is on its way.
const ALONE_NS: u64 = 1_000_000;

impl World {
    /// A cancel comes to driver `number`; `met`: its op is there, and whether that is a send.
    pub(crate) fn check_cancel(&mut self, number: u32, token: Token, met: Option<bool>) {
        let closing = self.hosts[self.drivers[number as usize].host as usize].checker.is_closing();
        let driver = self.driver(number);
        let (worker, home) = (driver.worker, token.worker());
        let (invariant, what) = if home != worker {
            let what = format!("the cancel of an op of worker {home} went to the driver of worker {worker}");
            ("S21", what)
        } else if let Some(send) = met {
            if closing || !send {
                return;
            }
            let what = format!(
                "a send of worker {worker} is cancelled before it has sent all: a write has accepted its bytes, and nobody is told that they are lost"
            );
            ("S30", what)
        } else {
            driver.early.push_back(token);
            if driver.early.len() > EARLY {
                driver.early.pop_front();
            }
            return;
        };
        self.violated(Violation::new(invariant, what).worker(worker));
    }

    /// An op was submitted to driver `number`.
    pub(crate) fn check_submit(&mut self, number: u32, token: Token) {
        let driver = self.driver(number);
        if !driver.early.contains(&token) {
            return;
        }
        let worker = driver.worker;
        let what = format!(
            "op {}.{} of worker {worker} is submitted after its cancel, which met nothing: it will not be cancelled",
            token.slot(),
            token.generation()
        );
        self.violated(Violation::new("L12", what).worker(worker));
    }

    /// The last descriptor of `socket` goes: no op needs it any more.
    pub(crate) fn check_closed(&mut self, socket: u32) {
        let uses = |driver: &Driver| {
            let on_it = |op: &Op| !matches!(op, Op::File(_));
            let mut slots = driver.ops.iter();
            let slot = slots.find(|slot| slot.op.as_ref().is_some_and(on_it) && slot.socket == socket)?;
            Some((driver.worker, slot.token))
        };
        if let Some((worker, token)) = self.drivers.iter().find_map(uses) {
            let what = format!(
                "a descriptor was closed under op {}.{} of worker {worker}, which is in flight on it",
                token.slot(),
                token.generation()
            );
            self.violated(Violation::new("S18", what).worker(worker));
        }
    }

    /// Ops other than sends on descriptors that nobody else has any more: they were to be cancelled when their owner went.
    fn check_alone(&mut self, at: usize) {
        let (now, driver) = (self.now, &mut self.drivers[at]);
        let checker = &self.hosts[driver.host as usize].checker;
        if driver.dead || checker.is_closing() || checker.is_stuck(driver.worker) {
            return;
        }
        for slot in &mut driver.ops {
            let alone = match &slot.op {
                Some(Op::Accept { fd } | Op::Recv { fd, .. } | Op::Ready { fd, .. }) => {
                    !slot.cancelled && Arc::strong_count(fd) == 1
                }
                _ => false,
            };
            if !alone {
                slot.alone_since = u64::MAX;
                continue;
            }
            slot.alone_since = slot.alone_since.min(now);
            if now - slot.alone_since > ALONE_NS {
                let (worker, token) = (driver.worker, slot.token);
                let what = format!(
                    "op {}.{} of worker {worker} has been in flight since {} ns on a descriptor that nobody else has: who dropped it has not cancelled it",
                    token.slot(),
                    token.generation(),
                    slot.alone_since
                );
                return self.violated(Violation::new("L12", what).worker(worker));
            }
        }
    }

    /// All threads are blocked: what is ready at a driver is collected soon.
    pub(crate) fn check_drivers(&mut self) {
        for at in 0..self.drivers.len() {
            self.check_in_flight(at);
            self.check_alone(at);
            let driver = &self.drivers[at];
            let host = &self.hosts[driver.host as usize];
            if !driver.due.is_empty()
                && !host.returned
                && let Err(violation) = host.checker.completion_waits(driver.worker, driver.due_since)
            {
                return self.violated(violation);
            }
        }
    }

    /// Ops in flight at a driver, for reports.
    pub(crate) fn describe_driver(&self, driver: u32) -> String {
        let record = &self.drivers[driver as usize];
        let in_flight = record.in_flight.len() + record.ops.iter().filter(|slot| slot.op.is_some()).count();
        let ops = if in_flight == 1 { "op" } else { "ops" };
        format!("the driver of worker {} ({in_flight} {ops} in flight)", record.worker)
    }
}
