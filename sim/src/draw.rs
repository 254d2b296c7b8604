//! One walk: who runs next, and how the other choices fall.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::set::{NOBODY, Set};
use crate::strategy::Walk;

/// A walk with its random stream.
#[derive(Debug)]
pub(crate) struct Draw {
    rng: Rng,
    walk: Walk,
    /// Stay: points left before the next switch.
    stay_left: u32,
    /// PCT: a priority for each thread; the highest runs. POS: for each thread's next operation.
    priority: Vec<u32>,
    /// POS: what each thread does next.
    pending: Vec<Pending>,
    /// Depth first: what to do otherwise than by default.
    plan: Plan,
    /// PCT: the points at which the running thread falls, latest first.
    changes: Vec<u64>,
    /// PCT: the next priority below all others.
    bottom: u32,
    /// PCT: the versions of the sets at which the running thread was found to be the highest.
    seen: (u32, u32),
    /// PCT: who was found at the last look, and the point from which on that thread has run.
    runs: (u32, u64),
    /// PCT: the point at which priorities are drawn anew.
    era_ends: u64,
}

/// What a thread is about to do. Addresses are compared while both threads are about to use them, and enter nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    /// Of what; 0: of nothing that another operation could race with.
    pub(crate) address: usize,
    /// Whether it may change it.
    pub(crate) writes: bool,
}

impl Pending {
    fn races(self, other: Self) -> bool {
        self.address == other.address && self.address != 0 && (self.writes || other.writes)
    }
}

/// PCT and depth first: a thread that has run for so many points while others could falls, else a loop that waits for one of them by yielding would never end.
const PCT_PATIENCE: u64 = 4096;

/// PCT and POS: after so many points all priorities are drawn anew, else the lowest of three threads that wake one another would
/// wait for ever, which no machine does.
const ERA: u64 = 20_000;

/// Initial PCT priorities lie above this, those after a change below.
const PCT_START: u32 = 1 << 31;

impl Draw {
    /// A fresh walk.
    pub(crate) fn new(walk: Walk, mut rng: Rng) -> Self {
        let mut stay_left = 0;
        let mut changes = Vec::new();
        match walk {
            Walk::Stay { permille } => stay_left = rng.run_length(permille),
            Walk::Pct { depth, length } => {
                changes = (1..depth).map(|_| 1 + rng.next() % length).collect();
                changes.sort_unstable_by(|a, b| b.cmp(a));
            }
            Walk::Uniform | Walk::Pos | Walk::Dfs { .. } => {}
        }
        Self {
            rng,
            walk,
            stay_left,
            priority: Vec::new(),
            pending: Vec::new(),
            plan: Plan::default(),
            changes,
            bottom: PCT_START,
            seen: (0, 0),
            runs: (0, 0),
            era_ends: ERA,
        }
    }

