//! The invariants of a runtime, checked at every event from ghost state.
//!
//! A [`Checker`] reads events and ghost notes and nothing else: it walks no container and takes no operation of
//! `pirn::sync`, so it can be driven between any two steps of the core. One checker a host; a runtime on it begins
//! with `Start` and ends with `End`, and several may follow one another.
//!
//! | file | what it keeps | invariants |
//! |---|---|---|
//! | `tasks`, `places` | where each task is | S1, S2, S12 |
//! | `life` | its polls, its scheduled bit, its end | S3–S6, S26, S27, L3, L12 |
//! | `locks` | who holds which lock of the runtime | S15, S16 |
//! | `rings` | cursors and slots of each ring | S7–S9 |
//! | `sleep` | sleepers, searchers, tokens, debts | S10–S12, L4 |
//! | `timers` | armed timers of each wheel | S12, S24, S25, S29, L5, L6, L14 |
//! | `ops` | ops in flight, who holds each driver | S13, S17, S19, S23, S29, L7, L12 |
//! | `shutdown` | phases | S26, L11 |
//! | `watch` | since when an idle worker could have served another one's | L6–L8, L14 |
//! | `fairness` | polls since the last visit of each source, rounds without use | L8, L10 |
//! | `liveness` | what must hold when nobody owes anything, when all are blocked, and when nothing is due | L1, L2, L4, L7, L8 |
//! | `workers` | who is on each seat | S13, L9, L14 |
//! | `groups` | which of them share work | S27, L1 |
//!
//! The world itself checks what no event tells: touched memory (S14, `memory`), descriptors (S18, S20), what reaches a driver (S21, S30, L12, `driver`).
//! S22 cannot be broken from inside: a descriptor is counted, and lives as long as any op on it (S18). S28 is loom's.

use pirn::sync::Ghost;
use pirn::trace::{Event, Place};

pub use self::limits::Limits;
pub use self::rules::rule;
pub use self::violation::{NAMES, Violation};
use self::{
    fairness::Fairness, groups::Groups, locks::Locks, ops::Ops, rings::Ring, shutdown::Shutdown,
    sleep::Sleep, tasks::Places, timers::Wheel, watch::Watch, workers::Workers,
};

mod describe;
mod fairness;
mod groups;
mod life;
mod limits;
mod liveness;
mod locks;
mod ops;
mod places;
mod rings;
mod rules;
mod shutdown;
mod sleep;
mod tasks;
mod timers;
mod violation;
mod watch;
mod workers;

/// What every check returns.
type Checked = Result<(), Violation>;

/// No worker, no thread, no task.
const NONE: u32 = u32::MAX;

/// The checkers of one host.
#[derive(Debug, Default)]
pub struct Checker {
    limits: Limits,
    now: u64,
    /// When a thread last stood still.
    still_until: u64,
    /// Between `Start` and `End`.
    running: bool,
    /// Found where it could not be reported at once.
    late: Option<Violation>,
    workers: Workers,
    places: Places,
    groups: Groups,
    rings: Vec<Ring>,
    sleep: Sleep,
    wheels: Vec<Wheel>,
    watch: Watch,
    ops: Ops,
    fairness: Fairness,
    shutdown: Shutdown,
    locks: Locks,
}

impl Checker {
    /// A checker that has seen nothing, with the default bounds.
    pub fn new() -> Self {
        Self::default()
    }

