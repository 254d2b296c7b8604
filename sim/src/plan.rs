//! Depth-first search: plans of single executions, and the frontier that they come from.
//!
//! An execution is determined by its *deviations*: the decisions, counted from its start, at which it takes another option
//! than the default. One that followed a plan reports how many options each decision had; every option of a decision behind the
//! last deviation is a plan with one deviation more. The search raises the bound on deviations step by step, and below a
//! bound goes depth first, so what it has to remember stays small.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Decisions of one execution that can be varied; later ones take their default.
const MOST: usize = 1 << 20;

/// The deviations of an execution, in order: the number of the decision, and the option.
type Deviations = Vec<(u32, u32)>;

/// What one execution does otherwise than by default, and what it found on offer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    deviations: Deviations,
    next: usize,
    /// Options of each decision so far.
    offers: Vec<u16>,
}

impl Plan {
    /// The option for the next decision, of `options`.
    pub(crate) fn decide(&mut self, options: u32) -> u32 {
        let number = self.offers.len();
        if number >= MOST || options < 2 {
            return 0;
        }
        self.offers.push(u16::try_from(options).unwrap_or(u16::MAX));
        match self.deviations.get(self.next) {
            Some(&(at, rank)) if at as usize == number => {
                self.next += 1;
                if rank < options { rank } else { 0 }
            }
            _ => 0,
        }
    }
}

