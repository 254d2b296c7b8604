//! S13, S17, S19, S23, S29, L7, L12: ops in flight by token, their wakers, and who holds each driver.

use pirn::os::Token;
use pirn::sync::Which;

use super::{Checked, Checker, NONE, Violation, counted};

/// A slot of a worker's table.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The generation in flight there.
    in_flight: Option<u32>,
    /// The generation that was there last.
    last: Option<u32>,
    /// The waker of the last poll.
    awaited: Option<Which>,
    /// Resolved with somebody waiting, and not taken.
    ready: bool,
    /// When its cancel was asked for.
    cancelled: Option<u64>,
}

/// Ops and holds of all workers.
#[derive(Debug, Default)]
pub(super) struct Ops {
    slots: Vec<Vec<Slot>>,
    pub(super) in_flight: Vec<u32>,
    holders: Vec<u32>,
    /// Cancels asked for and not answered, by token.
    cancels: Vec<Token>,
    /// When the last op resolved.
    pub(super) last: u64,
}

impl Ops {
    pub(super) fn reset(&mut self, workers: u32) {
        self.slots.clear();
        self.slots.resize_with(workers as usize, Vec::new);
        self.in_flight = vec![0; workers as usize];
        self.holders = vec![NONE; workers as usize];
        self.cancels.clear();
        self.last = 0;
    }

