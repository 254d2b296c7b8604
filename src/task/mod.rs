//! The task cell: one allocation with a header, the future and later its result.
//!
//! | field | who may touch it, and when |
//! |---|---|
//! | `state` | anybody, by its transitions |
//! | `link` | who holds the container reference, while the task is in a container |
//! | `list`, `cold.owned` | `list`: who runs the task; `cold.owned`: who has the list it is in (`Owned::with`) |
//! | `join_waker` | see `state` |
//! | `stage` | who runs the task; after COMPLETE the handle, or the completer if there is no handle |
//! | `home` | who runs the task for the first time writes it; later anybody |
//! | `cold.since` | who has set SCHEDULED and not pushed it yet, who runs it; anybody reads it |
//! | the rest | anybody; never written after the spawn |
//!
//! Invariants, cited by SAFETY comments:
//! 1. A `Task` stands for exactly one reference; the cell lives while any reference does.
//! 2. RUNNING is set by `start` or `seize` for one caller, who alone touches the future until `rest` or `complete`.
//! 3. A future that was polled and is not finished is in an owned list, which holds a reference: it is never freed unfinished.
//! 4. A pinned task is started, polled and cancelled on its home seat only. A settling one is pinned by its first poll.
//! 5. `shared` outlives every task that is not complete: shutdown waits for all of them.

pub use self::error::JoinError;
pub use self::join::{AbortHandle, JoinHandle};
pub use self::local::{LocalKey, NoValue, Scope};
pub(crate) use self::owned::Owned;
pub(crate) use self::pool::Pool;
pub(crate) use self::raw::{Header, Kind, Polled, Task, wake_contained};
pub use self::set::JoinSet;
pub(crate) use self::waker::{clone_own, is_own};

mod error;
mod join;
mod local;
mod owned;
mod pool;
mod raw;
mod set;
pub(crate) mod state;
mod waker;

/// A task's number: unique within its runtime, given at spawn, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(crate) u64);

impl Id {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "task {}", self.0)
    }
}

impl core::fmt::Debug for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Id({})", self.0)
    }
}
