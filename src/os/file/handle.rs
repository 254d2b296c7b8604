//! An open file of a live machine, and the calls on it that never block: reads and writes with RWF_NOWAIT.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::FileOp;
use super::calls;
use crate::os::{Descriptor, Fd, Yielded};

/// An open file or directory. Closed when the last reference goes; an op in flight holds one.
#[derive(Debug)]
pub(in crate::os) struct OpenFile {
    fd: OwnedFd,
    /// The file system knows RWF_NOWAIT for reads (writes): nobody has heard otherwise.
    reads: AtomicBool,
    writes: AtomicBool,
}

/// What becomes of an op that is played, or of the attempt to play it at once.
pub(in crate::os) type Played = (io::Result<usize>, Yielded);

impl OpenFile {
    /// The descriptor of a file.
    pub(in crate::os) fn new(fd: OwnedFd) -> Self {
        Self { fd, reads: AtomicBool::new(true), writes: AtomicBool::new(true) }
    }

    /// The file behind a descriptor.
    pub(in crate::os) fn of(fd: &Fd) -> io::Result<&Self> {
        fd.as_any().downcast_ref().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{fd:?} is no file of a live machine: use it with the machine that opened it"),
            )
        })
    }

    /// Reads what is in memory. `None`: the next byte is not, or the file system can't say.
    pub(in crate::os) fn try_read(
        &self,
        into: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> io::Result<Option<usize>> {
        self.at_once(&self.reads, || calls::read_slices(self.raw(), into, offset, libc::RWF_NOWAIT))
    }

    /// Writes what can be taken without a wait. `None`: nothing, or the file system can't say.
    pub(in crate::os) fn try_write(&self, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
        self.at_once(&self.writes, || calls::write_slices(self.raw(), from, offset, libc::RWF_NOWAIT))
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

/// Plays a read or write at once if that needs no wait, with the op's own buffer. `None`: it has to be handed on, as it was.
pub(in crate::os) fn play_now(op: &mut FileOp) -> Option<Played> {
    match op {
        FileOp::Read { fd, buffer, max, offset } => {
            let file = OpenFile::of(fd).ok()?;
            let call = || calls::read_append(file.raw(), buffer, *max, *offset, libc::RWF_NOWAIT);
            let result = file.at_once(&file.reads, call).transpose()?;
            Some((result, Yielded::Bytes(std::mem::take(buffer))))
        }
        FileOp::Write { fd, bytes, from, offset } => {
            let file = OpenFile::of(fd).ok()?;
            let result = file.try_write(&[IoSlice::new(&bytes[*from..])], *offset).transpose()?;
            Some((result, Yielded::Bytes(std::mem::take(bytes))))
        }
        _ => None,
    }
}

impl Descriptor for OpenFile {
    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.as_fd().try_clone_to_owned()
    }
}
