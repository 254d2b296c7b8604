//! Writes of a buffer that travels with the write: what the kernel does not take at once leaves from the buffer itself.

use core::ops::ControlFlow;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{Failure, Step, WriteSide, Writer};
use crate::io::{InFlight, Port, Started, Wakers};
use crate::os::{Op, Yielded};

/// A write of all of a buffer. Dropped while a send is in flight, it leaves the buffer to the stream, which sends the rest.
#[must_use = "it does nothing until it is awaited"]
pub(crate) struct OwnedWrite<'a> {
    writer: &'a Writer,
    port: &'a dyn Port,
    bytes: Vec<u8>,
    /// Bytes the kernel took.
    sent: usize,
    /// The stream has the buffer.
    lent: bool,
}

/// A buffer that a write lent to the stream.
#[derive(Debug, Default)]
pub(super) enum Lent {
    /// None is, or nobody waits for it any more.
    #[default]
    No,
    /// It is in the send in flight.
    InFlight,
    /// The send has ended.
    Back(Vec<u8>),
}

impl Lent {
    /// What an ended send brings back.
    pub(super) fn give_back(&mut self, yielded: Yielded) {
        if matches!(self, Self::InFlight) {
            *self = Self::Back(buffer(yielded));
        }
    }
}

/// The buffer of a send; none comes with the refusal of a runtime that has shut down.
fn buffer(yielded: Yielded) -> Vec<u8> {
    match yielded {
        Yielded::Bytes(bytes) => bytes,
        _ => Vec::new(),
    }
}

impl Writer {
    pub(in crate::net) fn write_owned<'a>(&'a self, port: &'a dyn Port, bytes: Vec<u8>) -> OwnedWrite<'a> {
        OwnedWrite { writer: self, port, bytes, sent: 0, lent: false }
    }
}

impl Future for OwnedWrite<'_> {
    type Output = (io::Result<()>, Vec<u8>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let writer = self.writer;
        let result = ready!(
            writer.write_locked(context.waker(), |side, wakers| self.as_mut().get_mut().step(side, wakers))
        );
        Poll::Ready((result, mem::take(&mut self.bytes)))
    }
}

impl OwnedWrite<'_> {
    fn step(&mut self, side: &mut WriteSide, wakers: &mut Wakers<'_>) -> Step<()> {
        let fd = &self.writer.fd;
        let settled = side.settle(self.port, wakers);
        if self.lent {
            let Lent::Back(bytes) = mem::take(&mut side.lent) else {
                side.lent = Lent::InFlight;
                return settled.unwrap_or(ControlFlow::Break(Poll::Pending));
            };
            (self.bytes, self.lent) = (bytes, false);
            return ControlFlow::Break(Poll::Ready(
                side.failed.map_or(Ok(()), |failure| Err(failure.error())),
            ));
        }
        if let Some(step) = settled {
            return step;
        }
        if !wakers.spend() {
            return ControlFlow::Break(Poll::Pending);
        }
        if !side.staged.is_empty() {
            match side.send_with_staged(fd, self.port, &[IoSlice::new(&self.bytes[self.sent..])]) {
                Some(count) => self.sent += count,
                None => return self.step(side, wakers),
            }
        }
        while self.sent < self.bytes.len() {
            match self.port.os().try_send(fd, &[IoSlice::new(&self.bytes[self.sent..])]) {
                Ok(Some(count)) => self.sent += count,
                Ok(None) => return self.lend(side, wakers),
                Err(error) => return ControlFlow::Break(Poll::Ready(Err(error))),
            }
        }
        ControlFlow::Break(Poll::Ready(Ok(())))
    }

    /// What is left goes into a send in flight.
    fn lend(&mut self, side: &mut WriteSide, wakers: &mut Wakers<'_>) -> Step<()> {
        let fd = Arc::clone(&self.writer.fd);
        let free = matches!(side.lent, Lent::No);
        let op = match free {
            true => Op::Send { fd, bytes: mem::take(&mut self.bytes), from: self.sent },
            // Another one's buffer is back and not fetched: it takes precedence, and this one's bytes count as written.
            false => Op::Send { fd, bytes: self.bytes[self.sent..].to_vec(), from: 0 },
        };
        match self.port.start(op) {
            Started::InFlight(token) if !free => {
                side.op = Some(InFlight::new(token));
                ControlFlow::Break(Poll::Ready(Ok(())))
            }
            Started::InFlight(token) => {
                (side.op, side.lent, self.lent) = (Some(InFlight::new(token)), Lent::InFlight, true);
                self.step(side, wakers)
            }
            Started::Done(completion) => {
                if let Err(error) = &completion.result {
                    side.failed = Some(Failure::of(error));
                }
                if free {
                    self.bytes = buffer(completion.yielded);
                }
                ControlFlow::Break(Poll::Ready(completion.result.map(drop)))
            }
        }
    }
}

impl Drop for OwnedWrite<'_> {
    fn drop(&mut self) {
        if self.lent {
            let lent = mem::take(&mut self.writer.side.lock().lent);
            drop(lent);
        }
    }
}
