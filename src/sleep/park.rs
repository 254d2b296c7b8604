//! The park word of one worker: whether it is blocked in its driver, and its token.

use crate::sync::{AtomicU32, Ghost, Ordering, ghost};

/// Awake, no token.
const EMPTY: u32 = 0;
/// Blocked in its driver, or about to. Set by the worker itself only.
const PARKED: u32 = 1;
/// A token waits to be consumed. Set by anybody, cleared by the worker itself only.
const TOKEN: u32 = 2;

/// One word, alone on its pair of cache lines.
#[repr(align(128))]
pub(super) struct ParkWord(AtomicU32);

impl ParkWord {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(EMPTY))
    }

    /// K1. False: there was a token; it is consumed, and the worker must not block.
    pub(super) fn begin(&self, worker: u32) -> bool {
        // AcqRel: Acquire (on failure too) pairs with the giver's Release in `give`; Release lets a giver see what we did before.
        match self.0.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(found) => {
                debug_assert_eq!(found, TOKEN, "a worker parks twice");
                self.end(worker);
                false
            }
        }
    }

    /// K2. True: a token was consumed. A swap, so that no token that comes meanwhile is overwritten unseen.
    pub(super) fn end(&self, worker: u32) -> bool {
        // AcqRel: Acquire pairs with the giver's Release in `give`.
        let had_token = self.0.swap(EMPTY, Ordering::AcqRel) == TOKEN;
        if had_token {
            ghost(|| Ghost::TokenTake { worker });
        }
        had_token
    }

    /// K3. True: the worker was parked, its driver must be interrupted. A swap and no compare-and-swap from PARKED: a token
    /// for a worker that is just waking up must stay (tokio #507).
    pub(super) fn give(&self, worker: u32) -> bool {
        // AcqRel: Release pairs with the Acquire of `begin` and `end`: who consumes the token sees what came before it. Acquire orders the interrupt after the park.
        let old = self.0.swap(TOKEN, Ordering::AcqRel);
        let was_parked = old == PARKED;
        ghost(|| Ghost::TokenGive { worker, was_parked, was_token: old == TOKEN });
        was_parked
    }
}
