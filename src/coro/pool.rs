//! The stacks of one worker: slabs of slots, fibers in them, and a list of idle fibers for each size.
//!
//! A coroutine starts and ends on one worker, so its fiber never leaves that worker's pool and the pool has no lock. It takes
//! the fiber that was used last, whose stack is in the cache. Slabs double in size up to `SLAB_MOST` slots, so that few
//! coroutines cost little and 100,000 need some thirty mappings. A worker that has nothing to do gives back what it keeps
//! beyond its limit (`trim`): the memory of single stacks, and slabs in which no slot is taken as a whole.

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::io;
use std::sync::Arc;

use super::fiber::Fiber;
use crate::os::stack::{Guards, Slab};
use crate::sync::Counter;

/// Slots of the first slab of a size.
const SLAB_LEAST: u32 = 16;
/// Slots of a slab at most: 4096 normal stacks are half a GiB of addresses.
const SLAB_MOST: u32 = 4096;

/// Which of the three sizes of stacks a coroutine runs on. [`Builder::stack_size`](crate::Builder::stack_size) sets them.
///
/// Memory is committed as it is touched, a page (4 KiB) at a time, and kept by the stack: a larger size costs
/// addresses, not memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackSize {
    /// 16 KiB unless set otherwise: for code that is known to be shallow. A `println!` or a panic's message needs several KiB.
    Small,
    /// 128 KiB unless set otherwise.
    #[default]
    Normal,
    /// 2 MiB unless set otherwise, as a thread of std: for code that is known to be deep.
    Large,
}

const CLASSES: usize = 3;

/// The options of a runtime's pools.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Bytes of a stack of each size.
    pub(crate) sizes: [usize; CLASSES],
    /// Idle stacks of a size that an idle worker keeps. 1024: at 8 KiB that most have touched, 8 MiB.
    pub(crate) kept: usize,
    pub(crate) guards: Guards,
}

impl Config {
    pub(crate) fn new() -> Self {
        Self { sizes: [16 << 10, 128 << 10, 2 << 20], kept: 1024, guards: Guards::Auto }
    }

    /// Sets one size; refused values are reported by `check`.
    pub(crate) fn set_size(&mut self, size: StackSize, bytes: usize) {
        self.sizes[size as usize] = bytes;
    }

    /// Refuses sizes that cannot work.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.sizes.iter().find(|&&size| !(8 << 10..=1 << 30).contains(&size) || size % 4096 != 0) {
            None => Ok(()),
            Some(size) => {
                Err(format!("stack_size({size}): use a multiple of 4096 bytes, from 8 KiB to 1 GiB"))
            }
        }
    }
}

/// What a worker's pool holds, for others to read.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Coroutines that have started and not ended.
    pub(crate) live: Counter,
    /// The most of them at a time.
    pub(crate) most: Counter,
    /// Stacks with a run loop, idle ones included.
    pub(crate) stacks: Counter,
    /// Mappings they lie in.
    pub(crate) slabs: Counter,
}

/// A slab and which of its slots are taken.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) memory: Slab,
    class: usize,
    /// Slots from here on were never used and have no guard.
    fresh: Cell<u32>,
    free: RefCell<Vec<u32>>,
    taken: Cell<u32>,
}

/// The stacks of one worker.
pub(crate) struct Pool {
    config: Config,
    usage: Arc<Usage>,
    idle: [Idle; CLASSES],
    // Boxed: fibers point to them.
    #[allow(clippy::vec_box, reason = "fibers point to their slab")]
    slabs: RefCell<Vec<Box<Slots>>>,
}

struct Idle {
    first: Cell<*const Fiber>,
    len: Cell<usize>,
}

// SAFETY: idle fibers hold nothing of a thread's or a user's and move with their seat; those in use are reached by their coroutine
// only, and the seat stays with its thread while there is one (`SeatZero::bound`).
unsafe impl Send for Pool {}

impl Pool {
    pub(crate) fn new(config: Config, usage: Arc<Usage>) -> Self {
        let idle = || Idle { first: Cell::new(ptr::null()), len: Cell::new(0) };
        Self { config, usage, idle: [idle(), idle(), idle()], slabs: RefCell::default() }
    }

