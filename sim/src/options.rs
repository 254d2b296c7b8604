//! What a simulation is asked for, and what one execution drew from its seed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cost::Model;
use crate::disk::{DiskDrawn, Storage};
use crate::fault::{Faults, Rates};
use crate::kernel::{Kernel, RingSizes};
use crate::layout::Layout;
use crate::rng::Rng;
use crate::strategy::{Strategy, Walk};

/// Where threads may be switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preempt {
    /// At every atomic operation, lock and OS call, in user code too.
    #[default]
    Everywhere,
    /// At OS calls and blocking only. Much faster, and hides every race of a wake inside a poll.
    OsCalls,
}

impl FromStr for Preempt {
    type Err = String;

    /// `everywhere` or `os-calls`.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "everywhere" => Ok(Self::Everywhere),
            "os-calls" => Ok(Self::OsCalls),
            other => {
                Err(format!("threads can't be switched at `{other}`; there are everywhere and os-calls"))
            }
        }
    }
}

/// Whether sizes and intervals of the runtime are drawn from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizes {
    /// Small ones, which make rare situations common.
    #[default]
    Drawn,
    /// The runtime's own defaults.
    Default,
}

/// The network between the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// One-way latency, drawn from this range for an execution.
    pub latency: RangeInclusive<Duration>,
    /// Bytes a connection holds in one direction, on the way and unread; drawn from the range, rounded to a power of two or near it.
    pub buffer: RangeInclusive<usize>,
    /// Descriptors a host may have open.
    pub descriptors: u32,
    /// What happens to UDP datagrams on their way.
    pub datagrams: Datagrams,
}

/// Chances in 1,000 of a UDP datagram. All of it is legal behaviour of a network that a program over UDP has to expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// To be lost.
    pub lost: u32,
    /// To come twice.
    pub twice: u32,
    /// To come late, behind others.
    pub late: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(20)..=Duration::from_millis(20),
            buffer: 512..=256 * 1024,
            descriptors: 1024,
            datagrams: Datagrams::default(),
        }
    }
}

/// Whether stores wait in buffers (total store order, as on x86).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tso {
    /// Sequential consistency.
    #[default]
    Off,
    /// Store buffers.
    On,
    /// Store buffers for half of the seeds.
    Half,
}

impl From<bool> for Tso {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// Sizes of the runtime in one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub(crate) ring: usize,
    pub(crate) lifo_limit: u32,
    pub(crate) poll_interval: u32,
    pub(crate) injector_interval: u32,
    pub(crate) watch_interval_ns: u64,
    #[serde(default)]
    pub(crate) share_delay_ns: u64,
    /// Traces that lack it are of the time when it was not drawn.
    #[serde(default = "usual_budget")]
    pub(crate) budget: u32,
    /// The same.
    #[serde(default = "usual_batch")]
    pub(crate) batch: usize,
    #[serde(default = "usual_keep_alive")]
    pub(crate) keep_alive_ns: u64,
}

fn usual_budget() -> u32 {
    128
}

fn usual_batch() -> usize {
    61
}

fn usual_keep_alive() -> u64 {
    10_000_000_000
}

/// Everything one execution drew, and the limits it ran under. Stands in the trace header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) walk: Walk,
    pub(crate) preempt: Preempt,
    /// What hosts run on; never `drawn`.
    #[serde(default)]
    pub(crate) kernel: Kernel,
    #[serde(default, skip_serializing_if = "Layout::is_usual")]
    pub(crate) layout: Layout,
    #[serde(default)]
    pub(crate) rings: RingSizes,
    pub(crate) tso: bool,
    /// Chance in 1000 that a store waits in the buffer, and that a waiting one drains at a point.
    pub(crate) tso_hold: u32,
    pub(crate) tso_drain: u32,
    /// Workers of each host.
    pub(crate) workers: Vec<usize>,
    /// Sizes of the runtime; absent: its defaults.
    pub(crate) sizes: Option<Drawn>,
    pub(crate) latency_ns: u64,
    pub(crate) buffer: usize,
    pub(crate) descriptors: u32,
    pub(crate) faults: Faults,
    /// Chances in 1000.
    pub(crate) short: u32,
    pub(crate) spurious: u32,
    pub(crate) slow: u32,
    pub(crate) reset: u32,
    pub(crate) partition: u32,
    #[serde(default)]
    pub(crate) datagrams: Datagrams,
    #[serde(default)]
    pub(crate) disk: DiskDrawn,
    /// The other faults.
    #[serde(default)]
    pub(crate) rates: Rates,
    pub(crate) max_points: u64,
    pub(crate) max_time_ns: u64,
    pub(crate) entropy: u64,
}

