//! What a resource needs of the runtime it belongs to, and the handle of one op in flight.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Detached, Ops};
use crate::os::{Completion, Op, Os, Token};

/// A runtime as its resources see it. A resource keeps the port it was made with: its registrations live there.
pub(crate) trait Port: Send + Sync {
    /// The machine.
    fn os(&self) -> &Arc<dyn Os>;
    /// Starts an op. On a worker of this runtime in its own driver, elsewhere through a worker's inbox. After
    /// shutdown: `Done` with an error.
    fn start(&self, op: Op) -> Started;
    /// Asks for an early end of an op, at its home.
    fn cancel(&self, token: Token);
    /// The table of a worker.
    fn ops(&self, worker: u32) -> &Ops;
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Started {
    /// Resolved at once; its slot is free again.
    Done(Completion),
    /// Its slot waits for the completion.
    InFlight(Token),
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

    /// The completion if it came; else the waker is kept (the latest one wins). After `Ready` the handle is spent.
    pub(crate) fn poll(&self, port: &dyn Port, context: &Context<'_>) -> Poll<Completion> {
        port.ops(self.token.worker()).poll(self.token, context.waker())
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
