//! Reads that fill what they were given: from memory in place, and by the file's policy where the bytes are not in memory.

use std::io::{self, IoSliceMut};

use super::file::{CHUNK, File, far, scatter};
use crate::io::{step_aside, take_budget};
use crate::os::file::AT_ONCE;
use crate::os::{Completion, Token, Yielded, total};

/// Bytes that one request to bring a range into memory is about: the medium works on all of them while nobody is interrupted.
const LOAD: u64 = 4 << 20;

/// What a read does about bytes that are not in the page cache. What is there is read in place under all of them.
///
/// It is an option of a file ([`OpenOptions::cold_reads`](super::OpenOptions::cold_reads)): index files that are always in memory and large ones that
/// seldom are may be opened differently. Which one suits a load is to be measured; `docs/operating.md` says what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColdReads {
    /// The read becomes an op: an entry of the ring on io_uring, a call on one of 64 side threads on epoll. The kernel copies the bytes on a thread
    /// of its own (or on the side thread), and the task goes on when they are there.
    #[default]
    Ring,
    /// The task hops to the group `slow` ([`Topology::with_slow`](crate::Topology::with_slow)), blocks a worker there for the whole rest of the read, and hops back. So many
    /// cold reads run at a time as that group has workers; more wait in its injector, in order. Bytes are read straight into the reader's buffer.
    ///
    /// It is the *task* that moves, as with [`hop`](crate::hop): inside a select or join everything in it waits for the read, and a read that has begun can't
    /// be cancelled. What can't hop (the main future, tasks of `spawn_local`, coroutines, tasks of another runtime) reads as with `Ring`.
    SlowGroup,
    /// The kernel is asked to bring the range into memory ([`File::load`]), a few megabytes at a time, and the task goes on when they are there: it
    /// copies them itself, from memory, with breaks. So no buffer is held while the medium works, and who reads the same range next finds it.
    ///
    /// Where the file system can't tell what is in memory (tmpfs), and for what left it again, it reads as with `Ring`.
    Readahead,
}

/// Where bytes go.
pub(super) trait Room {
    /// How many fit.
    fn left(&self) -> usize;
    /// Lends the first of it, `most` bytes or more if that is as easy.
    fn lend<R>(&mut self, most: usize, f: impl FnOnce(&mut [IoSliceMut<'_>]) -> R) -> R;
    /// So many bytes of what was lent are filled.
    fn filled(&mut self, count: usize);
}

/// Slices, one after the other.
pub(super) struct Slices<'a, 'b>(&'a mut [IoSliceMut<'b>]);

impl<'a, 'b> Slices<'a, 'b> {
    pub(super) fn new(mut slices: &'a mut [IoSliceMut<'b>]) -> Self {
        // Empty ones at the front would look like the end.
        IoSliceMut::advance_slices(&mut slices, 0);
        Self(slices)
    }
}

impl Room for Slices<'_, '_> {
    fn left(&self) -> usize {
        total(self.0)
    }

    fn lend<R>(&mut self, _: usize, f: impl FnOnce(&mut [IoSliceMut<'_>]) -> R) -> R {
        f(self.0)
    }

    fn filled(&mut self, count: usize) {
        IoSliceMut::advance_slices(&mut self.0, count);
    }
}

/// The unused capacity of a buffer. It is cleared before it is lent, a part at a time.
pub(super) struct Tail {
    buffer: Vec<u8>,
    /// Bytes that count.
    held: usize,
    end: usize,
}

impl Tail {
    /// Room for `max` bytes behind what the buffer holds.
    pub(super) fn new(buffer: Vec<u8>, max: usize) -> Self {
        let held = buffer.len();
        Self { end: held.saturating_add(max).min(buffer.capacity()), held, buffer }
    }

    /// The buffer, with what was filled.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.truncate(self.held);
        self.buffer
    }
}

impl Room for Tail {
    fn left(&self) -> usize {
        self.end - self.held
    }

    fn lend<R>(&mut self, most: usize, f: impl FnOnce(&mut [IoSliceMut<'_>]) -> R) -> R {
        let until = self.held + self.left().min(most);
        if self.buffer.len() < until {
            self.buffer.resize(until, 0);
        }
        f(&mut [IoSliceMut::new(&mut self.buffer[self.held..until])])
    }

    fn filled(&mut self, count: usize) {
        self.held += count;
        debug_assert!(self.held <= self.buffer.len(), "more was filled than was lent");
    }
}

impl File {
    /// Fills the room from `offset` on, until the file ends; how many bytes. An error that comes after the first byte is left to the next read.
    pub(super) async fn fill(&self, room: &mut impl Room, offset: u64) -> io::Result<usize> {
        take_budget().await;
        let (mut filled, mut in_a_row, mut loaded) = (0, 0, 0);
        while room.left() > 0 {
            if in_a_row >= AT_ONCE {
                // Much is in memory: the copies make breaks, for whoever else has something to do.
                step_aside().await;
                in_a_row = 0;
            }
            let place = far(offset, filled)?;
            let step = match room.lend(AT_ONCE, |slices| self.port.os().try_read_at(&self.fd, slices, place))
            {
                Ok(None) if self.cold == ColdReads::Readahead && place >= loaded => {
                    loaded = place.saturating_add(LOAD.min(room.left() as u64));
                    // What fails here fails the read, which then says so.
                    drop(self.load(place..loaded).await);
                    continue;
                }
                Ok(None) => self.fill_cold(room, place).await,
                Ok(Some(count)) => {
                    room.filled(count);
                    Ok(count)
                }
                Err(error) => Err(error),
            };
            match step {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    in_a_row += count;
                }
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(filled)
    }

    /// The next bytes, of which the first is not in memory.
    async fn fill_cold(&self, room: &mut impl Room, offset: u64) -> io::Result<usize> {
        if self.cold == ColdReads::SlowGroup
            && let Some((there, back)) = self.port.ways_to_slow()
            && there.await.is_ok()
        {
            let result = self.fill_here(room, offset);
            // A task that came here can leave.
            let _ = back.await;
            return result;
        }
        let max = room.left().min(CHUNK);
        let (result, bytes) = self.read_into(Vec::with_capacity(max), max, offset).await;
        let count = room.lend(result?, |slices| scatter(&bytes, slices));
        room.filled(count);
        Ok(count)
    }

    /// All of the room, on the calling thread, which waits for the medium.
    fn fill_here(&self, room: &mut impl Room, offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while room.left() > 0 {
            let place = far(offset, filled)?;
            match room.lend(CHUNK, |slices| self.port.os().read_at(&self.fd, slices, place)) {
                Ok(0) => break,
                Ok(count) => {
                    room.filled(count);
                    filled += count;
                }
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(filled)
    }

    /// [`fill`](Self::fill) for a cursor, which goes on without borrowing the file.
    pub(super) async fn fill_alone(self, buffer: Vec<u8>, max: usize, offset: u64) -> Completion {
        let mut room = Tail::new(buffer, max);
        let result = self.fill(&mut room, offset).await;
        Completion { token: Token::from_bits(0), result, yielded: Yielded::Bytes(room.into_buffer()) }
    }
}
