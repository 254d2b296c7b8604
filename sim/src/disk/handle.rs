//! Open files, and the calls on them that never block.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pirn::os::file::{Entry, OpenHow};
use pirn::os::{Descriptor, Fd, FileOp, Yielded};

use super::Disk;
use crate::choice::Kind;
use crate::clock::WALL_START;
use crate::cost::Call;
use crate::net::Errno;
use crate::rng::mix_bytes;
use crate::thread::{current, here};
use crate::world::World;

/// An open file of a host.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) host: u32,
    pub(super) inode: u32,
    raw: RawFd,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) appends: bool,
    /// The entries that a listing has still to give; `None`: it has not begun.
    pub(super) listing: Option<VecDeque<Entry>>,
    closed: bool,
}

/// A simulated descriptor of a file.
#[derive(Debug)]
pub(crate) struct SimFile {
    run: u64,
    file: u32,
    raw: RawFd,
    /// A descriptor of a simulated kernel stands for the open file: this one does not close it.
    lent: AtomicBool,
}

impl Descriptor for SimFile {
    fn raw(&self) -> RawFd {
        self.raw
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if !*self.lent.get_mut()
            && let Some(executor) = current()
            && executor.world().run == self.run
        {
            executor.os_point();
            executor.world().close_file(self.file);
            executor.settle();
        }
    }
}

/// Whether this is the descriptor of a file.
pub(crate) fn is_file(fd: &Fd) -> bool {
    fd.downcast_ref::<SimFile>().is_some()
}

impl World {
    /// The open file behind a descriptor of this run.
    pub(super) fn file_of(&self, fd: &Fd) -> Result<u32, Errno> {
        match fd.downcast_ref::<SimFile>() {
            Some(fd) if self.run == fd.run => Ok(fd.file),
            _ => Err(libc::EBADF),
        }
    }

    /// The file system of a host, at the present time.
    pub(crate) fn disk(&mut self, host: u32) -> &mut Disk {
        let (host, now, capacity) = (host as usize, WALL_START + self.now, self.options.disk.capacity);
        while self.disks.len() <= host {
            self.disks.push(Disk::new(capacity, now));
        }
        let disk = &mut self.disks[host];
        disk.set_time(now);
        disk
    }

    pub(super) fn file(&mut self, file: u32) -> &mut Open {
        &mut self.files[file as usize]
    }

    /// The disk with an open file, and the number of its inode.
    pub(super) fn disk_of(&mut self, file: u32) -> (&mut Disk, u32) {
        let (host, inode) = (self.file(file).host, self.file(file).inode);
        (self.disk(host), inode)
    }

    /// Gives an inode a descriptor.
    pub(super) fn open_file(&mut self, host: u32, inode: u32, how: &OpenHow) -> Result<Fd, Errno> {
        let raw = self.net.claim(host, u32::MAX, self.options.descriptors)?;
        let writes = how.write || how.append;
        self.disk(host).inode(inode).opens += 1;
        self.files.push(Open {
            host,
            inode,
            raw,
            reads: how.read || !writes,
            writes,
            appends: how.append,
            listing: None,
            closed: false,
        });
        let file = self.files.len() as u32 - 1;
        Ok(Arc::new(SimFile { run: self.run, file, raw, lent: AtomicBool::new(false) }))
    }

    /// A descriptor of a simulated kernel stands for the open file from now on: its host, number and the open file.
    pub(crate) fn take_over(&mut self, fd: &Fd) -> Result<(u32, RawFd, u32), Errno> {
        let file = self.file_of(fd)?;
        if let Some(fd) = fd.downcast_ref::<SimFile>() {
            fd.lent.store(true, Ordering::Relaxed);
        }
        let open = self.file(file);
        Ok((open.host, std::mem::replace(&mut open.raw, -1), file))
    }

    /// An open file of a simulated kernel, for an op.
    pub(crate) fn lend(&self, file: u32) -> Fd {
        Arc::new(SimFile { run: self.run, file, raw: -1, lent: AtomicBool::new(true) })
    }

    /// An open file closes, with its descriptor if that is its own.
    pub(crate) fn close_file(&mut self, file: u32) {
        let open = self.file(file);
        if std::mem::replace(&mut open.closed, true) {
            return;
        }
        let (host, raw, inode) = (open.host, open.raw, open.inode);
        if raw >= 0 {
            self.net.release(host, raw);
        }
        let record = self.disk(host).inode(inode);
        record.opens = record.opens.saturating_sub(1);
    }

    /// Perhaps the pages that are asked for have left memory.
    pub(super) fn maybe_cold(&mut self, file: u32, offset: u64, count: usize) {
        if count > 0 && self.rarely(Kind::Cold, 2, self.options.disk.cold) != 0 {
            let (disk, inode) = self.disk_of(file);
            if let Ok(content) = disk.content(inode) {
                content.evict(offset, count as u64);
            }
        }
    }

