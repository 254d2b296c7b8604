//! The write direction of a stream: to the kernel at once, else a copy in flight.

use core::ops::ControlFlow;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::io::{InFlight, Polled, Port, Started, Wakers, locked};
use crate::os::{Completion, Fd, Op};
use crate::sync::Mutex;

/// Bytes copied at most for one send in flight: enough to keep a connection busy, little enough to hold for one that is stuck.
const COPY: usize = 64 << 10;

/// The state of the direction.
#[derive(Debug, Default)]
pub(super) struct WriteSide {
    op: Option<InFlight>,
    /// Why accepted bytes were not sent. Reported by every later write, flush and shutdown.
    failed: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Errno(i32),
    Kind(io::ErrorKind),
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        error.raw_os_error().map_or(Self::Kind(error.kind()), Self::Errno)
    }

    fn error(self) -> io::Error {
        match self {
            Self::Errno(errno) => io::Error::from_raw_os_error(errno),
            Self::Kind(kind) => {
                io::Error::new(kind, "bytes that an earlier write accepted could not be sent")
            }
        }
    }
}

type Step<T> = ControlFlow<Poll<io::Result<T>>>;

/// A write from the slices.
pub(super) fn poll_write(
    side: &Mutex<WriteSide>,
    port: &Arc<dyn Port>,
    fd: &Fd,
    context: &mut Context<'_>,
    from: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    locked(side, context.waker(), |side, wakers| {
        if let Some(step) = side.settle(port.as_ref(), wakers) {
            return step;
        }
        if !wakers.spend() {
            return ControlFlow::Break(Poll::Pending);
        }
        ControlFlow::Break(Poll::Ready(side.write(port.as_ref(), fd, from)))
    })
}

/// Waits until the kernel has taken all that was accepted.
pub(super) fn poll_flush(
    side: &Mutex<WriteSide>,
    port: &Arc<dyn Port>,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    locked(side, context.waker(), |side, wakers| {
        if let Some(step) = side.settle(port.as_ref(), wakers) {
            return step;
        }
        ControlFlow::Break(Poll::Ready(Ok(())))
    })
}

/// Flushes, then shuts down.
pub(super) fn poll_shutdown(
    side: &Mutex<WriteSide>,
    port: &Arc<dyn Port>,
    fd: &Fd,
    context: &mut Context<'_>,
    how: Shutdown,
) -> Poll<io::Result<()>> {
    locked(side, context.waker(), |side, wakers| {
        if let Some(step) = side.settle(port.as_ref(), wakers) {
            return step;
        }
        ControlFlow::Break(Poll::Ready(port.os().shutdown(fd, how)))
    })
}

impl WriteSide {
    /// Nothing if nothing is in flight and nothing has failed.
    fn settle<T>(&mut self, port: &dyn Port, wakers: &mut Wakers<'_>) -> Option<Step<T>> {
        if let Some(op) = &self.op {
            match op.poll(port, wakers) {
                Polled::Ready(completion) => {
                    self.op = None;
                    self.note(&completion);
                }
                Polled::Pending => return Some(ControlFlow::Break(Poll::Pending)),
                Polled::NeedsWaker => return Some(ControlFlow::Continue(())),
            }
        }
        self.failed.map(|failure| ControlFlow::Break(Poll::Ready(Err(failure.error()))))
    }

    /// Keeps the reason if a send failed.
    fn note(&mut self, completion: &Completion) {
        if let Err(error) = &completion.result {
            self.failed = Some(Failure::of(error));
        }
    }

    /// To the kernel what it takes now; if that is nothing, a copy into a send in flight, which counts as written.
    fn write(&mut self, port: &dyn Port, fd: &Fd, from: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(count) = port.os().try_send(fd, from)? {
            return Ok(count);
        }
        let mut bytes = Vec::with_capacity(COPY.min(from.iter().map(|slice| slice.len()).sum()));
        for slice in from {
            let room = bytes.capacity() - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = bytes.len();
        match port.start(Op::Send { fd: Arc::clone(fd), bytes, from: 0 }) {
            Started::InFlight(token) => self.op = Some(InFlight::new(token)),
            // Nothing was accepted before: the error is this write's own.
            Started::Done(completion) => drop(completion.result?),
        }
        Ok(count)
    }

    /// Lets a send in flight run to its end, because the stream goes.
    pub(super) fn release(&mut self, port: &dyn Port) {
        if let Some(op) = self.op.take() {
            op.release(port);
        }
    }
}
