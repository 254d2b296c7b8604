//! The read direction of a stream: the kernel's bytes at once, else a wait for them in flight.
//!
//! The wait moves nothing, so a stream holds no received bytes and a future that goes away loses none. What the
//! bytes wait in is the backend's: the kernel's queue, or what a ring received ahead.

use core::ops::ControlFlow;
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll, ready};

use super::receive::Received;
use crate::io::{InFlight, Port, Size, give_back, locked, own_poll, poll_budget, spend_budget};
use crate::os::{Fd, Interest, Os, total};
use crate::sync::{AtomicBool, AtomicU64, Hint, Mutex, Ordering};

/// The state of the direction.
#[derive(Debug, Default)]
pub(super) struct ReadSide {
    /// The last read took all there was, so the next one begins with the wait. A guess: a wait for what is there ends at once.
    drained: AtomicBool,
    /// The size of the next receive's buffer.
    size: Hint,
    /// The poll that was told to wait last; 0: none, or it was asked about.
    waits: AtomicU64,
    /// The wait in flight, or the last one.
    wait: Mutex<Option<InFlight>>,
}

/// Whether a read takes the bytes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Away,
    Peek,
}

impl ReadSide {
    /// A read or peek into the slices.
    pub(super) fn poll(
        &self,
        port: &dyn Port,
        fd: &Fd,
        context: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
        take: Take,
    ) -> Poll<io::Result<usize>> {
        let asked = total(into);
        self.poll_call(port, fd, context, asked, take, |os| os.try_recv(fd, into, take == Take::Peek))
    }

    /// A read into the unused capacity of a buffer; an empty one may be replaced by one with a capacity of at least `least`.
    pub(super) fn poll_owned(
        &self,
        port: &dyn Port,
        fd: &Fd,
        context: &mut Context<'_>,
        into: &mut Vec<u8>,
        least: usize,
    ) -> Poll<io::Result<usize>> {
        let asked = into.capacity() - into.len();
        self.poll_call(port, fd, context, asked, Take::Away, |os| os.try_recv_owned(fd, into, least))
    }

    /// A read into a buffer of the worker's, of the size that suits this stream.
    pub(super) fn poll_receive(
        &self,
        port: &dyn Port,
        fd: &Fd,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Received>> {
        let size = Size::from_bits(self.size.get());
        // Taken when the call is made: a poll that only waits needs none.
        let mut buffer = Vec::new();
        let call = |os: &dyn Os| {
            if buffer.capacity() == 0 {
                buffer = size.buffer();
            }
            os.try_recv_owned(fd, &mut buffer, 0)
        };
        let answer = self.poll_call(port, fd, context, size.bytes(), Take::Away, call);
        if let Poll::Ready(Ok(count)) = answer {
            self.size.set(size.after(count).bits());
            return Poll::Ready(Ok(Received::new(buffer)));
        }
        if buffer.capacity() > 0 {
            give_back(buffer);
        }
        answer.map_ok(|_| Received::default())
    }

    fn poll_call(
        &self,
        port: &dyn Port,
        fd: &Fd,
        context: &mut Context<'_>,
        asked: usize,
        take: Take,
        mut call: impl FnMut(&dyn Os) -> io::Result<Option<usize>>,
    ) -> Poll<io::Result<usize>> {
        if asked == 0 {
            return Poll::Ready(Ok(0));
        }
        let poll = own_poll(context.waker());
        // A server asks again after each of its answers. What was registered in this very poll stands: only another's registration ends
        // it, and that one writes its own name. Once only, so that who asks in a loop gets through.
        // Relaxed: if the name is this poll's, this thread wrote it.
        if poll != 0 && self.waits.load(Ordering::Relaxed) == poll {
            self.waits.store(0, Ordering::Relaxed);
            return Poll::Pending;
        }
        // Relaxed: a guess.
        let mut drained = self.drained.load(Ordering::Relaxed);
        if drained {
            self.drained.store(false, Ordering::Relaxed);
        }
        loop {
            if !drained {
                ready!(poll_budget(context));
                if let Some(count) = call(port.os().as_ref())? {
                    spend_budget();
                    if take == Take::Away && count > 0 && count < asked {
                        self.drained.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Ok(count));
                }
            }
            drained = false;
            ready!(locked(&self.wait, context.waker(), |wait, wakers| {
                let step = port.wait_ready(wait, fd, Interest::Read, wakers);
                if matches!(step, ControlFlow::Break(Poll::Pending)) {
                    // Under the lock: it names who was registered last.
                    self.waits.store(poll, Ordering::Relaxed);
                }
                step
            }))?;
        }
    }

    /// Ends the wait in flight, because the stream goes.
    pub(super) fn abandon(&mut self, port: &dyn Port) {
        if let Some(wait) = self.wait.get_mut().take() {
            drop(wait.cancel(port));
        }
    }
}
