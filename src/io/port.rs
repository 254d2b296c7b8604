//! What a resource needs of the runtime it belongs to, and the handle of one op in flight.

use core::ops::ControlFlow;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::{Detached, Ops, Polled, Renewed};
use crate::os::{Completion, Fd, Interest, Op, Os, Token};
use crate::sched::Move;
use crate::sync::Mutex;

/// A runtime as its resources see it. A resource keeps the port it was made with: its registrations live there.
pub(crate) trait Port: Send + Sync {
    /// The machine.
    fn os(&self) -> &Arc<dyn Os>;
    /// Starts an op. On a worker of this runtime in its own driver, elsewhere through a worker's inbox. Once
    /// a shutdown has ended all tasks: `Done` with an error, but for sends.
    fn start(&self, op: Op) -> Started;
    /// Waits until a descriptor is ready, with one op after the other in `wait`. Ready: make the call (again); it says
    /// whether there is something. For use under a resource's lock, by [`locked`].
    fn wait_ready(
        &self,
        wait: &mut Option<InFlight>,
        fd: &Fd,
        interest: Interest,
        wakers: &mut Wakers<'_>,
    ) -> ControlFlow<Poll<io::Result<()>>>;
    /// Asks for an early end of an op, at its home.
    fn cancel(&self, token: Token);
    /// The turn of the calling thread, if it is a worker of this runtime inside a poll: then a commit will follow.
    fn turn(&self) -> Option<Turn>;
    /// Has `what` commit at the end of the turn, on a thread that has one.
    fn stage(&self, what: Weak<dyn Staged>);
    /// Whether there is a group `slow`.
    fn has_slow(&self) -> bool;
    /// The ways of the running task to the group `slow` and back to the group it is in. `None`: there is no such group, or the task
    /// stays on its thread, or is another runtime's.
    fn ways_to_slow(&self) -> Option<(Move, Move)>;
    /// The table of a worker.
    fn ops(&self, worker: u32) -> &Ops;
}

/// What holds something that leaves at the end of the turn.
pub(crate) trait Staged: Send + Sync {
    /// Lets it leave.
    fn commit(&self, port: &dyn Port);
}

/// A turn of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Of which.
    pub(crate) seat: u32,
    /// How many it had before.
    pub(crate) number: u64,
}

/// The port of the current runtime, if there is one.
pub(crate) fn current() -> Option<Arc<dyn Port>> {
    crate::sched::port()
}

/// Whether the poll may have one more inline success: pending, with the task woken, if its budget is used up.
pub(crate) fn poll_budget(context: &mut Context<'_>) -> Poll<()> {
    crate::sched::poll_budget(context)
}

/// It had one.
pub(crate) fn spend_budget() {
    crate::sched::spend_budget();
}

/// Both for an async function: waits for the next poll if the budget is used up.
pub(crate) async fn take_budget() {
    core::future::poll_fn(poll_budget).await;
    spend_budget();
}

/// The name of the poll that runs here, if the waker is its task's own; else 0.
pub(crate) fn own_poll(waker: &Waker) -> u64 {
    crate::sched::own_poll(waker)
}

/// Lets whatever else is to be run on this worker run first.
pub(crate) async fn step_aside() {
    let mut aside = false;
    core::future::poll_fn(|context| {
        if core::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Started {
    /// Resolved at once; its slot is free again.
    Done(Completion),
    /// Its slot waits for the completion.
    InFlight(Token),
}

/// The waker of a poll, and room for a clone of it that is made and dropped outside of every lock.
#[derive(Debug)]
pub(crate) struct Wakers<'a> {
    waker: &'a Waker,
    spare: Option<Waker>,
    starved: bool,
}

impl<'a> Wakers<'a> {
    fn new(waker: &'a Waker) -> Self {
        Self { waker, spare: None, starved: false }
    }

    /// [`Ops::poll`] with these wakers.
    pub(crate) fn poll(&mut self, ops: &Ops, token: Token) -> Polled {
        ops.poll(token, self.waker, &mut self.spare, crate::sched::clone_own)
    }

    /// [`Ops::renew`] with these wakers.
    pub(crate) fn renew(&mut self, ops: &Ops, token: Token) -> Renewed {
        ops.renew(token, self.waker, &mut self.spare, crate::sched::clone_own)
    }

    /// Whether the task may do one more thing inline in this poll. If not, the step answers `Pending`, and the task
    /// is woken again. Polls that find nothing cost nothing, so that a task may wait for many things.
    pub(crate) fn spend(&mut self) -> bool {
        let left = crate::sched::spend_if_left();
        self.starved |= !left;
        left
    }
}

/// Takes steps on a resource's state under its lock until one breaks with an answer. A step that continues gets a
/// spare waker first.
pub(crate) fn locked<S, T>(
    state: &Mutex<S>,
    waker: &Waker,
    mut step: impl FnMut(&mut S, &mut Wakers<'_>) -> ControlFlow<T>,
) -> T {
    let mut wakers = Wakers::new(waker);
    loop {
        let outcome = step(&mut state.lock(), &mut wakers);
        match outcome {
            ControlFlow::Break(answer) => {
                if wakers.starved {
                    waker.wake_by_ref();
                }
                return answer;
            }
            ControlFlow::Continue(()) => wakers.spare = Some(waker.clone()),
        }
    }
}

/// One op in flight. Whoever holds it must end it by `poll` until ready, `cancel` or `release`: it holds no port of
/// its own (a reference count shared by all workers is no price to pay for each op).
#[derive(Debug)]
#[must_use = "an op in flight must be polled, cancelled or released"]
pub(crate) struct InFlight {
    token: Token,
}

impl InFlight {
    /// The handle of an op that [`Port::start`] left in flight.
    pub(crate) fn new(token: Token) -> Self {
        Self { token }
    }

    /// The op.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// The completion if it came; else the waker is kept (the latest one wins). After `Ready` the handle is spent.
    /// For use under a resource's lock, by [`locked`].
    pub(crate) fn poll(&self, port: &dyn Port, wakers: &mut Wakers<'_>) -> Polled {
        wakers.poll(port.ops(self.token.worker()), self.token)
    }

    /// The same where no lock is held.
    pub(crate) fn poll_unlocked(&self, port: &dyn Port, context: &Context<'_>) -> Poll<Completion> {
        let mut wakers = Wakers::new(context.waker());
        loop {
            match self.poll(port, &mut wakers) {
                Polled::Ready(completion) => return Poll::Ready(completion),
                Polled::Pending => return Poll::Pending,
                Polled::NeedsWaker => wakers.spare = Some(wakers.waker.clone()),
            }
        }
    }

    /// Takes the completion if it came; else asks for an early end and leaves what comes to be adopted.
    pub(crate) fn cancel(self, port: &dyn Port) -> Option<Completion> {
        match port.ops(self.token.worker()).detach(self.token) {
            Detached::Done(completion) => Some(completion),
            Detached::InFlight => {
                port.cancel(self.token);
                None
            }
        }
    }

    /// Lets the op run to its end with nobody waiting.
    pub(crate) fn release(self, port: &dyn Port) {
        drop(port.ops(self.token.worker()).detach(self.token));
    }
}
