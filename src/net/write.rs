//! The write direction of a stream: to the kernel at once, else a copy in flight; or staged until the end of the turn.
//!
//! The first write of a turn goes to the kernel. Those that follow in the same turn are staged, and leave in one call at its
//! end ([`Staged`]); a stream that had such writes in its last turn has all of the next ones staged. So a stream that
//! writes once a turn pays nothing, and one that writes often makes one call a turn. What is staged leaves earlier with a
//! write that does not fit in, with a flush, a shutdown, and when the stream goes.

use core::ops::ControlFlow;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use crate::io::{InFlight, Polled, Port, Staged, Started, Turn, Wakers, locked};
use crate::os::{Completion, Fd, Op, total};
use crate::sync::{AtomicBool, Mutex, Ordering};

pub(super) use self::owned::OwnedWrite;

mod owned;

/// Bytes copied at most for one send in flight: enough to keep a connection busy, little enough to hold for one that is stuck.
const COPY: usize = 64 << 10;
/// Bytes staged at most: copying more costs about as much as the call that it saves.
const STAGE: usize = 16 << 10;
/// The largest buffer that a stream keeps from one turn to the next.
const KEEP: usize = 4 << 10;

/// The direction with its descriptor. The list of a commit has it too, while something is staged.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) fd: Fd,
    /// A flush may have something to do. Set and cleared under the lock.
    holds: AtomicBool,
    side: Mutex<WriteSide>,
}

/// The state of the direction.
#[derive(Debug, Default)]
struct WriteSide {
    /// A send in flight; nothing is staged meanwhile.
    op: Option<InFlight>,
    /// Accepted bytes that leave with the commit of `turn`, or before.
    staged: Vec<u8>,
    cork: Cork,
    /// The turn of the last write, and how many it had.
    turn: Option<Turn>,
    writes: u32,
    /// The turn before that had more than one.
    chatty: bool,
    /// The buffer of an owned write.
    lent: owned::Lent,
    /// Why accepted bytes were not sent. Reported by every later write, flush and shutdown.
    failed: Option<Failure>,
}

/// Which writes are staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cork {
    /// All but the first of a turn, and that too if the last turn had more than one.
    #[default]
    Auto,
    Always,
    Never,
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

impl Writer {
    pub(super) fn new(fd: Fd) -> Self {
        Self { fd, holds: AtomicBool::new(false), side: Mutex::default() }
    }

    /// Takes steps of a write under the lock ([`locked`]), and notes what they leave for a flush.
    fn write_locked<T>(
        &self,
        waker: &Waker,
        mut step: impl FnMut(&mut WriteSide, &mut Wakers<'_>) -> ControlFlow<T>,
    ) -> T {
        locked(&self.side, waker, |side, wakers| {
            let answer = step(side, wakers);
            if side.op.is_some() || side.failed.is_some() || !side.staged.is_empty() {
                self.holds.store(true, Ordering::Relaxed);
            }
            answer
        })
    }

    /// A write from the slices.
    pub(super) fn poll_write(
        self: &Arc<Self>,
        port: &dyn Port,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_locked(context.waker(), |side, wakers| {
            if let Some(step) = side.settle(port, wakers) {
                return step;
            }
            if !wakers.spend() {
                return ControlFlow::Break(Poll::Pending);
            }
            let count = total(from);
            if side.stage(self, port, from, count) {
                return ControlFlow::Break(Poll::Ready(Ok(count)));
            }
            if !side.staged.is_empty() {
                match side.send_with_staged(&self.fd, port, from) {
                    // The kernel has no room for these bytes as well.
                    Some(0) if count > 0 => {}
                    Some(count) => return ControlFlow::Break(Poll::Ready(Ok(count))),
                    None => {
                        // The copy of what is staged is in flight now, or has failed.
                        if let Some(step) = side.settle(port, wakers) {
                            return step;
                        }
                    }
                }
            }
            ControlFlow::Break(Poll::Ready(side.write(&self.fd, port, from)))
        })
    }

    /// Waits until the kernel has taken all that was accepted.
    pub(super) fn poll_flush(&self, port: &dyn Port, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Relaxed: it answers for writes that happened before it, and so it sees what they stored.
        if !self.holds.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        locked(&self.side, context.waker(), |side, wakers| {
            side.send_staged(&self.fd, port);
            if let Some(step) = side.settle(port, wakers) {
                return step;
            }
            self.holds.store(false, Ordering::Relaxed);
            ControlFlow::Break(Poll::Ready(Ok(())))
        })
    }

    /// Flushes, then shuts down.
    pub(super) fn poll_shutdown(
        &self,
        port: &dyn Port,
        context: &mut Context<'_>,
        how: Shutdown,
    ) -> Poll<io::Result<()>> {
        locked(&self.side, context.waker(), |side, wakers| {
            side.send_staged(&self.fd, port);
            if let Some(step) = side.settle(port, wakers) {
                return step;
            }
            ControlFlow::Break(Poll::Ready(port.os().shutdown(&self.fd, how)))
        })
    }

    /// From now on stages all writes, or none; what is staged leaves at once then.
    pub(super) fn set_cork(&self, port: &dyn Port, on: bool) {
        let mut side = self.side.lock();
        side.cork = if on { Cork::Always } else { Cork::Never };
        if !on {
            side.send_staged(&self.fd, port);
        }
    }

    /// Sends what is staged and lets a send in flight run to its end, because the stream goes.
    pub(super) fn release(&self, port: &dyn Port) {
        let mut side = self.side.lock();
        side.send_staged(&self.fd, port);
        if let Some(op) = side.op.take() {
            op.release(port);
        }
    }
}

impl Staged for Writer {
    fn commit(&self, port: &dyn Port) {
        self.side.lock().send_staged(&self.fd, port);
    }
}

impl WriteSide {
    /// Nothing if nothing is in flight and nothing has failed.
    #[inline]
    fn settle<T>(&mut self, port: &dyn Port, wakers: &mut Wakers<'_>) -> Option<Step<T>> {
        if self.op.is_none() && self.failed.is_none() {
            return None;
        }
        self.settle_held(port, wakers)
    }

