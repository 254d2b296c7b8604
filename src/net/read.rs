//! The read direction of a stream: the kernel's bytes at once, else a wait for them in flight.
//!
//! The wait moves nothing, so a stream holds no received bytes and a future that goes away loses none. What the
//! bytes wait in is the backend's: the kernel's queue, or what a ring received ahead.

use core::ops::ControlFlow;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::io::{InFlight, Polled, Port, Started, Wakers, locked};
use crate::os::{Fd, Interest, Op};
use crate::sync::Mutex;

/// The state of the direction.
#[derive(Debug, Default)]
pub(super) struct ReadSide {
    op: Option<InFlight>,
}

/// Whether a read takes the bytes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Away,
    Peek,
}

type Step = ControlFlow<Poll<io::Result<usize>>>;

/// A read or peek into the slices.
pub(super) fn poll(
    side: &Mutex<ReadSide>,
    port: &Arc<dyn Port>,
    fd: &Fd,
    context: &mut Context<'_>,
    into: &mut [IoSliceMut<'_>],
    take: Take,
) -> Poll<io::Result<usize>> {
    if into.iter().all(|slice| slice.is_empty()) {
        return Poll::Ready(Ok(0));
    }
    locked(side, context.waker(), |side, wakers| side.step(port.as_ref(), fd, wakers, into, take))
}

impl ReadSide {
    fn step(
        &mut self,
        port: &dyn Port,
        fd: &Fd,
        wakers: &mut Wakers<'_>,
        into: &mut [IoSliceMut<'_>],
        take: Take,
    ) -> Step {
        loop {
            if let Some(op) = &self.op {
                match op.poll(port, wakers) {
                    Polled::Ready(completion) => {
                        self.op = None;
                        if let Err(error) = completion.result {
                            return ControlFlow::Break(Poll::Ready(Err(error)));
                        }
                    }
                    Polled::Pending => return ControlFlow::Break(Poll::Pending),
                    Polled::NeedsWaker => return ControlFlow::Continue(()),
                }
            }
            if !wakers.spend() {
                return ControlFlow::Break(Poll::Pending);
            }
            match port.os().try_recv(fd, into, take == Take::Peek) {
                Ok(Some(count)) => return ControlFlow::Break(Poll::Ready(Ok(count))),
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(Poll::Ready(Err(error))),
            }
            let (op, own) = (Op::Ready { fd: Arc::clone(fd), interest: Interest::Read }, wakers.own());
            let waits = own.is_some();
            match port.start_for(op, own) {
                Started::Done(completion) => {
                    if let Err(error) = completion.result {
                        return ControlFlow::Break(Poll::Ready(Err(error)));
                    }
                }
                Started::InFlight(token) => {
                    self.op = Some(InFlight::new(token));
                    if waits {
                        return ControlFlow::Break(Poll::Pending);
                    }
                }
            }
        }
    }

    /// Ends the wait in flight, because the stream goes.
    pub(super) fn abandon(&mut self, port: &dyn Port) {
        if let Some(op) = self.op.take() {
            drop(op.cancel(port));
        }
    }
}