/// What [`crate::Simulation`] was asked for, before a seed.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) workers: RangeInclusive<usize>,
    pub(crate) sizes: Sizes,
    pub(crate) strategy: Strategy,
    pub(crate) tso: Tso,
    pub(crate) preempt: Preempt,
    pub(crate) kernel: Kernel,
    pub(crate) layout: Layout,
    pub(crate) faults: Faults,
    pub(crate) network: Network,
    pub(crate) storage: Storage,
    pub(crate) max_points: u64,
    pub(crate) max_time: Duration,
    pub(crate) cost: Option<Model>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            workers: 1..=3,
            sizes: Sizes::default(),
            strategy: Strategy::default(),
            tso: Tso::Off,
            preempt: Preempt::default(),
            kernel: Kernel::default(),
            layout: Layout::default(),
            faults: Faults::default(),
            network: Network::default(),
            storage: Storage::default(),
            max_points: 20_000_000,
            max_time: Duration::from_secs(24 * 3600),
            cost: None,
        }
    }
}

impl Asked {
    /// What was asked for, in words for summaries.
    pub(crate) fn describe(&self) -> BTreeMap<String, Value> {
        let Self {
            workers,
            sizes,
            strategy,
            tso,
            preempt,
            kernel,
            layout,
            faults,
            network,
            storage,
            max_points,
            max_time,
            cost: _,
        } = self;
        let text = |value: &dyn std::fmt::Debug| Value::from(format!("{value:?}"));
        [
            ("workers", Value::from(format!("{}-{}", workers.start(), workers.end()))),
            ("sizes", text(sizes)),
            ("strategy", Value::from(strategy.to_string())),
            ("tso", text(tso)),
            ("preempt", text(preempt)),
            ("kernel", text(kernel)),
            ("topology", text(layout)),
            ("faults", serde_json::to_value(faults).unwrap_or_default()),
            ("network", text(network)),
            ("storage", text(storage)),
            ("max_points", Value::from(*max_points)),
            ("max_time", text(max_time)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The options of `seed` for `hosts` hosts; `length` is about how many points an execution has.
    pub(crate) fn draw(&self, seed: u64, hosts: usize, length: u64) -> Options {
        let mut rng = Rng::new(seed, 0);
        let walk = self.strategy.walk(seed, &mut rng, length);
        let half = rng.chance(500);
        let tso = match self.tso {
            Tso::Off => false,
            Tso::On => true,
            Tso::Half => half,
        };
        let (low, high) = (*self.workers.start(), *self.workers.end());
        let workers =
            (0..hosts).map(|_| low + rng.below((high.saturating_sub(low) + 1) as u32) as usize).collect();
        let sizes = (self.sizes == Sizes::Drawn).then(|| Drawn {
            ring: rng.one_of(&[4, 4, 8, 16, 256]),
            lifo_limit: rng.one_of(&[1, 2, 3, 3]),
            poll_interval: rng.one_of(&[2, 3, 5, 61]),
            injector_interval: rng.one_of(&[2, 3, 5, 31]),
            watch_interval_ns: rng.one_of(&[50_000, 200_000, 1_000_000]),
            share_delay_ns: 0,
            budget: usual_budget(),
            batch: usual_batch(),
            keep_alive_ns: usual_keep_alive(),
        });
        // A depth-first search is over orders; faults would only make its space larger.
        let without = matches!(walk, Walk::Dfs { .. });
        let mut extra = Rng::new(seed, 3);
        let basic = self.faults.basic(&mut rng, &mut extra, without);
        let (tso_hold, tso_drain) = (rng.one_of(&[500, 1000]), rng.one_of(&[0, 10, 100]));
        let latency_ns = between(
            &mut rng,
            self.network.latency.start().as_nanos() as u64,
            self.network.latency.end().as_nanos() as u64,
        );
        let mut options = Options {
            walk,
            preempt: self.preempt,
            kernel: self.kernel,
            layout: self.layout,
            rings: RingSizes::default(),
            tso,
            tso_hold,
            tso_drain,
            workers,
            sizes,
            latency_ns,
            buffer: between(&mut rng, *self.network.buffer.start() as u64, *self.network.buffer.end() as u64)
                .max(1) as usize,
            descriptors: self.faults.descriptors(&mut extra, self.network.descriptors, without),
            faults: self.faults.clone(),
            short: basic.short,
            spurious: basic.spurious,
            slow: basic.slow,
            reset: basic.reset,
            partition: basic.partition,
            rates: self.faults.draw(&mut extra, hosts, latency_ns, without),
            datagrams: self.faults.datagrams(&mut extra, self.network.datagrams, without),
            disk: self.storage.draw(seed, &self.faults),
            max_points: self.max_points,
            max_time_ns: u64::try_from(self.max_time.as_nanos()).unwrap_or(u64::MAX),
            entropy: rng.next(),
        };
        // Drawn last: a seed draws what it drew before there was this.
        if let Some(sizes) = &mut options.sizes {
            // 1: hardly anything is done before its time at work is long enough to be shared at once.
            sizes.share_delay_ns = rng.one_of(&[0, 1, 20_000, 200_000]);
            sizes.budget = rng.one_of(&[1, 2, 8, 128]);
        }
        if self.kernel == Kernel::Drawn {
            options.kernel = rng.one_of(&[Kernel::Ops, Kernel::Ops, Kernel::Epoll, Kernel::Uring]);
        }
        if self.layout == Layout::Drawn {
            options.layout = rng.one_of(&Layout::ALL);
        }
        if options.kernel == Kernel::Uring && self.sizes == Sizes::Drawn {
            // A driver puts up to five entries at once.
            options.rings = RingSizes {
                submissions: rng.one_of(&[8, 8, 16, 0]),
                completions: rng.one_of(&[8, 8, 16, 64, 0]),
                buffers: rng.one_of(&[1, 2, 3, 0]),
            };
        }
        if let Some(sizes) = &mut options.sizes {
            sizes.batch = rng.one_of(&[1, 2, 4, 61]);
            sizes.keep_alive_ns = rng.one_of(&[100_000, 200_000, usual_keep_alive()]);
        }
        options
    }
}

/// A value of the range whose logarithm is about uniform.
pub(crate) fn between(rng: &mut Rng, low: u64, high: u64) -> u64 {
    if high <= low {
        return low;
    }
    let octaves = 64 - (high / low.max(1)).leading_zeros();
    let base = low.max(1) << rng.below(octaves.max(1));
    (base + rng.next() % base.max(1)).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_depend_on_the_seed_and_stay_in_range() {
        let asked = Asked { workers: 2..=4, ..Asked::default() };
        let mut walks = [0; 5];
        for seed in 0..1000 {
            let options = asked.draw(seed, 2, 500);
            assert_eq!(options, asked.draw(seed, 2, 500));
            assert!(options.workers.iter().all(|n| (2..=4).contains(n)));
            assert!((20_000..=20_000_000).contains(&options.latency_ns));
            assert!((512..=256 * 1024).contains(&options.buffer));
            assert!(options.reset == 0 && options.partition == 0);
            walks[options.walk.number()] += 1;
        }
        assert!(
            walks[0] > 200 && walks[1] > 200 && walks[2] > 100 && (1..100).contains(&walks[3]),
            "{walks:?}"
        );
    }
}
