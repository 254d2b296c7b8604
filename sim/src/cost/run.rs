//! Running by cost: points that take time, and who is next.

use std::panic::Location;
use std::time::Duration;

use pirn::sync::Access;
use pirn::trace::Event;

use super::lines::Use;
use super::{Call, Cost, PAUSE_NS, ps};
use crate::hook::SPIN;
use crate::report::Verdict;
use crate::thread::Executor;
use crate::world::{NONE, World};

/// What computing is cut into where CPUs are shared, because who shares them changes.
const SLICE_NS: u64 = 50_000;

impl Cost {
    /// What an operation takes, in whole nanoseconds; the rest is owed.
    fn spend(&mut self, thread: u32, access: u32, address: usize, now: u64) -> u64 {
        if self.is_free(thread) {
            return 0;
        }
        let how = match access {
            access if access == Access::Load as u32 => Some(Use::Load),
            access if access == Access::Store as u32 => Some(Use::Store),
            access if access == Access::Rmw as u32 => Some(Use::Change),
            access if access == Access::Lock as u32 || access == Access::Unlock as u32 => Some(Use::Change),
            _ => None,
        };
        let mut own = match access {
            SPIN => ps(PAUSE_NS),
            access if access < SPIN => ps(self.model.costs.operation),
            _ => 0,
        };
        if let Some(how) = how {
            let Self { lines, threads, model, .. } = self;
            let costs = &model.costs;
            own += lines.wait(address, thread, how, now * 1_000, |owner| {
                let near = threads[owner as usize].node == threads[thread as usize].node;
                ps(costs.transfer * if near { 1.0 } else { costs.node_factor })
            });
        }
        self.take(thread, own)
    }

    /// The thread spends so many picoseconds and what it owes.
    fn take(&mut self, thread: u32, own: u64) -> u64 {
        let host = self.threads[thread as usize].host as usize;
        let all = own + std::mem::take(&mut self.threads[thread as usize].debt_ps);
        let shared = match self.model.cpus {
            Some(cpus) if self.runnable > cpus => all * u64::from(self.runnable) / u64::from(cpus.max(1)),
            _ => all,
        };
        // Of what it takes on a shared CPU, the rest is spent by others.
        self.hosts[host].busy_ps += u128::from(all);
        self.threads[thread as usize].debt_ps = shared % 1_000;
        self.hosts[host].busy_ps -= u128::from(shared % 1_000).min(self.hosts[host].busy_ps);
        shared / 1_000
    }

    /// When the next of the others goes on.
    fn next_at(&self) -> Option<u64> {
        self.ready.peek().map(|next| next.0.0)
    }
}

impl World {
    /// The running thread makes a system call.
    #[inline]
    pub(crate) fn charge_call(&mut self) {
        let thread = self.current;
        if let Some(cost) = &mut self.cost {
            cost.call(thread);
        }
    }

    /// What the running thread's call costs beyond a call that does nothing.
    #[inline]
    pub(crate) fn charge(&mut self, call: Call) {
        let thread = self.current;
        if let Some(cost) = &mut self.cost {
            cost.beyond(thread, call);
        }
    }

    /// Something happened on the running thread.
    pub(crate) fn charge_event(&mut self, event: &Event) {
        let thread = self.current;
        let Some(cost) = &mut self.cost else { return };
        match *event {
            Event::PollStart { task, .. } => cost.polls(thread, task),
            Event::Free { task } => cost.task_gone(thread, task),
            _ => {}
        }
    }

    /// Lets time go on to whoever is next; [`NONE`] if the run is over.
    #[cold]
    #[inline(never)]
    pub(crate) fn pick_by_cost(&mut self) -> u32 {
        loop {
            if self.failure.is_some() || self.hosts_left == 0 {
                return NONE;
            }
            let ready = self.cost.as_ref().and_then(|cost| cost.next_at());
            match (self.next_due(), ready) {
                (Some(due), ready) if ready.is_none_or(|ready| due <= ready) => {
                    self.now = self.now.max(due);
                    if self.now > self.options.max_time_ns {
                        let limit = self.now as f64 / 1e9;
                        self.fail(Verdict::Livelock(format!(
                            "no end after {limit:.3} s of virtual time, the limit (Simulation::max_time)"
                        )));
                        return NONE;
                    }
                    self.happen();
                }
                (_, Some(at)) => {
                    let next = self.cost.as_mut().and_then(|cost| cost.ready.pop());
                    self.now = self.now.max(at);
                    return next.map_or(NONE, |next| next.0.2);
                }
                (_, None) => {
                    let report = self.describe_threads();
                    self.fail(Verdict::Deadlock(format!(
                        "every thread is blocked and nothing is due\n{report}"
                    )));
                    return NONE;
                }
            }
        }
    }
}

impl Executor {
    /// A point of a run with costs.
    #[cold]
    #[inline(never)]
    pub(crate) fn cost_point(&self, access: u32, address: usize, at: &'static Location<'static>) {
        let world = self.world();
        world.points += 1;
        world.me().at = Some(at);
        self.beat.point(world.points, world.current, at);
        if world.points >= world.options.max_points {
            let points = world.points;
            world.fail(Verdict::Livelock(format!(
                "no end after {points} points, the limit (Simulation::max_points)"
            )));
            self.stop();
        }
        let (thread, now) = (world.current, world.now);
        let ns = world.cost.as_mut().map_or(0, |cost| cost.spend(thread, access, address, now));
        self.pass(ns);
    }

    /// The running thread is busy for so long.
    fn pass(&self, ns: u64) {
        let world = self.world();
        let until = world.now + ns;
        let others = world.cost.as_ref().and_then(|cost| cost.next_at());
        if others.is_none_or(|at| at > until) && world.next_due().is_none_or(|at| at > until) {
            world.now = until;
            return;
        }
        let thread = world.current;
        if let Some(cost) = &mut world.cost {
            cost.push(until, thread);
        }
        let next = world.pick_by_cost();
        self.switch_to(next);
    }

    /// The running thread computes for so long; false where nothing has a cost.
    pub(crate) fn compute(&self, span: Duration) -> bool {
        let world = self.world();
        let thread = world.current;
        let Some(cost) = &mut world.cost else { return false };
        if cost.is_free(thread) {
            return true;
        }
        let slice = if cost.model.cpus.is_some() { SLICE_NS } else { u64::MAX };
        let mut left = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 1_000);
        while left > 0 {
            let part = left.min(slice);
            left -= part;
            let cost = self.world().cost.as_mut().expect("a run keeps its model");
            let ns = cost.take(thread, part.saturating_mul(1_000));
            self.pass(ns);
        }
        true
    }

    /// The running thread reads the clock.
    #[track_caller]
    pub(crate) fn clock_point(&self) {
        let world = self.world();
        let thread = world.current;
        if let Some(cost) = &mut world.cost {
            let ns = cost.model.costs.clock;
            cost.owe(thread, ns);
            self.cost_point(crate::hook::OS, 0, Location::caller());
        }
    }
}