    /// The same walk, along a plan.
    pub(crate) fn with_plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// What came of the plan.
    pub(crate) fn plan(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// A thread exists now.
    pub(crate) fn thread(&mut self) {
        self.pending.push(Pending::default());
        self.priority.push(PCT_START | self.rng.next() as u32);
    }

    /// A turn of a spin loop of `thread`.
    pub(crate) fn spun(&mut self, thread: u32) {
        if let Walk::Pct { .. } = self.walk {
            self.fall(thread);
        }
    }

    fn fall(&mut self, thread: u32) {
        self.seen = (0, 0);
        self.bottom = self.bottom.saturating_sub(1);
        self.priority[thread as usize] = self.bottom;
    }

    /// Whether the running thread goes on at point number `at`, as far as is known without a look at the others.
    #[inline]
    pub(crate) fn stays(&mut self, ready: &Set, spun: &Set, at: u64) -> bool {
        match self.walk {
            Walk::Stay { .. } => {
                let stays = self.stay_left > 0;
                self.stay_left -= u32::from(stays);
                stays
            }
            Walk::Uniform | Walk::Pos | Walk::Dfs { .. } => false,
            Walk::Pct { .. } => {
                self.seen == (ready.version(), spun.version())
                    && self.changes.last().is_none_or(|&next| next > at)
                    && at < self.era_ends.min(self.runs.1 + PCT_PATIENCE)
            }
        }
    }

    /// Who runs at point number `at`, of the running thread, which is about to do `what`, and the others that are ready: a thread.
    pub(crate) fn switch(&mut self, current: u32, what: Pending, ready: &Set, spun: &Set, at: u64) -> u32 {
        match self.walk {
            Walk::Pos => {
                self.new_era(at);
                self.sample(current, what, ready, spun)
            }
            Walk::Dfs { .. } => self.planned(current, ready, spun, at),
            Walk::Stay { permille } => {
                self.stay_left = self.rng.run_length(permille);
                self.any(ready, spun, current).unwrap_or(current)
            }
            Walk::Uniform => {
                let count = ready.count_but(spun, current);
                let pick = self.rng.below(count + 1);
                if pick == count { current } else { ready.nth_but(spun, current, pick).unwrap_or(current) }
            }
            Walk::Pct { .. } => {
                self.new_era(at);
                if self.runs.0 != current {
                    self.runs = (current, at);
                }
                let change = self.changes.last().is_some_and(|&next| next <= at);
                if change {
                    self.changes.pop();
                }
                if change || at >= self.runs.1 + PCT_PATIENCE {
                    self.fall(current);
                    self.runs = (current, at);
                }
                match self.highest(ready, spun, current) {
                    Some(other) if self.priority[other as usize] > self.priority[current as usize] => other,
                    _ => {
                        self.seen = (ready.version(), spun.version());
                        current
                    }
                }
            }
        }
    }

    /// Draws all priorities anew when it is time.
    fn new_era(&mut self, at: u64) {
        if at >= self.era_ends {
            self.era_ends = at + ERA;
            let rng = &mut self.rng;
            self.priority.iter_mut().for_each(|priority| *priority = PCT_START | rng.next() as u32);
        }
    }

    /// POS at a point: the operation with the highest priority goes first, and those that race with it draw anew.
    fn sample(&mut self, current: u32, what: Pending, ready: &Set, spun: &Set) -> u32 {
        self.priority[current as usize] = self.rng.next() as u32;
        self.pending[current as usize] = what;
        let next = match self.highest(ready, spun, current) {
            Some(other) if self.priority[other as usize] > self.priority[current as usize] => other,
            _ => current,
        };
        self.redraw(next, ready);
        next
    }

    /// POS: the pending operation of `next` is done now.
    fn redraw(&mut self, next: u32, ready: &Set) {
        let done = self.pending[next as usize];
        if done.address != 0 {
            let Self { priority, pending, rng, .. } = self;
            ready.each_but(&Set::default(), next, |other| {
                if pending[other as usize].races(done) {
                    priority[other as usize] = rng.next() as u32;
                }
            });
        }
    }

    /// Depth first at a point: the running thread goes on, unless it has for very long.
    fn planned(&mut self, current: u32, ready: &Set, spun: &Set, at: u64) -> u32 {
        if self.runs.0 != current {
            self.runs = (current, at);
        }
        let others = ready.count_but(spun, current);
        if at >= self.runs.1 + PCT_PATIENCE {
            let after = ready.rank_but(spun, current, current) % others.max(1);
            return ready.nth_but(spun, current, after).unwrap_or(current);
        }
        match self.plan.decide(others + 1) {
            0 => current,
            rank => ready.nth_but(spun, current, rank - 1).unwrap_or(current),
        }
    }

    /// Who runs when the running thread, `current`, can't: a member of `ready` that is not in `spun`.
    pub(crate) fn next(&mut self, current: u32, ready: &Set, spun: &Set) -> Option<u32> {
        self.runs.0 = NOBODY;
        match self.walk {
            Walk::Stay { .. } | Walk::Uniform => self.any(ready, spun, NOBODY),
            Walk::Pct { .. } => self.highest(ready, spun, NOBODY),
            Walk::Pos => {
                self.priority[current as usize] = self.rng.next() as u32;
                self.pending[current as usize] = Pending::default();
                let next = self.highest(ready, spun, NOBODY)?;
                self.redraw(next, ready);
                Some(next)
            }
            Walk::Dfs { .. } => {
                let count = ready.count_but(spun, NOBODY);
                let rank = self.plan.decide(count) + ready.rank_but(spun, NOBODY, current + 1);
                ready.nth_but(spun, NOBODY, rank % count.max(1))
            }
        }
    }

    fn any(&mut self, set: &Set, without: &Set, except: u32) -> Option<u32> {
        let count = set.count_but(without, except);
        let pick = self.rng.below(count);
        set.nth_but(without, except, pick)
    }

    fn highest(&self, set: &Set, without: &Set, except: u32) -> Option<u32> {
        let mut best = None;
        let mut best_priority = 0;
        set.each_but(without, except, |thread| {
            let priority = self.priority[thread as usize];
            if best.is_none() || priority > best_priority {
                best = Some(thread);
                best_priority = priority;
            }
        });
        best
    }

    /// Another choice: with a chance of `permille` any option but the default.
    #[inline]
    pub(crate) fn rarely(&mut self, options: u32, permille: u32) -> u32 {
        if let Walk::Dfs { .. } = self.walk {
            self.plan.decide(options)
        } else if permille > 0 && options > 1 && self.rng.chance(permille) {
            1 + self.rng.below(options - 1)
        } else {
            0
        }
    }

    /// Another choice: any option.
    pub(crate) fn uniform(&mut self, options: u32) -> u32 {
        if let Walk::Dfs { .. } = self.walk { self.plan.decide(options) } else { self.rng.below(options) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(walk: Walk, points: u64) -> Vec<u32> {
        let mut draw = Draw::new(walk, Rng::new(3, 3));
        let mut ready = Set::default();
        for thread in 0..4 {
            draw.thread();
            ready.insert(thread);
        }
        let mut current = 0;
        (0..points)
            .map(|at| {
                if !draw.stays(&ready, &Set::default(), at) {
                    let next = draw.switch(current, Pending::default(), &ready, &Set::default(), at);
                    // As the world does: a switch is no change of who is ready, but whose turn it is.
                    if next != current {
                        ready.remove(next);
                        ready.insert(next);
                    }
                    current = next;
                }
                current
            })
            .collect()
    }

    fn switches(walk: &[u32]) -> usize {
        walk.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn stay_leaves_as_often_as_it_says() {
        let count = switches(&walk(Walk::Stay { permille: 950 }, 10_000));
        assert!((350..650).contains(&count), "{count}");
        let count = switches(&walk(Walk::Stay { permille: 700 }, 10_000));
        assert!((2600..3400).contains(&count), "{count}");
    }

    #[test]
    fn pct_switches_at_its_changes_only() {
        let count = switches(&walk(Walk::Pct { depth: 4, length: 3000 }, 3000));
        assert!((1..=3).contains(&count), "{count}");
        assert_eq!(switches(&walk(Walk::Pct { depth: 1, length: 3000 }, 3000)), 0);
    }

    #[test]
    fn pct_starves_nobody() {
        let walk = walk(Walk::Pct { depth: 1, length: 100 }, 30_000);
        assert!((0..4).all(|thread| walk.contains(&thread)));
    }

    #[test]
    fn partial_order_sampling_draws_anew_for_races_only() {
        let mut draw = Draw::new(Walk::Pos, Rng::new(1, 1));
        let mut ready = Set::default();
        for thread in 0..3 {
            draw.thread();
            ready.insert(thread);
        }
        draw.pending[1] = Pending { address: 64, writes: false };
        draw.pending[2] = Pending { address: 128, writes: false };
        draw.priority = vec![0, 1, 2];
        // Thread 0 wants to write what thread 1 is about to read; draw until its operation is the one that goes first.
        let mut others = (1, 2);
        loop {
            let next = draw.sample(0, Pending { address: 64, writes: true }, &ready, &Set::default());
            if next == 0 {
                break;
            }
            others = (draw.priority[1], draw.priority[2]);
        }
        assert_ne!(draw.priority[1], others.0, "the racing operation kept its priority");
        assert_eq!(draw.priority[2], others.1, "an operation elsewhere drew anew");
    }

    #[test]
    fn depth_first_stays_unless_planned_and_starves_nobody() {
        let stays = walk(Walk::Dfs { deviations: 0 }, 30_000);
        assert_eq!(switches(&stays[..4000]), 0);
        assert!((0..4).all(|thread| stays.contains(&thread)));
    }

    #[test]
    fn uniform_reaches_everybody() {
        let walk = walk(Walk::Uniform, 4000);
        for thread in 0..4 {
            let share = walk.iter().filter(|&&t| t == thread).count();
            assert!((850..1150).contains(&share), "thread {thread}: {share}");
        }
    }
}