    /// An idle fiber with a stack of that size.
    pub(super) fn take(&self, size: StackSize) -> io::Result<NonNull<Fiber>> {
        let idle = &self.idle[size as usize];
        let fiber = match NonNull::new(idle.first.get().cast_mut()) {
            Some(fiber) => {
                // SAFETY: fibers of the list are alive.
                idle.first.set(unsafe { fiber.as_ref() }.next.get());
                idle.len.set(idle.len.get() - 1);
                fiber
            }
            None => self.make(size as usize)?,
        };
        let live = self.usage.live.get() + 1;
        self.usage.live.set(live);
        if live > self.usage.most.get() {
            self.usage.most.set(live);
        }
        Ok(fiber)
    }

    /// Takes a fiber back whose job has ended.
    pub(super) fn give(&self, fiber: NonNull<Fiber>) {
        // SAFETY: the fiber is alive, and its slab is one of this pool's.
        let class = unsafe { (*fiber.as_ref().slab).class };
        let idle = &self.idle[class];
        // SAFETY: as above.
        unsafe { fiber.as_ref() }.next.set(idle.first.get());
        idle.first.set(fiber.as_ptr());
        idle.len.set(idle.len.get() + 1);
        self.usage.live.set(self.usage.live.get() - 1);
    }

    /// A fiber in a slot that is free.
    #[cold]
    fn make(&self, class: usize) -> io::Result<NonNull<Fiber>> {
        let mut slabs = self.slabs.borrow_mut();
        let room = |slab: &&Slots| slab.class == class && slab.taken.get() < slab.memory.slots();
        if !slabs.iter().any(|slab| room(&&**slab)) {
            let last = slabs.iter().rev().find(|slab| slab.class == class);
            let slots = last.map_or(SLAB_LEAST, |slab| (slab.memory.slots() * 2).min(SLAB_MOST));
            let memory = Slab::map(slots, self.config.sizes[class], self.config.guards)?;
            let (fresh, taken) = (Cell::new(0), Cell::new(0));
            slabs.push(Box::new(Slots { memory, class, fresh, free: RefCell::default(), taken }));
            self.usage.slabs.add(1);
        }
        let slab = slabs.iter().map(|slab| &**slab).rev().find(room).expect("there is one now");
        let used = slab.free.borrow_mut().pop();
        let slot = match used {
            Some(slot) => slot,
            None => {
                slab.memory.guard(slab.fresh.get())?;
                slab.fresh.replace(slab.fresh.get() + 1)
            }
        };
        slab.taken.set(slab.taken.get() + 1);
        self.usage.stacks.add(1);
        // SAFETY: the slot was free and is taken now; the slab is boxed and stays while any of its slots is taken.
        Ok(unsafe { Fiber::new(slab, slot) })
    }

    /// Gives back what is idle beyond the limit. For a worker with nothing else to do.
    #[inline]
    pub(crate) fn trim(&self) {
        if self.idle.iter().any(|idle| idle.len.get() > self.config.kept) {
            self.trim_to(self.config.kept);
        }
    }

    #[cold]
    fn trim_to(&self, kept: usize) {
        let mut ended = Vec::new();
        for idle in &self.idle {
            while idle.len.get() > kept
                && let Some(fiber) = NonNull::new(idle.first.get().cast_mut())
            {
                // SAFETY: fibers of the list are alive, and this one leaves it.
                unsafe {
                    idle.first.set(fiber.as_ref().next.get());
                    idle.len.set(idle.len.get() - 1);
                    let (slab, slot) = (fiber.as_ref().slab, fiber.as_ref().slot);
                    Fiber::end(fiber);
                    (*slab).taken.set((*slab).taken.get() - 1);
                    (*slab).free.borrow_mut().push(slot);
                    ended.push((slab, slot));
                }
            }
        }
        self.usage.stacks.set(self.usage.stacks.get() - ended.len() as u64);
        for (slab, slot) in ended {
            // SAFETY: slabs go below only.
            let slab = unsafe { &*slab };
            if slab.taken.get() > 0 {
                slab.memory.discard(slot);
            }
        }
        let mut slabs = self.slabs.borrow_mut();
        slabs.retain(|slab| slab.taken.get() > 0);
        self.usage.slabs.set(slabs.len() as u64);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.trim_to(0);
        // Coroutines of a thread that did not come back for them stay for ever, and so do their stacks.
        self.slabs.get_mut().drain(..).for_each(core::mem::forget);
    }
}
