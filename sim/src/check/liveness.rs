//! L1, L2, L4, L7: what must hold when nobody owes anything, when all threads are blocked, and when nothing is due.

use super::{Checked, Checker, NONE, Violation, counted, tasks::whereabouts};

impl Checker {
    /// L1: where nobody searches, nobody owes a look, and somebody sleeps, there is no work that another could take.
    ///
    /// Judged where a debt is paid, a poll or a park begins, and at each switch of threads: never between the notes of one step.
    #[inline]
    pub(super) fn work_conserved(&self) -> Checked {
        if !self.groups.is_one() {
            return if self.sleep.owed_looks == 0 { self.groups_conserve_work() } else { Ok(()) };
        }
        if self.sleep.sleepers == 0 || self.sleep.searchers != 0 || self.sleep.owed_looks != 0 {
            return Ok(());
        }
        if (self.workers.stranded != 0 || self.places.injector != 0) && !self.shutdown.asked() {
            return Err(self.work_stranded());
        }
        Ok(())
    }

    #[cold]
    fn work_stranded(&self) -> Violation {
        let sleeper = (0..).zip(&self.workers.list).find(|(_, seat)| seat.joined).map_or(NONE, |(n, _)| n);
        let ring = (0u32..)
            .zip(&self.workers.list)
            .find(|(_, seat)| seat.ring != 0 && (seat.polling != 0 || seat.main || seat.joined));
        let work = match ring {
            Some((worker, seat)) => {
                let doing = match seat.polling {
                    0 if seat.main => "inside the main future".to_owned(),
                    0 => "asleep".to_owned(),
                    task => format!("inside a poll of task {task}"),
                };
                format!(
                    "there is work in the ring of worker {worker}, which is {doing}: {}",
                    counted(seat.ring, "task")
                )
            }
            None => format!("there is work in the injector: {}", counted(self.places.injector, "task")),
        };
        let what = format!(
            "{work}; worker {sleeper} sleeps, nobody searches, and nobody is on the way to wake a worker"
        );
        Violation::new("L1", what).worker(sleeper)
    }

    /// Search: a worker begins to look at others' work when it has none of its own.
    pub(super) fn searches(&mut self, thread: u32, worker: u32) -> Checked {
        self.sits(thread, worker, "searches")?;
        self.awake(worker, "searches")?;
        self.out_of_main(worker);
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if seat.ring != 0 || seat.own_lifo() != 0 {
            let (ring, lifo) = (seat.ring, seat.lifo);
            let what = format!(
                "worker {worker} searches with {} in its ring and {lifo} in its LIFO slot: own work comes first",
                counted(ring, "task")
            );
            return Err(Violation::new("L2", what).worker(worker));
        }
        Ok(())
    }

    pub(super) fn main_polled(&mut self, thread: u32, worker: u32, guest: bool) -> Checked {
        self.useful();
        if guest || worker == NONE {
            return Ok(());
        }
        self.sits(thread, worker, "polls the main future")?;
        self.awake(worker, "polls the main future")?;
        self.owes_no_look(thread, worker)?;
        let now = self.now;
        self.lifo_run_over(worker);
        self.workers.change(worker, |seat| {
            seat.main = true;
            seat.polling_since = now;
            seat.idle_from = now;
        });
        Ok(())
    }

    pub(super) fn taken_over(&mut self, thread: u32, victim: u32, by: u32) -> Checked {
        self.sits(thread, by, "takes over")?;
        if victim == by {
            let what = format!("worker {by} took over itself");
            return Err(Violation::new("S13", what).worker(by));
        }
        self.workers.change(by, |seat| seat.victim = victim);
        Ok(())
    }

