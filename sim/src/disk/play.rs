//! The file ops of a driver: what they do, how long they take, what fails.

use std::collections::VecDeque;
use std::ffi::CString;

use pirn::os::file::{Advice, FilePath, Target};
use pirn::os::{Fd, FileOp, Yielded};

use super::{PAGE, ROOT};
use crate::choice::Kind;
use crate::net::Errno;
use crate::world::World;

/// What the kernel takes for an op that needs no medium.
const MEMORY_NS: u64 = 4_000;
/// Entries of a directory that one op gives at most.
const ENTRIES: usize = 8;

/// What an op came to.
pub(crate) type Outcome = (Result<usize, Errno>, Yielded);

/// A length, of which 0 is all the rest.
fn extent(length: u64) -> usize {
    if length == 0 { usize::MAX } else { usize::try_from(length).unwrap_or(usize::MAX) }
}

impl World {
    /// Whether an op needs no medium, and a kernel that can would do it at once.
    pub(crate) fn file_op_is_hot(&mut self, op: &FileOp) -> bool {
        match op {
            FileOp::Read { fd, max, offset, .. } => self
                .file_of(fd)
                .is_ok_and(|file| self.hot(file, *offset, *max).is_ok_and(|count| count.is_some())),
            FileOp::Write { .. } => self.rarely(Kind::Cold, 2, self.options.disk.cold) == 0,
            _ => false,
        }
    }

    /// How long an op takes that is not done at once.
    pub(crate) fn file_op_span(&mut self, op: &FileOp) -> u64 {
        let medium = match op {
            FileOp::Read { fd, max, offset, .. } => self.is_cold(fd, *offset, *max),
            FileOp::Load { fd, offset, length } => self.is_cold(fd, *offset, extent(*length)),
            FileOp::Sync { .. } => true,
            FileOp::Open { .. } | FileOp::Stat { .. } | FileOp::List { .. } => {
                self.rarely(Kind::Cold, 2, self.options.disk.cold) != 0
            }
            _ => false,
        };
        let span = if medium { self.options.disk.latency_ns } else { MEMORY_NS };
        match self.rarely(Kind::Disk, 4, 300) {
            0 => span,
            1 => span / 2,
            2 => span * 4,
            _ => span * 20,
        }
    }

    /// Whether some of a range is not in memory.
    fn is_cold(&mut self, fd: &Fd, offset: u64, max: usize) -> bool {
        let Ok(file) = self.file_of(fd) else { return false };
        let (disk, inode) = self.disk_of(file);
        disk.content(inode).is_ok_and(|content| {
            let left = content.left(offset, max);
            content.resident(offset, left) < left
        })
    }

    fn file_op_fails(&mut self) -> bool {
        self.options.disk.error > 0
            && self.drawn.is_none()
            && self.rarely(Kind::Fail, 2, self.options.disk.error) != 0
    }

    /// Plays an op of a host. Its buffer is in the answer.
    pub(crate) fn play_file(&mut self, host: u32, op: &mut FileOp) -> Outcome {
        let outcome = match op {
            FileOp::Read { fd, buffer, max, offset } => {
                let max = (*max).min(buffer.capacity() - buffer.len());
                let result = self.play_read(fd, buffer, max, *offset);
                (result, Yielded::Bytes(std::mem::take(buffer)))
            }
            FileOp::Write { fd, bytes, from, offset } => {
                let result = self.play_write(fd, bytes.get(*from..).unwrap_or_default(), *offset);
                (result, Yielded::Bytes(std::mem::take(bytes)))
            }
            op => match self.play_other(host, op) {
                Ok((count, yielded)) => (Ok(count), yielded),
                Err(errno) => (Err(errno), Yielded::Nothing),
            },
        };
        self.note(outcome.0.map_or_else(|errno| (1 << 40) | errno as u64, |count| count as u64));
        outcome
    }

    fn play_read(&mut self, fd: &Fd, buffer: &mut Vec<u8>, max: usize, offset: u64) -> Result<usize, Errno> {
        let file = self.file_of(fd)?;
        let hot = self.hot(file, offset, max)?;
        if max == 0 {
            return Ok(0);
        }
        if hot.is_none() && self.file_op_fails() {
            return Err(libc::EIO);
        }
        let (disk, inode) = self.disk_of(file);
        let left = disk.content(inode)?.left(offset, max);
        let count = self.shortened(left);
        if count > 0 {
            self.read_file(file, offset, count, |part| buffer.extend_from_slice(part))?;
        }
        Ok(count)
    }

    fn play_write(&mut self, fd: &Fd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let file = self.file_of(fd)?;
        if !bytes.is_empty() && self.file_op_fails() {
            return Err([libc::EIO, libc::ENOSPC][self.uniform(Kind::Fail, 2) as usize]);
        }
        self.write_file(file, offset, bytes)
    }

