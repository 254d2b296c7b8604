//! An open file of a live machine, and the calls on it that never block: reads and writes with RWF_NOWAIT.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::calls;
use super::{AT_ONCE, FileKind, FileOp};
use crate::os::{Descriptor, Fd, Yielded};

/// An open file or directory. Closed when the last reference goes; an op in flight holds one.
#[derive(Debug)]
pub(in crate::os) struct OpenFile {
    /// Closed on drop, unless `closed`.
    fd: ManuallyDrop<OwnedFd>,
    closed: AtomicBool,
    /// The file system knows RWF_NOWAIT for reads (writes): nobody has heard otherwise.
    reads: AtomicBool,
    writes: AtomicBool,
}

/// What becomes of an op that is played, or of the attempt to play it at once.
pub(in crate::os) type Played = (io::Result<usize>, Yielded);

impl OpenFile {
    /// The descriptor of a file.
    pub(in crate::os) fn new(fd: OwnedFd) -> Self {
        let (closed, yes) = (AtomicBool::new(false), || AtomicBool::new(true));
        Self { fd: ManuallyDrop::new(fd), closed, reads: yes(), writes: yes() }
    }

    /// Whether it is a pipe with a name: opening one may have to wait for its other end.
    pub(in crate::os) fn is_pipe(&self) -> bool {
        calls::kind(self.raw()).is_some_and(|kind| kind == FileKind::Fifo)
    }

    /// The number behind a descriptor that nobody else holds. Whoever closes it says so by [`closed`](Self::closed).
    pub(in crate::os) fn sole(fd: &mut Fd) -> Option<RawFd> {
        Arc::get_mut(fd)?;
        Self::of(fd).ok().map(Self::raw)
    }

    /// Its number was closed, and is not this file's any more.
    pub(in crate::os) fn closed(fd: &mut Fd) {
        debug_assert!(Arc::get_mut(fd).is_some(), "a file that others hold was closed");
        if let Ok(file) = Self::of(fd) {
            // Relaxed: nobody else has it.
            file.closed.store(true, Ordering::Relaxed);
        }
    }

    /// The file behind a descriptor.
    pub(in crate::os) fn of(fd: &Fd) -> io::Result<&Self> {
        fd.downcast_ref().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{fd:?} is no file of a live machine: use it with the machine that opened it"),
            )
        })
    }

    /// Reads what is in memory, at most [`AT_ONCE`] bytes. `None`: the next byte is not, or the file system can't say.
    pub(in crate::os) fn try_read(
        &self,
        into: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> io::Result<Option<usize>> {
        let read = |into: &mut [IoSliceMut<'_>]| {
            self.at_once(&self.reads, || calls::read_slices(self.raw(), into, offset, libc::RWF_NOWAIT))
        };
        if let [first, ..] = into
            && first.len() > AT_ONCE
        {
            return read(&mut [IoSliceMut::new(&mut first[..AT_ONCE])]);
        }
        let count = within(into.iter().map(|slice| slice.len()));
        read(&mut into[..count])
    }

    /// Reads, and waits for the medium.
    pub(in crate::os) fn read(&self, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        calls::again(|| calls::read_slices(self.raw(), into, offset, 0))
    }

    /// Writes what can be taken without a wait, at most [`AT_ONCE`] bytes. `None`: nothing, or the file system can't say.
    pub(in crate::os) fn try_write(&self, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        let write = |from: &[IoSlice<'_>]| {
            self.at_once(&self.writes, || calls::write_slices(self.raw(), from, offset, libc::RWF_NOWAIT))
        };
        match from {
            [first, ..] if first.len() > AT_ONCE => write(&[IoSlice::new(&first[..AT_ONCE])]),
            all => write(&all[..within(all.iter().map(|slice| slice.len()))]),
        }
    }

    fn at_once(
        &self,
        knows: &AtomicBool,
        mut call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        // Relaxed: a hint; the answer is the same either way.
        if !knows.load(Ordering::Relaxed) {
            return Ok(None);
        }
        loop {
            let error = match call() {
                Ok(count) => return Ok(Some(count)),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(None),
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
                    knows.store(false, Ordering::Relaxed);
                    return Ok(None);
                }
                _ => return Err(error),
            }
        }
    }
}

/// How many of the slices, one after the other, hold no more than may be moved at once.
fn within(lengths: impl Iterator<Item = usize>) -> usize {
    let total = lengths.scan(0usize, |total, length| {
        *total = total.saturating_add(length);
        Some(*total)
    });
    total.take_while(|total| *total <= AT_ONCE).count()
}

/// Plays a read or write at once if that needs no wait and is no large one, with the op's own buffer. `None`: it has to be
/// handed on, as it was.
pub(in crate::os) fn play_now(op: &mut FileOp) -> Option<Played> {
    match op {
        FileOp::Read { fd, buffer, max, offset }
            if (*max).min(buffer.capacity() - buffer.len()) <= AT_ONCE =>
        {
            let file = OpenFile::of(fd).ok()?;
            let call = || calls::read_append(file.raw(), buffer, *max, *offset, libc::RWF_NOWAIT);
            let result = file.at_once(&file.reads, call).transpose()?;
            Some((result, Yielded::Bytes(std::mem::take(buffer))))
        }
        FileOp::Write { fd, bytes, from, offset } if bytes.len().saturating_sub(*from) <= AT_ONCE => {
            let file = OpenFile::of(fd).ok()?;
            let result = file.try_write(&[IoSlice::new(&bytes[*from..])], *offset).transpose()?;
            Some((result, Yielded::Bytes(std::mem::take(bytes))))
        }
        _ => None,
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            // SAFETY: it is dropped here only, and used no more.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

impl Descriptor for OpenFile {
    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.as_fd().try_clone_to_owned()
    }
}
