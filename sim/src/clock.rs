//! Virtual time, and what is due when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::net::OpRef;
use crate::report::Verdict;
use crate::world::{State, Why, World};

/// Something that happens by itself at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The limit of a thread's block.
    Thread { thread: u32, block: u32 },
    /// A packet arrives.
    Packet(u32),
    /// A file op comes to its end.
    File(OpRef),
    /// A timerfd rings, if it was not set anew.
    Timer { file: u32, setting: u64 },
    /// A timeout of a ring.
    Request { ring: u32, request: u32, serial: u64 },
    /// A thread of the kernel is done with a request of a ring.
    Work { ring: u32, request: u32, serial: u64 },
    /// A drawn partition ends; one-way or not.
    Heal(u32, u32, bool),
    /// A drawn clog ends.
    Unclog(u32, u32),
    /// Something may strike.
    Tick,
    /// A host that stands still goes on.
    Thaw(u32),
    /// A thread that stands still goes on.
    ThawThread(u32),
    /// A crashed host starts again.
    Restart(u32),
    /// Faults stop.
    FaultsEnd,
    /// All hosts must have returned.
    Progress,
}

/// What is due, in order of time and then of entry.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, Due)>>,
    entries: u64,
}

impl Queue {
    /// `what` happens at `at`.
    pub(crate) fn push(&mut self, at: u64, what: Due) {
        self.entries += 1;
        self.heap.push(Reverse((at, self.entries, what)));
    }

    /// What is due next, and when.
    pub(crate) fn peek(&self) -> Option<(u64, Due)> {
        self.heap.peek().map(|Reverse((at, _, what))| (*at, *what))
    }

    /// Takes what is due at `now` or before.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Due> {
        if self.peek()?.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, what))| what)
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.entries = 0;
    }
}

/// Clock reads of a thread between two blocks before each moves time.
const FREE_READS: u32 = 32;

/// What such a read moves time by at first, and at most, in nanoseconds.
const READ_STEP: u64 = 50;
const READ_STEP_MAX: u64 = 20_000;

/// Offset of the wall clock: 2026-01-01T00:00:00Z, in nanoseconds of Unix time.
pub(crate) const WALL_START: u64 = 1_767_225_600_000_000_000;

impl World {
    /// Moves time to the next due thing that concerns somebody, and lets all that is due then happen. False if nothing is due.
    pub(crate) fn advance(&mut self) -> bool {
        self.advance_up_to(u64::MAX)
    }

    /// The same, if it is due at `limit` or before.
    pub(crate) fn advance_up_to(&mut self, limit: u64) -> bool {
        while let Some(at) = self.next_due()
            && at <= limit
        {
            if at > self.now {
                self.move_time(at);
                if self.failure.is_some() {
                    return true;
                }
            }
            if self.happen() {
                return true;
            }
        }
        false
    }

    /// When the next thing is due that concerns somebody; limits of blocks that have ended are forgotten here.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        loop {
            let (at, what) = self.due.peek()?;
            match what {
                Due::Thread { thread, block } if !self.still_blocked(thread, block) => drop(self.due.pop(at)),
                _ => return Some(at),
            }
        }
    }

    /// The time, for the running thread: a thread that looks at it again and again without ever blocking sees it pass.
    pub(crate) fn read_clock(&mut self) -> u64 {
        if self.cost.is_some() {
            return self.now;
        }
        let reads = {
            let me = self.me();
            me.clock_reads += 1;
            me.clock_reads
        };
        if reads > FREE_READS {
            let step = READ_STEP.saturating_mul(1 << ((reads - FREE_READS) / 16).min(20)).min(READ_STEP_MAX);
            self.pass(step);
        }
        self.now
    }

    /// Lets `span` pass while threads run, and what is due by then happen.
    pub(crate) fn pass(&mut self, span: u64) {
        let until = self.now + span;
        while let Some(at) = self.next_due()
            && at <= until
            && self.failure.is_none()
        {
            self.move_time(at.max(self.now));
            self.happen();
        }
        if self.failure.is_none() && until > self.now {
            self.move_time(until);
        }
    }

    fn move_time(&mut self, at: u64) {
        self.now = at;
        if at > self.options.max_time_ns {
            let report = self.describe_threads();
            self.fail(Verdict::Livelock(format!(
                "no end after {:.3} s of virtual time, the limit (Simulation::max_time)\n{report}",
                at as f64 / 1e9
            )));
            return;
        }
        for host in self.hosts.iter_mut().filter(|host| !host.returned) {
            let waits = |thread: u32| {
                let thread = &self.threads[thread as usize];
                matches!(thread.state, State::Blocked { why: Why::Driver(_), .. }) && !thread.frozen
            };
            if let Err(violation) = host.checker.time_passed(at, waits) {
                self.violated(violation);
                return;
            }
        }
    }

    /// Lets all that is due now happen; whether that concerned anybody.
    pub(crate) fn happen(&mut self) -> bool {
        let mut anything = false;
        while let Some(what) = self.due.pop(self.now) {
            match what {
                Due::Thread { thread, block } => {
                    let before = self.ready.count();
                    self.time_out(thread, block);
                    anything |= self.ready.count() > before;
                }
                Due::Packet(packet) => {
                    self.arrive(packet);
                    anything = true;
                }
                Due::Heal(a, b, one_way) => {
                    self.end_partition(a, b, one_way);
                    anything = true;
                }
                Due::File(op) => {
                    self.file_op_ends(op);
                    anything = true;
                }
                Due::Timer { file, setting } => anything |= self.timer_rings(file, setting),
                Due::Request { ring, request, serial } => {
                    anything |= self.request_is_over(ring, request, serial);
                }
                Due::Work { ring, request, serial } => {
                    anything |= self.work_is_done(ring, request, serial);
                }
                Due::Unclog(a, b) => self.end_clog(a, b),
                Due::Tick => self.tick(),
                Due::Thaw(host) => {
                    self.thaw(host);
                    anything = true;
                }
                Due::ThawThread(thread) => {
                    self.thaw_thread(thread);
                    anything = true;
                }
                Due::Restart(host) => {
                    self.restart(host);
                    anything = true;
                }
                Due::FaultsEnd => {
                    self.faults_end();
                    anything = self.ready.count() > 0;
                }
                Due::Progress => self.progress_is_due(),
            }
        }
        anything || self.urgent
    }

    /// The wall clock of a host, in nanoseconds of Unix time.
    pub(crate) fn wall(&self, host: u32) -> u64 {
        (WALL_START + self.now).saturating_add_signed(self.hosts[host as usize].wall_ns)
    }

    /// When the wall clock of the running thread's host will show `wall_ns`, if it does not jump.
    pub(crate) fn at_wall(&self, wall_ns: u64) -> u64 {
        let skew = self.hosts[self.my_host() as usize].wall_ns;
        wall_ns.saturating_add_signed(skew.saturating_neg()).saturating_sub(WALL_START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_of_time_then_of_entry() {
        let mut queue = Queue::default();
        queue.push(5, Due::Packet(1));
        queue.push(3, Due::Packet(2));
        queue.push(5, Due::Packet(0));
        assert_eq!(queue.peek(), Some((3, Due::Packet(2))));
        assert_eq!(queue.pop(2), None);
        assert_eq!(queue.pop(5), Some(Due::Packet(2)));
        assert_eq!(queue.pop(5), Some(Due::Packet(1)));
        assert_eq!(queue.pop(5), Some(Due::Packet(0)));
        assert_eq!(queue.peek(), None);
    }
}
