//! Faults: what goes wrong beyond ordinary timing, how much of it an execution draws, and when it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::options::Datagrams;
use crate::rng::Rng;

/// What goes wrong beyond ordinary timing. All of it is legal behaviour of real machines; a program that does not expect
/// `resets`, `half-open`, `partitions`, `crashes`, `disk`, `datagrams` or `limits` may well fail under them, so what is more than a matter of time within one host is off unless asked for.
///
/// Faults happen first, then they stop: at [`Faults::until`] links heal, threads go on and crashed hosts start again, and from then
/// on the program has to get on: see [`Faults::progress`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Reads and writes transfer less than they could.
    pub short: bool,
    /// Polls return early, completions come in any order and in parts, submissions meet a full queue.
    pub spurious: bool,
    /// Time passes while threads are runnable: a thread is slow.
    pub slow: bool,
    /// Connections are reset.
    pub resets: bool,
    /// The same, but some at one end only: the other one learns of it when it sends, and who only reads waits for ever.
    pub half_open: bool,
    /// Pairs of hosts lose sight of each other for a while, one way or both.
    pub partitions: bool,
    /// Latencies have long tails and differ between hosts; lost packets are sent again and come late.
    pub delays: bool,
    /// UDP datagrams are lost, come twice, and late.
    pub datagrams: bool,
    /// Links take fifty times as long for a while.
    pub clogs: bool,
    /// Hosts stand still for a while, and single threads.
    pub pauses: bool,
    /// Wall clocks are off, and jump.
    pub clocks: bool,
    /// Hosts crash: all threads, sockets and memory are gone, and after a while the program starts again. Globals of the
    /// process and what hosts share through captured variables stay; what a killed thread held is leaked, a std lock included.
    pub crashes: bool,
    /// Descriptors are few, and sockets are refused for want of memory.
    pub limits: bool,
    /// File ops fail: EIO, and ENOSPC for writes.
    pub disk: bool,
    /// Each execution draws from its seed which of the faults above that are on it has, how strong they are, and when they stop.
    pub swarm: bool,
    /// Faults stop after this much virtual time; in a swarm, at the latest.
    pub until: Duration,
    /// When faults have stopped, all hosts have to return within this much virtual time, else the execution fails.
    pub progress: Option<Duration>,
}

impl Default for Faults {
    /// Short transfers, spurious returns and slow threads: what every program must expect.
    fn default() -> Self {
        Self { short: true, spurious: true, slow: true, ..Self::none() }
    }
}

/// A fault of a set.
type Field = fn(&mut Faults) -> &mut bool;

/// The faults by name.
const NAMES: [(&str, Field); 14] = [
    ("short", |faults| &mut faults.short),
    ("spurious", |faults| &mut faults.spurious),
    ("slow", |faults| &mut faults.slow),
    ("resets", |faults| &mut faults.resets),
    ("half-open", |faults| &mut faults.half_open),
    ("partitions", |faults| &mut faults.partitions),
    ("delays", |faults| &mut faults.delays),
    ("datagrams", |faults| &mut faults.datagrams),
    ("clogs", |faults| &mut faults.clogs),
    ("pauses", |faults| &mut faults.pauses),
    ("clocks", |faults| &mut faults.clocks),
    ("crashes", |faults| &mut faults.crashes),
    ("limits", |faults| &mut faults.limits),
    ("disk", |faults| &mut faults.disk),
];

impl Faults {
    /// No fault at all.
    pub fn none() -> Self {
        Self {
            short: false,
            spurious: false,
            slow: false,
            resets: false,
            half_open: false,
            partitions: false,
            delays: false,
            datagrams: false,
            clogs: false,
            pauses: false,
            clocks: false,
            crashes: false,
            limits: false,
            disk: false,
            swarm: false,
            until: Duration::from_secs(10),
            progress: None,
        }
    }

    /// Every fault, in every execution.
    pub fn all() -> Self {
        let mut all = Self::none();
        NAMES.iter().for_each(|(_, field)| *field(&mut all) = true);
        all
    }

    /// A swarm (Groce et al., 2012): each execution has some of all faults, drawn from its seed with their strength and end, and
    /// ten minutes of virtual time to return when they have stopped.
    pub fn swarm() -> Self {
        Self { swarm: true, progress: Some(Duration::from_secs(600)), ..Self::all() }
    }

