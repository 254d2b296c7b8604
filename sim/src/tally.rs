//! What the executions of an exploration reached: counted by each job for itself, added up at the end of a batch.

use crate::assertion::{HELD, SEEN};
use crate::rng::mix;
use crate::strategy::Walk;
use crate::world::World;

/// Kinds that are counted, at most: as many as a word has bits.
const KINDS: usize = 64;

/// Counts of some executions.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) executions: u64,
    pub(crate) points: u64,
    pub(crate) switches: u64,
    /// The sum of the executions' digests, each mixed with its number: the same in whatever order they ran.
    pub(crate) digest: u64,
    /// Executions of each walk.
    pub(crate) walks: [u64; Walk::NAMES.len()],
    /// Executions in which an event, or another than the default of a choice, came up at least once.
    pub(crate) events: [u64; KINDS],
    pub(crate) choices: [u64; KINDS],
    /// Executions that evaluated each assertion, and in which it held.
    pub(crate) asserted: Vec<(u64, u64)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            executions: 0,
            points: 0,
            switches: 0,
            digest: 0,
            walks: [0; Walk::NAMES.len()],
            events: [0; KINDS],
            choices: [0; KINDS],
            asserted: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts execution `number`, which just ended in `world`.
    pub(crate) fn count(&mut self, number: u64, world: &World) {
        self.executions += 1;
        self.points += world.points;
        self.switches += world.switches;
        self.digest = self.digest.wrapping_add(mix(mix(0, number), world.final_digest()));
        self.walks[world.options.walk.number()] += 1;
        bits(world.seen_events, &mut self.events);
        bits(world.seen_choices, &mut self.choices);
        if self.asserted.len() < world.asserted.len() {
            self.asserted.resize(world.asserted.len(), (0, 0));
        }
        for (count, flags) in self.asserted.iter_mut().zip(&world.asserted) {
            count.0 += u64::from(flags & SEEN != 0);
            count.1 += u64::from(flags & HELD != 0);
        }
    }

    /// Adds another one's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { executions, points, switches, digest, walks, events, choices, asserted } = self;
        *executions += other.executions;
        *points += other.points;
        *switches += other.switches;
        *digest = digest.wrapping_add(other.digest);
        add(walks, &other.walks);
        add(events, &other.events);
        add(choices, &other.choices);
        if asserted.len() < other.asserted.len() {
            asserted.resize(other.asserted.len(), (0, 0));
        }
        for (count, more) in asserted.iter_mut().zip(&other.asserted) {
            *count = (count.0 + more.0, count.1 + more.1);
        }
    }
}

fn bits(mut set: u64, counts: &mut [u64; KINDS]) {
    while set != 0 {
        counts[set.trailing_zeros() as usize] += 1;
        set &= set - 1;
    }
}

fn add(into: &mut [u64], from: &[u64]) {
    into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
}
