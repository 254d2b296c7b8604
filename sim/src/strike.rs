//! What strikes hosts, threads and links for a while: crashes, pauses, stalls, clocks that jump, clogged links; and the end of all faults.
//!
//! Strikes are drawn at ticks of the virtual clock and carried out where threads may be switched: at a point or a block.

use crate::check::{Checker, Violation};
use crate::choice::Kind;
use crate::clock::Due;
use crate::fault::Faults;
use crate::options::Datagrams;
use crate::world::{NONE, State, World};

/// Something to carry out at the next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// All threads, sockets and memory of a host are gone; it starts again after the time.
    Crash(u32, u64),
    /// A host stands still.
    Pause(u32, u64),
    /// A thread stands still.
    Stall(u32, u64),
}

const MS: u64 = 1_000_000;

/// Spans of crashes, pauses and clogs. A stall is shorter: peers of a thread that stands still for long rightly look restless.
const SPANS: [u64; 4] = [MS, 20 * MS, 300 * MS, 3_000 * MS];
const STALLS: [u64; 4] = [MS / 10, MS, 5 * MS, 20 * MS];
/// What a wall clock jumps by, in nanoseconds.
const JUMPS: [i64; 4] = [1_000_000_000, -1_000_000_000, 3_600_000_000_000, -3_600_000_000_000];

impl World {
    /// Before the first thread runs: when faults come and go.
    pub(crate) fn begin_faults(&mut self) {
        let Faults { until, progress, .. } = self.options.faults;
        let any = progress.is_some() || self.options.faults != Faults { until, progress, ..Faults::none() };
        let rates = &self.options.rates;
        if rates.strike > 0 {
            self.due.push(rates.tick_ns, Due::Tick);
        }
        if let Some(until) = rates.until_ns
            && any
        {
            self.due.push(until, Due::FaultsEnd);
        }
        for (host, skew) in self.hosts.iter_mut().zip(&self.options.rates.skew_ns) {
            host.wall_ns = *skew;
        }
    }

    /// Perhaps something strikes.
    pub(crate) fn tick(&mut self) {
        let rates = &self.options.rates;
        if rates.strike == 0 {
            return;
        }
        let (permille, tick) = (rates.strike, rates.tick_ns);
        let kinds = [rates.crash, rates.pause, rates.stall, rates.jump, rates.clog];
        self.due.push(self.now + tick, Due::Tick);
        let kinds: Vec<usize> = (0..kinds.len()).filter(|&kind| kinds[kind]).collect();
        let hosts = self.hosts.len() as u32;
        let rank = self.rarely(Kind::Strike, 1 + kinds.len() as u32 * hosts, permille);
        if rank == 0 {
            return;
        }
        let (kind, host) = (kinds[((rank - 1) / hosts) as usize], (rank - 1) % hosts);
        let which = self.uniform(Kind::Span, 4) as usize;
        match kind {
            0 => self.strike(Strike::Crash(host, SPANS[which])),
            1 => self.strike(Strike::Pause(host, SPANS[which])),
            2 => {
                let threads: Vec<u32> = (0..self.threads.len() as u32)
                    .filter(|&n| {
                        let thread = &self.threads[n as usize];
                        thread.host == host && thread.state != State::Finished
                    })
                    .collect();
                if !threads.is_empty() {
                    let thread = threads[self.uniform(Kind::Strike, threads.len() as u32) as usize];
                    self.strike(Strike::Stall(thread, STALLS[which]));
                }
            }
            3 => self.jump(host, JUMPS[which]),
            _ => {
                let to = self.uniform(Kind::Strike, hosts);
                if to != host {
                    self.clog(host, to);
                    self.net.drawn_clogs.push((host, to));
                    self.due.push(self.now + SPANS[which], Due::Unclog(host, to));
                }
            }
        }
    }

    /// To be carried out soon.
    pub(crate) fn strike(&mut self, strike: Strike) {
        self.strikes.push(strike);
        self.urgent = true;
    }

    /// A host's wall clock jumps.
    pub(crate) fn jump(&mut self, host: u32, by_ns: i64) {
        let record = &mut self.hosts[host as usize];
        record.wall_ns = record.wall_ns.saturating_add(by_ns);
        let name = record.name.clone();
        self.tell(|| format!("the wall clock of host {name} jumps by {} s", by_ns as f64 / 1e9));
    }

    /// Packets of a link take much longer from now on. Clogs count.
    pub(crate) fn clog(&mut self, from: u32, to: u32) {
        match self.net.clogged.iter_mut().find(|clog| (clog.0, clog.1) == (from, to)) {
            Some(clog) => clog.2 += 1,
            None => self.net.clogged.push((from, to, 1)),
        }
    }

    /// Takes one clog back.
    pub(crate) fn unclog(&mut self, from: u32, to: u32) {
        if let Some(at) = self.net.clogged.iter().position(|clog| (clog.0, clog.1) == (from, to)) {
            self.net.clogged[at].2 -= 1;
            if self.net.clogged[at].2 == 0 {
                self.net.clogged.remove(at);
            }
        }
    }

    /// A drawn clog ends, if it has not yet.
    pub(crate) fn end_clog(&mut self, from: u32, to: u32) {
        if let Some(at) = self.net.drawn_clogs.iter().position(|clog| *clog == (from, to)) {
            self.net.drawn_clogs.swap_remove(at);
            self.unclog(from, to);
        }
    }