    /// A swarm of the faults that are a matter of time: a program that waits for as long as it takes never notices.
    pub fn mild() -> Self {
        Self {
            resets: false,
            half_open: false,
            crashes: false,
            limits: false,
            disk: false,
            datagrams: false,
            ..Self::swarm()
        }
    }

    /// From a list separated by commas: `default`, `none`, `all`, `mild`, `swarm`, and names of single faults, such as `resets`. These
    /// add to the default set, except after one of the others; with a minus before it a fault is left out.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for word in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (name, on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            match name {
                "default" if on => faults = Self::default(),
                "none" if on => faults = Self::none(),
                "all" if on => faults = Self::all(),
                "mild" if on => faults = Self::mild(),
                "swarm" if on => faults = Self::swarm(),
                _ => match NAMES.iter().find(|(known, _)| *known == name) {
                    Some((_, field)) => *field(&mut faults) = on,
                    None => {
                        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                        return Err(format!(
                            "no fault is called `{word}`; there are {}, and the sets default, none, all, mild and swarm",
                            names.join(", ")
                        ));
                    }
                },
            }
        }
        Ok(faults)
    }
}

/// The faults of one execution beside the five rates that stand in its options by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rates {
    /// Chance in 1000 that a packet takes another time than the latency, and how many times there are.
    pub(crate) delay: u32,
    pub(crate) delays: u32,
    /// Whether latencies differ between pairs of hosts.
    pub(crate) spread: bool,
    /// Chance in 1000 that a packet has to be sent again.
    pub(crate) loss: u32,
    /// Whether partitions may be one-way, and resets half-open, of one end.
    pub(crate) one_way: bool,
    pub(crate) half_open: bool,
    /// What strikes hosts, with a chance in 1000 at each tick.
    pub(crate) clog: bool,
    pub(crate) pause: bool,
    pub(crate) stall: bool,
    pub(crate) jump: bool,
    pub(crate) crash: bool,
    pub(crate) strike: u32,
    pub(crate) tick_ns: u64,
    /// Chance in 1000 that a socket is refused.
    pub(crate) refuse: u32,
    /// How far each host's wall clock is off at the start.
    pub(crate) skew_ns: Vec<i64>,
    /// When faults stop, and how long after that all hosts must have returned.
    pub(crate) until_ns: Option<u64>,
    pub(crate) progress_ns: Option<u64>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            delay: 200,
            delays: 4,
            spread: false,
            loss: 0,
            one_way: false,
            half_open: false,
            clog: false,
            pause: false,
            stall: false,
            jump: false,
            crash: false,
            strike: 0,
            tick_ns: 0,
            refuse: 0,
            skew_ns: Vec::new(),
            until_ns: None,
            progress_ns: None,
        }
    }
}

