//! S13, S17, S19: ops in flight by token, and who holds each driver.

use pirn::os::Token;

use super::{Checked, Checker, NONE, Violation};

/// A slot of a worker's table: the generation in flight there.
type Slot = Option<u32>;

/// Ops and holds of all workers.
#[derive(Debug, Default)]
pub(super) struct Ops {
    slots: Vec<Vec<Slot>>,
    pub(super) in_flight: Vec<u32>,
    holders: Vec<u32>,
}

impl Ops {
    pub(super) fn reset(&mut self, workers: u32) {
        self.slots.clear();
        self.slots.resize_with(workers as usize, Vec::new);
        self.in_flight = vec![0; workers as usize];
        self.holders = vec![NONE; workers as usize];
    }

    /// Who holds the driver of `worker`.
    pub(super) fn holder(&self, worker: usize) -> Option<u32> {
        self.holders.get(worker).copied().filter(|by| *by != NONE)
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        let slots = self.slots.get_mut(token.worker() as usize)?;
        let index = token.slot() as usize;
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        Some(&mut slots[index])
    }
}

#[cold]
fn op(invariant: &'static str, token: Token, what: String) -> Violation {
    let (worker, slot, generation) = (token.worker(), token.slot(), token.generation());
    Violation::new(invariant, format!("op {slot}.{generation} of worker {worker} {what}")).worker(worker)
}

impl Checker {
    pub(super) fn submitted(&mut self, token: u64) -> Checked {
        let token = Token::from_bits(token);
        let Some(slot) = self.ops.slot(token) else { return Ok(()) };
        if let Some(old) = slot.replace(token.generation()) {
            let what = format!("was submitted while the slot's op of generation {old} is in flight");
            return Err(op(if old == token.generation() { "S19" } else { "S17" }, token, what));
        }
        self.ops.in_flight[token.worker() as usize] += 1;
        Ok(())
    }

    pub(super) fn completed(&mut self, thread: u32, token: u64) -> Checked {
        self.dispatched(thread);
        let token = Token::from_bits(token);
        let Some(slot) = self.ops.slot(token) else { return Ok(()) };
        match *slot {
            Some(generation) if generation == token.generation() => *slot = None,
            Some(other) => {
                let what = format!("resolved, but the op in flight in its slot is of generation {other}");
                return Err(op("S17", token, what));
            }
            None => {
                let what =
                    "resolved, but it is not in flight: it had resolved before, or never was submitted";
                return Err(op("S19", token, what.to_owned()));
            }
        }
        self.ops.in_flight[token.worker() as usize] -= 1;
        self.useful();
        Ok(())
    }

    pub(super) fn hold_take(&mut self, thread: u32, worker: u32, by: u32) -> Checked {
        let Some(holder) = self.ops.holders.get_mut(worker as usize) else { return Ok(()) };
        if *holder != NONE {
            let old = *holder;
            let what = format!("worker {by} took the driver of worker {worker}, which worker {old} holds");
            return Err(Violation::new("S13", what).worker(worker));
        }
        *holder = by;
        self.sits(thread, by, "takes a driver")
    }

    pub(super) fn hold_free(&mut self, worker: u32, by: u32) -> Checked {
        let Some(holder) = self.ops.holders.get_mut(worker as usize) else { return Ok(()) };
        if *holder != by {
            let found = if *holder == NONE {
                "nobody holds it".to_owned()
            } else {
                format!("worker {holder} holds it")
            };
            let what = format!("worker {by} let go of the driver of worker {worker}, but {found}");
            return Err(Violation::new("S13", what).worker(worker));
        }
        *holder = NONE;
        Ok(())
    }

    pub(super) fn reaped(&mut self, thread: u32, worker: u32, by: u32, completions: u64) -> Checked {
        self.sits(thread, by, "looks at a driver")?;
        self.out_of_main(by);
        match self.ops.holder(worker as usize) {
            Some(holder) if holder == by => {}
            _ if worker as usize >= self.ops.holders.len() => {}
            found => {
                let found = found.map_or("nobody".to_owned(), |holder| format!("worker {holder}"));
                let what =
                    format!("worker {by} collected from the driver of worker {worker}, which {found} holds");
                return Err(Violation::new("S13", what).worker(worker));
            }
        }
        if completions != 0 {
            self.useful();
            self.collected(thread, completions);
        }
        Ok(())
    }

    /// At the end of a runtime nothing is in flight.
    pub(super) fn none_in_flight(&self) -> Checked {
        match self.ops.in_flight.iter().position(|count| *count != 0) {
            Some(worker) => {
                let count = self.ops.in_flight[worker];
                let what = format!(
                    "the runtime ended with {count} ops of worker {worker} in flight: each resolves once"
                );
                Err(Violation::new("S19", what).worker(worker as u32))
            }
            None => Ok(()),
        }
    }
}
