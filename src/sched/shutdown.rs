//! Shutdown: bounded, in steps that all workers take together.
//!
//! 1. *Asked*: `closing` is set, every worker gets a token, the caller sits down on seat 0 if it is vacant.
//! 2. *Observed*: each worker ends its last poll and waits for the others. From here on no poll starts.
//! 3. *Clean*, in rounds: each worker cancels the tasks in its containers and its owned list; their drops may wake other
//!    tasks, so the rounds go on until one found nothing anywhere. The injector closes; one more series of rounds.
//! 4. *Ops*: what somebody still waits for is cancelled, sends that nobody waits for any more go on; both are reaped until
//!    none is in flight or the limit is reached, when the rest is cancelled too.
//! 5. *Done*: the threads end and are joined. Then the blocking pool: queued work is cancelled, started work waited for.
//!
//! The limit bounds the caller's wait. A worker that never ends its poll keeps its thread, and the error says so.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::shared::Shared;
use super::worker::Worker;
use crate::io::{Ops, Port};
use crate::observe::tell;
use crate::os::{Op, ThreadHandle, ThreadSpec, Token, Wait};
use crate::sync::{AtomicU32, Condvar, Mutex, Ordering};
use crate::time::Instant;
use crate::trace::{Event, Place, PollEnd};

const OPEN: u32 = 0;
const CLOSING: u32 = 1;
const ENDING: u32 = 2;
const OVER: u32 = 3;

/// After the limit: how long the kernel may take to give back cancelled ops.
const GRACE: Duration = Duration::from_millis(100);

/// How far the end has come.
pub(crate) struct Exit {
    stage: AtomicU32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    threads: Vec<Box<dyn ThreadHandle>>,
    deadline: Option<Instant>,
    /// Workers at the current meeting, its number, and whether one of them found something to do.
    arrived: usize,
    meeting: u64,
    dirty: bool,
    was_dirty: bool,
    done: usize,
    /// Workers that never came up.
    absent: usize,
}