    /// Who holds the driver of `worker`.
    pub(super) fn holder(&self, worker: usize) -> Option<u32> {
        self.holders.get(worker).copied().filter(|by| *by != NONE)
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        let slots = self.slots.get_mut(token.worker() as usize)?;
        let index = token.slot() as usize;
        if slots.len() <= index {
            slots.resize(index + 1, Slot::default());
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
        let generation = token.generation();
        let (old, last) = (slot.in_flight.replace(generation), slot.last.replace(generation));
        (slot.ready, slot.cancelled) = (false, None);
        if let Some(old) = old {
            let what = format!("was submitted while the slot's op of generation {old} is in flight");
            return Err(op(if old == generation { "S19" } else { "S17" }, token, what));
        }
        if last == Some(generation) {
            let what =
                "has the token of the slot's last op: a late cancel or completion of that one would meet it";
            return Err(op("S17", token, what.to_owned()));
        }
        self.ops.in_flight[token.worker() as usize] += 1;
        Ok(())
    }

    pub(super) fn completed(&mut self, thread: u32, token: u64) -> Checked {
        self.dispatched(thread);
        let token = Token::from_bits(token);
        let Some(slot) = self.ops.slot(token) else { return Ok(()) };
        match slot.in_flight {
            Some(generation) if generation == token.generation() => slot.in_flight = None,
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
        let cancelled = slot.cancelled.take().is_some();
        if cancelled {
            self.ops.cancels.retain(|other| *other != token);
        }
        self.ops.in_flight[token.worker() as usize] -= 1;
        self.ops.last = self.now;
        self.useful();
        Ok(())
    }

    /// An early end was asked for.
    pub(super) fn op_cancelled(&mut self, token: u64) {
        let (token, now) = (Token::from_bits(token), self.now);
        let Some(slot) = self.ops.slot(token) else { return };
        if slot.in_flight == Some(token.generation()) && slot.cancelled.is_none() {
            slot.cancelled = Some(now);
            self.ops.cancels.push(token);
        }
    }

    /// A poll left its waker with an op.
    pub(super) fn op_awaited(&mut self, token: u64, waker: Which) {
        if let Some(slot) = self.ops.slot(Token::from_bits(token)) {
            slot.awaited = Some(waker);
        }
    }

    /// An op resolved and wakes whom it has.
    pub(super) fn op_woken(&mut self, token: u64, waker: Option<Which>) -> Checked {
        let token = Token::from_bits(token);
        let Some(slot) = self.ops.slot(token) else { return Ok(()) };
        let awaited = slot.awaited.take();
        slot.ready = awaited.is_some();
        if awaited.is_none() || awaited == waker {
            return Ok(());
        }
        let found = if waker.is_some() { "the waker of an earlier poll" } else { "nobody" };
        Err(op("S29", token, format!("resolved and woke {found}, not the waker of the last poll")))
    }

    /// Its owner took the completion.
    pub(super) fn op_taken(&mut self, token: u64) {
        if let Some(slot) = self.ops.slot(Token::from_bits(token)) {
            (slot.ready, slot.awaited) = (false, None);
        }
    }

    /// Cancelled ops end within a bound; when nothing is due, they never will.
    pub(super) fn cancels_end(&self, at_last: bool) -> Checked {
        let overdue = |asked: u64| {
            at_last || self.now.saturating_sub(asked.max(self.still_until)) > self.limits.cancel_ns
        };
        for token in &self.ops.cancels {
            let slot = self.ops.slots.get(token.worker() as usize);
            let slot = slot.and_then(|slots| slots.get(token.slot() as usize));
            let Some(asked) = slot.and_then(|slot| slot.cancelled) else { continue };
            let stuck = self.workers.get(token.worker()).is_some_and(|seat| seat.polling != 0);
            if overdue(asked) && !stuck {
                let what = format!("was cancelled at {asked} ns and has not resolved by {} ns", self.now);
                return Err(op("L12", *token, what));
            }
        }
        Ok(())
    }

    /// Time is about to pass in a shutdown: a worker that has dropped its tasks has cancelled what somebody still waits for.
    pub(super) fn awaited_ops_end(&self) -> Checked {
        for (worker, (slots, seat)) in (0..).zip(self.ops.slots.iter().zip(&self.workers.list)) {
            let since = seat.cleaned.max(self.still_until);
            if seat.phase != 2 || self.now.saturating_sub(since) <= self.limits.shutdown_idle_ns {
                continue;
            }
            let waits =
                |slot: &Slot| slot.in_flight.is_some() && slot.awaited.is_some() && slot.cancelled.is_none();
            if let Some(at) = slots.iter().position(waits) {
                let token = Token::new(worker, at as u32, slots[at].in_flight.unwrap_or(0));
                let what = format!("is awaited in a shutdown and was not cancelled by {} ns", self.now);
                return Err(op("L11", token, what));
            }
        }
        Ok(())
    }

    /// All is quiet for good: an op that resolved while somebody waited was taken by somebody.
    pub(super) fn readiness_used(&self) -> Checked {
        for (worker, slots) in (0..).zip(&self.ops.slots) {
            if let Some(at) = slots.iter().position(|slot| slot.ready) {
                let token = Token::new(worker, at as u32, slots[at].last.unwrap_or(0));
                let what = "resolved while somebody waited for it; all is quiet, and nobody has taken what it brought";
                return Err(op("S23", token, what.to_owned()));
            }
        }
        Ok(())
    }

    /// A completion of the driver of `worker` has been ready since `since`: it is collected soon while anybody is idle.
    pub fn completion_waits(&self, worker: u32, since: u64) -> Checked {
        let Some(seat) = self.workers.get(worker).filter(|_| self.running && !self.shutdown.asked()) else {
            return Ok(());
        };
        match self.idle_server(seat) {
            Some((owner, before)) if since.max(self.still_until) < before => {
                Err(self.uncollected(worker, since, &owner))
            }
            _ => Ok(()),
        }
    }

    /// What an op of `worker` waits for has been there since `since`; the kernel tells it to whichever driver the op's descriptor has
    /// for its home.
    pub fn readiness_waits(&self, worker: u32, since: u64) -> Checked {
        if !self.running || self.shutdown.asked() || worker as usize >= self.workers.list.len() {
            return Ok(());
        }
        let mut owner = String::new();
        for seat in &self.workers.list {
            match self.idle_server(seat) {
                Some((who, before)) if since.max(self.still_until) < before => owner = who,
                _ => return Ok(()),
            }
        }
        Err(self.uncollected(worker, since, &format!("wherever it is told of, {owner}")))
    }

    #[cold]
    fn uncollected(&self, worker: u32, since: u64, owner: &str) -> Violation {
        let what = format!(
            "a completion of the driver of worker {worker} has been ready since {since} ns and is not collected at {} ns: {owner}",
            self.now
        );
        Violation::new("L7", what).worker(worker)
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
                    "the runtime ended with {} of worker {worker} in flight: each resolves once",
                    counted(count, "op")
                );
                Err(Violation::new("S19", what).worker(worker as u32))
            }
            None => Ok(()),
        }
    }
}
