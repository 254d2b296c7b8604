//! The numbers of a runtime, each with the reason for its default.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::observe::SlowPolls;

/// One group: see `group::GroupSpec`, whose methods set these.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    pub(crate) name: Box<str>,
    pub(crate) workers: usize,
    pub(crate) steals: bool,
    pub(crate) carries_io: bool,
    /// The CPU of each worker, by turns; empty: any.
    pub(crate) cpus: Vec<usize>,
}

impl GroupConfig {
    /// Where the worker at that place of the group runs.
    pub(crate) fn cpu(&self, at: usize) -> Option<usize> {
        (!self.cpus.is_empty()).then(|| self.cpus[at % self.cpus.len()])
    }

    /// So many descriptors are at home with a worker before what its listeners accept goes elsewhere (`DriverConfig::near`). None with a worker
    /// that shares its tasks with nobody: what it accepts for others is served by them.
    pub(crate) fn near(&self) -> usize {
        match self.steals && self.workers > 1 {
            true => NEAR / self.workers,
            false => 0,
        }
    }
}

/// That number times the workers. Looks at one driver bring more at once than looks at many, and who
/// computes for long is sent to a worker with few connections; hence 64 for each of two workers. But a driver is served by one thread,
/// so the more workers there are, the sooner it is what they all wait for: by the cost model 16 workers did 165 thousand short requests
/// a second over io_uring with 256 connections at one driver, and 851 thousand with 8 (396 and 1,123 over epoll).
const NEAR: usize = 128;

/// Events of a worker at most: 1 GiB.
const MOST_EVENTS: usize = 1 << 26;

/// See `runtime::Builder`, whose methods set these.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The first one has seat 0.
    pub(crate) groups: Vec<GroupConfig>,
    /// 256: a burst of wakes fits, and half of it moves in one steal.
    pub(crate) ring_capacity: usize,
    /// 3: a ping-pong pair stays in the cache, and the ring's tasks wait for four polls at most.
    pub(crate) lifo_limit: u32,
    /// 61: an empty look costs a system call, about 1 % of 61 short polls.
    pub(crate) poll_interval: u32,
    /// 31: twice a look, so that tasks from outside are not behind a full ring for long.
    pub(crate) injector_interval: u32,
    /// 128: as many inline successes of I/O in one poll before the task must let others on.
    pub(crate) budget: u32,
    /// 512: threads for blocking work at most; they mostly wait.
    pub(crate) blocking_threads: usize,
    /// 10 s: a burst's threads serve the next burst.
    pub(crate) blocking_keep_alive: Duration,
    /// Events a worker remembers; 0: none.
    pub(crate) recorder: usize,
    /// Whether times of polls and waits are measured.
    pub(crate) timing: bool,
    /// Where the first panic of a task leaves a dump.
    pub(crate) dump_on_panic: Option<PathBuf>,
    /// Which polls are too long, and what is done about them.
    pub(crate) slow_poll: Option<SlowPolls>,
    /// 250 µs: where tasks compute now and then, one that does holds up its worker's I/O for half a millisecond; the first one in a while
    /// for two (with few sleepers; each of many looks that many times as late), and after a quiet spell for as long as that lasted, up
    /// to 16 ms a sleeper. Where a server and its clients filled two CPUs, looks 250 µs apart cost 6 % of the server's CPU time;
    /// hence the rarer ones while all is well.
    pub(crate) watch_interval: Duration,
    /// 500 µs, by measurement: an echo over 64 connections on two workers took 6.1 µs of CPU a message with 20, 5.7 with 50, 5.4 with
    /// 100, 5.2 with 200 and 5.0 with 500, at a rate and latencies that got better, not worse. What wakes a peer costs it 6 µs and more;
    /// what moves, tasks and their sockets' state, comes back by and by.
    pub(crate) share_delay: Duration,
    /// 100 µs: a few dozen short polls share a call; what was staged before a long one waits for that one only.
    pub(crate) turn_limit: Duration,
    /// 61: completions collected at most in one look, as many as are run before the next one: the ring holds no more of them than
    /// it has room for. (With 256 a look at 1,000 connections overflowed it, and what went to the injector waited for 31 turns.)
    pub(crate) batch: usize,
    /// 5 s: what a dropped runtime waits for started blocking work, sends in flight and polls that go on.
    pub(crate) shutdown_limit: Duration,
    /// Stacks of coroutines.
    #[cfg(feature = "coro")]
    pub(crate) stacks: crate::coro::Config,
}