    /// How many bytes of a read are in memory. `None`: the first is not.
    pub(super) fn hot(&mut self, file: u32, offset: u64, max: usize) -> Result<Option<usize>, Errno> {
        if !self.file(file).reads {
            return Err(libc::EBADF);
        }
        if i64::try_from(offset).is_err() {
            return Err(libc::EINVAL);
        }
        if max == 0 {
            return Ok(Some(0));
        }
        self.maybe_cold(file, offset, max);
        let (disk, inode) = self.disk_of(file);
        let Ok(content) = disk.content(inode) else { return Ok(None) };
        let left = content.left(offset, max);
        let resident = content.resident(offset, left).min(left);
        Ok(if left > 0 && resident == 0 { None } else { Some(resident) })
    }

    /// Reads from a file; what was not in memory is afterwards.
    pub(super) fn read_file(
        &mut self,
        file: u32,
        offset: u64,
        count: usize,
        mut into: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        let mut hash = 0;
        let (disk, inode) = self.disk_of(file);
        let now = disk.now;
        disk.content(inode)?.read(offset, count, |part| {
            hash = mix_bytes(hash, part);
            into(part);
        });
        disk.inode(inode).accessed = now;
        self.note(hash);
        Ok(())
    }

    /// Writes to a file: how many bytes.
    pub(super) fn write_file(&mut self, file: u32, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let open = self.file(file);
        let (appends, writes) = (open.appends, open.writes);
        if !writes {
            return Err(libc::EBADF);
        }
        if i64::try_from(offset).map_or(true, |offset| offset.checked_add(bytes.len() as i64).is_none()) {
            return Err(libc::EINVAL);
        }
        let (disk, inode) = self.disk_of(file);
        let offset = if appends { disk.content(inode)?.length() } else { offset };
        let fits = disk.fits(inode, offset, bytes.len())?;
        let count = self.shortened(fits);
        self.note(mix_bytes(offset, &bytes[..count]));
        let (disk, inode) = self.disk_of(file);
        let now = disk.now;
        if count > 0 {
            disk.content(inode)?.write(offset, &bytes[..count]);
            let record = disk.inode(inode);
            (record.modified, record.changed) = (now, now);
        }
        Ok(count)
    }
}

/// `Os::try_read_at`.
#[track_caller]
pub(crate) fn try_read_at(fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<Option<usize>> {
    let executor = here("Os::try_read_at");
    executor.world().charge_call();
    executor.world().charge(Call::Read);
    executor.os_point();
    let world = executor.world();
    let max = into.iter().map(|slice| slice.len()).sum();
    let result = world.file_of(fd).and_then(|file| {
        let Some(count) = world.hot(file, offset, max)? else { return Ok(None) };
        let count = world.shortened(count);
        let mut bytes = Vec::with_capacity(count);
        if count > 0 {
            world.read_file(file, offset, count, |part| bytes.extend_from_slice(part))?;
        }
        scatter(&bytes, into);
        Ok(Some(count))
    });
    executor.settle();
    result.map_err(io::Error::from_raw_os_error)
}

/// `Os::read_at`: the calling thread sleeps as long as an op would take.
#[track_caller]
pub(crate) fn read_at(fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
    let executor = here("Os::read_at");
    let max = into.iter().map(|slice| slice.len()).sum();
    let mut op = FileOp::Read { fd: Arc::clone(fd), buffer: Vec::with_capacity(max), max, offset };
    executor.sleep_for(executor.world().file_op_span(&op));
    let world = executor.world();
    let (result, yielded) = world.play_file(world.my_host(), &mut op);
    if let Yielded::Bytes(bytes) = yielded {
        scatter(&bytes, into);
    }
    executor.settle();
    result.map_err(io::Error::from_raw_os_error)
}

/// Copies bytes into slices, one after the other.
fn scatter(mut bytes: &[u8], into: &mut [IoSliceMut<'_>]) {
    for slice in into {
        let (now, later) = bytes.split_at(slice.len().min(bytes.len()));
        slice[..now.len()].copy_from_slice(now);
        bytes = later;
    }
}

/// `Os::try_write_at`.
#[track_caller]
pub(crate) fn try_write_at(fd: &Fd, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>> {
    let executor = here("Os::try_write_at");
    executor.os_point();
    let world = executor.world();
    let result = world.file_of(fd).and_then(|file| {
        if world.rarely(Kind::Cold, 2, world.options.disk.cold) != 0 {
            return Ok(None);
        }
        let bytes: Vec<u8> = from.iter().flat_map(|slice| slice.iter().copied()).collect();
        world.write_file(file, offset, &bytes).map(Some)
    });
    executor.settle();
    result.map_err(io::Error::from_raw_os_error)
}
