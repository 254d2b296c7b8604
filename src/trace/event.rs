//! The one list of what the core does. Recorder, checkers and viewers read the same events.
//!
//! Binary form: two little-endian words. Word 0: kind (8 bits), small (8), mid (16), id (32). Word 1: wide (64).
//! No event holds an address. Tasks are numbered from 1 within a runtime in order of spawn.

use core::fmt;

/// Words of one encoded event.
pub const WORDS: usize = 2;

/// Where a scheduled task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Place {
    /// The ring of the event's worker.
    Ring = 0,
    /// The LIFO slot of the event's worker.
    Lifo = 1,
    /// The injector.
    Injector = 2,
    /// The inbox of the event's worker.
    Inbox = 3,
    /// The queue of the blocking pool.
    Blocking = 4,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PollEnd {
    /// Pending, to be woken.
    Pending = 0,
    /// Pending and woken meanwhile: scheduled again at once.
    Woken = 1,
    /// Its future returned.
    Ready = 2,
    /// Its future panicked.
    Panicked = 3,
    /// It was aborted or shut down meanwhile; its future is dropped.
    Cancelled = 4,
}

/// The four parts of an encoded event.
#[derive(Default)]
struct Slots {
    small: u8,
    mid: u16,
    id: u32,
    wide: u64,
}

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident = $kind:literal { $($field:ident : $slot:ident $type:tt),* $(,)? }
    )*) => {
        /// Something the core did. Each is emitted where it takes effect, with no point between the effect and the event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "fields carry the vocabulary's names; each variant says what happened")]
        pub enum Event {
            $( $(#[$doc])* $name { $($field: events!(@type $type)),* }, )*
        }

        impl Event {
            /// The event's name in traces and output.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name { .. } => stringify!($name), )* }
            }

            /// All names, in the order of their kinds.
            pub const NAMES: &'static [&'static str] = &[$( stringify!($name) ),*];

            /// The binary form.
            #[inline]
            #[allow(unused_mut, reason = "not every event uses a slot")]
            pub fn encode(&self) -> [u64; WORDS] {
                let mut slots = Slots::default();
                let kind: u8 = match *self {
                    $( Self::$name { $($field),* } => {
                        $( slots.$slot = events!(@put $type $field); )*
                        $kind
                    } )*
                };
                [
                    u64::from(kind)
                        | u64::from(slots.small) << 8
                        | u64::from(slots.mid) << 16
                        | u64::from(slots.id) << 32,
                    slots.wide,
                ]
            }

            /// From the binary form.
            #[allow(unused_variables, reason = "not every event uses every slot")]
            pub fn decode(words: [u64; WORDS]) -> Result<Self, DecodeError> {
                let slots = Slots {
                    small: (words[0] >> 8) as u8,
                    mid: (words[0] >> 16) as u16,
                    id: (words[0] >> 32) as u32,
                    wide: words[1],
                };
                match words[0] as u8 {
                    $( $kind => Ok(Self::$name { $($field: events!(@get $type (slots.$slot) words)),* }), )*
                    _ => Err(DecodeError(words)),
                }
            }
        }
    };
    (@type Place) => { Place };
    (@type PollEnd) => { PollEnd };
    (@type bool) => { bool };
    (@type $t:tt) => { $t };
    (@put Place $v:ident) => { $v as u8 };
    (@put PollEnd $v:ident) => { $v as u8 };
    (@put bool $v:ident) => { $v as u8 };
    (@put $t:tt $v:ident) => { $v };
    (@get Place $v:tt $w:ident) => {
        match $v { 0 => Place::Ring, 1 => Place::Lifo, 2 => Place::Injector, 3 => Place::Inbox, 4 => Place::Blocking, _ => return Err(DecodeError($w)) }
    };
    (@get PollEnd $v:tt $w:ident) => {
        match $v { 0 => PollEnd::Pending, 1 => PollEnd::Woken, 2 => PollEnd::Ready, 3 => PollEnd::Panicked, 4 => PollEnd::Cancelled, _ => return Err(DecodeError($w)) }
    };
    (@get bool $v:tt $w:ident) => {
        match $v { 0 => false, 1 => true, _ => return Err(DecodeError($w)) }
    };
    (@get $t:tt ($($v:tt)*) $w:ident) => { $($v)* };
}

