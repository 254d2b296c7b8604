//! Events, notes and choices as sentences, and which of them matter for what went wrong.

use pirn::sync::{Debt, Ghost};
use pirn::trace::{Event, Place, PollEnd};

use crate::choice::{Entry, Kind};

/// What a failure is about, and so what its story has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The user's program: a panic, a hang.
    Program,
    /// One task.
    Task(Option<u64>),
    /// Who sleeps, who wakes whom.
    Sleep,
    /// The rings.
    Rings,
    /// Timers.
    Timers,
    /// Ops and drivers.
    Ops,
    /// Shutdown.
    Shutdown,
}

impl About {
    /// What invariant `id` is about.
    pub(super) fn invariant(id: &str, task: Option<u64>) -> Self {
        match id {
            "S7" | "S8" | "S9" => Self::Rings,
            "S10" | "S11" | "S12" | "L1" | "L2" | "L4" | "L9" | "L10" | "L13" | "L14" => Self::Sleep,
            "S24" | "S25" | "L5" | "L6" => Self::Timers,
            "S13" | "S17" | "S18" | "S19" | "S20" | "S21" | "S22" | "S23" | "L7" | "L12" => Self::Ops,
            "S26" | "L11" => Self::Shutdown,
            _ => Self::Task(task),
        }
    }
}

/// How much a step matters: told always, told while there is room, told if there is nothing better, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Never,
    Little,
    Much,
    Always,
}

use Weight::{Little, Much, Never};

/// How much an event matters.
pub(super) fn weigh(about: About, event: &Event) -> Weight {
    use Event::*;
    let yes = |matters: bool| if matters { Much } else { Never };
    match about {
        About::Program => match event {
            Spawn { .. } | PollStart { .. } | PollEnd { .. } | Wake { .. } | Abort { .. } => Much,
            Submit { .. } => Much,
            TimerFire { .. } | Complete { .. } | MainPoll { .. } => Little,
            _ => Never,
        },
        About::Task(task) => match (task, task_of(event)) {
            (Some(task), Some(of)) if task != of => match event {
                PollStart { .. } => Little,
                _ => Never,
            },
            (_, Some(_)) => Much,
            _ => Never,
        },
        About::Sleep => match event {
            Spawn { .. } | Enqueue { .. } | Dequeue { .. } | Steal { .. } | Search { .. } => Much,
            Park { .. } | Unparked { .. } | Unpark { .. } | PollStart { .. } => Much,
            PollEnd { .. } | MainPoll { .. } | Wake { .. } => Little,
            _ => Never,
        },
        About::Rings => match event {
            Steal { .. } => Much,
            Enqueue { place: Place::Ring, .. } | Dequeue { place: Place::Ring, .. } => Little,
            _ => Never,
        },
        About::Timers => match event {
            TimerArm { .. } | TimerFire { .. } | TimerCancel { .. } | Park { .. } | Unparked { .. } => Much,
            Unpark { .. } | Takeover { .. } => Much,
            PollStart { .. } | PollEnd { .. } => Little,
            _ => Never,
        },
        About::Ops => match event {
            Submit { .. } | Complete { .. } | CancelOp { .. } | Takeover { .. } => Much,
            Reap { completions, .. } => yes(*completions > 0),
            Park { .. } | Unparked { .. } | PollStart { .. } => Little,
            _ => Never,
        },
        About::Shutdown => match event {
            Shutdown { .. } | FutureDrop { .. } | Park { .. } | Unparked { .. } | Unpark { .. } => Much,
            Spawn { .. } | PollStart { .. } | PollEnd { .. } => Little,
            _ => Never,
        },
    }
}

/// How much a note matters.
pub(super) fn weigh_note(about: About, note: &Ghost) -> Weight {
    use Ghost::*;
    match (about, note) {
        (About::Sleep, Debt { debt: pirn::sync::Debt::Recheck, .. }) => Much,
        (About::Sleep, Debt { debt: pirn::sync::Debt::Notify, .. }) => Little,
        (
            About::Sleep,
            SleepJoin { .. } | SleepTaken { .. } | SleepLeave { .. } | SearchBegin { .. } | SearchEnd { .. },
        ) => Much,
        (About::Sleep, TokenGive { .. } | TokenTake { .. } | Armed { .. }) => Much,
        (
            About::Rings,
            RingWrite { .. }
            | RingClaim { .. }
            | RingStealBegin { .. }
            | RingRead { .. }
            | RingStealEnd { .. },
        ) => Much,
        (About::Rings, RingPublish { .. }) => Little,
        (About::Timers, WheelNext { .. } | Armed { .. } | TokenGive { .. } | TokenTake { .. }) => Much,
        (About::Ops, Staged { .. }) => Much,
        (About::Ops, HoldTake { .. } | HoldFree { .. }) => Little,
        _ => Never,
    }
}