    /// A checker with bounds of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Thread `thread` of the world emitted `event` at `now` (ns).
    pub fn event(&mut self, thread: u32, now: u64, event: &Event) -> Checked {
        self.now = now;
        self.user_code_free(thread, event)?;
        // What an older runtime left behind (wakers, handles) is no business of the next one.
        if !self.running && !matches!(event, Event::Start { .. } | Event::End {}) {
            if let Event::Free { task } = *event {
                self.places.freed_late(task);
            }
            return Ok(());
        }
        self.shutdown_moves()?;
        match *event {
            Event::Start { workers, ring, lifo_limit, interval } => {
                self.start(u32::from(workers), ring, u32::from(lifo_limit), interval)?;
            }
            Event::Spawn { task, pinned, worker, .. } => {
                self.spawned(thread, task, pinned, u32::from(worker))?
            }
            Event::Enqueue { task, place, worker } => self.enqueued(thread, task, place, seat(worker))?,
            Event::Dequeue { task, place, worker, by } => {
                self.dequeued(thread, task, place, seat(worker), by)?
            }
            Event::PollStart { task, worker } => self.poll_started(thread, task, seat(worker))?,
            Event::PollEnd { task, end, worker } => self.poll_ended(thread, task, end, seat(worker))?,
            Event::Wake { task, scheduled } => self.woken(task, scheduled)?,
            Event::Abort { task } => self.aborted(task)?,
            Event::FutureDrop { task, worker } => self.future_dropped(thread, task, seat(worker))?,
            Event::Free { task } => self.freed(task)?,
            Event::Search { worker } => self.searches(thread, u32::from(worker))?,
            Event::MainPoll { worker, guest } => self.main_polled(thread, seat(worker), guest)?,
            Event::Takeover { victim, by } => self.taken_over(thread, u32::from(victim), by)?,
            Event::Reap { worker, by, completions } => {
                self.reaped(thread, u32::from(worker), by, completions)?
            }
            Event::Submit { token, .. } => self.submitted(token)?,
            Event::Complete { token, .. } => self.completed(thread, token)?,
            Event::CancelOp { token } => self.op_cancelled(token),
            Event::TimerArm { worker, key, deadline } => {
                self.timer_armed(u32::from(worker), key, deadline)?
            }
            Event::TimerFire { worker, key, now } => self.timer_fired(u32::from(worker), key, now)?,
            Event::TimerCancel { worker, key } => self.timer_cancelled(u32::from(worker), key)?,
            Event::Shutdown { worker, phase } => self.shutdown_phase(seat(worker), phase)?,
            Event::End {} => self.ended()?,
            _ => {}
        }
        self.shutdown.last = now;
        Ok(())
    }

    /// Thread `thread` of the world left a note at `now` (ns).
    pub fn ghost(&mut self, thread: u32, now: u64, note: Ghost) -> Checked {
        self.now = now;
        if !self.running {
            return Ok(());
        }
        match note {
            Ghost::Debt { debt, by } => self.debt(thread, debt, by)?,
            Ghost::RingWrite { ring, at } => self.ring_write(thread, ring, at)?,
            Ghost::RingPublish { ring, tail, capacity } => self.ring_publish(thread, ring, tail, capacity)?,
            Ghost::RingClaim { ring, from, count } => self.ring_claim(thread, ring, from, count)?,
            Ghost::RingStealBegin { ring, from, count } => {
                self.ring_steal_begin(thread, ring, from, count)?
            }
            Ghost::RingRead { ring, at } => self.ring_read(thread, ring, at)?,
            Ghost::RingStealEnd { ring } => self.ring_steal_end(thread, ring)?,
            Ghost::SleepJoin { worker, parked, searching } => {
                self.sleep_join(worker)?;
                self.counts("joined the sleepers", worker, parked, searching)?;
            }
            Ghost::SleepTaken { worker, parked, searching } => {
                self.sleep_taken(thread, worker)?;
                self.counts("was taken off the sleepers", worker, parked, searching)?;
            }
            Ghost::SleepLeave { worker, parked, searching } => {
                self.sleep_leave(worker)?;
                self.counts("left the sleepers", worker, parked, searching)?;
            }
            Ghost::SearchBegin { worker, parked, searching } => {
                self.search_begin(worker)?;
                self.counts("began to search", worker, parked, searching)?;
            }
            Ghost::SearchEnd { worker, parked, searching } => {
                self.search_end(worker)?;
                self.counts("stopped searching", worker, parked, searching)?;
            }
            Ghost::TokenGive { worker, was_parked, was_token } => {
                self.token_give(thread, worker, was_parked, was_token)?;
            }
            Ghost::TokenTake { worker } => self.token_take(worker)?,
            Ghost::ParkBegin { worker, deadline } => self.park_begin(thread, worker, deadline)?,
            Ghost::ParkEnd { worker } => self.park_end(thread, worker)?,
            Ghost::HoldTake { worker, by, .. } => self.hold_take(thread, worker, by)?,
            Ghost::HoldFree { worker, by } => self.hold_free(worker, by)?,
            Ghost::RingKept { worker, kept } => {
                self.workers
                    .change(worker, |seat| (seat.kept, seat.kept_since, seat.kept_late) = (kept, now, false));
            }
            Ghost::Staged { worker, count } => self.workers.change(worker, |seat| {
                let since = if seat.staged == 0 { now } else { seat.staged_since };
                (seat.staged, seat.staged_since) = (count, since);
            }),
            Ghost::OpStalled { worker, stalled } => {
                self.workers.change(worker, |seat| seat.stalled = stalled)
            }
            Ghost::Group { group, first, workers, steals } => self.group(group, first, workers, steals),
            Ghost::Belongs { task, group } => self.belongs(task, group)?,
            Ghost::Passed { task } => self.passed(task)?,
            Ghost::BitSet { task } => self.bit_set(thread, task)?,
            Ghost::Settled { task, worker } => self.settled(thread, task, worker)?,
            Ghost::BitClear { task } => self.bit_clear(task)?,
            Ghost::SeatLeft { worker } => self.seat_left(thread, worker)?,
            Ghost::OpAwait { token, waker } => self.op_awaited(token, waker),
            Ghost::OpWake { token, waker } => self.op_woken(token, waker)?,
            Ghost::OpTaken { token } => self.op_taken(token),
            Ghost::TimerKey { worker, key, generation } => self.timer_key(worker, key, generation),
            Ghost::TimerAwait { worker, key, waker } => self.timer_awaited(worker, key, waker),
            Ghost::TimerWake { worker, key, waker } => self.timer_woken(worker, key, waker)?,
            Ghost::TimerGone { worker, key, generation } => self.timer_gone(worker, key, generation)?,
            Ghost::WheelNext { worker, deadline } => self.wheel_next(thread, worker, deadline),
            Ghost::Armed { worker, count } => self.timers_counted(worker, count)?,
            Ghost::Watches { interval, longest } => self.watch = Watch::new(interval, longest),
        }
        Ok(())
    }

