//! An open file, read and written at places that the caller names.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use super::cold::{ColdReads, Slices, Tail};
use super::cursor::Cursor;
use super::metadata::{Metadata, Permissions};
use super::op;
use super::options::{OpenOptions, open};
use crate::io::Port;
use crate::os::file::{AT_ONCE, Advice, OpenHow, Target};
use crate::os::{Fd, FileOp};

/// Bytes that one op with a buffer of its own moves at most: they are copied once more, by the worker.
pub(super) const CHUNK: usize = 2 * AT_ONCE;

/// An open file or folder.
///
/// The methods with a place (`read_at`, `write_at` and their like) take `&self` and may run side by side. The others
/// (`read`, `write`, `seek`, and the futures-io traits) share one cursor and take `&mut self`.
///
/// Bytes are in the kernel's hands when a write returns; [`sync_all`](Self::sync_all) brings them to the medium.
pub struct File {
    pub(super) fd: Fd,
    pub(super) port: Arc<dyn Port>,
    pub(super) cold: ColdReads,
    pub(super) cursor: Cursor,
}

/// Whether a part of a mapped file is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// All of it: reading it causes no wait for the medium, unless it is thrown out meanwhile.
    Resident,
    /// Not all of it.
    Absent,
    /// The kernel does not say: it answers truly only to those who own the file or may write it, and the simulator maps no files.
    Unknown,
}