impl Exit {
    pub(crate) fn new() -> Self {
        Self { stage: AtomicU32::new(OPEN), state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    /// Whether shutdown was asked for. Relaxed: the token that follows makes each worker look again.
    pub(crate) fn is_closing(&self) -> bool {
        self.stage.load(Ordering::Relaxed) != OPEN
    }

    /// Step 4 begins; the first worker there says so. Relaxed: see `is_ending`.
    fn begin_ending(&self) {
        let _ = self.stage.compare_exchange(CLOSING, ENDING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether ops are refused, but for sends: all tasks are gone, and a thread that starts one op after the other must not
    /// keep the workers. Relaxed: who misses it is refused by the worker that it asks.
    pub(crate) fn is_ending(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= ENDING
    }

    /// Whether it is too late to start `op`. A send goes on as long as there are workers, for its bytes were accepted; one that somebody
    /// waits for is cancelled, which fails its stream, so that writes come to an end, too.
    pub(crate) fn refuses(&self, op: &Op) -> bool {
        // Acquire: pairs with the store in `end`.
        match self.stage.load(Ordering::Acquire) {
            OPEN | CLOSING => false,
            ENDING => !matches!(op, Op::Send { .. }),
            _ => true,
        }
    }

    /// `count` workers never came up: nobody waits for them.
    pub(crate) fn set_absent(&self, count: usize) {
        self.state.lock().absent = count;
    }

    pub(crate) fn add_thread(&self, thread: Box<dyn ThreadHandle>) {
        self.state.lock().threads.push(thread);
    }

    /// Waits until all `workers` are here; true if any of them was `dirty`.
    fn meet(&self, workers: usize, dirty: bool) -> bool {
        let mut state = self.state.lock();
        state.dirty |= dirty;
        state.arrived += 1;
        if state.arrived == workers - state.absent {
            state.arrived = 0;
            state.meeting += 1;
            state.was_dirty = core::mem::take(&mut state.dirty);
            self.changed.notify_all();
            return state.was_dirty;
        }
        let meeting = state.meeting;
        while state.meeting == meeting {
            state = self.changed.wait(state);
        }
        state.was_dirty
    }
}

/// A shutdown reached its limit.
#[derive(Debug)]
pub struct ShutdownError {
    workers: usize,
    blocking: usize,
    limit: Duration,
}

impl ShutdownError {
    /// Workers that were still inside a poll.
    pub fn busy_workers(&self) -> usize {
        self.workers
    }

    /// Calls of `spawn_blocking` that were still running.
    pub fn busy_blocking(&self) -> usize {
        self.blocking
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the runtime did not end within {:?}: {} worker(s) still inside a poll, {} blocking call(s) still running; \
             their threads go on and end when these return. Give shutdown_timeout more time, or make the tasks await",
            self.limit, self.workers, self.blocking
        )
    }
}

impl std::error::Error for ShutdownError {}

impl Worker<'_> {
    /// Steps 2 to 5 for the worker on this seat.
    pub(crate) fn shut_down(&self) {
        let (shared, workers) = (self.shared, self.shared.workers() as usize);
        self.commit();
        shared.withdraw_offer(self.core, self.number);
        self.shutdown_phase(1);
        shared.exit.meet(workers, false);
        while shared.exit.meet(workers, self.clean()) {}
        self.group.injector.close();
        while shared.exit.meet(workers, self.clean()) {}
        self.shutdown_phase(2);
        self.end_ops();
        self.detach();
        self.shutdown_phase(3);
        let mut state = shared.exit.state.lock();
        state.done += 1;
        shared.exit.changed.notify_all();
    }

    fn shutdown_phase(&self, phase: u8) {
        self.core.emit(Event::Shutdown { worker: self.number as u16, phase });
    }

    /// One round: cancels what it finds; true if there was anything, or something is on its way.
    fn clean(&self) -> bool {
        let (core, seat, shared, number) = (self.core, self.seat, self.shared, self.number);
        let foreign = self.holds_foreign_tasks();
        let mut dirty = false;
        let mut found = |place, task: crate::task::Task| {
            dirty = true;
            core.emit(Event::Dequeue { task: task.id(), place, worker: number as u16, by: number });
            match task.start() {
                crate::task::state::Start::Complete => task.release(),
                _ => self.end_task(task, foreign),
            }
        };
        self.drain_remote();
        self.drain_retired();
        while let Some(task) = seat.lifo.take() {
            found(Place::Lifo, task);
        }
        while let Some(task) = core.ring.pop() {
            found(Place::Ring, task);
        }
        // SAFETY: this is the thread on the seat (`Worker`).
        while let Some(task) = unsafe { seat.inbox.pop() } {
            found(Place::Inbox, task);
        }
        loop {
            let task = self.group.injector.pop(|_| ());
            let Some(task) = task else { break };
            found(Place::Injector, task);
        }
        loop {
            let idle = seat.owned.with(|owned| owned.seize_one());
            let Some(task) = idle else { break };
            dirty = true;
            self.end_task(task, foreign);
        }
        shared.withdraw_offer(core, number);
        dirty || seat.owned.with(|owned| owned.len()) > 0
    }

    /// Cancels a task that was started or seized. `foreign`: the seat's pinned ones belong to a thread that did not come back for
    /// them; nobody else may drop their futures.
    fn end_task(&self, task: crate::task::Task, foreign: bool) {
        let worker = self.number as u16;
        if foreign && task.header().is_pinned() {
            let id = task.id();
            self.unlist_cancelled(&task);
            task.abandon(|| self.core.emit(Event::PollEnd { task: id, end: PollEnd::Cancelled, worker }));
        } else {
            super::worker::cancel(task, worker, |task| self.unlist_cancelled(task));
        }
    }

    /// Whether this seat has `!Send` tasks of another thread.
    fn holds_foreign_tasks(&self) -> bool {
        let bound = if self.number == 0 { self.shared.seat_zero.lock().bound } else { None };
        bound.is_some_and(|bound| bound != self.shared.os.thread_id())
    }

    /// Step 4.
    fn end_ops(&self) {
        let (seat, shared) = (self.seat, self.shared);
        // Guests and plain threads may still start ops: from here on they are refused, those on their way as they come (`drain_remote`).
        shared.exit.begin_ending();
        self.core.ending.replace(Some(BTreeSet::new()));
        let limit = shared.exit.state.lock().deadline.unwrap_or(Instant::from_nanos(u64::MAX));
        self.reap_until(limit, Ops::waiting_tokens);
        self.reap_until(shared.os.now() + GRACE, Ops::pending_tokens);
        seat.remote.close();
        self.drain_remote();
        // Timers that are left belong to guests and plain threads: they wake to find that their time will never come.
        let left = seat.wheel.lock().drain();
        seat.armed.set(0);
        left.into_iter().for_each(|(_, waker)| crate::task::wake_contained(waker));
    }

    /// Cancels `tokens` and reaps until nothing of any seat is in flight, or the limit.
    fn reap_until(&self, limit: Instant, tokens: fn(&Ops) -> Vec<Token>) {
        let cancel = || {
            self.drain_remote();
            for token in tokens(&self.seat.ops) {
                if self.core.ending.borrow_mut().get_or_insert_default().insert(token.bits()) {
                    self.shared.cancel(token);
                }
            }
            self.drain_remote();
        };
        cancel();
        // On epoll this seat's driver may be the one that resolves another seat's op: all of them stay until none has any.
        let in_flight = || (0..self.shared.workers()).any(|seat| self.shared.seat(seat).ops.in_flight() > 0);
        while in_flight() && self.shared.os.now() < limit {
            // Short waits: and another's driver may resolve this seat's last one.
            let wait = limit.min(self.shared.os.now() + Duration::from_millis(1));
            self.shared.hold_own(self.number, true);
            let found = self.reap(self.number, Wait::Until(wait));
            self.shared.let_go(self.number, self.number);
            self.dispatch(found);
            cancel();
        }
    }
}

impl Shared {
    /// The whole shutdown, from a thread that is on no seat.
    pub(crate) fn shut_down(self: &Arc<Self>, limit: Duration) -> Result<(), ShutdownError> {
        let deadline = self.os.now() + limit;
        self.exit.state.lock().deadline.get_or_insert(deadline);
        // Relaxed: the tokens below publish it.
        if self.exit.stage.compare_exchange(OPEN, CLOSING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Ok(());
        }
        super::emit(Event::Shutdown { worker: u16::MAX, phase: 0 });
        tell::ending(self);
        for worker in 0..self.workers() {
            self.give_token(worker);
        }
        let vacant = {
            let mut zero = self.seat_zero.lock();
            !self.occupy_seat_zero(&mut zero, true) && !zero.ended
        };
        // The others come to the meeting when their polls end, and nobody waits for them longer than the limit.
        let on_time = !vacant || self.exit.wait_for_others(self, deadline);
        if vacant && on_time {
            self.end_seat_zero();
        }
        let all_done = self.wait_done(Some(deadline));
        let workers = if all_done { 0 } else { self.exit.busy(self.workers() as usize, on_time) };
        let blocking = self.blocking.shut_down(self, deadline);
        if all_done {
            self.end();
        } else {
            // Whenever the last poll returns, the others still have their tasks to drop. Without a thread for seat 0
            // they would wait for it for ever.
            let shared = self.clone();
            let rest = move || {
                if !on_time {
                    shared.end_seat_zero();
                }
                shared.wait_done(None);
                shared.end();
            };
            let spec = ThreadSpec { name: "pirn-shutdown".into(), stack: None };
            let _ = self.os.spawn_thread(spec, Box::new(rest));
        }
        let result =
            if workers + blocking > 0 { Err(ShutdownError { workers, blocking, limit }) } else { Ok(()) };
        tell::ended(&result);
        result
    }

    /// The vacant seat's share.
    fn end_seat_zero(self: &Arc<Self>) {
        let cx = Context::new(self.clone(), Some(0));
        cx.enter(|| {
            let worker = Worker::new(&cx);
            // A driver that cannot move here serves nobody any more; the tasks are ended all the same.
            let _ = worker.attach();
            worker.shut_down();
            self.seat_zero.lock().ended = true;
        });
    }

    /// All workers are done.
    fn end(&self) {
        let threads = core::mem::take(&mut self.exit.state.lock().threads);
        threads.into_iter().for_each(ThreadHandle::join);
        // Release: pairs with `refuses`.
        self.exit.stage.store(OVER, Ordering::Release);
        super::emit(Event::End {});
    }

    /// Waits until all workers are done; false: at the deadline, if there is one, they are not.
    fn wait_done(&self, deadline: Option<Instant>) -> bool {
        let workers = self.workers() as usize;
        let mut state = self.exit.state.lock();
        while state.done < workers - state.absent {
            state = match deadline.map(|deadline| deadline - self.os.now()) {
                Some(left) if left.is_zero() => return false,
                Some(left) => self.exit.changed.wait_timeout(state, left).0,
                None => self.exit.changed.wait(state),
            };
        }
        true
    }
}

impl Exit {
    /// Workers that keep the shutdown from its end, at least one. `all_seated`: nobody but them is missing at the first meeting.
    fn busy(&self, workers: usize, all_seated: bool) -> usize {
        let state = self.state.lock();
        let missing = match state.meeting {
            0 => workers - state.absent - state.arrived - usize::from(!all_seated),
            _ => workers - state.absent - state.done,
        };
        missing.max(1)
    }

    /// Waits until everybody but the caller is at the first meeting; false at the deadline.
    fn wait_for_others(&self, shared: &Shared, deadline: Instant) -> bool {
        let others = shared.workers() as usize - 1;
        let mut state = self.state.lock();
        while state.arrived < others - state.absent {
            let now = shared.os.now();
            if now >= deadline {
                return false;
            }
            // The last one to arrive notifies nobody: look now and then.
            let pause = (deadline - now).min(Duration::from_millis(1));
            state = self.changed.wait_timeout(state, pause).0;
        }
        true
    }
}
