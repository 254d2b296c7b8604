//! The world of one execution: its threads, who is runnable, who runs next, who waits for what.
//!
//! Everything here runs on the simulated thread that asks (or on the job's own thread before the first and after the last), so there
//! is no lock. Nothing here switches: [`crate::thread::Executor`] does, to the thread that [`World::decide`] or [`World::pick`] names.

use std::panic::Location;

use crate::check::{Checker, Violation};
use crate::choice::{Entry, Key, Kind, Source, offer};
use crate::clock::Queue;
use crate::cost::Cost;
use crate::disk::{Disk, Open};
use crate::driver::Driver;
use crate::kernel::Files;
use crate::log::{Did, Log};
use crate::memory::Freed;
use crate::net::Net;
use crate::options::{Options, Preempt};
use crate::replay::{Fit, Mismatch};
use crate::report::Verdict;
use crate::rng::mix;
use crate::set::Set;
use crate::simulation::Main;
use crate::strike::Strike;
use crate::tso::Buffers;

/// No thread.
pub(crate) const NONE: u32 = u32::MAX;

/// What [`DIGEST_POINTS`] points cost, at first.
const COMPUTE_NS: u64 = 20_000;

/// Points between two digests.
pub(crate) const DIGEST_POINTS: u64 = 1024;

/// What a blocked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A core lock or condition variable.
    Address(usize),
    /// A futex: a user's lock, or thread parking.
    Futex(usize),
    /// A driver.
    Driver(u32),
    /// A call of a simulated kernel, outside of any driver.
    Kernel,
    /// The end of a thread.
    Join(u32),
    /// A moment: it computes or sleeps.
    Busy,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Blocked { why: Why, until: u64 },
    Finished,
}

/// A destructor of a thread-local, with its object.
pub(crate) type Destructor = (unsafe extern "C" fn(*mut u8), *mut u8);

/// A simulated thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) host: u32,
    pub(crate) name: String,
    pub(crate) state: State,
    /// [`NONE`]: of a host's main thread before it first runs.
    pub(crate) fiber: u32,
    /// Stands still: neither ready nor woken.
    pub(crate) frozen: bool,
    /// Its last point.
    pub(crate) at: Option<&'static Location<'static>>,
    /// Events it emitted, points since the last of them, choices since the last of those.
    pub(crate) events: u32,
    pub(crate) since: u32,
    pub(crate) asked: u32,
    /// Counts its blocks, so that a late timeout meets the right one.
    pub(crate) blocks: u32,
    /// How its last block ended.
    pub(crate) woken: bool,
    /// The value of the futex word that it waits at.
    pub(crate) expects: u32,
    /// Random numbers it took.
    pub(crate) entropy: u64,
    /// Times it read the clock since its last progress.
    pub(crate) clock_reads: u32,
    pub(crate) destructors: Vec<Destructor>,
    /// Its last panic, for the verdict if nobody catches it.
    pub(crate) panic: Option<String>,
}

/// A host of the world.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) checker: Checker,
    pub(crate) main: u32,
    pub(crate) program: Main,
    pub(crate) returned: bool,
    /// Crashed, and not yet started again; how often.
    pub(crate) down: bool,
    pub(crate) crashes: u32,
    /// Stands still.
    pub(crate) frozen: bool,
    /// How far its wall clock is off.
    pub(crate) wall_ns: i64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("main", &self.main).finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    /// Counts executions in this process; tells handles of an earlier one apart.
    pub(crate) run: u64,
    pub(crate) options: Options,
    pub(crate) source: Source,
    pub(crate) entries: Vec<Entry>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) ready: Set,
    pub(crate) spun: Set,
    pub(crate) spin_rounds: u32,
    pub(crate) current: u32,
    pub(crate) next: u32,
    pub(crate) now: u64,
    pub(crate) due: Queue,
    pub(crate) points: u64,
    pub(crate) switches: u64,
    pub(crate) events: u64,
    rolling: u64,
    /// Until when threads have run without blocking, and for how many times [`DIGEST_POINTS`].
    computed_until: u64,
    computed: u64,
    pub(crate) digests: Vec<u64>,
    pub(crate) event_digest: u64,
    /// The kinds of events that were emitted, and of choices that fell on another than the default: a bit each.
    pub(crate) seen_events: u64,
    pub(crate) seen_choices: u64,
    /// For each assertion of the program whether it was evaluated, and held.
    pub(crate) asserted: Vec<u8>,
    pub(crate) tso: Buffers,
    /// Who waits at which address, longest first, with the bits of a futex.
    pub(crate) waiters: Vec<(usize, u32, u32)>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) hosts_left: usize,
    /// What struck and is to be carried out; `urgent`: there is something.
    pub(crate) strikes: Vec<Strike>,
    pub(crate) urgent: bool,
    /// Stacks of threads that a crash ended.
    pub(crate) dead: Vec<u32>,
    /// The options as they were drawn, once faults have stopped.
    pub(crate) drawn: Option<Box<Options>>,
    pub(crate) failure: Option<Verdict>,
    pub(crate) mismatch: Option<Mismatch>,
    /// How much of a trace was followed before a strategy took over.
    pub(crate) fit: Option<Fit>,
    pub(crate) net: Net,
    pub(crate) kernel: Files,
    /// The hosts' disks, as far as they were used, and all files that were ever open.
    pub(crate) disks: Vec<Disk>,
    pub(crate) files: Vec<Open>,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) freed: Freed,
    /// What happened so far, if that was asked for.
    pub(crate) log: Option<Log>,
    /// Things have costs, and the schedule follows from them.
    pub(crate) cost: Option<Box<Cost>>,
}

