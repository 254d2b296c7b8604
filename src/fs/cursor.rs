//! The cursor of a file: reads and writes one after the other, each at the place where the last one ended.
//!
//! The place is the handle's own, not the kernel's, so an op moves it only when its answer is taken. At most one op of the
//! cursor is in flight. A read that nobody waits for any more is thrown away: its bytes are still in the file. A write that
//! nobody waits for goes on; whatever uses the cursor next lets it end first, moves behind it, and hears of its error.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::file::{CHUNK, File, gather, scatter};
use super::{ColdReads, op};
use crate::io::{InFlight, Port, Started, poll_budget, spend_budget};
use crate::os::file::Target;
use crate::os::{Completion, FileOp, Op, Yielded, total};

/// Where the next read or write goes, and the one that is in flight.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    place: u64,
    /// Writes go to the end: they do not move the cursor.
    appends: bool,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    what: What,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Write,
    /// How long the file is, for a seek.
    Length,
}

/// The future of a cold read, which has the file to itself.
struct Cold(Pin<Box<dyn Future<Output = Completion> + Send + Sync>>);

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cold")
    }
}

#[derive(Debug)]
enum State {
    InFlight(InFlight),
    Done(Completion),
    /// A read that goes its own way: see `ColdReads`.
    Cold(Cold),
}

impl Cursor {
    pub(super) fn new(appends: bool) -> Self {
        Self { appends, ..Self::default() }
    }

    /// A second cursor, at the same place.
    pub(super) fn fork(&self) -> Self {
        Self { place: self.place, appends: self.appends, pending: None }
    }

    fn start(&mut self, port: &dyn Port, what: What, op: FileOp) {
        let state = match port.start(Op::File(op)) {
            Started::Done(completion) => State::Done(completion),
            Started::InFlight(token) => State::InFlight(InFlight::new(token)),
        };
        self.pending = Some(Pending { what, state });
    }

    /// The completion of the op in flight, once it came.
    fn poll(&mut self, port: &dyn Port, context: &mut Context<'_>) -> Poll<Option<(What, Completion)>> {
        let Some(Pending { what, state }) = self.pending.take() else { return Poll::Ready(None) };
        let state = match state {
            State::Done(completion) => return Poll::Ready(Some((what, completion))),
            State::InFlight(op) => match op.poll_unlocked(port, context) {
                Poll::Ready(completion) => return Poll::Ready(Some((what, completion))),
                Poll::Pending => State::InFlight(op),
            },
            State::Cold(mut read) => match read.0.as_mut().poll(context) {
                Poll::Ready(completion) => return Poll::Ready(Some((what, completion))),
                Poll::Pending => State::Cold(read),
            },
        };
        self.pending = Some(Pending { what, state });
        Poll::Pending
    }

    /// Throws away what only looks: a read, a question. A write stays.
    pub(super) fn forget_looks(&mut self, port: &dyn Port) {
        // A cold read goes with its future.
        if self.pending.as_ref().is_some_and(|pending| pending.what != What::Write)
            && let Some(Pending { state: State::InFlight(op), .. }) = self.pending.take()
        {
            drop(op.cancel(port));
        }
    }

    /// The handle goes: a look is cancelled, a write goes on.
    pub(super) fn leave(&mut self, port: &dyn Port) {
        self.forget_looks(port);
        if let Some(Pending { state: State::InFlight(op), .. }) = self.pending.take() {
            op.release(port);
        }
    }

    fn wrote(&mut self, count: usize) {
        if !self.appends {
            self.place += count as u64;
        }
    }
}