    /// Every thread of the world is blocked, and time is about to jump to the next due event.
    pub fn idle(&mut self, now: u64) -> Checked {
        self.step(now)?;
        if !self.running {
            return Ok(());
        }
        self.shutdown_moves()?;
        for (worker, seat) in (0..).zip(&self.workers.list) {
            let Some(park) = seat.park else { continue };
            let asleep = |id, what: &str| {
                let until = if park.deadline == u64::MAX {
                    "without limit".to_owned()
                } else {
                    format!("until {} ns", park.deadline)
                };
                Err(Violation::new(
                    id,
                    format!("all threads are blocked, worker {worker} is parked {until} and {what}"),
                )
                .worker(worker))
            };
            if seat.token {
                return asleep("L4", "has a token pending that did not wake it");
            }
            if seat.owed != 0 {
                return asleep("S11", "was taken off the sleepers and given no token");
            }
            if seat.searching {
                return asleep("L13", "still counts as a searcher");
            }
            if seat.stalled {
                return asleep(
                    "L5",
                    "has an op that its driver had no room for and that it has not submitted",
                );
            }
            if seat.lifo != 0 {
                return asleep("L2", "has a task in its LIFO slot");
            }
            if seat.inbox != 0 {
                return asleep("L1", &format!("has {} in its inbox", counted(seat.inbox, "task")));
            }
        }
        self.nothing_in_hand()?;
        self.cancels_end(false)?;
        self.awaited_ops_end()?;
        self.aborts_end()?;
        self.slots_served()?;
        self.staged_sent()?;
        self.wheels_served()
    }

    /// A task in the LIFO slot or the kept ring of a worker that is stuck in a poll is taken over by one that is idle.
    fn slots_served(&self) -> Checked {
        for (worker, seat) in (0..).zip(&self.workers.list) {
            if seat.lifo == 0 && !(seat.kept && seat.ring != 0) {
                continue;
            }
            let Some((owner, before)) = self.idle_server(seat) else { continue };
            if seat.lifo != 0 && seat.lifo_since < before {
                let since = seat.lifo_since;
                let what = format!(
                    "a task has waited in the LIFO slot of worker {worker} since {since} ns: {owner}"
                );
                return Err(Violation::new("L8", what).worker(worker));
            }
            if seat.kept && seat.ring != 0 {
                let (tasks, since) = (counted(seat.ring, "task"), seat.polling_since);
                let what = format!(
                    "work waits in the ring that worker {worker} keeps to itself ({tasks}) since {since} ns: {owner}"
                );
                return Err(Violation::new("L8", what).worker(worker));
            }
        }
        Ok(())
    }

    /// What is staged at a worker that is stuck in a poll is sent by one that is idle.
    fn staged_sent(&self) -> Checked {
        for (worker, seat) in (0..).zip(&self.workers.list) {
            if seat.staged != 0
                && let Some((owner, before)) = self.idle_server(seat)
                && seat.staged_since.max(self.still_until) < before
                && !self.shutdown.asked()
            {
                let since = seat.staged_since;
                let what = format!("a write has been staged at worker {worker} since {since} ns: {owner}");
                return Err(Violation::new("L7", what).worker(worker));
            }
        }
        Ok(())
    }

    /// A poll starts: the worker does not keep its ring for longer than it said. It looks at the time before each poll, so one poll
    /// may start late (the thread stood still in between), and no second one.
    pub(super) fn keeps_not_long(&mut self, worker: u32) -> Checked {
        let Some(seat) = self.workers.get(worker).filter(|seat| seat.kept && seat.ring != 0) else {
            return Ok(());
        };
        if self.now.saturating_sub(seat.kept_since) <= self.limits.kept_ns {
            return Ok(());
        }
        if !seat.kept_late {
            self.workers.change(worker, |seat| seat.kept_late = true);
            return Ok(());
        }
        let what = format!(
            "worker {worker} starts a poll and keeps {} tasks in its ring to itself since {} ns, for longer than sharing costs",
            seat.ring, seat.kept_since
        );
        Err(Violation::new("L1", what).worker(worker))
    }