impl World {
    /// A world without an execution.
    pub(crate) fn idle(options: Options) -> Self {
        Self {
            run: 0,
            options,
            source: Source::idle(),
            entries: Vec::new(),
            threads: Vec::new(),
            ready: Set::default(),
            spun: Set::default(),
            spin_rounds: 0,
            current: 0,
            next: NONE,
            now: 0,
            due: Queue::default(),
            points: 0,
            switches: 0,
            events: 0,
            rolling: 0,
            computed_until: 0,
            computed: 0,
            digests: Vec::new(),
            event_digest: 0,
            seen_events: 0,
            seen_choices: 0,
            asserted: Vec::new(),
            tso: Buffers::default(),
            waiters: Vec::new(),
            hosts: Vec::new(),
            hosts_left: 0,
            strikes: Vec::new(),
            urgent: false,
            dead: Vec::new(),
            drawn: None,
            failure: None,
            mismatch: None,
            fit: None,
            net: Net::default(),
            kernel: Files::default(),
            disks: Vec::new(),
            files: Vec::new(),
            drivers: Vec::new(),
            freed: Freed::default(),
            log: None,
            cost: None,
        }
    }

    /// Makes this the world of a new execution, with what it may re-use of the old one.
    pub(crate) fn reset(&mut self, run: u64, options: Options, source: Source) {
        let Self {
            entries,
            threads,
            ready,
            spun,
            due,
            digests,
            tso,
            waiters,
            hosts,
            drivers,
            freed,
            net,
            kernel,
            ..
        } = self;
        entries.clear();
        threads.clear();
        ready.clear();
        spun.clear();
        due.clear();
        digests.clear();
        tso.clear();
        waiters.clear();
        hosts.clear();
        drivers.clear();
        freed.clear();
        net.clear();
        kernel.clear();
        self.disks.clear();
        self.files.clear();
        self.run = run;
        self.options = options;
        self.source = source;
        self.spin_rounds = 0;
        self.current = 0;
        self.next = NONE;
        self.now = 0;
        self.points = 0;
        self.switches = 0;
        self.events = 0;
        self.rolling = 0;
        self.computed_until = 0;
        self.computed = 0;
        self.event_digest = 0;
        self.seen_events = 0;
        self.seen_choices = 0;
        self.asserted.clear();
        self.hosts_left = 0;
        self.strikes.clear();
        self.urgent = false;
        self.dead.clear();
        self.drawn = None;
        self.failure = None;
        self.mismatch = None;
        self.fit = None;
        self.log = None;
        self.cost = None;
    }

    /// The running thread.
    #[inline]
    pub(crate) fn me(&mut self) -> &mut Thread {
        &mut self.threads[self.current as usize]
    }

    /// The host of the running thread.
    #[inline]
    pub(crate) fn my_host(&self) -> u32 {
        self.threads[self.current as usize].host
    }