    /// The world switches threads, or its time moved.
    #[inline]
    pub fn step(&mut self, now: u64) -> Checked {
        self.now = now;
        match self.late.take() {
            Some(late) => Err(late),
            None => self.work_conserved(),
        }
    }

    /// Time passed, up to `now`. `waits` tells of a thread of the world whether it is blocked in a driver.
    pub fn time_passed(&mut self, now: u64, waits: impl Fn(u32) -> bool) -> Checked {
        self.now = now;
        for seat in &mut self.workers.list {
            if seat.thread != NONE && !(seat.park.is_some() && waits(seat.thread)) {
                seat.idle_from = now;
            }
        }
        self.step(now)
    }

    /// A thread of the host, or all of them, stood still until `now`: what waited for it waited for no fault of the runtime.
    pub fn stood_still(&mut self, now: u64) {
        self.still_until = now;
    }

    /// A new runtime: all that was known is about an older one.
    fn start(&mut self, workers: u32, ring: u32, lifo_limit: u32, interval: u64) -> Checked {
        // One that was left behind by a shutdown that reached its limit goes on without being watched.
        if self.running && !self.shutdown.asked() {
            return Err(Violation::new(
                "S2",
                format!(
                    "a runtime of {} was built while another one on the same host had not ended",
                    counted(workers, "worker")
                ),
            ));
        }
        self.running = true;
        self.workers.reset(workers);
        self.places.reset();
        self.groups.reset();
        self.rings.clear();
        self.rings.resize_with(workers as usize, || Ring::new(ring));
        self.sleep.reset();
        self.wheels.clear();
        self.watch = Watch::default();
        self.wheels.resize_with(workers as usize, Wheel::default);
        self.ops.reset(workers);
        self.fairness.reset(workers, ring, lifo_limit, interval, &self.limits);
        self.shutdown = Shutdown::default();
        Ok(())
    }
}

/// A worker number of an event.
#[inline]
fn seat(worker: u16) -> u32 {
    if worker == u16::MAX { NONE } else { u32::from(worker) }
}

/// So many of `what`.
fn counted(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A place as a sentence names it.
fn container(place: Place, worker: u32) -> String {
    match place {
        Place::Ring => format!("the ring of worker {worker}"),
        Place::Lifo => format!("the LIFO slot of worker {worker}"),
        Place::Injector => "the injector".to_owned(),
        Place::Inbox => format!("the inbox of worker {worker}"),
        Place::Blocking => "the queue of the blocking pool".to_owned(),
    }
}
