//! What must hold at a driver's door: S18, S21, S30, L7, L12. A broken law ends the run.

use pirn::os::{Op, Token};

use super::Driver;
use crate::check::Violation;
use crate::world::World;

/// Cancels that met no op are remembered, so many at most.
const EARLY: usize = 64;

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

    /// All threads are blocked: what is ready at a driver is collected soon.
    pub(crate) fn check_drivers(&mut self) {
        for at in 0..self.drivers.len() {
            self.check_in_flight(at);
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
}