    fn play_other(&mut self, host: u32, op: &FileOp) -> Result<(usize, Yielded), Errno> {
        let fails = !matches!(op, FileOp::Advise { .. }) && self.file_op_fails();
        match op {
            FileOp::Sync { fd, .. } => {
                let file = self.file_of(fd)?;
                let (disk, inode) = self.disk_of(file);
                if fails {
                    if let Ok(content) = disk.content(inode) {
                        content.sync_failed();
                    }
                    return Err(libc::EIO);
                }
                disk.sync(inode);
            }
            _ if fails => return Err(libc::EIO),
            FileOp::Open { path, how } => {
                let base = self.base(path)?;
                let inode = self.disk(host).open(base, path.path.as_bytes(), how)?;
                return Ok((0, Yielded::Opened(self.open_file(host, inode, how)?)));
            }
            // Whoever drops the op closes it, if it was the last that held it.
            FileOp::Close { .. } => {}
            FileOp::SetLen { fd, length } => {
                let file = self.file_of(fd)?;
                if i64::try_from(*length).is_err() || !self.file(file).writes {
                    return Err(libc::EINVAL);
                }
                let (disk, inode) = self.disk_of(file);
                disk.set_length(inode, *length)?;
            }
            FileOp::Advise { fd, offset, length, advice } => {
                let (disk, inode) = self.disk_of(self.file_of(fd)?);
                if i64::try_from(*offset).is_err() || i64::try_from(*length).is_err() {
                    return Err(libc::EINVAL);
                }
                if let Ok(content) = disk.content(inode) {
                    let count = content.left(*offset, extent(*length));
                    match advice {
                        Advice::WillNeed if count > 0 => content.read(*offset, count, |_| {}),
                        // Whole pages only, as the kernel has it.
                        Advice::DontNeed => {
                            content.evict(offset.next_multiple_of(PAGE), extent(*length) as u64)
                        }
                        _ => {}
                    }
                }
            }
            FileOp::Load { fd, offset, length } => {
                let file = self.file_of(fd)?;
                if !self.file(file).reads {
                    return Err(libc::EBADF);
                }
                if i64::try_from(*offset).is_err() {
                    return Err(libc::EINVAL);
                }
                let (disk, inode) = self.disk_of(file);
                let content = disk.content(inode)?;
                let count = content.left(*offset, extent(*length));
                if count > 0 {
                    content.read(*offset, count, |_| {});
                }
            }
            FileOp::Stat { target } => {
                let (disk, inode) = self.target(host, target)?;
                return Ok((0, Yielded::Stat(Box::new(disk.stat(inode)))));
            }
            FileOp::SetMode { target, mode } => {
                let (disk, inode) = self.target(host, target)?;
                disk.set_mode(inode, *mode);
            }
            FileOp::List { fd } => return self.play_list(self.file_of(fd)?),
            FileOp::MakeDir { path, mode } => {
                let base = self.base(path)?;
                self.disk(host).make_directory(base, path.path.as_bytes(), *mode)?;
            }
            FileOp::Remove { path, directory } => {
                let base = self.base(path)?;
                self.disk(host).remove(base, path.path.as_bytes(), *directory)?;
            }
            FileOp::Rename { from, to } => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                self.disk(host).rename(from, to)?;
            }
            FileOp::Link { from, to } => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                self.disk(host).link(from, to)?;
            }
            FileOp::Symlink { target, path } => {
                let base = self.base(path)?;
                self.disk(host).symlink(target.as_bytes(), base, path.path.as_bytes())?;
            }
            FileOp::ReadLink { path } => {
                let base = self.base(path)?;
                return bytes(self.disk(host).read_link(base, path.path.as_bytes())?);
            }
            FileOp::Canonicalize { path } => {
                let base = self.base(path)?;
                return bytes(self.disk(host).canonicalize(base, path.path.as_bytes())?);
            }
            _ => return Err(libc::ENOSYS),
        }
        Ok((0, Yielded::Nothing))
    }

    fn play_list(&mut self, file: u32) -> Result<(usize, Yielded), Errno> {
        if self.file(file).listing.is_none() {
            let (disk, inode) = self.disk_of(file);
            let entries = disk.entries(inode)?;
            self.file(file).listing = Some(VecDeque::from(entries));
        }
        let left = self.file(file).listing.get_or_insert_default();
        let count = left.len().min(ENTRIES);
        let entries: Vec<_> = left.drain(..count).collect();
        Ok((count, Yielded::Entries(entries.into())))
    }

    /// The folder that a relative path starts from.
    fn base(&mut self, path: &FilePath) -> Result<u32, Errno> {
        match &path.base {
            Some(base) => {
                let file = self.file_of(base)?;
                Ok(self.file(file).inode)
            }
            None => Ok(ROOT),
        }
    }

    fn place<'a>(&mut self, path: &'a FilePath) -> Result<(u32, &'a [u8]), Errno> {
        Ok((self.base(path)?, CString::as_bytes(&path.path)))
    }

    /// The disk and inode that an op is about.
    fn target(&mut self, host: u32, target: &Target) -> Result<(&mut super::Disk, u32), Errno> {
        match target {
            Target::Fd(fd) => Ok(self.disk_of(self.file_of(fd)?)),
            Target::Path { path, follow } => {
                let base = self.base(path)?;
                let disk = self.disk(host);
                let inode = disk.resolve(base, path.path.as_bytes(), *follow)?;
                Ok((disk, inode))
            }
        }
    }

    /// Power of a host fails: its disk keeps what was synced, and of the rest what the choices say. Nobody of the host may
    /// use a file that was open.
    pub(crate) fn crash_disk(&mut self, host: u32) {
        self.with_disk(host, |disk, choose| disk.crash(choose));
    }

    /// A bit of a host's disk turns over. False: nothing is on it.
    pub(crate) fn rot_disk(&mut self, host: u32) -> bool {
        self.with_disk(host, |disk, choose| disk.rot(choose))
    }

    fn with_disk<T>(
        &mut self,
        host: u32,
        f: impl FnOnce(&mut super::Disk, &mut dyn FnMut(u32) -> u32) -> T,
    ) -> T {
        let empty = super::Disk::new(0, 0);
        let mut disk = std::mem::replace(self.disk(host), empty);
        let result = f(&mut disk, &mut |options| self.uniform(Kind::Crash, options));
        *self.disk(host) = disk;
        result
    }
}

fn bytes(bytes: Vec<u8>) -> Result<(usize, Yielded), Errno> {
    Ok((bytes.len(), Yielded::Bytes(bytes)))
}