/// The task of an event.
pub(super) fn task_of(event: &Event) -> Option<u64> {
    match *event {
        Event::Spawn { task, .. }
        | Event::Enqueue { task, .. }
        | Event::Dequeue { task, .. }
        | Event::PollStart { task, .. }
        | Event::PollEnd { task, .. }
        | Event::Wake { task, .. }
        | Event::Abort { task }
        | Event::FutureDrop { task, .. }
        | Event::Free { task } => Some(task),
        _ => None,
    }
}

/// The worker that a thread must be to emit this.
pub(super) fn seat_of(event: &Event) -> Option<u16> {
    match *event {
        Event::Search { worker }
        | Event::Park { worker, .. }
        | Event::Unparked { worker, .. }
        | Event::PollStart { worker, .. }
        | Event::MainPoll { worker, guest: false }
            if worker != u16::MAX =>
        {
            Some(worker)
        }
        _ => None,
    }
}

/// What worker `me` did.
pub(super) fn event(me: Option<u16>, event: &Event) -> String {
    let own = |worker: u16| me == Some(worker);
    let other =
        |worker: u32| if me == Some(worker as u16) { "itself".into() } else { format!("worker {worker}") };
    match *event {
        Event::Spawn { task, pinned, .. } => {
            format!("spawns task {task}{}", if pinned { ", which is bound to this worker" } else { "" })
        }
        Event::Enqueue { task, place, worker } => {
            format!("puts task {task} into {}", container(place, worker, own(worker)))
        }
        Event::Dequeue { task, place, worker, .. } => {
            format!("takes task {task} out of {}", container(place, worker, own(worker)))
        }
        Event::Steal { victim, count, .. } => format!("has stolen {count} from {}", other(u32::from(victim))),
        Event::PollStart { task, .. } => format!("polls task {task}"),
        Event::PollEnd { task, end, .. } => match end {
            PollEnd::Pending => format!("the poll of task {task} ends: pending"),
            PollEnd::Woken => {
                format!("the poll of task {task} ends: pending, and woken meanwhile, so scheduled again")
            }
            PollEnd::Ready => format!("task {task} is done"),
            PollEnd::Panicked => format!("task {task} panics"),
            PollEnd::Cancelled => format!("task {task} is cancelled"),
        },
        Event::Wake { task, scheduled: true } => format!("wakes task {task}"),
        Event::Wake { task, scheduled: false } => format!("wakes task {task}, which is scheduled already"),
        Event::Abort { task } => format!("asks for an abort of task {task}"),
        Event::FutureDrop { task, .. } => format!("drops the future of task {task}"),
        Event::Free { task } => format!("frees task {task}"),
        Event::Search { .. } => "has nothing of its own and searches".into(),
        Event::Park { deadline, .. } => format!("parks in its driver {}", until(deadline)),
        Event::Unparked { token: true, .. } => "comes back from its driver, by a token".into(),
        Event::Unparked { token: false, .. } => "comes back from its driver, without a token".into(),
        Event::Unpark { worker, system } => format!(
            "wakes {}{}",
            other(u32::from(worker)),
            if system { ", whose driver has to be interrupted" } else { "" }
        ),
        Event::Takeover { victim, .. } => {
            format!("takes over the driver of {}, which is overdue", other(u32::from(victim)))
        }
        Event::Reap { worker, completions, .. } => {
            let whose = if own(worker) { "its".into() } else { format!("worker {worker}'s") };
            format!("collects {completions} completions from {whose} driver")
        }
        Event::Submit { token, .. } => format!("asks for an operation, op {token:#x}"),
        Event::Complete { token, error, adopted } => {
            let how = if error == 0 {
                "".into()
            } else {
                format!(" with error {}", std::io::Error::from_raw_os_error(i32::from(error)))
            };
            format!(
                "op {token:#x} is complete{how}{}",
                if adopted { ", and nobody waits for it any more" } else { "" }
            )
        }
        Event::CancelOp { token } => format!("asks for the cancel of op {token:#x}"),
        Event::TimerArm { worker, key, deadline } => {
            let whose = if own(worker) { "its".into() } else { format!("worker {worker}'s") };
            format!("arms timer {key} on {whose} wheel for {}", seconds(deadline))
        }
        Event::TimerFire { key, now, .. } => format!("timer {key} fires at {}", seconds(now)),
        Event::TimerCancel { key, .. } => format!("cancels timer {key}"),
        Event::Shutdown { phase: 0, .. } => "asks for the shutdown of the runtime".into(),
        Event::Shutdown { phase: 1, .. } => "sees that the runtime shuts down".into(),
        Event::Shutdown { phase: 2, .. } => "has ended its tasks".into(),
        Event::Shutdown { .. } => "is done with the shutdown".into(),
        Event::Start { workers: 1, .. } => "builds a runtime of 1 worker".to_owned(),
        Event::Start { workers, .. } => format!("builds a runtime of {workers} workers"),
        Event::End {} => "has ended the runtime".into(),
        Event::MainPoll { guest: false, .. } => "polls the main future".into(),
        Event::MainPoll { guest: true, .. } => "polls the future of another block_on".into(),
        other => format!("{other:?}"),
    }
}