/// A part of a whole: number `number` of `of`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, u64)", try_from = "(u64, u64)")]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl Shard {
    /// Part `number` of `of`. An error if there is none: `number` counts from 1.
    pub fn new(number: u64, of: u64) -> Result<Self, String> {
        if of == 0 || !(1..=of).contains(&number) {
            return Err(format!(
                "there is no shard {number}/{of}: shards of N count from 1/N to N/N, for example 1/4"
            ));
        }
        Ok(Self { number, of })
    }

    /// Its number, from 1, and how many there are.
    pub fn parts(self) -> (u64, u64) {
        (self.number, self.of)
    }

    /// Its slice of `count` things: the first, and the one behind the last.
    pub(crate) fn slice(self, count: u64) -> (u64, u64) {
        let at = |number: u64| (u128::from(count) * u128::from(number) / u128::from(self.of)) as u64;
        (at(self.number - 1), at(self.number))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `K/N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) => Self::new(number, of),
            None => Err(format!("`{text}` is no shard: write K/N, for example 1/4")),
        }
    }
}

impl From<Shard> for (u64, u64) {
    fn from(shard: Shard) -> Self {
        shard.parts()
    }
}

impl TryFrom<(u64, u64)> for Shard {
    type Error = String;

    fn try_from((number, of): (u64, u64)) -> Result<Self, String> {
        Self::new(number, of)
    }
}

/// What a depth-first search has still to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frontier {
    /// Deviations allowed at last, and in this round.
    limit: u32,
    bound: u32,
    shard: Shard,
    /// Plans to follow, the next one last.
    plans: Vec<Deviations>,
    /// Plans taken and not yet reported.
    #[serde(skip)]
    taken: Vec<Deviations>,
    /// Whether an execution of this round had to leave out deviations because of the bound.
    cut: bool,
    /// Reported executions that no earlier round had seen.
    pub(crate) fresh: u64,
}

/// What the frontier has for a job.
pub(crate) enum Next {
    /// An execution.
    Plan(Plan),
    /// Nothing before another job reports.
    Later,
    /// Nothing any more: all was seen.
    Done,
}

impl Frontier {
    /// All schedules of up to `limit` deviations; of the subtrees below the root, those of `shard`.
    pub(crate) fn new(limit: u32, shard: Shard) -> Self {
        Self { limit, bound: 0, shard, plans: vec![Vec::new()], taken: Vec::new(), cut: false, fresh: 0 }
    }

    /// Takes a plan.
    pub(crate) fn take(&mut self) -> Next {
        if self.plans.is_empty() && self.taken.is_empty() && self.cut && self.bound < self.limit {
            self.bound += 1;
            self.cut = false;
            self.plans.push(Vec::new());
        }
        match self.plans.pop() {
            Some(deviations) => {
                self.taken.push(deviations.clone());
                Next::Plan(Plan { deviations, ..Plan::default() })
            }
            None if self.taken.is_empty() => Next::Done,
            None => Next::Later,
        }
    }

    /// A plan was followed to its end.
    pub(crate) fn report(&mut self, plan: &Plan) {
        let Plan { deviations, offers, .. } = plan;
        if let Some(at) = self.taken.iter().position(|taken| taken == deviations) {
            self.taken.swap_remove(at);
        }
        let depth = deviations.len() as u32;
        self.fresh += u64::from(depth == self.bound);
        let first = deviations.last().map_or(0, |&(at, _)| at as usize + 1);
        let behind = || offers.iter().enumerate().skip(first);
        if depth == self.bound {
            self.cut |= behind().next().is_some();
            return;
        }
        let before = self.plans.len();
        let mut number = 0;
        for (at, &options) in behind() {
            for rank in 1..u32::from(options) {
                number += 1;
                if depth > 0 || number % self.shard.of == self.shard.number % self.shard.of {
                    let mut plan = deviations.clone();
                    plan.push((at as u32, rank));
                    self.plans.push(plan);
                }
            }
        }
        // In any order: a budget that ends before the space does is then spread over the whole run.
        let mut rng = Rng::new(u64::from(depth), number);
        for at in (before + 1..self.plans.len()).rev() {
            let other = before + rng.below((at - before) as u32 + 1) as usize;
            self.plans.swap(at, other);
        }
    }

    /// What it takes to go on later: what was taken and not reported counts as not taken.
    pub(crate) fn saved(&self) -> Self {
        let mut saved = self.clone();
        saved.plans.append(&mut saved.taken);
        saved
    }

    /// Whether every schedule within the limit was seen, and all there are within which limit.
    pub(crate) fn is_done(&self) -> bool {
        self.plans.is_empty() && self.taken.is_empty() && (!self.cut || self.bound == self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A program of `width` decisions with three options each, plus one more after each deviation.
    fn run(plan: &mut Plan, width: usize) -> Vec<u32> {
        let mut left = width;
        let mut did = Vec::new();
        while left > 0 {
            left -= 1;
            let rank = plan.decide(3);
            left += usize::from(rank == 2 && did.len() < width);
            did.push(rank);
        }
        did
    }

    fn search(limit: u32, width: usize, shard: Shard) -> (BTreeSet<Vec<u32>>, u64) {
        let mut frontier = Frontier::new(limit, shard);
        let (mut seen, mut runs) = (BTreeSet::new(), 0);
        loop {
            match frontier.take() {
                Next::Plan(mut plan) => {
                    seen.insert(run(&mut plan, width));
                    runs += 1;
                    frontier.report(&plan);
                    frontier =
                        serde_json::from_str(&serde_json::to_string(&frontier.saved()).unwrap()).unwrap();
                }
                Next::Later => panic!("nobody else is at work"),
                Next::Done => break,
            }
        }
        assert!(frontier.is_done());
        assert_eq!(seen.len() as u64, frontier.fresh, "a schedule was seen twice or not at all");
        (seen, runs)
    }

    /// The same by counting.
    fn all(limit: u32, width: usize) -> BTreeSet<Vec<u32>> {
        fn grow(prefix: &[u32], left: usize, limit: u32, width: usize, into: &mut BTreeSet<Vec<u32>>) {
            if left == 0 {
                into.insert(prefix.to_vec());
                return;
            }
            for rank in 0..3 {
                if rank > 0 && limit == 0 {
                    break;
                }
                let more = usize::from(rank == 2 && prefix.len() < width);
                let next = [prefix, &[rank]].concat();
                grow(&next, left - 1 + more, limit - u32::from(rank > 0), width, into);
            }
        }
        let mut found = BTreeSet::new();
        grow(&[], width, limit, width, &mut found);
        found
    }

    #[test]
    fn every_schedule_within_the_bound_is_followed_once() {
        for (limit, width) in [(0, 5), (1, 5), (2, 4), (3, 4)] {
            let (seen, runs) = search(limit, width, Shard::default());
            assert_eq!(seen, all(limit, width), "at most {limit} deviations in {width} decisions");
            assert!(runs < 2 * seen.len() as u64 + 2, "{runs} runs for {} schedules", seen.len());
        }
    }

    #[test]
    fn shards_are_disjoint_but_for_the_root_and_make_up_the_whole() {
        let parts: Vec<_> = (1..=3).map(|n| search(2, 4, Shard::new(n, 3).unwrap()).0).collect();
        let whole = search(2, 4, Shard::default()).0;
        let union: BTreeSet<_> = parts.iter().flatten().cloned().collect();
        assert_eq!(union, whole);
        assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), whole.len() + 2);
    }

    #[test]
    fn a_slice_is_a_part_of_the_whole() {
        assert!(Shard::new(0, 4).is_err() && Shard::new(5, 4).is_err() && Shard::new(1, 0).is_err());
        let slices: Vec<_> = (1..=3).map(|n| Shard::new(n, 3).unwrap().slice(10)).collect();
        assert_eq!(slices, [(0, 3), (3, 6), (6, 10)]);
        assert_eq!(Shard::new(4, 4).unwrap().slice(u64::MAX).1, u64::MAX);
    }
}
