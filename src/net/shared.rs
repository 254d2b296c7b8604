//! An op in flight that belongs to a resource, and all who wait for it: accepts, and waits for a datagram or a child.

use core::ops::ControlFlow;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::waiters::Waiters;
use crate::io::{InFlight, Polled, Port, Started, locked};
use crate::os::{Completion, Op};
use crate::sync::Mutex;

/// The op belongs to the resource: what it brings when its future is gone is the next one's.
#[derive(Debug)]
pub(crate) struct Shared {
    op: Mutex<Option<InFlight>>,
    waiters: Arc<Waiters>,
    /// The waker of the op in flight: all waiters.
    all: Waker,
}

/// A direct call, the op for which to wait if that says "not now", and what to make of the op's completion.
pub(crate) trait Attempt {
    /// What all this is for.
    type Output;

    /// The direct call.
    fn call(&mut self) -> io::Result<Option<Self::Output>>;
    /// The op.
    fn op(&self) -> Op;
    /// What its completion brings; `None`: make the call again.
    fn completed(&mut self, completion: Completion) -> io::Result<Option<Self::Output>>;
}

impl Default for Shared {
    fn default() -> Self {
        let waiters = Arc::<Waiters>::default();
        let all = Waker::from(Arc::clone(&waiters));
        Self { op: Mutex::default(), waiters, all }
    }
}

impl Shared {
    /// Polls; while there is no answer, the waker is kept until there is, once however often it polls.
    pub(crate) fn poll<A: Attempt>(
        &self,
        port: &dyn Port,
        context: &mut Context<'_>,
        attempt: &mut A,
    ) -> Poll<io::Result<A::Output>> {
        self.poll_keeping(port, context, attempt, Waiters::keep_common)
    }

    /// The future of an attempt.
    pub(crate) fn wait<'a, A: Attempt>(&'a self, port: &'a dyn Port, attempt: A) -> Turn<'a, A> {
        Turn { shared: self, port, attempt, key: None }
    }

    fn poll_keeping<A: Attempt>(
        &self,
        port: &dyn Port,
        context: &mut Context<'_>,
        attempt: &mut A,
        keep: impl FnOnce(&Waiters, &Waker),
    ) -> Poll<io::Result<A::Output>> {
        ready!(crate::io::poll_budget(context));
        let mut answer = self.poll_once(port, attempt);
        if answer.is_pending() {
            // In this order: what comes in between finds this waker, or the second look finds it.
            keep(&self.waiters, context.waker());
            answer = self.poll_once(port, attempt);
        }
        if answer.is_ready() {
            crate::io::spend_budget();
        }
        answer
    }

    fn poll_once<A: Attempt>(&self, port: &dyn Port, attempt: &mut A) -> Poll<io::Result<A::Output>> {
        locked(&self.op, &self.all, |op, wakers| {
            loop {
                let completion = match op {
                    Some(in_flight) => match in_flight.poll(port, wakers) {
                        Polled::Ready(completion) => completion,
                        Polled::Pending => return ControlFlow::Break(Poll::Pending),
                        Polled::NeedsWaker => return ControlFlow::Continue(()),
                    },
                    None => {
                        if let Some(answer) = attempt.call().transpose() {
                            return ControlFlow::Break(Poll::Ready(answer));
                        }
                        match port.start(attempt.op()) {
                            Started::Done(completion) => completion,
                            Started::InFlight(token) => {
                                *op = Some(InFlight::new(token));
                                continue;
                            }
                        }
                    }
                };
                *op = None;
                if let Some(answer) = attempt.completed(completion).transpose() {
                    return ControlFlow::Break(Poll::Ready(answer));
                }
            }
        })
    }

    /// Ends the op in flight, because the resource goes.
    pub(crate) fn abandon(&mut self, port: &dyn Port) {
        if let Some(op) = self.op.get_mut().take() {
            drop(op.cancel(port));
        }
    }
}

/// The future of an attempt: [`Shared::wait`].
#[must_use = "it does nothing until it is awaited"]
pub(crate) struct Turn<'a, A> {
    shared: &'a Shared,
    port: &'a dyn Port,
    attempt: A,
    key: Option<u64>,
}

impl<A> Unpin for Turn<'_, A> {}

impl<A: Attempt> Future for Turn<'_, A> {
    type Output = io::Result<A::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, port, attempt, key } = &mut *self;
        let keep = |waiters: &Waiters, waker: &Waker| waiters.keep(waker, key);
        let answer = shared.poll_keeping(*port, context, attempt, keep);
        if answer.is_ready() {
            shared.waiters.forget(key);
        }
        answer
    }
}

impl<A> Drop for Turn<'_, A> {
    fn drop(&mut self) {
        self.shared.waiters.forget(&mut self.key);
    }
}