/// A place behind which nothing can be.
pub(super) fn far(offset: u64, count: usize) -> io::Result<u64> {
    offset.checked_add(count as u64).ok_or_else(|| {
        let message = format!("{count} bytes from {offset} on end behind the largest offset there is");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// A range in the kernel's form: where it begins, and its length, of which 0 is all the rest. `None`: it is empty.
fn extent(range: impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let offset = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => return Some((offset, 0)),
    };
    (end > offset).then(|| (offset, end - offset))
}

impl File {
    pub(super) fn new(fd: Fd, port: Arc<dyn Port>, cold: ColdReads, appends: bool) -> Self {
        Self { fd, port, cold, cursor: Cursor::new(appends) }
    }

    /// Opens a file or folder to read.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        open(OpenHow { read: true, ..OpenHow::default() }, path.as_ref()).await
    }

    /// Opens a file to write, cut to nothing, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Takes over a file of `std`. Its own cursor is left where it is; this one starts at 0.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where files of the system do not exist.
    pub fn from_std(file: std::fs::File) -> io::Result<Self> {
        let port = op::port()?;
        let fd = port.os().adopt_file(file.into())?;
        Ok(Self::new(fd, port, ColdReads::default(), false))
    }

    /// A second descriptor of the same open file, for `std`.
    ///
    /// # Errors
    /// If the process has no descriptor left, and under the simulator.
    pub fn to_std(&self) -> io::Result<std::fs::File> {
        self.fd.duplicate().map(std::fs::File::from)
    }

    /// A second handle of the same open file, with a cursor of its own that starts where this one is. It takes no descriptor.
    #[must_use]
    pub fn try_clone(&self) -> Self {
        Self {
            fd: Arc::clone(&self.fd),
            port: Arc::clone(&self.port),
            cold: self.cold,
            cursor: self.cursor.fork(),
        }
    }

    /// Reads from `offset` on until `buffer` is full or the file ends, and returns how many bytes.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The system's: opened to write only, a folder, a medium that fails. If bytes came before the error, their count comes
    /// first, and the error with the next read there.
    pub async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_vectored_at(&mut [IoSliceMut::new(buffer)], offset).await
    }

    /// Reads into several buffers, one after the other, like [`read_at`](Self::read_at).
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub async fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.fill(&mut Slices::new(buffers), offset).await
    }

    pub(super) async fn read_into(
        &self,
        buffer: Vec<u8>,
        max: usize,
        offset: u64,
    ) -> (io::Result<usize>, Vec<u8>) {
        let op = FileOp::Read { fd: Arc::clone(&self.fd), buffer, max, offset };
        op::with_buffer(op::run(self.port.as_ref(), op).await)
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and `UnexpectedEof` if the file ends first.
    pub async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], far(offset, filled)?).await? {
                0 => {
                    let message = format!("the file ends at {} of {} bytes", filled, buffer.len());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads from `offset` on and appends to what `buffer` holds, as far as its capacity goes, without a copy. The count
    /// may be short; 0 is the end of the file, or a buffer without room.
    ///
    /// Dropped before its end, it takes the buffer with it.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), with the buffer.
    pub async fn read_owned_at(&self, buffer: Vec<u8>, offset: u64) -> (io::Result<usize>, Vec<u8>) {
        let max = buffer.capacity() - buffer.len();
        if self.cold == ColdReads::Ring {
            crate::io::take_budget().await;
            return self.read_into(buffer, max, offset).await;
        }
        let mut room = Tail::new(buffer, max);
        let result = self.fill(&mut room, offset).await;
        (result, room.into_buffer())
    }

    /// Writes from `buffer` at `offset` (at the end, if opened to append) and returns how many bytes, which may be less
    /// than all.
    ///
    /// Not cancel-safe: dropped before its end, it may have written.
    ///
    /// # Errors
    /// The system's: opened to read only, no room left, too large, a medium that fails.
    pub async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.write_vectored_at(&[IoSlice::new(buffer)], offset).await
    }

    /// Writes from several buffers, one after the other, like [`write_at`](Self::write_at).
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub async fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        crate::io::take_budget().await;
        if let Some(count) = self.port.os().try_write_at(&self.fd, buffers, offset)? {
            return Ok(count);
        }
        let (result, _) = self.write_from(gather(buffers, CHUNK), 0, offset).await;
        result
    }

    async fn write_from(&self, bytes: Vec<u8>, from: usize, offset: u64) -> (io::Result<usize>, Vec<u8>) {
        let op = FileOp::Write { fd: Arc::clone(&self.fd), bytes, from, offset };
        op::with_buffer(op::run(self.port.as_ref(), op).await)
    }

    /// Writes all of `buffer` at `offset`.
    ///
    /// Not cancel-safe: dropped before its end, it may have written a part.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at); a part may have been written.
    pub async fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.write_at(&buffer[done..], far(offset, done)?).await? {
                0 => return Err(nothing_written()),
                count => done += count,
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset` without a copy, and gives the buffer back.
    ///
    /// Not cancel-safe: dropped before its end, it may have written a part, and it takes the buffer with it.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at), with the buffer.
    pub async fn write_owned_at(&self, mut bytes: Vec<u8>, offset: u64) -> (io::Result<()>, Vec<u8>) {
        crate::io::take_budget().await;
        let mut done = 0;
        while done < bytes.len() {
            let place = match far(offset, done) {
                Ok(place) => place,
                Err(error) => return (Err(error), bytes),
            };
            let (result, back) = self.write_from(bytes, done, place).await;
            bytes = back;
            match result {
                Ok(0) => return (Err(nothing_written()), bytes),
                Ok(count) => done += count,
                Err(error) => return (Err(error), bytes),
            }
        }
        (Ok(()), bytes)
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// The system's: opened to read only, too large.
    pub async fn set_len(&self, length: u64) -> io::Result<()> {
        self.simple(FileOp::SetLen { fd: Arc::clone(&self.fd), length }).await
    }

    /// Brings content and facts to the medium. Of a folder: the names in it.
    ///
    /// # Errors
    /// A medium that fails. What was written since the last sync may be lost then, even if a later sync succeeds.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.simple(FileOp::Sync { fd: Arc::clone(&self.fd), data_only: false }).await
    }

    /// The same, but of the facts only what is needed to read the content again.
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.simple(FileOp::Sync { fd: Arc::clone(&self.fd), data_only: true }).await
    }

    /// What is known of it.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The system's.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let target = Target::Fd(Arc::clone(&self.fd));
        op::stat(self.port.as_ref(), target).await.map(Metadata::new)
    }

    /// Sets its permissions.
    ///
    /// # Errors
    /// The system's.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let target = Target::Fd(Arc::clone(&self.fd));
        self.simple(FileOp::SetMode { target, mode: permissions.mode() }).await
    }

    /// Has a range brought into memory, so that later reads there find it: returns when the reads are under way, not when
    /// they are done.
    ///
    /// # Errors
    /// The system's.
    pub async fn readahead(&self, range: impl RangeBounds<u64>) -> io::Result<()> {
        self.advise(range, Advice::WillNeed).await
    }

    /// Has a range brought into memory, and returns when it is there (or has left again: memory is shared by all). For what is mapped: ask
    /// [`is_resident`](Self::is_resident), and let this wait in place of the worker, which the first touch of an absent page would stop.
    ///
    /// A side thread waits for the medium. Cancel-safe.
    ///
    /// # Errors
    /// The system's: a medium that fails, nothing that can be read.
    pub async fn load(&self, range: impl RangeBounds<u64>) -> io::Result<()> {
        match extent(range) {
            Some((offset, length)) => {
                self.simple(FileOp::Load { fd: Arc::clone(&self.fd), offset, length }).await
            }
            None => Ok(()),
        }
    }

    /// Says what a range will be used for.
    ///
    /// # Errors
    /// The system's.
    pub async fn advise(&self, range: impl RangeBounds<u64>, advice: Advice) -> io::Result<()> {
        match extent(range) {
            Some((offset, length)) => {
                self.simple(FileOp::Advise { fd: Arc::clone(&self.fd), offset, length, advice }).await
            }
            None => Ok(()),
        }
    }

    /// Whether all of `mapped`, a part of a mapping of this file, is in memory. Never waits.
    pub fn is_resident(&self, mapped: &[u8]) -> Residency {
        match self.port.os().resident(&self.fd, mapped) {
            Some(true) => Residency::Resident,
            Some(false) => Residency::Absent,
            None => Residency::Unknown,
        }
    }

    /// Closes it off the worker, and says what a drop can't: that something written before is lost. If another handle of it is
    /// left, or a read or write is under way, it stays open, and closes with the last of these.
    ///
    /// Cancel-safe: dropped before its end, it closes all the same.
    ///
    /// # Errors
    /// Those of a write of the cursor that nobody waited for, and the system's. It is closed in any case.
    pub async fn close(mut self) -> io::Result<()> {
        let settled = poll_fn(|context| self.poll_settled(context)).await;
        let (fd, port) = (Arc::clone(&self.fd), Arc::clone(&self.port));
        drop(self);
        let closed = op::simple(port.as_ref(), FileOp::Close { fd }).await;
        settled.and(closed)
    }

    async fn simple(&self, op: FileOp) -> io::Result<()> {
        op::simple(self.port.as_ref(), op).await
    }
}

/// A kernel that takes no byte of some, and gives no reason.
pub(super) fn nothing_written() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "the kernel took none of the bytes and gave no reason")
}

/// Copies bytes into slices, one after the other; how many.
pub(super) fn scatter(bytes: &[u8], into: &mut [IoSliceMut<'_>]) -> usize {
    let mut rest = bytes;
    for slice in into {
        let (now, later) = rest.split_at(slice.len().min(rest.len()));
        slice[..now.len()].copy_from_slice(now);
        rest = later;
    }
    bytes.len() - rest.len()
}

/// At most `max` bytes of slices, as one buffer.
pub(super) fn gather(from: &[IoSlice<'_>], max: usize) -> Vec<u8> {
    let total = from.iter().map(|slice| slice.len()).sum::<usize>().min(max);
    let mut bytes = Vec::with_capacity(total);
    for slice in from {
        bytes.extend_from_slice(&slice[..slice.len().min(total - bytes.len())]);
    }
    bytes
}

impl Drop for File {
    fn drop(&mut self) {
        self.cursor.leave(self.port.as_ref());
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd.raw()).finish_non_exhaustive()
    }
}
