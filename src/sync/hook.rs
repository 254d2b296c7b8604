//! The simulator's side of the door: what `points.rs` calls when the current thread is a simulated one.

use core::cell::Cell;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Ghost;
use crate::trace::Event;

/// What the operation behind a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// An atomic load.
    Load,
    /// An atomic store.
    Store,
    /// An atomic read-modify-write.
    Rmw,
    /// A fence.
    Fence,
    /// A lock is about to be taken.
    Lock,
    /// A lock is about to be let go.
    Unlock,
    /// A condition variable is about to be waited for.
    Wait,
    /// A condition variable is about to be notified.
    Notify,
}

/// A world that simulates the calling thread. All methods are called on that thread. `address` names a location
/// while it lives; it must enter no order, digest or choice.
pub trait Hook {
    /// Right before an operation: the world may run other threads here.
    fn point(&self, access: Access, address: usize, at: &'static Location<'static>);
    /// TSO mode: the value that a load of this thread must see instead of memory, if another thread's newer store has not drained yet.
    fn load(&self, address: usize) -> Option<u64>;
    /// TSO mode: a store weaker than SeqCst wrote `new` over `old`.
    fn stored(&self, address: usize, old: u64, new: u64);
    /// Before a read-modify-write of `address`: this thread's buffer and everybody's entries for the address drain.
    fn rmw(&self, address: usize);
    /// A SeqCst fence, a lock operation: this thread's buffer drains.
    fn fence(&self);
    /// The atomic at `address` ends: its pending entries drain.
    fn forget(&self, address: usize);
    /// Blocks until `wake(address)` or the limit; true if woken. No other thread runs between the call and the block.
    fn block(&self, address: usize, limit: Option<Duration>, at: &'static Location<'static>) -> bool;
    /// Makes one waiter (or all) of `address` runnable. Switches to nobody.
    fn wake(&self, address: usize, all: bool);
    /// A turn of a spin loop: others must run before this thread can get on.
    fn spin(&self, at: &'static Location<'static>);
    /// The calling thread took (or let go of) a lock of the runtime itself. Switches to nobody.
    fn held(&self, lock: usize, taken: bool, at: &'static Location<'static>);
    /// `bytes` of memory at `block` are free in a pool of the runtime (or in use again): nobody may touch them. Switches to nobody.
    fn freed(&self, block: usize, bytes: usize, free: bool);
    /// A ghost note. Switches to nobody.
    fn ghost(&self, note: Ghost);
    /// An event that just took effect. Switches to nobody.
    fn event(&self, event: &Event);
}

/// Set once a world exists in this process, never in a live one: tested before anything else.
static SIMULATED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static HOOK: Cell<Option<&'static dyn Hook>> = const { Cell::new(None) };
}

/// Says that this process runs simulations: from now on every operation looks for its thread's hook.
pub fn mark_process_simulated() {
    SIMULATED.store(true, Ordering::Relaxed);
}

/// Sets or clears the hook of the calling thread (of its thread-local block, to be exact) and returns the old one.
pub fn enter_hook(hook: Option<&'static dyn Hook>) -> Option<&'static dyn Hook> {
    HOOK.with(|cell| cell.replace(hook))
}

/// Whether the calling thread is simulated.
pub fn hook_is_set() -> bool {
    simulated() && current().is_some()
}

#[inline(always)]
pub(super) fn simulated() -> bool {
    SIMULATED.load(Ordering::Relaxed)
}

#[inline]
pub(super) fn current() -> Option<&'static dyn Hook> {
    HOOK.try_with(Cell::get).ok().flatten()
}
