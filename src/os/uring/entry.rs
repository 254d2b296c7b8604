//! File ops as entries of a ring, and what the kernel's answers come to.
//!
//! Invariants. (1) What an entry points to (path, buffer, facts) is on the heap and belongs to its [`Job`]: it stays where it is
//! while the job moves. (2) From the push of its entry until its completion was collected a job is neither dropped nor looked
//! into, for the kernel may read and write there.

use std::io;
use std::mem;
use std::sync::Arc;

use io_uring::{opcode, squeue, types};

use crate::os::file::calls::{STAT_MASK, advice_raw, at, beneath, stat_arguments, stat_of};
use crate::os::file::handle::OpenFile;
use crate::os::file::pool::give_back;
use crate::os::sys::owned;
use crate::os::{Completion, Fd, FileOp, Token, Yielded};

/// The most bytes that one entry moves: what one call moves at most.
const MOST: usize = i32::MAX as usize & !4095;
/// Errors that may be the ring's own: nothing was done, and a plain call has the last word. A thread that ends cancels what it
/// had entered, and what was to go on in such a thread fails with EFAULT.
const SUSPECT: [i32; 6] =
    [libc::ECANCELED, libc::EINTR, libc::EAGAIN, libc::EFAULT, libc::EINVAL, libc::EOPNOTSUPP];

/// An op in a ring, with all that the kernel uses of it.
pub(super) struct Job {
    pub(super) token: Token,
    op: FileOp,
    /// Where the kernel writes what is known of a file.
    facts: Option<Box<libc::statx>>,
    /// How to open beneath a folder.
    how: Option<Box<types::OpenHow>>,
    /// Its end was asked for.
    pub(super) cancelled: bool,
}

/// What became of a job.
pub(super) enum Finished {
    /// It is resolved. The rest of its op is to be dropped where no lock is held.
    Done(Completion),
    /// The ring could not do it: a plain call is to be made.
    Again(Token, FileOp),
}

/// The code of the entry for an op. `None`: io_uring has none, or none that says what is asked.
pub(super) fn code(op: &mut FileOp) -> Option<u8> {
    let small = |offset: &u64| i64::try_from(*offset).is_ok();
    match op {
        FileOp::Open { how, .. } if how.beneath => Some(opcode::OpenAt2::CODE),
        FileOp::Open { .. } => Some(opcode::OpenAt::CODE),
        // An entry would receive from a socket, and take a huge offset for "the file's own place".
        FileOp::Read { fd, offset, .. } if OpenFile::of(fd).is_ok() && small(offset) => {
            Some(opcode::Read::CODE)
        }
        FileOp::Write { fd, offset, .. } if OpenFile::of(fd).is_ok() && small(offset) => {
            Some(opcode::Write::CODE)
        }
        // What others hold stays open.
        FileOp::Close { fd } => OpenFile::sole(fd).map(|_| opcode::Close::CODE),
        FileOp::Sync { .. } => Some(opcode::Fsync::CODE),
        FileOp::SetLen { length, .. } if small(length) => Some(opcode::Ftruncate::CODE),
        // An entry's length has 32 bits.
        FileOp::Advise { offset, length, .. } if small(offset) && u32::try_from(*length).is_ok() => {
            Some(opcode::Fadvise::CODE)
        }
        FileOp::Stat { .. } => Some(opcode::Statx::CODE),
        FileOp::MakeDir { .. } => Some(opcode::MkDirAt::CODE),
        FileOp::Remove { .. } => Some(opcode::UnlinkAt::CODE),
        FileOp::Rename { .. } => Some(opcode::RenameAt::CODE),
        FileOp::Link { .. } => Some(opcode::LinkAt::CODE),
        FileOp::Symlink { .. } => Some(opcode::SymlinkAt::CODE),
        _ => None,
    }
}

fn raw(fd: &Fd) -> types::Fd {
    types::Fd(fd.raw())
}

impl Job {
    pub(super) fn new(token: Token, op: FileOp) -> Self {
        Self { token, op, facts: None, how: None, cancelled: false }
    }

