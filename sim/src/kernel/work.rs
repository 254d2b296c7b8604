//! Requests that threads of the kernel work on: those about files, and splices of pipes that block.
//!
//! A read or write that needs no medium is done by the enter that takes it, unless it asks for a thread; everything else about files
//! goes to one, which is done with it after the time that such an op takes. What is read and written is the host's disk, with its faults.
//!
//! A cancel meets a request that no thread has begun with (the answer is 0, and the request ends with ECANCELED), or one under way: the
//! answer is EALREADY. A thread that waits at a pipe is interrupted by that, one at a file goes on.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

use pirn::os::file::{Advice, FileKind, FilePath, OpenHow, Stat, Target};
use pirn::os::{FileOp, Yielded};

use super::Kind;
use super::request::{self, Entry, copied};
use crate::choice::Kind as Choice;
use crate::clock::Due;
use crate::net::Errno;
use crate::world::World;

/// A thread has surely begun with a request after so many nanoseconds.
const BEGINS_NS: u64 = 1_000_000;
/// What an interrupted thread leaves behind: the kernel's "begin again", which a ring hands out as it is.
pub(super) const INTERRUPTED: Errno = 512;

/// How a cancel meets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It ends.
    Waiting,
    /// A thread is at it.
    UnderWay,
    /// It ends already.
    Over,
}

/// Whether an op is about a path, so that it has no open file of its own.
fn names_a_path(op: u8) -> bool {
    use request::{LINKAT, MKDIRAT, OPENAT, RENAMEAT, STATX, SYMLINKAT, UNLINKAT};
    matches!(op, OPENAT | STATX | UNLINKAT | RENAMEAT | MKDIRAT | LINKAT | SYMLINKAT)
}

/// Whether what is linked behind an op goes on although the op fails: so it is with changes of names.
pub(super) fn fails_quietly(op: u8) -> bool {
    names_a_path(op) && !matches!(op, request::OPENAT | request::STATX)
}

/// Whether an op is about an open file of a disk and nothing else.
fn needs_a_file(op: u8) -> bool {
    matches!(op, request::FSYNC | request::FTRUNCATE | request::FADVISE)
}

/// How open(2) says it.
fn how(flags: i32, mode: u32) -> OpenHow {
    let has = |flag: i32| flags & flag != 0;
    let access = flags & libc::O_ACCMODE;
    OpenHow {
        read: access != libc::O_WRONLY,
        write: access != libc::O_RDONLY,
        append: has(libc::O_APPEND),
        truncate: has(libc::O_TRUNC),
        create: has(libc::O_CREAT),
        create_new: has(libc::O_CREAT) && has(libc::O_EXCL),
        directory: has(libc::O_DIRECTORY),
        no_follow: has(libc::O_NOFOLLOW),
        beneath: false,
        mode,
        flags: 0,
    }
}

impl World {
    /// Begins a request, if it is one of these.
    pub(super) fn issue_work(&mut self, ring: u32, request: u32, entry: Entry) -> bool {
        let path = names_a_path(entry.op);
        let opened = if path { None } else { self.open_file_of(entry.fd).ok() };
        let of_disk = opened.is_some_and(|file| matches!(self.file_at(file).kind, Kind::File(_)));
        if entry.op == request::SPLICE {
            self.issue_splice(ring, request, entry);
            return true;
        }
        if !(path || of_disk || needs_a_file(entry.op)) || entry.op == request::POLL_ADD {
            return false;
        }
        if let (Some(file), Some(record)) = (opened, self.request(ring, request)) {
            record.file = Some(file);
            self.hold(file);
        }
        match self.file_op(ring, opened, entry) {
            Err(errno) => self.finish(ring, request, Err(errno), 0),
            Ok(op) if entry.flags & request::ASYNC == 0 && self.file_op_is_hot(&op) => {
                let result = self.do_file_op(ring, op, entry);
                self.finish(ring, request, result, 0);
            }
            Ok(op) => {
                let at = self.now + self.file_op_span(&op);
                self.hand_over(ring, request);
                let serial = self.request(ring, request).map_or(0, |record| record.serial);
                self.due.push(at, Due::Work { ring, request, serial });
            }
        }
        true
    }