    /// Carries out what struck.
    #[cold]
    #[inline(never)]
    pub(crate) fn attend(&mut self) {
        self.urgent = false;
        for strike in std::mem::take(&mut self.strikes) {
            match strike {
                Strike::Crash(host, span) => self.crash(host, span),
                Strike::Pause(host, span) => {
                    let record = &mut self.hosts[host as usize];
                    if record.frozen || record.down || record.returned {
                        continue;
                    }
                    record.frozen = true;
                    let name = record.name.clone();
                    self.tell(|| format!("host {name} stands still for {:.3} s", span as f64 / 1e9));
                    for thread in self.threads_of(host) {
                        self.freeze(thread);
                    }
                    self.due.push(self.now + span, Due::Thaw(host));
                }
                Strike::Stall(thread, span) => {
                    let record = &self.threads[thread as usize];
                    if record.frozen || record.state == State::Finished {
                        continue;
                    }
                    let name = record.name.clone();
                    self.tell(|| format!("thread {name} stands still for {:.6} s", span as f64 / 1e9));
                    self.freeze(thread);
                    self.due.push(self.now + span, Due::ThawThread(thread));
                }
            }
        }
    }

    /// The same at a point: who runs then.
    #[cold]
    pub(crate) fn attend_at_point(&mut self) -> u32 {
        self.attend();
        if self.ready.contains(self.current) { self.current } else { self.pick() }
    }

    fn threads_of(&self, host: u32) -> Vec<u32> {
        let all = self.threads.iter().zip(0..);
        all.filter(|(thread, _)| thread.host == host && thread.state != State::Finished)
            .map(|(_, n)| n)
            .collect()
    }

    fn freeze(&mut self, thread: u32) {
        self.threads[thread as usize].frozen = true;
        self.ready.remove(thread);
        self.spun.remove(thread);
    }

    /// A host goes on.
    pub(crate) fn thaw(&mut self, host: u32) {
        if std::mem::take(&mut self.hosts[host as usize].frozen) {
            for thread in self.threads_of(host) {
                self.thaw_thread(thread);
            }
        }
    }

    /// A thread goes on, unless its host stands still.
    pub(crate) fn thaw_thread(&mut self, thread: u32) {
        let record = &mut self.threads[thread as usize];
        if self.hosts[record.host as usize].frozen || !std::mem::take(&mut record.frozen) {
            return;
        }
        let (ready, host) = (record.state == State::Ready, record.host as usize);
        self.hosts[host].checker.stood_still(self.now);
        if ready {
            self.ready.insert(thread);
            self.progress();
        }
    }

    /// Whether somebody stands still: then nothing can be said of what should have happened by now.
    pub(crate) fn anybody_frozen(&self) -> bool {
        self.threads.iter().any(|thread| thread.frozen) || self.hosts.iter().any(|host| host.frozen)
    }

    /// A host is gone, and starts again after `span`.
    fn crash(&mut self, host: u32, span: u64) {
        let record = &self.hosts[host as usize];
        if record.down || record.returned {
            return;
        }
        let name = record.name.clone();
        for thread in self.threads_of(host) {
            self.tso.drain(thread);
            let record = &mut self.threads[thread as usize];
            record.state = State::Finished;
            record.frozen = false;
            record.destructors.clear();
            if record.fiber != NONE {
                self.dead.push(record.fiber);
            }
            self.ready.remove(thread);
            self.spun.remove(thread);
            self.waiters.retain(|&(_, waiter, _)| waiter != thread);
        }
        self.tell(|| format!("host {name} crashes: its threads, sockets and memory are gone"));
        self.crash_disk(host);
        self.drivers.iter_mut().for_each(|driver| driver.crashed(host));
        self.net.crashed(host);
        self.kernel.crashed(host);
        let record = &mut self.hosts[host as usize];
        record.down = true;
        record.frozen = false;
        record.crashes += 1;
        record.checker = Checker::new();
        self.due.push(self.now.saturating_add(span), Due::Restart(host));
        self.progress();
    }

    /// The host's program starts again.
    pub(crate) fn restart(&mut self, host: u32) {
        let record = &mut self.hosts[host as usize];
        if !std::mem::take(&mut record.down) {
            return;
        }
        let name = format!("{}/main", record.name);
        self.tell(|| format!("thread {name} starts again after a crash"));
        let main = self.add_thread(host, name, NONE);
        self.hosts[host as usize].main = main;
    }

    /// Faults stop: links heal, everybody goes on, and progress is owed.
    pub(crate) fn faults_end(&mut self) {
        if self.drawn.is_some() {
            return;
        }
        self.drawn = Some(Box::new(self.options.clone()));
        self.tell(|| "faults stop here".to_owned());
        let options = &mut self.options;
        (options.short, options.spurious, options.slow, options.reset, options.partition) = (0, 0, 0, 0, 0);
        options.datagrams = Datagrams::default();
        let rates = &mut options.rates;
        (rates.strike, rates.loss, rates.refuse, rates.delay) = (0, 0, 0, 0);
        self.strikes.clear();
        self.end_partitions();
        for host in 0..self.hosts.len() as u32 {
            self.thaw(host);
            self.restart(host);
        }
        for thread in 0..self.threads.len() as u32 {
            self.thaw_thread(thread);
        }
        if let Some(span) = self.options.rates.progress_ns {
            self.due.push(self.now.saturating_add(span), Due::Progress);
        }
    }

    /// The time for progress after the faults is over.
    #[cold]
    pub(crate) fn progress_is_due(&mut self) {
        let late: Vec<&str> =
            self.hosts.iter().filter(|host| !host.returned).map(|host| host.name.as_str()).collect();
        let span = self.options.rates.progress_ns.unwrap_or(0) as f64 / 1e9;
        let message = format!(
            "faults stopped {span:.3} s ago (Faults::progress), and still not returned: {}\n{}",
            late.join(", "),
            self.describe_threads()
        );
        self.violated(Violation::named("progress", "after faults", message));
    }
}
