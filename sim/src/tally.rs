//! What the executions of an exploration reached: counted by each job for itself, added up at the end of a batch.

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
    }

    /// Adds another one's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { executions, points, switches, digest, walks, events, choices } = self;
        *executions += other.executions;
        *points += other.points;
        *switches += other.switches;
        *digest = digest.wrapping_add(other.digest);
        add(walks, &other.walks);
        add(events, &other.events);
        add(choices, &other.choices);
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
