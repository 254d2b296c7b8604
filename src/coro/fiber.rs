//! A fiber: a pooled stack with a run loop on it, and switching into and out of it.
//!
//! ```text
//! | guard | ... frames of the run loop and its job ... | Fiber | owner |
//! ```
//! The record stands at the top of its own stack, in the page that is touched anyhow. The run loop takes one job after
//! another; between two jobs it is suspended in the same place, so a new job needs neither a fresh stack nor fresh frames.
//!
//! | field | who may touch it, and when |
//! |---|---|
//! | `coroutine` | who resumes it, one thread at a time; the code on the stack never does |
//! | `next`, `slab`, `slot` | the pool |
//! | the rest | the thread of the seat, on either stack |
//!
//! Invariants, cited by SAFETY comments:
//! 1. A fiber is used by the thread on its seat only; an idle one, which holds nothing of a user's, moves with its seat.
//! 2. A fiber lives as long as its slot is taken: until `Fiber::end`, which only its pool calls, when it is idle.
//! 3. While a job is under way, the job's data (a pinned `Body`) and, while it is resumed, the waker are alive.

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};
use core::task::Waker;
use std::panic::{Location, resume_unwind};
use std::thread::panicking;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, Yielder};

use super::pool::Slots;
use crate::os::stack::set_owner;
use crate::sched;

/// A job: its entry, which contains its panics, and its data.
pub(super) type Job = (unsafe fn(*mut ()), *mut ());

/// See the module.
pub(crate) struct Fiber {
    coroutine: UnsafeCell<Option<Coroutine<(), (), (), Lent>>>,
    yielder: Cell<*const Yielder<(), ()>>,
    job: Cell<Job>,
    waker: Cell<*const Waker>,
    finished: Cell<bool>,
    cancel: Cell<Cancel>,
    /// The thread unwound already when it resumed this fiber: the panic is none of the job's.
    unwound: Cell<bool>,
    pub(super) next: Cell<*const Fiber>,
    pub(super) slab: *const Slots,
    pub(super) slot: u32,
}

/// How far the end of a cancelled coroutine has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    Not,
    /// Its next stop raises it.
    Asked,
    /// It was raised so many times.
    Raised(u8),
}

/// What a cancelled coroutine unwinds with.
pub(super) struct Cancelled;

/// The stack below a record. The slot is the pool's.
struct Lent {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: the memory between guard and record is this coroutine's while the fiber lives (invariant 2); the limit includes the
// guard; base and limit are multiples of 64 and of a page.
unsafe impl Stack for Lent {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

impl Fiber {
    /// Makes a fiber in a slot of a slab.
    ///
    /// # Safety
    /// The slot has its guard, is the caller's, and stays so until `end`; `slab` stays in its place.
    pub(super) unsafe fn new(slab: *const Slots, slot: u32) -> NonNull<Self> {
        // SAFETY: the caller's promise.
        let memory = unsafe { &(*slab).memory };
        // Aligned to a cache line, and so for the stack below it.
        let at = (memory.top(slot) as usize - size_of::<Self>()) & !63;
        let record = memory.top(slot).with_addr(at).cast::<Self>();
        let fiber = Self {
            coroutine: UnsafeCell::new(None),
            yielder: Cell::new(ptr::null()),
            job: Cell::new((no_job, ptr::null_mut())),
            waker: Cell::new(ptr::null()),
            finished: Cell::new(true),
            cancel: Cell::new(Cancel::Not),
            unwound: Cell::new(false),
            next: Cell::new(ptr::null()),
            slab,
            slot,
        };
        let pointer = |address: usize| StackPointer::new(address).expect("a slot is not at null");
        let stack = Lent { base: pointer(at), limit: pointer(memory.low(slot) as usize) };
        // SAFETY: the record lies inside the slot, which is the caller's; the coroutine gets what is below it.
        unsafe {
            record.write(fiber);
            let run = move |yielder: &Yielder<(), ()>, ()| run_jobs(&*record, yielder);
            (*record).coroutine = UnsafeCell::new(Some(Coroutine::with_stack(stack, run)));
            NonNull::new_unchecked(record)
        }
    }

    /// Ends an idle fiber: its slot is free.
    ///
    /// # Safety
    /// The caller is its pool, and the fiber is not used any more.
    pub(super) unsafe fn end(fiber: NonNull<Self>) {
        // SAFETY: an idle fiber is suspended in `run_jobs`, where nothing waits to be dropped.
        unsafe {
            if let Some(mut coroutine) = (*fiber.as_ref().coroutine.get()).take() {
                coroutine.force_reset();
            }
        }
    }