events! {
    /// The clock was read: all that follows on this worker happened at or after it.
    Clock = 1 { now: wide u64 }
    /// A task exists now; `pinned`: it may run on this worker only. It is scheduled from birth. `site`: where it was spawned, a number
    /// of the dump's table, or 0.
    Spawn = 2 { task: wide u64, pinned: small bool, worker: mid u16, site: id u32 }
    /// A scheduled task was put into a container; `worker` owns that container (for the injector: the pusher, or `u16::MAX`).
    Enqueue = 3 { task: wide u64, place: small Place, worker: mid u16 }
    /// A task was taken out of a container by the calling worker (`by` worker; `worker` owns the container).
    Dequeue = 4 { task: wide u64, place: small Place, worker: mid u16, by: id u32 }
    /// A thief moved `count` tasks out of the ring of `victim`, the moved ones are announced by Dequeue and Enqueue events of their own.
    Steal = 5 { victim: mid u16, by: id u32, count: wide u64 }
    /// A poll starts.
    PollStart = 6 { task: wide u64, worker: mid u16 }
    /// A poll ended.
    PollEnd = 7 { task: wide u64, end: small PollEnd, worker: mid u16 }
    /// A waker was called; `scheduled`: this call set the task's scheduled bit.
    Wake = 8 { task: wide u64, scheduled: small bool }
    /// An abort was asked for.
    Abort = 9 { task: wide u64 }
    /// The task's future was dropped (after Ready, Panicked, Cancelled, or in shutdown) on `worker` (`u16::MAX`: outside).
    FutureDrop = 10 { task: wide u64, worker: mid u16 }
    /// The task's memory was freed.
    Free = 11 { task: wide u64 }
    /// `worker` begins to search: its own LIFO slot, ring and inbox were found empty.
    Search = 12 { worker: mid u16 }
    /// `worker` is about to block in its driver until `deadline` (ns, `u64::MAX` for ever).
    Park = 13 { worker: mid u16, deadline: wide u64 }
    /// `worker` came back; `token`: it was woken by one.
    Unparked = 14 { worker: mid u16, token: small bool }
    /// A wake-up was sent to `worker`; `system`: its driver had to be interrupted.
    Unpark = 15 { worker: mid u16, system: small bool }
    /// `by` took over the driver and wheel of `victim`, which has been inside one poll for too long.
    Takeover = 16 { victim: mid u16, by: id u32 }
    /// The driver of `worker` was looked at by `by`; `completions` were collected.
    Reap = 17 { worker: mid u16, by: id u32, completions: wide u64 }
    /// An op was submitted by (or on behalf of) `worker` and is pending.
    Submit = 18 { token: wide u64, worker: mid u16 }
    /// An op resolved; `error` is its errno or 0; `adopted`: nobody waited any more.
    Complete = 19 { token: wide u64, error: mid u16, adopted: small bool }
    /// An op's cancel was asked for.
    CancelOp = 20 { token: wide u64 }
    /// A timer was armed on the wheel of `worker`, with its key there.
    TimerArm = 21 { worker: mid u16, key: id u32, deadline: wide u64 }
    /// A timer fired at `now`.
    TimerFire = 22 { worker: mid u16, key: id u32, now: wide u64 }
    /// A timer was cancelled before it fired.
    TimerCancel = 23 { worker: mid u16, key: id u32 }
    /// Shutdown: phase 0 asked for, 1 observed by `worker`, 2 the worker's tasks are gone, 3 the worker is done.
    Shutdown = 24 { worker: mid u16, phase: small u8 }
    /// A runtime was built: everything before belongs to another one on this host.
    Start = 25 { workers: mid u16, ring: id u32, lifo_limit: small u8, interval: wide u64 }
    /// A runtime ended: its workers have left and its containers are empty.
    End = 26 {}
    /// The main future of a block_on, or a guest's, was polled; `guest` or main.
    MainPoll = 27 { worker: mid u16, guest: small bool }
}

/// Two words that are no event of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError(pub [u64; WORDS]);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:#018x} {:#018x} is no event of this version of pirn (known kinds are 1 to {}): the recording comes from another version or is damaged",
            self.0[0],
            self.0[1],
            Event::NAMES.len()
        )
    }
}

impl std::error::Error for DecodeError {}