fn container(place: Place, worker: u16, own: bool) -> String {
    let whose = if own { "its".into() } else { format!("worker {worker}'s") };
    match place {
        Place::Ring => format!("{whose} ring"),
        Place::Lifo => format!("{whose} LIFO slot"),
        Place::Inbox => format!("{whose} inbox"),
        Place::Injector => "the injector".into(),
        Place::Blocking => "the queue of the blocking pool".into(),
    }
}

/// What worker `me` noted.
pub(super) fn note(me: Option<u16>, note: &Ghost) -> String {
    let who =
        |worker: u32| if me == Some(worker as u16) { "".into() } else { format!(" (of worker {worker})") };
    let counts = |parked: u32, searching: u32| format!("now {parked} asleep, {searching} searching");
    match *note {
        Ghost::Debt { debt, by } => match (debt, by > 0) {
            (Debt::Recheck, true) => "must look at every source once more before it parks".into(),
            (Debt::Recheck, false) => "is done with that last look".into(),
            (Debt::Notify, true) => "owes the sleepers a look: there is new work".into(),
            (Debt::Notify, false) => "owes that look no more".into(),
            (Debt::Token, true) => "owes a token".into(),
            (Debt::Token, false) => "has paid the token".into(),
            (Debt::Push, true) => "has a task in hand".into(),
            (Debt::Push, false) => "has the task no more in hand".into(),
        },
        Ghost::RingWrite { ring, at } => format!("writes slot {at} of ring {ring}"),
        Ghost::RingPublish { ring, tail, .. } => format!("publishes the tail of ring {ring}: {tail}"),
        Ghost::RingClaim { ring, from, count } => format!("claims {} of its ring {ring}", slots(from, count)),
        Ghost::RingStealBegin { ring, from, count } => {
            format!("begins to steal {} of ring {ring}", slots(from, count))
        }
        Ghost::RingRead { ring, at } => format!("reads slot {at} of ring {ring}"),
        Ghost::RingStealEnd { ring } => format!("ends its steal from ring {ring}"),
        Ghost::SleepJoin { parked, searching, .. } => {
            format!("joins the sleepers: {}", counts(parked, searching))
        }
        Ghost::SleepTaken { worker, parked, searching } => {
            format!(
                "takes worker {worker} off the sleepers and owes it a token: {}",
                counts(parked, searching)
            )
        }
        Ghost::SleepLeave { parked, searching, .. } => {
            format!("leaves the sleepers by itself: {}", counts(parked, searching))
        }
        Ghost::SearchBegin { parked, searching, .. } => {
            format!("becomes a searcher: {}", counts(parked, searching))
        }
        Ghost::SearchEnd { parked, searching, .. } => {
            format!("is no searcher any more: {}", counts(parked, searching))
        }
        Ghost::TokenGive { worker, was_parked, was_token } => format!(
            "gives worker {worker} a token{}",
            match (was_parked, was_token) {
                (true, _) => "; it is parked",
                (_, true) => "; it had one already",
                _ => "; it is awake",
            }
        ),
        Ghost::TokenTake { worker } => format!("takes its token{}", who(worker)),
        Ghost::ParkBegin { deadline, .. } => format!("is about to park {}", until(deadline)),
        Ghost::ParkEnd { .. } => "is back from its park".into(),
        Ghost::HoldTake { worker, .. } => format!("takes hold of the driver of worker {worker}"),
        Ghost::HoldFree { worker, .. } => format!("lets go of the driver of worker {worker}"),
        Ghost::BitSet { task } => format!("task {task} is scheduled now"),
        Ghost::BitClear { task } => format!("task {task} is scheduled no more"),
        Ghost::WheelNext { worker, deadline: u64::MAX } => format!("the wheel of worker {worker} is empty"),
        Ghost::WheelNext { worker, deadline } => {
            format!("the next deadline on the wheel of worker {worker} is {}", seconds(deadline))
        }
        Ghost::Armed { worker, count } => {
            format!("{count} timers are counted on the wheel of worker {worker}")
        }
        #[allow(unreachable_patterns, reason = "notes of a newer core")]
        other => format!("{other:?}"),
    }
}