    fn hand_over(&mut self, ring: u32, request: u32) {
        let now = self.now;
        if let Some(record) = self.request(ring, request) {
            record.thread = Some(now);
        }
    }

    /// A thread waits at the pipe that is spliced from, as long as nothing is in it.
    fn issue_splice(&mut self, ring: u32, request: u32, entry: Entry) {
        let ends = self.open_file_of(entry.from).and_then(|from| Ok((from, self.open_file_of(entry.fd)?)));
        match ends {
            Ok((from, _)) if self.file_at(from).blocks => {
                self.hold(from);
                if let Some(record) = self.request(ring, request) {
                    record.file = Some(from);
                }
                self.hand_over(ring, request);
                self.try_request(ring, request);
            }
            // Without a wait: not modelled.
            Ok(_) => self.finish(ring, request, Err(libc::EAGAIN), 0),
            Err(errno) => self.finish(ring, request, Err(errno), 0),
        }
    }

    /// Moves what is in the pipe.
    pub(super) fn splice(&mut self, from: u32, entry: Entry) -> Result<usize, Errno> {
        let to = self.open_file_of(entry.fd)?;
        let bytes = self.read_some(from, entry.length as usize)?;
        if bytes.is_empty() { Ok(0) } else { self.write_some(to, &bytes) }
    }

    /// A thread is done with a request; whether that concerns anybody.
    pub(crate) fn work_is_done(&mut self, ring: u32, request: u32, serial: u64) -> bool {
        if self.kernel.files.len() <= ring as usize {
            return false;
        }
        let Some(record) = self.request(ring, request) else { return false };
        if record.serial != serial || record.ends.is_some() {
            return false;
        }
        let (entry, file) = (record.entry, record.file);
        let result = self.file_op(ring, file, entry).and_then(|op| self.do_file_op(ring, op, entry));
        if let Some(record) = self.request(ring, request) {
            record.outcome = Some(result);
        }
        self.queue_work(ring, request);
        true
    }

    /// How a cancel meets a request that a thread has.
    pub(super) fn meets_thread(&mut self, since: u64) -> Met {
        let begun = self.now > since + BEGINS_NS || self.uniform(Choice::Inline, 2) != 0;
        if begun { Met::UnderWay } else { Met::Waiting }
    }

    /// The op that an entry asks for.
    fn file_op(&mut self, ring: u32, file: Option<u32>, entry: Entry) -> Result<FileOp, Errno> {
        let fd = match file.map(|file| &self.file_at(file).kind) {
            Some(&Kind::File(open)) => Some(self.lend(open)),
            Some(_) if needs_a_file(entry.op) => return Err(libc::EINVAL),
            _ => None,
        };
        let first = self.path_at(ring, entry.fd, entry.address);
        let second = |world: &mut Self, base: RawFd| world.path_at(ring, base, entry.offset as usize);
        let length = entry.length as usize;
        Ok(match (entry.op, fd) {
            (request::OPENAT, _) => FileOp::Open { path: first?, how: how(entry.how as i32, entry.length) },
            (request::MKDIRAT, _) => FileOp::MakeDir { path: first?, mode: entry.length },
            (request::UNLINKAT, _) => {
                FileOp::Remove { path: first?, directory: entry.how & libc::AT_REMOVEDIR as u32 != 0 }
            }
            (request::RENAMEAT, _) => {
                FileOp::Rename { from: first?, to: second(self, entry.length as RawFd)? }
            }
            (request::LINKAT, _) => FileOp::Link { from: first?, to: second(self, entry.length as RawFd)? },
            (request::SYMLINKAT, _) => {
                // SAFETY: the submitter's promise: a text until the completion.
                let target = unsafe { text(entry.address) }?;
                FileOp::Symlink { target, path: second(self, entry.fd)? }
            }
            (request::STATX, _) => {
                let follow = entry.how & libc::AT_SYMLINK_NOFOLLOW as u32 == 0;
                FileOp::Stat { target: Target::Path { path: first?, follow } }
            }
            (request::READ, Some(fd)) => {
                FileOp::Read { fd, buffer: Vec::with_capacity(length), max: length, offset: entry.offset }
            }
            (request::WRITE, Some(fd)) => {
                // SAFETY: the submitter's promise: readable bytes until the completion.
                let bytes = unsafe { copied(entry.address, length) };
                FileOp::Write { fd, bytes, from: 0, offset: entry.offset }
            }
            (request::FSYNC, Some(fd)) => FileOp::Sync { fd, data_only: entry.how & 1 != 0 },
            (request::FTRUNCATE, Some(fd)) => FileOp::SetLen { fd, length: entry.offset },
            (request::FADVISE, Some(fd)) => {
                let advice = match entry.how as i32 {
                    libc::POSIX_FADV_SEQUENTIAL => Advice::Sequential,
                    libc::POSIX_FADV_RANDOM => Advice::Random,
                    libc::POSIX_FADV_WILLNEED => Advice::WillNeed,
                    libc::POSIX_FADV_DONTNEED => Advice::DontNeed,
                    _ => Advice::Normal,
                };
                FileOp::Advise { fd, offset: entry.offset, length: length as u64, advice }
            }
            (op, None) if needs_a_file(op) => return Err(libc::EBADF),
            (request::RECV | request::SEND | request::ACCEPT | request::CONNECT | request::SHUTDOWN, _) => {
                return Err(libc::ENOTSOCK);
            }
            // Others of a file are not modelled.
            _ => return Err(libc::EINVAL),
        })
    }