    /// A new runnable thread.
    pub(crate) fn add_thread(&mut self, host: u32, name: String, fiber: u32) -> u32 {
        let number = self.threads.len() as u32;
        self.threads.push(Thread {
            host,
            name,
            state: State::Ready,
            fiber,
            frozen: self.hosts[host as usize].frozen,
            at: None,
            events: 0,
            since: 0,
            asked: 0,
            blocks: 0,
            woken: false,
            expects: 0,
            entropy: 0,
            clock_reads: 0,
            destructors: Vec::new(),
            panic: None,
        });
        if !self.threads[number as usize].frozen {
            self.ready.insert(number);
        }
        if let Some(cost) = &mut self.cost {
            cost.thread(number, host, self.now);
        }
        self.progress();
        if let Source::Draw(draw) = &mut self.source {
            draw.thread();
        }
        number
    }

    /// The running thread ends.
    pub(crate) fn finish_thread(&mut self) {
        let me = self.current;
        self.tso.drain(me);
        self.threads[me as usize].state = State::Finished;
        self.ready.remove(me);
        if let Some(cost) = &mut self.cost {
            cost.blocked(me, self.now);
        }
        self.spun.remove(me);
        self.progress();
        self.issuer_is_gone(me);
        let joiners: Vec<u32> = self.blocked_on(Why::Join(me));
        for joiner in joiners {
            self.make_ready(joiner, true);
        }
        let host = self.threads[me as usize].host as usize;
        let host = &mut self.hosts[host];
        host.checker.thread_gone(me);
        if host.main == me && !host.returned {
            host.returned = true;
            self.hosts_left -= 1;
            if let Err(violation) = host.checker.end() {
                self.violated(violation);
            }
        }
        let number = self.threads[me as usize].host;
        let host = &self.hosts[number as usize];
        let over = |thread: &Thread| thread.host != number || thread.state == State::Finished;
        if host.returned && self.threads.iter().all(over) {
            let open = self.net.open_count(number);
            if let Err(violation) =
                host.checker.descriptors_left(open).and_then(|()| host.checker.tasks_left())
            {
                self.violated(violation);
            }
        }
    }

    fn blocked_on(&self, what: Why) -> Vec<u32> {
        (0..self.threads.len() as u32)
            .filter(|&n| matches!(self.threads[n as usize].state, State::Blocked { why, .. } if why == what))
            .collect()
    }

    /// Something happened that a spinning thread may wait for.
    #[inline]
    pub(crate) fn progress(&mut self) {
        self.spin_rounds = 0;
        self.spun.clear();
    }

    // ---- choices ----

    #[inline]
    pub(crate) fn key(&mut self) -> Key {
        let thread = self.current;
        let me = &mut self.threads[thread as usize];
        me.asked += 1;
        Key { thread, event: me.events, point: me.since, nth: me.asked }
    }

    #[inline]
    pub(crate) fn record(&mut self, key: Key, kind: Kind, offer: u32, pick: u32) {
        let Key { thread, event, point, nth } = key;
        self.seen_choices |= 1 << kind as u8;
        let entry = Entry { thread, event, point, nth, kind, offer, pick };
        self.entries.push(entry);
        if self.log.is_some() {
            self.log_choice(entry);
        }
    }

    /// What the followed trace picks here: 0, the default, where it says nothing. A difference may have ended the run.
    #[inline]
    pub(crate) fn recorded(
        &mut self,
        key: Key,
        kind: Kind,
        offer: impl FnOnce(&Self) -> u32,
        possible: impl FnOnce(&Self, u32) -> bool,
    ) -> u32 {
        let Source::Follow(follow) = &mut self.source else { return 0 };
        let (number, entry) = match follow.find(key, kind) {
            Ok(Some(found)) => found,
            Ok(None) => return 0,
            Err(mismatch) => {
                self.differs(mismatch);
                return 0;
            }
        };
        let (same, possible) = (offer(self) == entry.offer, possible(self, entry.pick));
        let Source::Follow(follow) = &mut self.source else { return 0 };
        match follow.take(number, same, possible) {
            Ok(pick) => {
                if follow.prefix_is_over() {
                    self.explore_on(None);
                }
                pick
            }
            Err(mismatch) => {
                self.differs(mismatch);
                0
            }
        }
    }

    /// Prefix replay: from here on a strategy chooses.
    fn explore_on(&mut self, why: Option<Mismatch>) {
        let Source::Follow(follow) = &mut self.source else { return };
        let Some((mut draw, fit)) = follow.leave(why) else { return };
        self.threads.iter().for_each(|_| draw.thread());
        self.fit = Some(fit);
        self.source = Source::Draw(draw);
    }