fn slots(from: u32, count: u32) -> String {
    match count {
        1 => format!("slot {from}"),
        _ => format!("slots {from} to {}", from.wrapping_add(count - 1)),
    }
}

fn until(deadline: u64) -> String {
    if deadline == u64::MAX {
        "until somebody wakes it".into()
    } else {
        format!("until {}", seconds(deadline))
    }
}

/// A moment of virtual time.
pub(super) fn seconds(ns: u64) -> String {
    let text = format!("{:.9}", ns as f64 / 1e9);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} s")
}

/// A choice that did not fall on the default, and decides something else than who runs.
pub(super) fn choice(entry: &Entry) -> String {
    let what = match entry.kind {
        Kind::Waiter => "another waiter than the first is woken",
        Kind::Hold => "a store waits in this thread's store buffer: the others do not see it yet",
        Kind::Drain => "a store that waited becomes visible to the others",
        Kind::Slow => "time passes: the threads that could run are slow",
        Kind::Delay => "a packet takes longer than usual",
        Kind::Short => "less is transferred than could be",
        Kind::Inline => "what could be done at once is done later",
        Kind::Order => "completions come in another order",
        Kind::Count => "not all completions are there yet",
        Kind::Spurious => "the call returns early, or finds a queue full",
        Kind::Reset => "the connection is reset",
        Kind::Partition => "two hosts lose sight of one another",
        Kind::Listener => "another listener gets the connection",
        Kind::Disk => "a file operation takes longer than usual",
        Kind::Cold => "what a file operation asks for is no longer in memory",
        Kind::Fail => "a file operation fails",
        Kind::Crash => "a loss of power leaves other bytes on the disk than were written",
        Kind::Datagram => "a datagram is lost, comes twice, or comes late",
        Kind::Loss => "a packet is lost and sent again",
        Kind::Strike => "something strikes a host, a thread or a link",
        Kind::Span => "it lasts longer than at least",
        Kind::Refuse => "a socket is refused",
        Kind::Switch | Kind::Next => "another thread runs",
        #[allow(unreachable_patterns, reason = "kinds of choices grow")]
        _ => return format!("fault: {} falls on option {}", entry.kind.name(), entry.pick),
    };
    format!("chance: {what}")
}

/// Whether a choice is a mere matter of timing.
pub(super) fn is_mild(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Waiter | Kind::Order | Kind::Count | Kind::Inline | Kind::Spurious | Kind::Disk | Kind::Cold
    )
}

/// How much a choice matters.
pub(super) fn weigh_choice(entry: &Entry) -> Weight {
    match entry.kind {
        // The world says itself what strikes whom.
        Kind::Strike | Kind::Span => Never,
        kind if is_mild(kind) => Little,
        _ => Weight::Always,
    }
}
