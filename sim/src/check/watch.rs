//! How late a service may come that an idle worker does for a busy one.

use super::{Checked, Checker, Violation, workers::Worker};

/// What the watch of a runtime promises, and what was seen of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// What the idle workers of a group together leave between two looks while anybody is busy, ns.
    interval: u64,
    /// What one of them leaves between two looks at most, ns for each worker of the group.
    longest: u64,
    /// The longest that one did leave, ns.
    seen: u64,
}

impl Watch {
    pub(super) fn new(interval: u64, longest: u64) -> Self {
        Self { interval, longest, seen: 0 }
    }
}

impl Checker {
    /// How late a service may come that another worker of the group can do.
    ///
    /// Whoever watches sees at its next look that a peer is at work, and one interval later that it still is. Whoever sleeps without a
    /// watch is woken when nobody else watches any more, so before it each of the others may have watched for two intervals and then
    /// found work. One worker's interval is that of the runtime times the sleepers, or times four while all is calm: with two workers,
    /// one of them a sleeper, twice that is the whole bound.
    fn patience(&self, group: u32) -> u64 {
        let workers = self.group_size(group);
        let interval = self.watch.interval.saturating_mul(workers);
        self.watch.seen.saturating_add(interval.saturating_mul(2 * workers))
    }

    /// Whether a worker of the group has been idle since `before`, and nobody stood still after that.
    fn helper(&self, before: u64, group: u32) -> bool {
        let helps = |seat: &Worker| seat.group == group && seat.park.is_some() && seat.idle_from < before;
        self.still_until < before && self.workers.list.iter().any(helps)
    }

    fn group_size(&self, group: u32) -> u64 {
        self.workers.list.iter().filter(|seat| seat.group == group).count() as u64
    }

    /// Who has nothing else to do than to serve what is ready for `seat`, in words, and what he should have served by now: what has
    /// been ready since before that. All threads are blocked.
    pub(super) fn idle_server(&self, seat: &Worker) -> Option<(String, u64)> {
        if seat.park.is_some() {
            return Some(("its worker is parked".to_owned(), self.now));
        }
        let before = self.now.saturating_sub(self.patience(seat.group));
        if !self.helper(before, seat.group) {
            None
        } else if seat.left {
            Some(("nobody is on its seat and another worker is idle".to_owned(), before))
        } else if (seat.polling != 0 || seat.main) && seat.polling_since < before {
            let task = match seat.polling {
                0 => "the main future".to_owned(),
                task => format!("task {task}"),
            };
            Some((
                format!("its worker is inside one poll of {task}, and another one was idle all the time"),
                before,
            ))
        } else {
            None
        }
    }

    /// A park that is shorter than the wheel asks for is a watch: it tells how late a look after a busy worker may come.
    pub(super) fn watches(&mut self, worker: u32, deadline: u64) -> Checked {
        let Some(wheel) = self.wheels.get(worker as usize) else { return Ok(()) };
        if deadline >= wheel.own_next.unwrap_or(u64::MAX) {
            return Ok(());
        }
        let span = deadline.saturating_sub(self.now);
        self.watch.seen = self.watch.seen.max(span);
        let longest = self.watch.longest.saturating_mul(self.group_size(self.group_of(worker)));
        if span > longest {
            let what = format!(
                "worker {worker} parks for {span} ns, until its next look after the others; looks are at most {longest} ns apart"
            );
            return Err(Violation::new("L6", what).worker(worker));
        }
        Ok(())
    }
}