    /// Every thread of the world is blocked and nothing is due.
    pub fn quiescent(&mut self, now: u64) -> Checked {
        self.idle(now)?;
        if !self.running {
            return Ok(());
        }
        self.shutdown_over()?;
        self.cancels_end(true)?;
        // A worker that is stuck inside user code for ever is the world's to report.
        if self.workers.list.iter().any(|seat| seat.polling != 0) {
            return Ok(());
        }
        for (worker, seat) in (0..).zip(&self.workers.list) {
            // The inbox of a seat nobody is on waits for the next block_on.
            let inbox = if seat.park.is_some() { seat.inbox } else { 0 };
            if seat.ring + seat.ring_tasks + seat.lifo + inbox != 0 {
                let what = format!(
                    "all is quiet and nothing is due, but worker {worker} has {} in its ring, {} in its LIFO slot and {} in its inbox",
                    counted(seat.ring, "task"),
                    seat.lifo,
                    seat.inbox
                );
                return Err(Violation::new("L2", what).worker(worker));
            }
        }
        if self.places.injector + self.places.blocking != 0 {
            let what = format!(
                "all is quiet and nothing is due, but there is work in the injector ({}) and for the blocking pool ({})",
                counted(self.places.injector, "task"),
                self.places.blocking
            );
            return Err(Violation::new("L2", what));
        }
        self.readiness_used()?;
        if let Some((task, at, _)) = self.places.busy().find(|(_, _, scheduled)| *scheduled) {
            let what = format!(
                "task {task} was woken and not polled since: all is quiet, nothing is due, and it is {}",
                whereabouts(at)
            );
            return Err(Violation::new("L3", what).task(task));
        }
        Ok(())
    }

    /// A thread ended.
    pub fn thread_gone(&mut self, thread: u32) {
        let left = self.debt_left(thread).or_else(|| self.section_left_open(thread)).or_else(|| {
            let worker = self.workers.seat_of(thread);
            let seat = self.workers.get(worker)?;
            let what = match (seat.polling, seat.joined) {
                (0, false) => return None,
                (0, true) => format!("thread {thread} ended and left worker {worker} among the sleepers"),
                (task, _) => format!("thread {thread} ended inside a poll of task {task} by worker {worker}"),
            };
            Some(Violation::new("S2", what).worker(worker))
        });
        self.late = self.late.take().or(left);
        self.workers.thread_gone(thread);
    }

    /// Whether the thread on a seat is inside a poll, or stood still lately: what is sent to it waits.
    pub fn is_stuck(&self, worker: u32) -> bool {
        self.workers.get(worker).is_none_or(|seat| seat.polling != 0 || seat.main || seat.park.is_none())
    }

    /// Until when a worker is parked, if not for ever.
    pub fn parked_until(&self, worker: u32) -> Option<u64> {
        self.workers.get(worker)?.park.map(|park| park.deadline).filter(|deadline| *deadline != u64::MAX)
    }

    /// Whether a shutdown was asked for, or no runtime runs.
    pub fn is_closing(&self) -> bool {
        !self.running || self.shutdown.asked()
    }

    /// Judged when the host's last thread has ended: descriptors open = owned. What the last runtime abandoned keeps its own.
    pub fn descriptors_left(&self, open: usize) -> Checked {
        if open == 0 || self.running || self.workers.list.is_empty() || self.places.abandoned != 0 {
            return Ok(());
        }
        let what =
            format!("the host's runtime ended and {open} descriptors are open: nobody owns them any more");
        Err(Violation::new("S20", what))
    }

    /// Judged at the same time: who had a reference to a task is gone, and so is the task.
    pub fn tasks_left(&self) -> Checked {
        if self.running || self.workers.list.is_empty() || self.places.abandoned != 0 {
            return Ok(());
        }
        match self.places.unfreed() {
            Some(task) => {
                let what = format!(
                    "task {task} was never freed: the host's last thread has ended, and a reference is left"
                );
                Err(Violation::new("S6", what).task(task))
            }
            None => Ok(()),
        }
    }

    /// The host's program returned.
    pub fn end(&mut self) -> Checked {
        self.step(self.now)?;
        self.shutdown_left()
    }
}
