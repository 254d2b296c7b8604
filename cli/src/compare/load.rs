//! The workloads that `compare` runs: what a request asks for, how many there are, and what they have in common.

use std::collections::BTreeSet;
use std::time::Duration;

/// A workload.
#[derive(Debug)]
pub(crate) struct Load {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What is counted, and has the latencies.
    pub(crate) unit: &'static str,
    /// What a request computes before its answer, in nanoseconds: in the first stage, then in the second.
    pub(crate) work: [u64; 2],
    /// What each request of a tenth of the connections computes in the second stage instead; 0: all are alike.
    pub(crate) heavy: u64,
    pub(crate) kind: Kind,
}

/// What else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests over connections that stay.
    Requests,
    /// A connection for each request.
    Churn,
    /// Requests that read 4 KiB of a file, one in [`COLD_EVERY`] of a page that is not in memory.
    Files,
    /// Requests beside tasks that compute half of the time.
    Hog,
    /// Task graphs, without connections.
    Graphs,
}

/// Connections for each worker.
pub(crate) const CONNECTIONS: u32 = 16;
/// One request in so many reads a cold page.
pub(crate) const COLD_EVERY: u32 = 20;
/// Nodes between the source and the sink of a graph.
pub(crate) const NODES: u32 = 16;
/// What a hog computes at a time, and for how long it sleeps then.
pub(crate) const HOG: Duration = Duration::from_millis(2);
/// A hog for each so many workers, and one at least.
pub(crate) const HOG_EVERY: usize = 8;
/// About what a request costs besides its work, for choosing how many there are.
const ABOUT_IO_NS: u64 = 20_000;

/// All of them.
pub(crate) const ALL: &[Load] = &[
    Load {
        name: "balanced",
        about: "short requests, all alike: 10 µs of work each",
        unit: "requests",
        work: [0, 10_000],
        heavy: 0,
        kind: Kind::Requests,
    },
    Load {
        name: "skewed",
        about: "10 % of the connections make 90 % of the work: 4 µs a request, theirs 324 µs",
        unit: "requests",
        work: [0, 4_000],
        heavy: 324_000,
        kind: Kind::Requests,
    },
    Load {
        name: "staged",
        about: "requests with two unequal stages: 5 µs to read one, 25 µs to answer it",
        unit: "requests",
        work: [5_000, 25_000],
        heavy: 0,
        kind: Kind::Requests,
    },
    Load {
        name: "graphs",
        about: "task graphs: a source, 16 nodes of 20 µs each, a sink; one graph at a time for two workers",
        unit: "nodes",
        work: [0, 20_000],
        heavy: 0,
        kind: Kind::Graphs,
    },
    Load {
        name: "hog",
        about: "requests of 10 µs beside a task for eight workers that computes 2 ms of every 4",
        unit: "requests",
        work: [0, 10_000],
        heavy: 0,
        kind: Kind::Hog,
    },
    Load {
        name: "files",
        about: "requests that read 4 KiB of a file, 5 % of them cold, and compute 5 µs",
        unit: "requests",
        work: [0, 5_000],
        heavy: 0,
        kind: Kind::Files,
    },
    Load {
        name: "churn",
        about: "a new connection for each request of 5 µs",
        unit: "connections",
        work: [0, 5_000],
        heavy: 0,
        kind: Kind::Churn,
    },
];

/// The workload of that name.
pub(crate) fn find(name: &str) -> Result<&'static Load, String> {
    ALL.iter().find(|load| load.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|load| load.name).collect();
        format!("there is no workload `{name}` to compare; there are {}", known.join(", "))
    })
}

impl Load {
    /// Connections (or graphs at a time) for so many workers.
    pub(crate) fn connections(&self, workers: usize) -> u32 {
        match self.kind {
            Kind::Graphs => (workers as u32 / 2).max(1),
            _ => CONNECTIONS * workers as u32,
        }
    }

    /// What a request computes, on average.
    fn mean_ns(&self) -> u64 {
        let [first, second] = self.work;
        first + if self.heavy == 0 { second } else { (9 * second + self.heavy) / 10 }
    }

    /// Rounds of each connection that take so many workers about `span`.
    pub(crate) fn rounds(&self, workers: usize, span: Duration) -> u32 {
        let each = match self.kind {
            Kind::Graphs => u64::from(NODES) * self.mean_ns(),
            _ => self.mean_ns() + ABOUT_IO_NS,
        };
        let all = span.as_nanos() as u64 * workers as u64 / each.max(1);
        u32::try_from(all / u64::from(self.connections(workers))).unwrap_or(u32::MAX).max(2)
    }

    /// The connections whose requests are heavy: a tenth, scattered.
    pub(crate) fn heavy_ones(&self, connections: u32) -> BTreeSet<u32> {
        if self.heavy == 0 {
            return BTreeSet::new();
        }
        let mut all: Vec<u32> = (0..connections).collect();
        all.sort_by_key(|number| scatter(u64::from(*number)));
        all.truncate((connections as usize).div_ceil(10));
        all.into_iter().collect()
    }
}

/// A number that looks random, the same for the same `n` (Steele et al., 2014: SplitMix64).
pub(crate) fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_connections_makes_nine_tenths_of_the_work() {
        let skewed = find("skewed").expect("it is there");
        let heavy = skewed.heavy_ones(160);
        assert_eq!(heavy.len(), 16);
        let theirs = heavy.len() as u64 * skewed.heavy;
        let others = (160 - heavy.len() as u64) * skewed.work[1];
        assert_eq!(theirs, 9 * others);
    }

    #[test]
    fn sizes_follow_the_workers() {
        for load in ALL {
            let span = Duration::from_millis(200);
            assert!(load.rounds(1, span) >= load.rounds(64, span) / 2, "{}", load.name);
            assert!(load.connections(4) >= load.connections(1));
        }
        assert!(find("luck").unwrap_err().contains("balanced, skewed"));
    }
}