    #[cold]
    fn settle_held<T>(&mut self, port: &dyn Port, wakers: &mut Wakers<'_>) -> Option<Step<T>> {
        if let Some(op) = &self.op {
            match op.poll(port, wakers) {
                Polled::Ready(completion) => {
                    self.op = None;
                    self.note(&completion);
                    self.lent.give_back(completion.yielded);
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

    /// Takes the bytes for the commit at the end of this turn, if that is how this stream writes and they fit.
    fn stage(&mut self, this: &Arc<Writer>, port: &dyn Port, from: &[IoSlice<'_>], count: usize) -> bool {
        if self.cork == Cork::Never {
            return false;
        }
        // Without a turn there is no commit. One that was staged on another worker waits for that one's, which may be long in
        // coming: these bytes take those along.
        let Some(turn) = port.turn() else { return false };
        let last = self.turn.replace(turn);
        if last != self.turn {
            self.chatty = self.writes > 1;
            self.writes = 0;
        }
        self.writes = self.writes.saturating_add(1);
        let stages = self.cork == Cork::Always || self.writes > 1 || self.chatty;
        if !stages || count == 0 || self.staged.len() + count > STAGE {
            return false;
        }
        if !self.staged.is_empty() && last.is_none_or(|last| last.seat != turn.seat) {
            return false;
        }
        // Also if somebody has it in hand to commit it: that may be before this or after.
        if self.staged.is_empty() || last != self.turn {
            port.stage(Arc::downgrade(this) as Weak<dyn Staged>);
        }
        from.iter().for_each(|slice| self.staged.extend_from_slice(slice));
        true
    }

    /// What is staged and the slices behind it to the kernel, in one call: how many bytes of the slices it took. `None`: not even all
    /// of what is staged.
    fn send_with_staged(&mut self, fd: &Fd, port: &dyn Port, from: &[IoSlice<'_>]) -> Option<usize> {
        let mut all = Vec::with_capacity(1 + from.len());
        all.push(IoSlice::new(&self.staged));
        all.extend_from_slice(from);
        let sent = port.os().try_send(fd, &all);
        drop(all);
        self.sent_of_staged(fd, port, sent)
    }

    /// Hands what is staged to the kernel: at once, or in a send in flight.
    fn send_staged(&mut self, fd: &Fd, port: &dyn Port) {
        if !self.staged.is_empty() {
            let sent = port.os().try_send(fd, &[IoSlice::new(&self.staged)]);
            self.sent_of_staged(fd, port, sent);
        }
    }

    /// After a call that began with what is staged: what it took beyond that. `None`: the rest of it is in flight, or it failed.
    fn sent_of_staged(&mut self, fd: &Fd, port: &dyn Port, sent: io::Result<Option<usize>>) -> Option<usize> {
        debug_assert!(self.op.is_none(), "what is staged is behind a send in flight");
        match sent.map(Option::unwrap_or_default) {
            Ok(count) if count >= self.staged.len() => {
                let beyond = count - self.staged.len();
                if self.staged.capacity() > KEEP {
                    self.staged = Vec::new()
                } else {
                    self.staged.clear()
                }
                Some(beyond)
            }
            Ok(from) => {
                let bytes = std::mem::take(&mut self.staged);
                match port.start(Op::Send { fd: Arc::clone(fd), bytes, from }) {
                    Started::InFlight(token) => self.op = Some(InFlight::new(token)),
                    Started::Done(completion) => self.note(&completion),
                }
                None
            }
            Err(error) => {
                self.staged = Vec::new();
                self.failed = Some(Failure::of(&error));
                None
            }
        }
    }

    /// To the kernel what it takes now; if that is nothing, a copy into a send in flight, which counts as written.
    fn write(&mut self, fd: &Fd, port: &dyn Port, from: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(count) = port.os().try_send(fd, from)? {
            return Ok(count);
        }
        let mut bytes = Vec::with_capacity(COPY.min(total(from)));
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
}