    /// A choice among `options` that falls on another than the default with a chance of `permille`.
    #[inline]
    pub(crate) fn rarely(&mut self, kind: Kind, options: u32, permille: u32) -> u32 {
        if permille == 0 || options < 2 {
            return 0;
        }
        self.choose(kind, options, |draw| draw.rarely(options, permille))
    }

    /// A choice among `options`, all alike.
    pub(crate) fn uniform(&mut self, kind: Kind, options: u32) -> u32 {
        if options < 2 {
            return 0;
        }
        self.choose(kind, options, |draw| draw.uniform(options))
    }

    #[inline]
    fn choose(&mut self, kind: Kind, options: u32, draw: impl FnOnce(&mut crate::draw::Draw) -> u32) -> u32 {
        let key = self.key();
        let rank = match &mut self.source {
            Source::Draw(source) => draw(source),
            Source::Follow(_) => {
                self.recorded(key, kind, |_| offer(options, 0), |_, pick| (1..options).contains(&pick))
            }
        };
        if rank != 0 {
            self.record(key, kind, offer(options, 0), rank);
        }
        rank
    }

    /// Counts a point of the running thread.
    #[inline]
    pub(crate) fn count(&mut self, access: u32, at: &'static Location<'static>) {
        self.points += 1;
        let what = (u64::from(self.current) << 40) | (u64::from(access) << 32) | u64::from(at.line());
        self.rolling = mix(self.rolling, what);
        let me = self.me();
        me.at = Some(at);
        me.since = me.since.wrapping_add(1);
        me.asked = 0;
        if self.log.is_some() {
            self.log(Did::Point(at, crate::hook::access_name(access)));
        }
        if self.points.is_multiple_of(DIGEST_POINTS) {
            self.digest();
        }
    }

    #[cold]
    #[inline(never)]
    fn digest(&mut self) {
        let digest = mix(self.rolling, self.event_digest);
        if let Source::Follow(follow) = &self.source
            && let Err(mismatch) = follow.digest(self.digests.len(), digest)
        {
            self.differs(mismatch);
        }
        self.digests.push(digest);
        self.compute();
        if self.points >= self.options.max_points {
            let report = self.describe_threads();
            self.fail(Verdict::Livelock(format!(
                "no end after {} points, the limit (Simulation::max_points)\n{report}",
                self.points
            )));
        }
    }

    /// Computing takes time: it passes while threads run and never block, faster the longer that lasts.
    fn compute(&mut self) {
        if self.now != self.computed_until {
            self.computed = 0;
        }
        self.computed += 1;
        self.pass(COMPUTE_NS * (2 * self.computed - 1));
        self.computed_until = self.now;
    }

    /// Something of the world's own enters the digest of the events.
    #[inline]
    pub(crate) fn note(&mut self, what: u64) {
        self.event_digest = mix(mix(self.event_digest, u64::from(self.current)), what);
    }

    /// Whether points switch.
    #[inline]
    pub(crate) fn everywhere(&self) -> bool {
        self.options.preempt == Preempt::Everywhere
    }

    // ---- failures ----

    /// Ends the run. The first failure stays.
    #[cold]
    pub(crate) fn fail(&mut self, verdict: Verdict) {
        if self.failure.is_none() {
            self.failure = Some(verdict);
        }
    }

    /// Ends the run with a broken invariant.
    #[cold]
    pub(crate) fn violated(&mut self, violation: Violation) {
        // Nobody checks a run with costs.
        if self.cost.is_none() {
            self.fail(Verdict::Violation(violation));
        }
    }

    /// Ends a replay that differs, or what is followed of a prefix.
    #[cold]
    pub(crate) fn differs(&mut self, mismatch: Mismatch) {
        if matches!(&self.source, Source::Follow(follow) if follow.is_prefix()) {
            self.explore_on(Some(mismatch));
        } else if self.mismatch.is_none() && self.failure.is_none() {
            self.fail(Verdict::Unsupported(format!("the replay differs: {mismatch}")));
            self.mismatch = Some(mismatch);
        }
    }

    /// Asks the checkers of all hosts that have not returned.
    pub(crate) fn check_all(&mut self, mut check: impl FnMut(&mut Checker, u64) -> Result<(), Violation>) {
        let now = self.now;
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            if !host.returned
                && let Err(violation) = check(&mut host.checker, now)
            {
                self.violated(violation);
                return;
            }
        }
    }

    /// The digest of the whole run so far.
    pub(crate) fn final_digest(&self) -> u64 {
        mix(mix(self.event_digest, self.events), self.now)
    }
}
