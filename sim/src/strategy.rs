//! Strategies: what the next thread is chosen by, with parameters, and how a mix and the portfolio divide seeds among them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How the next thread is chosen at a point.
///
/// As text, for [`FromStr`] and [`fmt::Display`]: `mix`, `stay`, `stay:900`, `pct`, `pct:3`, `pos`, `uniform`, `dfs`, `dfs:2`, `portfolio`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Drawn from the seed: mostly `Stay` and `Pct`, `Pos` in a fifth and `Uniform` in a twentieth of the executions.
    #[default]
    Mix,
    /// Stay on the running thread with a chance of 0.95 or 0.7, else any other one.
    Stay,
    /// The same, with this chance in 1000.
    StayWith(u32),
    /// Probabilistic concurrency testing (Burckhardt et al., 2010): random priorities, 0 to 4 random changes.
    Pct,
    /// The same with depth `n`, from 1 on: `n - 1` changes. A bug that takes `n` orderings is found with a known chance.
    PctWith(u32),
    /// Partial order sampling (Yuan et al., 2018): each thread's next operation has a random priority, drawn anew when an
    /// operation that it races with went first. Spreads the executions over orders of *racing* operations.
    Pos,
    /// Any runnable thread at each point.
    Uniform,
    /// Depth first over all schedules with at most this many deviations: choices other than the default, such as a
    /// preemption, or when a thread blocks another than the next one. First all with one, then all with two, and so on.
    /// Faults are off. An exploration ends when it has seen them all.
    Dfs(u32),
    /// The budget divided among `Stay`, `Pct`, `Pos`, `Uniform` and `Dfs` of 2, by seed.
    Portfolio,
}

/// Deviations that `dfs` without a number allows.
const DEVIATIONS: u32 = 2;

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mix => f.write_str("mix"),
            Self::Stay => f.write_str("stay"),
            Self::StayWith(permille) => write!(f, "stay:{permille}"),
            Self::Pct => f.write_str("pct"),
            Self::PctWith(depth) => write!(f, "pct:{depth}"),
            Self::Pos => f.write_str("pos"),
            Self::Uniform => f.write_str("uniform"),
            Self::Dfs(deviations) => write!(f, "dfs:{deviations}"),
            Self::Portfolio => f.write_str("portfolio"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    /// A name, with a number after a colon where one fits: `stay` (chance in 1000, 0 to 999), `pct` (depth, 1 to 100), `dfs` (deviations, 0 to 16).
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let within = |low: u32, high: u32| match number {
            None => Ok(None),
            Some(number) => match number.parse() {
                Ok(n) if (low..=high).contains(&n) => Ok(Some(n)),
                _ => Err(format!("`{text}`: the number after `{name}:` must lie between {low} and {high}")),
            },
        };
        let strategy = match name {
            "stay" => within(0, 999)?.map_or(Self::Stay, Self::StayWith),
            "pct" => within(1, 100)?.map_or(Self::Pct, Self::PctWith),
            "dfs" => Self::Dfs(within(0, 16)?.unwrap_or(DEVIATIONS)),
            "mix" => Self::Mix,
            "pos" => Self::Pos,
            "uniform" => Self::Uniform,
            "portfolio" => Self::Portfolio,
            other => {
                return Err(format!(
                    "no strategy is called `{other}`; there are mix, stay, pct, pos, uniform, dfs and portfolio"
                ));
            }
        };
        match number {
            Some(_) if !matches!(name, "stay" | "pct" | "dfs") => {
                Err(format!("`{text}`: the strategy {name} takes no number"))
            }
            _ => Ok(strategy),
        }
    }
}

/// The walk of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Walk {
    /// Stay with this chance in 1000.
    Stay { permille: u32 },
    /// PCT over about `length` points.
    Pct { depth: u32, length: u64 },
    /// Partial order sampling.
    Pos,
    /// Uniform.
    Uniform,
    /// One schedule of a depth-first search.
    Dfs { deviations: u32 },
}

impl Walk {
    /// Names of the walks, by [`Walk::number`].
    pub(crate) const NAMES: [&'static str; 5] = ["stay", "pct", "pos", "uniform", "dfs"];

    /// Its number in [`Walk::NAMES`].
    pub(crate) fn number(self) -> usize {
        match self {
            Self::Stay { .. } => 0,
            Self::Pct { .. } => 1,
            Self::Pos => 2,
            Self::Uniform => 3,
            Self::Dfs { .. } => 4,
        }
    }
}

impl Strategy {
    /// The walk of `seed`; `rng` is its stream, `length` about how many points an execution has.
    pub(crate) fn walk(self, seed: u64, rng: &mut Rng, length: u64) -> Walk {
        let stay = Walk::Stay { permille: rng.one_of(&[950, 700]) };
        let length = length.max(16);
        let pct = Walk::Pct { depth: 1 + rng.below(5), length };
        match self {
            Self::Stay => stay,
            Self::StayWith(permille) => Walk::Stay { permille },
            Self::Pct => pct,
            Self::PctWith(depth) => Walk::Pct { depth, length },
            Self::Pos => Walk::Pos,
            Self::Uniform => Walk::Uniform,
            Self::Dfs(deviations) => Walk::Dfs { deviations },
            Self::Mix => match rng.below(20) {
                0 => Walk::Uniform,
                1..=4 => Walk::Pos,
                5..=11 => stay,
                _ => pct,
            },
            Self::Portfolio => match seed % 10 {
                0..=2 => stay,
                3..=5 => pct,
                6 | 7 => Walk::Pos,
                8 => Walk::Uniform,
                _ => Walk::Dfs { deviations: DEVIATIONS },
            },
        }
    }

    /// Whether some of its walks need to know how long executions are.
    pub(crate) fn needs_length(self) -> bool {
        matches!(self, Self::Mix | Self::Pct | Self::PctWith(_) | Self::Portfolio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        use Strategy::{Dfs, Mix, Pct, PctWith, Portfolio, Pos, Stay, StayWith, Uniform};
        for strategy in [Mix, Stay, StayWith(900), Pct, PctWith(3), Pos, Uniform, Dfs(4), Portfolio] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        assert_eq!("dfs".parse(), Ok(Dfs(2)));
        let said = |text: &str| text.parse::<Strategy>().unwrap_err();
        assert!(said("luck").contains("no strategy is called `luck`"));
        assert!(said("pct:0").contains("between 1 and 100"));
        assert!(said("stay:1000").contains("between 0 and 999"));
        assert!(said("dfs:x").contains("between 0 and 16"));
        assert!(said("mix:3").contains("takes no number"));
    }

    #[test]
    fn a_portfolio_gives_each_its_share() {
        let mut counts = [0; Walk::NAMES.len()];
        for seed in 100..200 {
            let walk = Strategy::Portfolio.walk(seed, &mut Rng::new(seed, 0), 500);
            counts[walk.number()] += 1;
        }
        assert_eq!(counts, [30, 30, 20, 10, 10]);
    }
}