impl File {
    /// Lets a write end that nobody waits for any more.
    pub(super) fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cursor.forget_looks(self.port.as_ref());
        match ready!(self.cursor.poll(self.port.as_ref(), context)) {
            Some((_, completion)) => {
                let count = completion.result?;
                self.cursor.wrote(count);
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_read_here(
        &mut self,
        context: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = total(into);
        loop {
            match ready!(self.cursor.poll(self.port.as_ref(), context)) {
                Some((What::Write, completion)) => {
                    let count = completion.result?;
                    self.cursor.wrote(count);
                }
                Some((What::Read, completion)) => {
                    let (result, bytes) = op::with_buffer(completion);
                    result?;
                    // A read of before, into a larger buffer, is done again.
                    if bytes.len() <= room {
                        self.cursor.place += bytes.len() as u64;
                        return Poll::Ready(Ok(scatter(&bytes, into)));
                    }
                }
                Some((What::Length, _)) => {}
                None => {
                    ready!(poll_budget(context));
                    let place = self.cursor.place;
                    if let Some(count) = self.port.os().try_read_at(&self.fd, into, place)? {
                        spend_budget();
                        self.cursor.place += count as u64;
                        return Poll::Ready(Ok(count));
                    }
                    let max = room.min(CHUNK);
                    let buffer = Vec::with_capacity(max);
                    if self.cold != ColdReads::Ring {
                        let read = Box::pin(self.try_clone().fill_alone(buffer, max, place));
                        self.cursor.pending =
                            Some(Pending { what: What::Read, state: State::Cold(Cold(read)) });
                        continue;
                    }
                    let op = FileOp::Read { fd: Arc::clone(&self.fd), buffer, max, offset: place };
                    self.cursor.start(self.port.as_ref(), What::Read, op);
                }
            }
        }
    }

    pub(super) fn poll_write_here(
        &mut self,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cursor.forget_looks(self.port.as_ref());
        loop {
            match ready!(self.cursor.poll(self.port.as_ref(), context)) {
                Some((_, completion)) => {
                    let (result, bytes) = op::with_buffer(completion);
                    let count = result?;
                    self.cursor.wrote(count);
                    // A write of before may have been another one; if it wrote these very bytes, they are written.
                    if begins_with(from, &bytes[..count.min(bytes.len())]) {
                        return Poll::Ready(Ok(count));
                    }
                }
                None => {
                    ready!(poll_budget(context));
                    let place = self.cursor.place;
                    if let Some(count) = self.port.os().try_write_at(&self.fd, from, place)? {
                        spend_budget();
                        self.cursor.wrote(count);
                        return Poll::Ready(Ok(count));
                    }
                    let bytes = gather(from, CHUNK);
                    let op = FileOp::Write { fd: Arc::clone(&self.fd), bytes, from: 0, offset: place };
                    self.cursor.start(self.port.as_ref(), What::Write, op);
                }
            }
        }
    }

    pub(super) fn poll_seek_here(
        &mut self,
        context: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let place = loop {
            let length = match ready!(self.cursor.poll(self.port.as_ref(), context)) {
                Some((What::Write, completion)) => {
                    let count = completion.result?;
                    self.cursor.wrote(count);
                    continue;
                }
                Some((What::Length, completion)) => {
                    completion.result?;
                    match completion.yielded {
                        Yielded::Stat(stat) => Some(stat.length),
                        other => return Poll::Ready(Err(op::unexpected("facts about a file", &other))),
                    }
                }
                Some((What::Read, _)) => continue,
                None => None,
            };
            match (to, length) {
                (SeekFrom::Start(place), _) => break Some(place),
                (SeekFrom::Current(by), _) => break self.cursor.place.checked_add_signed(by),
                (SeekFrom::End(by), Some(length)) => break length.checked_add_signed(by),
                (SeekFrom::End(_), None) => {
                    let target = Target::Fd(Arc::clone(&self.fd));
                    self.cursor.start(self.port.as_ref(), What::Length, FileOp::Stat { target });
                }
            }
        };
        Poll::Ready(match place {
            Some(place) => {
                self.cursor.place = place;
                Ok(place)
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a seek by {to:?} leads before the start of the file or behind all offsets"),
            )),
        })
    }
}

/// Whether the slices, one after the other, begin with `bytes`.
fn begins_with(slices: &[IoSlice<'_>], bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for slice in slices {
        let (now, later) = rest.split_at(slice.len().min(rest.len()));
        if slice[..now.len()] != *now {
            return false;
        }
        rest = later;
    }
    rest.is_empty()
}
