//! Groups: which workers share work, and which of them carry I/O.
//!
//! A runtime is a list of groups, each a range of seats with an injector, a sleep protocol and a watch of its own. A task that is not
//! pinned belongs to one; wakes from elsewhere go to that group's injector. Workers steal from, wake and watch peers of their own
//! group alone. One group is the usual case; every topology is a list of them, and the worker loop knows none.

use super::config::GroupConfig;
use super::shared::Shared;
use super::worker::Worker;
use crate::queue::Injector;
use crate::sleep::Sleep;
use crate::sync::{Apart, AtomicBool, AtomicU32, Ghost, Hint, ghost};
use crate::task::Task;

/// One group.
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    /// The number of its first worker.
    pub(crate) first: u32,
    pub(crate) injector: Apart<Injector<Task>>,
    pub(crate) sleep: Apart<Sleep>,
    /// Idle workers whose parks end with a look after their peers.
    pub(crate) watching: Apart<AtomicU32>,
    /// A LIFO slot was used or a ring kept since the group was last quiet.
    pub(crate) watch_asked: Apart<AtomicBool>,
    /// About how many watch looks found nobody overdue since the last time that somebody was for long.
    pub(crate) calm: Apart<Hint>,
}

impl Group {
    /// The groups of a runtime.
    pub(crate) fn list(configs: &[GroupConfig]) -> Box<[Self]> {
        let mut first = 0;
        let group = |config: &GroupConfig| {
            let start = first;
            first += config.workers as u32;
            Self {
                config: config.clone(),
                first: start,
                injector: Apart::new(Injector::new()),
                sleep: Apart::new(Sleep::new(start..first)),
                watching: Apart::new(AtomicU32::new(0)),
                watch_asked: Apart::new(AtomicBool::new(false)),
                calm: Apart::new(Hint::new(0)),
            }
        };
        configs.iter().map(group).collect()
    }

    /// Tells the checkers of a runtime that started; a single group that steals is what they expect.
    pub(crate) fn tell(list: &[Self]) {
        if list.len() == 1 && list[0].config.steals {
            return;
        }
        for (number, group) in (0..).zip(list) {
            let (first, workers, steals) = (group.first, group.len(), group.config.steals);
            ghost(|| Ghost::Group { group: number, first, workers, steals });
        }
    }

    /// How many workers it has.
    pub(crate) fn len(&self) -> u32 {
        self.config.workers as u32
    }

    /// Their numbers.
    pub(crate) fn seats(&self) -> core::ops::Range<u32> {
        self.first..self.first + self.len()
    }
}

impl Worker<'_> {
    /// Has the calling thread run where its group says.
    pub(crate) fn pin(&self) -> std::io::Result<()> {
        match self.group.config.cpu((self.number - self.group.first) as usize) {
            Some(cpu) => self.shared.os.run_on(&[cpu]),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// The group of a seat.
    pub(crate) fn group_of(&self, seat: u32) -> &Group {
        &self.groups[self.seat(seat).group as usize]
    }
}
