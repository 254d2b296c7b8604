//! L8, L10: polls since the last visit of each source, LIFO polls in a row, rounds without use.

use pirn::trace::Place;

use super::{Checked, Checker, Limits, NONE, Violation};

/// Sources a worker must not starve.
pub(super) const RING: usize = 0;
const LIFO: usize = 1;
const INBOX: usize = 2;
const INJECTOR: usize = 3;
const SOURCES: [&str; 4] = ["its ring", "its LIFO slot", "its inbox", "the injector"];

/// What one worker did lately.
#[derive(Clone, Debug, Default)]
struct Lately {
    /// Polls since the last visit of each source, counted while it has work.
    since: [u32; 4],
    lifo_run: u32,
}

/// The counters of all workers.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    lately: Vec<Lately>,
    bounds: [u32; 4],
    lifo_limit: u32,
    /// Park and search rounds since the last useful event, and when they began.
    rounds: u32,
    rounds_at: u64,
    idle_rounds: u32,
}

impl Fairness {
    pub(super) fn reset(&mut self, workers: u32, ring: u32, lifo_limit: u32, interval: u64, limits: &Limits) {
        let interval = u32::try_from(interval).unwrap_or(u32::MAX).clamp(1, 1 << 16);
        let turn = interval.saturating_add(lifo_limit).saturating_add(2);
        let bound = limits.fairness.saturating_mul(turn).saturating_add(ring);
        *self = Self {
            lately: vec![Lately::default(); workers as usize],
            bounds: [bound; 4],
            lifo_limit,
            ..Self::default()
        };
    }

    /// A source of `worker` has no work: nobody waits there.
    #[inline]
    pub(super) fn emptied(&mut self, worker: u32, source: usize) {
        if let Some(lately) = self.lately.get_mut(worker as usize) {
            lately.since[source] = 0;
        }
    }
}

impl Checker {
    /// `by` took a task out of a container of `worker`.
    #[inline]
    pub(super) fn visited(&mut self, place: Place, worker: u32, by: u32) {
        let source = match place {
            Place::Ring if worker == by => RING,
            Place::Lifo => LIFO,
            Place::Inbox => INBOX,
            Place::Injector => INJECTOR,
            _ => return,
        };
        self.fairness.emptied(if place == Place::Injector { by } else { worker }, source);
        if place == Place::Injector && !self.injector_waits(by) && self.groups.is_one() {
            self.fairness.lately.iter_mut().for_each(|lately| lately.since[INJECTOR] = 0);
        }
    }

    /// A poll started on `worker`; `lifo`: of a task out of its LIFO slot.
    #[inline]
    pub(super) fn polled(&mut self, thread: u32, worker: u32, lifo: bool) -> Checked {
        self.useful();
        let injector = self.injector_waits(worker) && !self.sleep.others_announce(thread);
        let Some(seat) = self.workers.list.get(worker as usize) else { return Ok(()) };
        let lately = &mut self.fairness.lately[worker as usize];
        let waits = [seat.ring != 0, seat.lifo != 0, seat.inbox != 0, injector];
        let mut starved = NONE;
        for (source, waits) in waits.into_iter().enumerate() {
            let since = if waits { lately.since[source] + 1 } else { 0 };
            lately.since[source] = since;
            if since > self.fairness.bounds[source] {
                starved = source as u32;
            }
        }
        lately.lifo_run = if lifo { lately.lifo_run + 1 } else { 0 };
        let run = lately.lifo_run;
        if run > self.fairness.lifo_limit {
            let limit = self.fairness.lifo_limit;
            let what = format!(
                "worker {worker} polled {run} tasks in a row out of its LIFO slot, the limit is {limit}"
            );
            return Err(Violation::new("L8", what).worker(worker));
        }
        if starved != NONE {
            let (source, bound) = (SOURCES[starved as usize], self.fairness.bounds[starved as usize]);
            let what = format!(
                "worker {worker} did more than {bound} polls without a visit to {source}, where work waits"
            );
            return Err(Violation::new("L8", what).worker(worker));
        }
        self.work_conserved()
    }

    /// The LIFO run of a worker is broken: by the main future, or because the slot's task went behind the ring.
    #[inline]
    pub(super) fn lifo_run_over(&mut self, worker: u32) {
        if let Some(lately) = self.fairness.lately.get_mut(worker as usize) {
            lately.lifo_run = 0;
        }
    }

    /// Something that was worth waking up for.
    #[inline]
    pub(super) fn useful(&mut self) {
        self.fairness.rounds = 0;
        self.fairness.idle_rounds = 0;
    }

    /// A park or a search began.
    pub(super) fn round(&mut self, worker: u32) -> Checked {
        let fairness = &mut self.fairness;
        if fairness.rounds_at != self.now {
            fairness.rounds_at = self.now;
            fairness.rounds = 0;
        }
        fairness.rounds += 1;
        fairness.idle_rounds += 1;
        let workers = self.workers.list.len() as u32;
        let bound = self.limits.rounds * workers;
        if fairness.rounds <= bound && fairness.idle_rounds <= bound {
            return Ok(());
        }
        self.many_rounds(worker, bound)
    }

    /// Whoever is awake and gets no turn may hold what the others look for: then they may look long.
    #[cold]
    fn many_rounds(&mut self, worker: u32, bound: u32) -> Checked {
        let asleep = |(other, seat): (u32, &super::workers::Worker)| {
            other == worker || seat.park.is_some() || seat.thread == NONE
        };
        let alone = (0..).zip(&self.workers.list).all(asleep);
        let fairness = &mut self.fairness;
        if !alone {
            fairness.idle_rounds = 0;
        }
        let workers = self.workers.list.len();
        let (rounds, idle) = (fairness.rounds, fairness.idle_rounds);
        if rounds > if alone { bound } else { bound * 20 } {
            let now = self.now;
            let what = format!(
                "{rounds} rounds of search and park by {workers} workers at {now} ns, without a poll, completion or timer"
            );
            return Err(Violation::new("L10", what).worker(worker));
        }
        if idle > self.limits.idle_rounds * workers as u32 {
            let what = format!(
                "{idle} rounds of search and park by {workers} workers that are all idle, without a poll, completion or timer"
            );
            return Err(Violation::new("L10", what).worker(worker));
        }
        Ok(())
    }
}
