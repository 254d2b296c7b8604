//! How a simulated host's workers are grouped.

use pirn::Topology;
use serde::{Deserialize, Serialize};

/// A topology for any number of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One group, in which all share all work.
    #[default]
    Stealing,
    /// A group for each worker.
    PerCore,
    /// Groups `accept`, `read` and `respond`, each of a third of the workers, and of one at least.
    Stages,
    /// One worker carries the I/O of all others.
    Dispatcher,
    /// One group, and another one of one worker, `slow`.
    WithSlow,
    /// One of these, drawn from the seed.
    Drawn,
}

impl Layout {
    /// All that name a topology.
    pub const ALL: [Self; 5] =
        [Self::Stealing, Self::PerCore, Self::Stages, Self::Dispatcher, Self::WithSlow];

    /// The topology of so many workers (more, where it needs more).
    pub fn topology(self, workers: usize) -> Topology {
        match self {
            Self::Stealing | Self::Drawn => Topology::stealing(workers),
            Self::PerCore => Topology::per_core(workers),
            Self::Stages => {
                let third = (workers / 3).max(1);
                let rest = workers.saturating_sub(2 * third).max(1);
                Topology::stages([("accept", third), ("read", rest), ("respond", third)])
            }
            Self::Dispatcher => Topology::dispatcher(1, workers.saturating_sub(1).max(1)),
            Self::WithSlow => Topology::stealing(workers.saturating_sub(1).max(1)).with_slow(1),
        }
    }

    /// Whether it is the usual one, which traces do not mention.
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::Stealing
    }
}

impl std::str::FromStr for Layout {
    type Err = String;

    /// `stealing`, `per-core`, `stages`, `dispatcher`, `with-slow` or `drawn`.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "stealing" => Ok(Self::Stealing),
            "per-core" => Ok(Self::PerCore),
            "stages" => Ok(Self::Stages),
            "dispatcher" => Ok(Self::Dispatcher),
            "with-slow" => Ok(Self::WithSlow),
            "drawn" => Ok(Self::Drawn),
            other => Err(format!(
                "there is no topology `{other}`; there are stealing, per-core, stages, dispatcher, with-slow and drawn"
            )),
        }
    }
}
