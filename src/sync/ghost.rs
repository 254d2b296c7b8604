//! Ghost notes: what a checker must know and production never computes. Nothing here survives in a build without
//! the feature `sim`.

/// An obligation a thread carries between two operations of one protocol. A predicate marked * in the invariants
/// is judged only where nobody carries the debt it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Debt {
    /// A task's state says scheduled and its pointer is not in a container yet (or was just taken out).
    Push,
    /// Work became visible to others and the idle workers were not looked at yet.
    Notify,
    /// A worker left the searching state or joined the sleepers and has not finished its recheck.
    Recheck,
    /// A worker was taken off the sleepers and its token is not delivered yet.
    Token,
}

/// Which of several things a note is about: an address, that is compared and never printed, ordered or hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Which(usize);

impl Which {
    /// The thing at `address`.
    pub fn at(address: usize) -> Self {
        Self(address)
    }

    /// The task or whatever else a waker wakes.
    pub fn woken_by(waker: &core::task::Waker) -> Self {
        Self(waker.data() as usize)
    }
}

impl core::fmt::Debug for Which {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("_")
    }
}

/// One note. Cursor values are the ring's own 32-bit wrapping indices; `parked` and `searching` are the counts
/// right after the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named for what they are; each variant says when it is noted")]
pub enum Ghost {
    /// The calling thread takes on (`by` > 0) or pays (`by` < 0) a debt.
    Debt { debt: Debt, by: i32 },
    /// A slot of a ring is about to be written by the ring's owner (its tail is still at or before `at`).
    RingWrite { ring: u32, at: u32 },
    /// The owner published its tail.
    RingPublish { ring: u32, tail: u32, capacity: u32 },
    /// The owner claimed `[from, from + count)` by moving the head (pop: 1; overflow: half).
    RingClaim { ring: u32, from: u32, count: u32 },
    /// A thief opened a steal section on `[from, from + count)`.
    RingStealBegin { ring: u32, from: u32, count: u32 },
    /// A claimed slot was moved out.
    RingRead { ring: u32, at: u32 },
    /// A thief closed its steal section.
    RingStealEnd { ring: u32 },
    /// `worker` joined the sleepers.
    SleepJoin { worker: u32, parked: u32, searching: u32 },
    /// `worker` was taken off the sleepers by the calling thread, which now owes it one token and passed it one searching permit.
    SleepTaken { worker: u32, parked: u32, searching: u32 },
    /// `worker` left the sleepers by itself.
    SleepLeave { worker: u32, parked: u32, searching: u32 },
    /// `worker` became a searcher by itself.
    SearchBegin { worker: u32, parked: u32, searching: u32 },
    /// `worker` stopped searching (work found, or on its way to the sleepers).
    SearchEnd { worker: u32, parked: u32, searching: u32 },
    /// A token was put into the park word of `worker`; `was_parked`: its driver must be interrupted.
    TokenGive { worker: u32, was_parked: bool, was_token: bool },
    /// `worker` took the token out of its park word.
    TokenTake { worker: u32 },
    /// `worker` set its park word to parked and is about to block until `deadline` (ns; `u64::MAX` for ever).
    ParkBegin { worker: u32, deadline: u64 },
    /// `worker` came back from its block.
    ParkEnd { worker: u32 },
    /// `thread_of` took the hold of the driver of `worker`; for a park, `parked`.
    HoldTake { worker: u32, by: u32, parked: bool },
    /// The hold of the driver of `worker` was let go.
    HoldFree { worker: u32, by: u32 },
    /// The runtime that just started has this group, of `workers` workers from `first` on; they take from each other's rings, if it `steals`.
    Group { group: u32, first: u32, workers: u32, steals: bool },
    /// A task that is not pinned belongs to this group from now on: where it was spawned, unless this says otherwise.
    Belongs { task: u64, group: u32 },
    /// The calling thread leaves a task with long polls in the LIFO slot of a peer.
    Passed { task: u64 },
    /// A task's state word went from not scheduled to scheduled.
    BitSet { task: u64 },
    /// A task's scheduled bit was cleared (its poll starts, or it became terminal).
    BitClear { task: u64 },
    /// The first poll of a task begins on `worker`, where it stays from now on.
    Settled { task: u64, worker: u32 },
    /// The owner of the ring of `worker` keeps it from the others for now, or it was offered again.
    RingKept { worker: u32, kept: bool },
    /// So many streams hold writes that leave at the commit of `worker`.
    Staged { worker: u32, count: u32 },
    /// A worker's driver has no room for an op, which waits in its seat; or that op is tried again.
    OpStalled { worker: u32, stalled: bool },
    /// The thread on the seat of `worker` got up: nothing of its own may be left there.
    SeatLeft { worker: u32 },
    /// A poll left its waker with an op that has not resolved.
    OpAwait { token: u64, waker: Which },
    /// An op resolved; `waker`: the one that is called for it.
    OpWake { token: u64, waker: Option<Which> },
    /// The owner of an op took its completion, or does not wait for it any more.
    OpTaken { token: u64 },
    /// The timer `key` of the wheel of `worker` has this generation: it was just armed.
    TimerKey { worker: u32, key: u32, generation: u32 },
    /// A poll left its waker with a timer.
    TimerAwait { worker: u32, key: u32, waker: Which },
    /// A runtime was built whose idle workers look after busy ones: mostly at least `interval` apart, at most `longest` (ns), both for each
    /// worker of their group. The look after one that served a stuck worker comes sooner.
    Watches { interval: u64, longest: u64 },
    /// A timer fired; this waker is called.
    TimerWake { worker: u32, key: u32, waker: Which },
    /// A cancel took the timer for fired, or cancelled before.
    TimerGone { worker: u32, key: u32, generation: u32 },
    /// The earliest deadline of the wheel of `worker` right after a change of it (ns; `u64::MAX`: none).
    WheelNext { worker: u32, deadline: u64 },
    /// So many timers are armed on the wheel of `worker`, says the count that others go by, right after a change.
    Armed { worker: u32, count: u64 },
}
