//! The simulator's side of `pirn::sync`: points, locks, store buffers, notes and events of simulated threads.

use std::panic::Location;
use std::time::Duration;

use pirn::sync::{Access, Ghost, Hook};
use pirn::trace::Event;

use crate::draw::Pending;
use crate::log::{Did, Leaving};
use crate::thread::Executor;
use crate::world::{Why, World};

/// The access numbers of points that are no operation of `pirn::sync`.
pub(crate) const SAY: u32 = 13;
pub(crate) const SPIN: u32 = 14;
pub(crate) const OS: u32 = 15;

/// What comes after the point of a [`crate::say!`].
pub(crate) const AFTER_SAY: &str = "it goes on";

/// What comes after a point, for people.
pub(crate) fn access_name(access: u32) -> &'static str {
    const NAMES: [&str; 8] = [
        "an atomic load",
        "an atomic store",
        "an atomic read-modify-write",
        "a fence",
        "a lock that is taken",
        "a lock that is let go",
        "a wait for a condition",
        "a notification",
    ];
    match access {
        SAY => AFTER_SAY,
        SPIN => "a turn of a spin loop",
        OS => "a call of the operating system",
        other => NAMES.get(other as usize).copied().unwrap_or("an operation"),
    }
}

impl Executor {
    /// The point of [`crate::say!`].
    pub(crate) fn say_point(&self, at: &'static Location<'static>) {
        self.point_of(SAY, 0, false, at);
    }

    /// A point, and where switching is allowed a choice.
    #[inline]
    fn point_of(&self, access: u32, address: usize, switches: bool, at: &'static Location<'static>) {
        let world = self.world();
        if world.cost.is_some() {
            return self.cost_point(access, address, at);
        }
        world.count(access, at);
        self.beat.point(world.points, world.current, at);
        if switches || world.everywhere() {
            let next = world.decide(Pending { address, writes: access != Access::Load as u32 });
            if next != world.current {
                self.switch(next);
            }
        }
        let world = self.world();
        if !world.tso.is_empty() {
            world.maybe_drain();
        }
    }

    #[inline(never)]
    fn switch(&self, next: u32) {
        self.aside(|world| {
            check_step(world);
            world.leaves(next, |_| Leaving::Stopped);
        });
        self.settle();
        self.switch_to(next);
    }

    /// A point before an OS call, which drains the store buffer.
    #[inline]
    #[track_caller]
    pub(crate) fn os_point(&self) {
        self.os_point_at(Location::caller());
    }

    pub(crate) fn os_point_at(&self, at: &'static Location<'static>) {
        self.point_of(OS, 0, true, at);
        let world = self.world();
        let me = world.current;
        world.tso.drain(me);
        self.settle();
    }
}

fn check_step(world: &mut World) {
    let host = world.my_host() as usize;
    let now = world.now;
    if let Err(violation) = world.hosts[host].checker.step(now) {
        world.violated(violation);
    }
}

impl Hook for Executor {
    #[inline]
    fn point(&self, access: Access, address: usize, at: &'static Location<'static>) {
        self.point_of(access as u32, address, false, at);
        if self.world().is_freed(address) {
            self.aside(|world| world.touched_freed(at));
            self.settle();
        }
        if matches!(access, Access::Store | Access::Rmw | Access::Unlock | Access::Notify) {
            // A spinning thread may wait for just this.
            self.world().spun.clear();
        }
    }

    #[inline]
    fn load(&self, address: usize) -> Option<u64> {
        let world = self.world();
        if world.tso.is_empty() { None } else { world.tso.load(world.current, address) }
    }

    #[inline]
    fn stored(&self, address: usize, old: u64, _new: u64) {
        let world = self.world();
        if world.options.tso {
            world.stored(address, old);
        }
    }

    #[inline]
    fn rmw(&self, address: usize) {
        let world = self.world();
        if !world.tso.is_empty() {
            let me = world.current;
            world.tso.drain(me);
            world.tso.forget(address);
        }
    }

    #[inline]
    fn fence(&self) {
        let world = self.world();
        if !world.tso.is_empty() {
            let me = world.current;
            world.tso.drain(me);
        }
    }

    #[inline]
    fn forget(&self, address: usize) {
        let world = self.world();
        if !world.tso.is_empty() {
            world.tso.forget(address);
        }
        if let Some(cost) = &mut world.cost {
            cost.forget(address, 1);
        }
    }

    fn block(&self, address: usize, limit: Option<Duration>, at: &'static Location<'static>) -> bool {
        let world = self.world();
        world.me().at = Some(at);
        let until = limit.map_or(u64::MAX, |limit| world.after(limit));
        Executor::block(self, Why::Address(address), until, u32::MAX)
    }

    #[inline]
    fn wake(&self, address: usize, all: bool) {
        self.world().wake(address, if all { u32::MAX } else { 1 }, u32::MAX);
    }

    fn spin(&self, at: &'static Location<'static>) {
        let world = self.world();
        if world.cost.is_some() {
            return self.cost_point(SPIN, 0, at);
        }
        world.count(SPIN, at);
        self.beat.point(world.points, world.current, at);
        let next = self.aside(|world| {
            let next = world.spin();
            world.leaves(next, |_| Leaving::Waits("spins until others have run".into()));
            next
        });
        self.settle();
        self.switch_to(next);
        // Time passes in a spin loop: what the thread stored before becomes visible.
        let world = self.world();
        let me = world.current;
        world.tso.drain(me);
    }

    fn held(&self, lock: usize, taken: bool, at: &'static Location<'static>) {
        if self.world().cost.is_some() {
            return;
        }
        self.aside(|world| {
            let (thread, host) = (world.current, world.my_host() as usize);
            let checker = &mut world.hosts[host].checker;
            if !taken {
                checker.unlocked(thread, lock);
            } else if let Err(violation) = checker.locked(thread, lock, at) {
                world.violated(violation);
            }
        });
        self.settle();
    }

    fn freed(&self, block: usize, bytes: usize, free: bool) {
        self.aside(|world| match &mut world.cost {
            Some(cost) => cost.forget(block, bytes),
            None => world.note_freed(block, bytes, free),
        });
    }

    #[inline]
    fn ghost(&self, note: Ghost) {
        if self.world().cost.is_some() {
            return;
        }
        self.aside(|world| {
            let (thread, now) = (world.current, world.now);
            if world.log.is_some() {
                world.log(Did::Note(note));
            }
            let host = world.my_host() as usize;
            if let Err(violation) = world.hosts[host].checker.ghost(thread, now, note) {
                world.violated(violation);
            }
        });
        self.settle();
    }

    #[inline]
    fn event(&self, event: &Event) {
        self.aside(|world| world.emitted(event));
        self.settle();
    }
}

impl World {
    /// The moment `limit` from now.
    pub(crate) fn after(&self, limit: Duration) -> u64 {
        self.now.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The running thread emitted an event.
    #[inline]
    pub(crate) fn emitted(&mut self, event: &Event) {
        let (thread, now) = (self.current, self.now);
        self.events += 1;
        let me = self.me();
        me.events += 1;
        me.since = 0;
        me.asked = 0;
        let host = me.host as usize;
        let words = event.encode();
        self.seen_events |= 1 << (words[0] & 63);
        self.note(words[0]);
        self.note(words[1]);
        if self.log.is_some() {
            self.log(Did::Event(*event));
        }
        if self.cost.is_some() {
            return self.charge_event(event);
        }
        if let Err(violation) = self.hosts[host].checker.event(thread, now, event) {
            self.violated(violation);
        }
        if self.log.is_some() {
            self.stop_here();
        }
    }
}
