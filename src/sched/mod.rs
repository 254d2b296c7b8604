//! The scheduler: seats, workers, their turns.
//!
//! A runtime is n seats in groups ([`group`]), mostly one. Seats 1 to n-1 have threads; seat 0 belongs to whoever is inside `block_on`. "All",
//! "others" and "peers" below are those of a seat's own group. A seat owns a ring,
//! a LIFO slot, an inbox, a driver (two halves), a timer wheel, an owned-task list and a random stream. One turn of the
//! worker on a seat ([`worker`]):
//!
//! 1. every `poll_interval` polls, if any op is in flight or any timer armed, look at the driver and the wheel ([`look`]);
//!    every `injector_interval` polls, take from the inbox and the injector first;
//! 2. run tasks: LIFO slot (at most `lifo_limit` in a row), own ring, inbox, a batch of the injector, until there is none;
//! 3. nothing left, or `poll_interval` polls, or something staged for too long: the commit ([`commit`]). Staged writes leave, each stream's in one call;
//!    who waits for the end of the turn is woken;
//! 4. nothing left: become a searcher (at most half of the workers) and steal half of a victim's ring ([`search`]);
//! 5. still nothing: fall asleep by the protocol in `sleep/README.md`, recheck if nobody searches any more, then park in
//!    the own driver until the next deadline ([`park`]);
//! 6. an idle worker whose peers are awake parks for one or a few *watch intervals* at most, then looks whether a peer has been
//!    inside one poll since the look before, and takes over its driver, wheel and LIFO slot for one look, and offers its ring ([`watch`]).
//!
//! Wake rules: a push inside a poll looks at the sleepers at once. A push outside a poll (a look's wakes, a reschedule)
//! owes that look, which is paid when a poll starts with work left in the ring, or, if that is soon done, a little later ([`share`]).
//!
//! Who may touch what: [`core::Core`] is for the thread on the seat alone; everything else in [`shared::Seat`] is for all,
//! behind its own synchronisation. No reference into a `Core`'s cells lives across a call into user code.

pub(crate) use self::commit::poll_commit;
pub(crate) use self::config::{Config, GroupConfig};
pub(crate) use self::context::{
    Near, emit, enter_handle, own_poll, poll_budget, port, spend_budget, spend_if_left, with_buffers,
    with_context, with_pool,
};
#[cfg(feature = "coro")]
pub(crate) use self::context::{fiber, refill_budget, swap_fiber, unsuspended, with_stacks};
pub(crate) use self::entry::block_on;
pub(crate) use self::moves::Move;
pub(crate) use self::schedule::{Where, keep_task, move_task, refuse, schedule, spawn};
pub(crate) use self::shared::{Seat, Shared};
pub use self::shutdown::ShutdownError;
pub(crate) use self::start::start_threads;
pub(crate) use self::timers::Armed;
pub(crate) use self::worker::cancel;
pub(crate) use crate::task::clone_own;

mod busy;
mod commit;
mod config;
mod context;
mod core;
mod entry;
mod group;
mod long;
mod look;
mod measure;
mod moves;
mod park;
mod schedule;
mod search;
mod share;
mod shared;
mod shutdown;
mod start;
mod submit;
mod timers;
mod watch;
mod worker;