/// The five rates, in 1000.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Basic {
    pub(crate) short: u32,
    pub(crate) spurious: u32,
    pub(crate) slow: u32,
    pub(crate) reset: u32,
    pub(crate) partition: u32,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Faults {
    /// The five rates; `rng` is the stream of the options, `extra` that of the swarm.
    pub(crate) fn basic(&self, rng: &mut Rng, extra: &mut Rng, without: bool) -> Basic {
        let calm = rng.chance(300) && !self.swarm || without;
        let mut rate = |on: bool, list: &[u32]| {
            let drawn = rng.one_of(list);
            let picked = !self.swarm || extra.chance(500);
            if on && !calm && picked { drawn } else { 0 }
        };
        Basic {
            short: rate(self.short, &[0, 50, 300]),
            spurious: rate(self.spurious, &[0, 20, 100]),
            slow: rate(self.slow, &[0, 0, 1, 5]),
            reset: rate(self.resets || self.half_open, &[1, 5, 20]),
            partition: rate(self.partitions, &[1, 5, 20]),
        }
    }

    /// Everything else.
    pub(crate) fn draw(&self, extra: &mut Rng, hosts: usize, latency_ns: u64, without: bool) -> Rates {
        let mut picked = |on: bool| (!self.swarm || extra.chance(500)) && on && !without;
        let (delays, clog, jump) = (picked(self.delays), picked(self.clogs), picked(self.clocks));
        let (pause, stall, crash) = (picked(self.pauses), picked(self.pauses), picked(self.crashes));
        let (limits, spread) = (picked(self.limits), picked(self.delays));
        let (one_way, half_open) = (picked(self.partitions), picked(self.half_open));
        let until = nanos(self.until);
        let until_ns = if self.swarm {
            // From about a round trip on: some executions have nearly all of their time without faults.
            let octaves = (until / latency_ns.max(1)).checked_ilog2().unwrap_or(0);
            Some((latency_ns << extra.below(octaves + 1)).min(until))
        } else {
            Some(until)
        };
        let strikes = clog || pause || stall || jump || crash;
        let strike = if strikes { extra.one_of(&[20, 100, 300]) } else { 0 };
        // At most two thousand ticks, however long the program waits.
        let tick = (latency_ns * extra.one_of::<u64>(&[2, 10, 50])).max(100_000);
        let skew = |extra: &mut Rng| {
            let span = extra.one_of(&[0, 1_000_000, 1_000_000_000, 3_600_000_000_000]);
            if extra.chance(500) { span } else { -span }
        };
        Rates {
            delay: if delays { extra.one_of(&[50, 200, 600]) } else { 200 },
            delays: if delays { 8 } else { 4 },
            spread,
            loss: if delays { extra.one_of(&[0, 1, 10, 50]) } else { 0 },
            one_way,
            half_open,
            clog,
            pause,
            stall,
            jump,
            crash,
            strike,
            tick_ns: if strikes { tick.max(until / 2_000) } else { 0 },
            refuse: if limits { extra.one_of(&[0, 5, 50]) } else { 0 },
            skew_ns: if jump { (0..hosts).map(|_| skew(extra)).collect() } else { Vec::new() },
            until_ns,
            progress_ns: self.progress.map(nanos),
        }
    }

    /// What happens to datagrams, if it was not said.
    pub(crate) fn datagrams(&self, extra: &mut Rng, said: Datagrams, without: bool) -> Datagrams {
        let picked = !self.swarm || extra.chance(500);
        let mut rate = || extra.one_of(&[0, 20, 200]);
        let drawn = Datagrams { lost: rate(), twice: rate(), late: rate() };
        if self.datagrams && picked && !without && said == Datagrams::default() { drawn } else { said }
    }

    /// Descriptors a host may have open, of `most`.
    pub(crate) fn descriptors(&self, extra: &mut Rng, most: u32, without: bool) -> u32 {
        let few = extra.one_of(&[most, 64, 16, 8]);
        if self.limits && !without { few.min(most) } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_faults_is_read() {
        assert_eq!(Faults::parse("").unwrap(), Faults::default());
        assert_eq!(Faults::parse("all").unwrap(), Faults::all());
        assert_eq!(Faults::parse("swarm").unwrap(), Faults::swarm());
        assert_eq!(
            Faults::parse("swarm,-resets,-half-open,-crashes,-disk,-datagrams, -limits").unwrap(),
            Faults::mild()
        );
        let faults = Faults::parse("none, resets").unwrap();
        assert!(faults.resets && !faults.short && !faults.partitions);
        assert!(Faults::parse("gremlins").unwrap_err().contains("no fault is called `gremlins`"));
        assert!(Faults::parse("-all").unwrap_err().contains("`-all`"));
    }

    #[test]
    fn a_swarm_has_each_fault_now_and_then_and_never_what_is_off() {
        let count = |faults: &Faults, has: fn(&Rates) -> bool| {
            let draw = |seed| faults.draw(&mut Rng::new(seed, 2), 2, 100_000, false);
            (0..1000).filter(|&seed| has(&draw(seed))).count()
        };
        let kinds: [fn(&Rates) -> bool; 9] = [
            |rates| rates.clog,
            |rates| rates.pause,
            |rates| rates.stall,
            |rates| rates.jump,
            |rates| rates.crash,
            |rates| rates.refuse > 0,
            |rates| rates.loss > 0,
            |rates| rates.one_way,
            |rates| rates.half_open,
        ];
        for kind in kinds {
            assert!((200..700).contains(&count(&Faults::swarm(), kind)));
            assert_eq!(count(&Faults::default(), kind), 0);
        }
        assert_eq!(count(&Faults::mild(), |rates| rates.crash || rates.half_open || rates.refuse > 0), 0);
        assert_eq!(count(&Faults::swarm(), |rates| rates.until_ns > Some(10_000_000_000)), 0);
    }
}
