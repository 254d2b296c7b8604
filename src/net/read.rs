//! The read direction of a stream: bytes it holds, else the kernel's at once, else a receive in flight.

use core::ops::ControlFlow;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::io::{InFlight, Polled, Port, Started, Wakers, locked};
use crate::os::{Completion, Fd, Op, Yielded};
use crate::sync::Mutex;

/// A receive asks for this much at least: more than a small reader's buffer, so that a short count shows an empty
/// queue and the next read needs no call to learn that.
const LEAST: usize = 4 << 10;
/// And for this much at most: what a peer sends in a burst, little enough to copy.
const MOST: usize = 64 << 10;

/// The state of the direction.
#[derive(Debug, Default)]
pub(super) struct ReadSide {
    /// Received and not read: `bytes[at..]`.
    bytes: Vec<u8>,
    at: usize,
    op: Option<InFlight>,
}

/// Whether a read takes the bytes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
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
    let room: usize = into.iter().map(|slice| slice.len()).sum();
    if room == 0 {
        return Poll::Ready(Ok(0));
    }
    locked(side, context.waker(), |side, wakers| side.step(port.as_ref(), fd, wakers, into, room, take))
}

impl ReadSide {
    fn step(
        &mut self,
        port: &dyn Port,
        fd: &Fd,
        wakers: &mut Wakers<'_>,
        into: &mut [IoSliceMut<'_>],
        room: usize,
        take: Take,
    ) -> Step {
        loop {
            if self.at < self.bytes.len() {
                if !wakers.spend() {
                    return ControlFlow::Break(Poll::Pending);
                }
                return ControlFlow::Break(Poll::Ready(Ok(self.copy_out(into, take))));
            }
            let completion = match &self.op {
                Some(op) => match op.poll(port, wakers) {
                    Polled::Ready(completion) => completion,
                    Polled::Pending => return ControlFlow::Break(Poll::Pending),
                    Polled::NeedsWaker => return ControlFlow::Continue(()),
                },
                None => {
                    if !wakers.spend() {
                        return ControlFlow::Break(Poll::Pending);
                    }
                    match port.os().try_recv(fd, into, take == Take::Peek) {
                        Ok(Some(count)) => return ControlFlow::Break(Poll::Ready(Ok(count))),
                        Ok(None) => {}
                        Err(error) => return ControlFlow::Break(Poll::Ready(Err(error))),
                    }
                    let max = room.clamp(LEAST, MOST);
                    match port.start(Op::Recv { fd: Arc::clone(fd), max }) {
                        Started::Done(completion) => completion,
                        Started::InFlight(token) => {
                            self.op = Some(InFlight::new(token));
                            continue;
                        }
                    }
                }
            };
            // The handle is spent, whichever way the completion came.
            self.op = None;
            match self.file(completion) {
                Ok(0) => return ControlFlow::Break(Poll::Ready(Ok(0))),
                Ok(_) => {}
                Err(error) => return ControlFlow::Break(Poll::Ready(Err(error))),
            }
        }
    }

    /// Keeps what a receive brought.
    fn file(&mut self, completion: Completion) -> io::Result<usize> {
        let count = completion.result?;
        if let Yielded::Bytes(bytes) = completion.yielded {
            debug_assert_eq!(bytes.len(), count, "a receive's result counts its bytes");
            self.bytes = bytes;
            self.at = 0;
        }
        Ok(count)
    }

    fn copy_out(&mut self, into: &mut [IoSliceMut<'_>], take: Take) -> usize {
        let mut rest = &self.bytes[self.at..];
        let mut count = 0;
        for slice in into {
            let part = rest.len().min(slice.len());
            slice[..part].copy_from_slice(&rest[..part]);
            rest = &rest[part..];
            count += part;
        }
        if take == Take::Away {
            self.at += count;
            if self.at == self.bytes.len() {
                // An idle stream holds no buffer.
                self.bytes = Vec::new();
                self.at = 0;
            }
        }
        count
    }

    /// Ends the receive in flight, because the stream goes. What it brings is dropped with it.
    pub(super) fn abandon(&mut self, port: &dyn Port) {
        if let Some(op) = self.op.take() {
            drop(op.cancel(port));
        }
    }

    /// Ends the receive in flight and keeps what it brought; says how many bytes are held.
    pub(super) fn poll_idle(&mut self, port: &dyn Port, wakers: &mut Wakers<'_>) -> ControlFlow<Poll<usize>> {
        if let Some(op) = &self.op {
            match op.poll(port, wakers) {
                Polled::Ready(completion) => {
                    self.op = None;
                    // A cancelled receive, or an error that the next read meets again.
                    drop(self.file(completion));
                }
                Polled::Pending => return ControlFlow::Break(Poll::Pending),
                Polled::NeedsWaker => return ControlFlow::Continue(()),
            }
        }
        ControlFlow::Break(Poll::Ready(self.bytes.len() - self.at))
    }

    /// Asks for an early end of the receive in flight, whose completion is still awaited.
    pub(super) fn hurry(&self, port: &dyn Port) {
        if let Some(op) = &self.op {
            op.hurry(port);
        }
    }
}
