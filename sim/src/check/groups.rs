//! Which workers share work, where a runtime has more than one group.

use super::tasks::broken;
use super::workers::Worker;
use super::{Checked, Checker, NONE, Violation, counted};

/// The groups of a runtime; none: all of its workers are one.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Tasks in the injector of each.
    injectors: Vec<u32>,
}

impl Groups {
    /// Whether all workers share all work.
    #[inline]
    pub(super) fn is_one(&self) -> bool {
        self.injectors.is_empty()
    }

    pub(super) fn reset(&mut self) {
        self.injectors.clear();
    }
}

impl Checker {
    /// The runtime that just started has this group.
    pub(super) fn group(&mut self, group: u32, first: u32, workers: u32, steals: bool) {
        if self.groups.injectors.len() <= group as usize {
            self.groups.injectors.resize(group as usize + 1, 0);
        }
        for worker in first..first + workers {
            self.workers.change(worker, |seat| (seat.group, seat.steals) = (group, steals));
        }
    }

    /// A task goes on in another group.
    pub(super) fn belongs(&mut self, task: u64, group: u32) -> Checked {
        if let Some(state) = self.task(task, "changes its group")? {
            state.group = group;
        }
        Ok(())
    }

    /// The group of a worker; the first one, outside of all.
    pub(super) fn group_of(&self, worker: u32) -> u32 {
        self.workers.get(worker).map_or(0, |seat| seat.group)
    }

    /// A task of a group came into its injector or left it. Only its workers take it there.
    pub(super) fn group_counts(&mut self, task: u64, group: u32, by: u32, change: i32) -> Checked {
        let Some(injector) = self.groups.injectors.get_mut(group as usize) else { return Ok(()) };
        *injector = injector.wrapping_add_signed(change);
        if change < 0 && by != NONE && self.group_of(by) != group {
            let what =
                format!("is of group {group} and was taken by worker {by}, of group {}", self.group_of(by));
            return Err(broken("S27", task, what).worker(by));
        }
        Ok(())
    }

    /// A poll starts: on a worker of the task's group.
    pub(super) fn in_its_group(&self, task: u64, group: u32, worker: u32) -> Checked {
        if self.groups.is_one() || worker == NONE || self.group_of(worker) == group {
            return Ok(());
        }
        let what = format!(
            "is of group {group} and is polled by worker {worker}, of group {}",
            self.group_of(worker)
        );
        Err(broken("S27", task, what).worker(worker))
    }

    /// Whether tasks wait in the injector that a worker takes from.
    #[inline]
    pub(super) fn injector_waits(&self, worker: u32) -> bool {
        match self.groups.is_one() {
            true => self.places.injector != 0,
            false => self.groups.injectors[self.group_of(worker) as usize] != 0,
        }
    }

    /// Who sleeps and who searches in the group of a worker.
    pub(super) fn sleepers_beside(&self, worker: u32) -> (u32, u32) {
        if self.groups.is_one() {
            return (self.sleep.sleepers, self.sleep.searchers);
        }
        let count = |test: fn(&Worker) -> bool| {
            self.members(self.group_of(worker)).filter(|seat| test(seat)).count() as u32
        };
        (count(|seat| seat.joined), count(|seat| seat.searching))
    }

    fn members(&self, group: u32) -> impl Iterator<Item = &Worker> {
        self.workers.list.iter().filter(move |seat| seat.group == group)
    }

    /// L1 in each group by itself.
    #[cold]
    pub(super) fn groups_conserve_work(&self) -> Checked {
        for (group, injector) in (0..).zip(&self.groups.injectors) {
            let any = |test: fn(&Worker) -> bool| self.members(group).any(test);
            if !any(|seat| seat.joined) || any(|seat| seat.searching) || self.shutdown.asked() {
                continue;
            }
            let work = match (injector, any(Worker::stranded)) {
                (0, false) => continue,
                (0, true) => "in a ring that only others can be expected to take from soon".to_owned(),
                (count, _) => format!("in its injector ({})", counted(*count, "task")),
            };
            let what = format!(
                "there is work of group {group} {work}; a worker of it sleeps, none searches, and nobody is on the way to wake one"
            );
            return Err(Violation::new("L1", what));
        }
        Ok(())
    }
}