    /// The entry, for an op that has a [`code`]. It points into the job.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        match &mut self.op {
            FileOp::Open { path, how } if how.beneath => {
                let (base, path) = at(path);
                let raw = beneath(how);
                let how = types::OpenHow::new().flags(raw.flags).mode(raw.mode).resolve(raw.resolve);
                let how: *const types::OpenHow = &raw const **self.how.insert(Box::new(how));
                opcode::OpenAt2::new(types::Fd(base), path, how).build()
            }
            FileOp::Open { path, how } => {
                let (base, path) = at(path);
                opcode::OpenAt::new(types::Fd(base), path).flags(how.raw()).mode(how.mode).build()
            }
            FileOp::Read { fd, buffer, max, offset } => {
                let room = buffer.spare_capacity_mut();
                let length = room.len().min(*max).min(MOST) as u32;
                // It is large, or was asked for without a wait already: straight to a thread of the kernel's, which copies, too.
                opcode::Read::new(raw(fd), room.as_mut_ptr().cast(), length)
                    .offset(*offset)
                    .build()
                    .flags(squeue::Flags::ASYNC)
            }
            FileOp::Write { fd, bytes, from, offset } => {
                let rest = bytes.get(*from..).unwrap_or_default();
                let length = rest.len().min(MOST) as u32;
                opcode::Write::new(raw(fd), rest.as_ptr(), length)
                    .offset(*offset)
                    .build()
                    .flags(squeue::Flags::ASYNC)
            }
            // A last name that is gone, a file system over a network: a close may take long.
            FileOp::Close { fd } => opcode::Close::new(raw(fd)).build().flags(squeue::Flags::ASYNC),
            FileOp::Sync { fd, data_only } => {
                let flags = if *data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(raw(fd)).flags(flags).build()
            }
            FileOp::SetLen { fd, length } => opcode::Ftruncate::new(raw(fd), *length).build(),
            FileOp::Advise { fd, offset, length, advice } => {
                opcode::Fadvise::new(raw(fd), *length as libc::off_t, advice_raw(*advice))
                    .offset(*offset)
                    .build()
            }
            FileOp::Stat { target } => {
                let (base, path, flags) = stat_arguments(target);
                // SAFETY: `statx` is plain integers; zeros are a value.
                let facts = self.facts.insert(Box::new(unsafe { mem::zeroed() }));
                let into = std::ptr::from_mut::<libc::statx>(facts).cast();
                opcode::Statx::new(types::Fd(base), path, into).flags(flags).mask(STAT_MASK).build()
            }
            FileOp::MakeDir { path, mode } => {
                let (base, path) = at(path);
                opcode::MkDirAt::new(types::Fd(base), path).mode(*mode).build()
            }
            FileOp::Remove { path, directory } => {
                let (base, path) = at(path);
                let flags = if *directory { libc::AT_REMOVEDIR } else { 0 };
                opcode::UnlinkAt::new(types::Fd(base), path).flags(flags).build()
            }
            FileOp::Rename { from, to } => {
                let ((from_base, from), (to_base, to)) = (at(from), at(to));
                opcode::RenameAt::new(types::Fd(from_base), from, types::Fd(to_base), to).build()
            }
            FileOp::Link { from, to } => {
                let ((from_base, from), (to_base, to)) = (at(from), at(to));
                opcode::LinkAt::new(types::Fd(from_base), from, types::Fd(to_base), to).build()
            }
            FileOp::Symlink { target, path } => {
                let (base, path) = at(path);
                opcode::SymlinkAt::new(types::Fd(base), target.as_ptr(), path).build()
            }
            other => unreachable!("{other:?} has no code"),
        }
    }

    /// An entry opens a named pipe as if O_NONBLOCK were asked for: with an error where an open to write would wait for its other
    /// end, and at once where one to read would.
    fn meets_a_pipe(&self, errno: i32) -> bool {
        errno == libc::ENXIO && matches!(self.op, FileOp::Open { .. })
    }

    /// What the kernel's result comes to. The job's completion was collected.
    pub(super) fn finish(mut self, result: i32) -> Finished {
        let token = self.token;
        let done = |result, yielded| Finished::Done(Completion { token, result, yielded });
        if let FileOp::Close { fd } = &mut self.op
            && result != -libc::ECANCELED
        {
            // On an error too.
            OpenFile::closed(fd);
            let result = if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(0) };
            return done(result, Yielded::Nothing);
        }
        if result < 0 {
            let suspect = SUSPECT.contains(&-result) || self.meets_a_pipe(-result);
            if suspect && !self.cancelled {
                return Finished::Again(token, self.op);
            }
            let errno = if suspect { libc::ECANCELED } else { -result };
            return done(Err(io::Error::from_raw_os_error(errno)), give_back(self.op));
        }
        let count = result as usize;
        let yielded = match &mut self.op {
            FileOp::Open { .. } => {
                // SAFETY: the kernel just opened it for this process, and nobody else knows its number.
                let file = OpenFile::new(unsafe { owned(result) });
                if file.is_pipe() {
                    return Finished::Again(token, self.op);
                }
                Yielded::Opened(Arc::new(file))
            }
            FileOp::Read { buffer, .. } => {
                let held = buffer.len();
                assert!(count <= buffer.capacity() - held, "the kernel says it read {count} bytes into less");
                // SAFETY: the kernel wrote `count` bytes behind the first `held`, and is done with them (2).
                unsafe { buffer.set_len(held + count) };
                Yielded::Bytes(mem::take(buffer))
            }
            FileOp::Write { bytes, .. } => Yielded::Bytes(mem::take(bytes)),
            FileOp::Stat { .. } => {
                let facts = self.facts.as_deref().expect("an entry that asks for facts has a place for them");
                Yielded::Stat(Box::new(stat_of(facts)))
            }
            _ => Yielded::Nothing,
        };
        let count = if matches!(yielded, Yielded::Opened(_)) { 0 } else { count };
        done(Ok(count), yielded)
    }
}