    /// The path at an address, from the directory behind a descriptor on.
    fn path_at(&mut self, ring: u32, base: RawFd, address: usize) -> Result<FilePath, Errno> {
        let host = self.file_at(ring).host;
        let base = match base {
            libc::AT_FDCWD => None,
            base => match self.file_of_host(host, base).map(|file| &self.file_at(file).kind) {
                Some(&Kind::File(open)) => Some(self.lend(open)),
                Some(_) => return Err(libc::ENOTDIR),
                None => return Err(libc::EBADF),
            },
        };
        // SAFETY: the submitter's promise: a text until the completion.
        Ok(FilePath { base, path: unsafe { text(address) }? })
    }

    /// Plays an op and delivers what it brings.
    fn do_file_op(&mut self, ring: u32, mut op: FileOp, entry: Entry) -> Result<usize, Errno> {
        let host = self.file_at(ring).host;
        let (result, yielded) = self.play_file(host, &mut op);
        let count = result?;
        match yielded {
            Yielded::Opened(fd) => {
                let (host, raw, open) = self.take_over(&fd)?;
                return Ok(self.install_at(host, raw, Kind::File(open)) as usize);
            }
            Yielded::Bytes(bytes) if entry.op == request::READ => {
                // SAFETY: the submitter's promise: as many writable bytes until the completion.
                unsafe {
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), entry.address as *mut u8, bytes.len());
                }
            }
            // SAFETY: the submitter's promise: room for what is known of a file until the completion.
            Yielded::Stat(stat) => unsafe { (entry.offset as *mut libc::statx).write(facts(&stat)) },
            _ => {}
        }
        Ok(count)
    }
}

/// The text at an address.
///
/// # Safety
/// It ends with a zero byte and is readable, or the address is 0.
unsafe fn text(address: usize) -> Result<CString, Errno> {
    if address == 0 {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's duty.
    Ok(unsafe { CStr::from_ptr(address as *const _) }.to_owned())
}

/// How statx(2) says it: kind, mode, names, bytes, number.
fn facts(stat: &Stat) -> libc::statx {
    // SAFETY: plain integers; zeros are a value.
    let mut facts: libc::statx = unsafe { std::mem::zeroed() };
    let kind = match stat.kind {
        FileKind::File => libc::S_IFREG,
        FileKind::Directory => libc::S_IFDIR,
        FileKind::Symlink => libc::S_IFLNK,
        _ => 0,
    };
    facts.stx_mask = libc::STATX_TYPE
        | libc::STATX_MODE
        | libc::STATX_NLINK
        | libc::STATX_SIZE
        | libc::STATX_INO
        | libc::STATX_BLOCKS;
    (facts.stx_mode, facts.stx_nlink) = ((kind | stat.mode) as u16, stat.links as u32);
    (facts.stx_size, facts.stx_ino) = (stat.length, stat.inode);
    (facts.stx_blocks, facts.stx_blksize) = (stat.blocks, stat.block_size as u32);
    facts
}