impl Config {
    pub(crate) fn new() -> Self {
        Self {
            groups: Vec::new(),
            ring_capacity: 256,
            lifo_limit: 3,
            poll_interval: 61,
            injector_interval: 31,
            budget: 128,
            blocking_threads: 512,
            blocking_keep_alive: Duration::from_secs(10),
            recorder: 0,
            timing: false,
            dump_on_panic: None,
            slow_poll: None,
            watch_interval: Duration::from_micros(250),
            share_delay: Duration::from_micros(500),
            turn_limit: Duration::from_micros(100),
            batch: 61,
            shutdown_limit: Duration::from_secs(5),
            #[cfg(feature = "coro")]
            stacks: crate::coro::Config::new(),
        }
    }

    /// Whether the clock is read around polls.
    pub(crate) fn clocked(&self) -> bool {
        self.timing || self.recorder > 0 || self.slow_poll.is_some()
    }

    /// `share_delay` in nanoseconds.
    pub(crate) fn share_delay_ns(&self) -> u64 {
        u64::try_from(self.share_delay.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Refuses what cannot work, with the option's name and what would.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let workers = self.groups.iter().fold(0, |sum: usize, group| sum.saturating_add(group.workers));
        if !(1..=4095).contains(&workers) {
            return refuse(format!("workers({workers}): a runtime has 1 to 4095 workers"));
        }
        for (at, group) in self.groups.iter().enumerate() {
            if group.workers == 0 {
                return refuse(format!("the group {:?} has 0 workers: give it at least 1", group.name));
            }
            if self.groups[..at].iter().any(|other| other.name == group.name) {
                return refuse(format!("two groups are called {:?}: names tell groups apart", group.name));
            }
        }
        if !self.groups.iter().any(|group| group.carries_io) {
            return refuse("no group carries I/O: at least one has to".into());
        }
        if !self.ring_capacity.is_power_of_two() || !(2..=1 << 15).contains(&self.ring_capacity) {
            return refuse(format!(
                "ring_capacity({}): use a power of two from 2 to 32768",
                self.ring_capacity
            ));
        }
        let intervals = [
            ("lifo_limit", self.lifo_limit),
            ("poll_interval", self.poll_interval),
            ("injector_interval", self.injector_interval),
            ("budget", self.budget),
        ];
        for (name, value) in intervals {
            if !(1..=255).contains(&value) && name == "lifo_limit" || value == 0 {
                return refuse(format!("{name}({value}): use at least 1 (and for lifo_limit at most 255)"));
            }
        }
        if self.batch == 0 {
            return refuse(
                "look_batch(0): a look that collects nothing serves nobody: use at least 1".into(),
            );
        }
        if self.blocking_threads == 0 {
            return refuse("blocking_threads(0): spawn_blocking needs at least 1 thread".into());
        }
        if self.recorder > MOST_EVENTS {
            return refuse(format!(
                "recorder({}): a worker remembers at most {MOST_EVENTS} events, of 16 bytes each",
                self.recorder
            ));
        }
        if self.watch_interval.is_zero() {
            return refuse("watch_interval(0): use at least a nanosecond; about 250 µs is sensible".into());
        }
        #[cfg(feature = "coro")]
        self.stacks.check().or_else(refuse)?;
        Ok(())
    }
}