    /// Gives an idle fiber its next job, which begins with the first `resume`.
    ///
    /// # Safety
    /// The job's data is alive and in its place until the fiber is finished.
    pub(super) unsafe fn begin(&self, job: Job, spawned_at: &'static Location<'static>) {
        debug_assert!(self.finished.get(), "one job at a time");
        self.job.set(job);
        self.finished.set(false);
        self.cancel.set(Cancel::Not);
        // SAFETY: the slot is this fiber's (invariant 2).
        unsafe { set_owner((*self.slab).memory.top(self.slot), spawned_at) };
    }

    /// Runs the job until it waits or ends; true: it has ended.
    ///
    /// # Safety
    /// On the thread of the seat, on no stack of this fiber, with a job under way.
    #[inline(always)] // see `stop`
    pub(super) unsafe fn resume(&self, waker: &Waker) -> bool {
        self.waker.set(waker);
        self.unwound.set(panicking());
        let before = sched::swap_fiber(self);
        // SAFETY: the caller's promise: nobody else has the coroutine (invariant 1).
        if let Some(coroutine) = unsafe { &mut *self.coroutine.get() } {
            coroutine.resume(());
        }
        sched::swap_fiber(before);
        self.finished.get()
    }

    /// Unwinds a job that waits: it is resumed with a panic, and has ended when this returns.
    ///
    /// # Safety
    /// As `resume`.
    pub(super) unsafe fn cancel(&self) {
        self.cancel.set(Cancel::Asked);
        // For destructors that wait for what is ready.
        sched::refill_budget();
        // SAFETY: the caller's promise. A cancelled job stops nowhere any more (`stop`), so once is enough.
        let finished = unsafe { self.resume(Waker::noop()) };
        debug_assert!(finished, "a cancelled job runs to its end");
    }

    /// Goes back to who resumed this fiber; returns at the next resume. Called on its stack.
    ///
    /// Inlined, as is all that lies between it and the user's code: a return to a frame of before the switch is one that the
    /// processor predicts wrongly, for about 5 ns each.
    #[inline(always)]
    pub(super) fn stop(&self) {
        if self.unwinds() {
            waits_while_it_unwinds();
        }
        // SAFETY: the yielder of the run loop below us on this very stack.
        unsafe { (*self.yielder.get()).suspend(()) };
    }

    /// Whether a panic of the job is under way.
    #[inline(always)]
    fn unwinds(&self) -> bool {
        panicking() && !self.unwound.get()
    }

    /// The waker of the poll that this fiber runs in.
    #[inline(always)]
    pub(super) fn waker(&self) -> &Waker {
        // SAFETY: the code on the stack runs, so it is resumed (invariant 3).
        unsafe { &*self.waker.get() }
    }

    /// Unwinds if the coroutine was cancelled. In a destructor, while that or another panic is under way, it does not.
    #[inline(always)]
    pub(super) fn raise_if_cancelled(&self) {
        if self.cancel.get() != Cancel::Not {
            self.raise();
        }
    }

    #[cold]
    fn raise(&self) {
        match self.cancel.get() {
            Cancel::Not => return,
            _ if self.unwinds() => return,
            Cancel::Asked => self.cancel.set(Cancel::Raised(1)),
            Cancel::Raised(1) => self.cancel.set(Cancel::Raised(2)),
            Cancel::Raised(_) => give_up(
                "a coroutine that was cancelled caught the panic that ends it twice and waits again; \
                 let it pass (std::panic::resume_unwind), or return",
            ),
        }
        resume_unwind(Box::new(Cancelled));
    }
}

/// The run loop: what every fiber does for ever. Nothing in this frame is dropped when the fiber ends.
fn run_jobs(fiber: &Fiber, yielder: &Yielder<(), ()>) {
    fiber.yielder.set(yielder);
    loop {
        let (entry, data) = fiber.job.get();
        // SAFETY: `begin` promised that the data is alive until the job has ended.
        unsafe { entry(data) };
        fiber.finished.set(true);
        yielder.suspend(());
    }
}

unsafe fn no_job(_: *mut ()) {}

/// The fiber that the calling code runs on.
#[inline(always)]
#[track_caller]
pub(super) fn current(what: &str) -> NonNull<Fiber> {
    match NonNull::new(sched::fiber().cast_mut()) {
        Some(fiber) => fiber,
        None => is_outside(what),
    }
}

#[cold]
#[track_caller]
fn is_outside(what: &str) -> ! {
    panic!(
        "{what} was called outside of a coroutine, or inside of something that must not be suspended (a scope of a \
         task-local, another runtime's `enter`); call it in the closure given to coro::spawn, and `.await` in async code"
    )
}

#[cold]
fn waits_while_it_unwinds() -> ! {
    give_up(
        "a coroutine waited in a destructor while it unwinds, where it cannot be suspended; \
         finish such work before the value is dropped, or spawn a task for it",
    )
}

#[cold]
fn give_up(why: &str) -> ! {
    eprintln!("pirn: {why}");
    std::process::abort()
}
