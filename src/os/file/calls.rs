//! The system calls about files, one an op. They block as long as the medium takes.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libc::{c_char, c_int, off_t};

use super::handle::{OpenFile, Played};
use super::{Advice, Entry, FileKind, FileOp, FilePath, OpenHow, Stat, Target};
use crate::os::sys::{check, owned};
use crate::os::{Fd, Yielded};

/// The most slices one call takes (IOV_MAX).
const SLICES: usize = 1024;
/// Bytes of directory entries that one call asks for.
const ENTRIES: usize = 32 << 10;

/// Repeats a call that a signal interrupts.
pub(super) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => return result,
        }
    }
}

fn check_size(returned: isize) -> io::Result<usize> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned as usize) }
}

/// An offset in the kernel's form. Larger ones would mean "the file's own position".
fn place(offset: u64) -> io::Result<off_t> {
    off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The descriptor and the path of an "at" call.
pub(in crate::os) fn at(path: &FilePath) -> (RawFd, *const c_char) {
    (path.base.as_ref().map_or(libc::AT_FDCWD, |base| base.raw()), path.path.as_ptr())
}

/// Reads at an offset.
pub(super) fn read_slices(
    fd: RawFd,
    into: &mut [IoSliceMut<'_>],
    offset: u64,
    flags: c_int,
) -> io::Result<usize> {
    let count = into.len().min(SLICES) as c_int;
    // SAFETY: `IoSliceMut` has the layout of `iovec` (std's promise), and each describes writable memory.
    check_size(unsafe { libc::preadv2(fd, into.as_mut_ptr().cast(), count, place(offset)?, flags) })
}

/// Reads at an offset and appends at most `max` bytes to `buffer`, as far as it has room.
pub(super) fn read_append(
    fd: RawFd,
    buffer: &mut Vec<u8>,
    max: usize,
    offset: u64,
    flags: c_int,
) -> io::Result<usize> {
    let held = buffer.len();
    let room: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len().min(max) };
    // SAFETY: `slice` describes the unused capacity of `buffer`, and the kernel only writes.
    let count = check_size(unsafe { libc::preadv2(fd, &slice, 1, place(offset)?, flags) })?;
    // SAFETY: the kernel wrote `count` bytes behind the first `held`, and they fit the capacity.
    unsafe { buffer.set_len(held + count) };
    Ok(count)
}

/// Writes at an offset.
pub(super) fn write_slices(fd: RawFd, from: &[IoSlice<'_>], offset: u64, flags: c_int) -> io::Result<usize> {
    let count = from.len().min(SLICES) as c_int;
    // SAFETY: `IoSlice` has the layout of `iovec`, and each describes readable memory.
    check_size(unsafe { libc::pwritev2(fd, from.as_ptr().cast(), count, place(offset)?, flags) })
}

/// Makes the call of an op and waits for it. What the op holds besides its buffer is dropped before the return.
pub(in crate::os) fn play(op: FileOp) -> Played {
    match op {
        FileOp::Open { path, how } => match open_again(&path, &how) {
            Ok(fd) => (Ok(0), Yielded::Opened(fd)),
            Err(error) => (Err(error), Yielded::Nothing),
        },
        FileOp::Read { fd, mut buffer, max, offset } => {
            let result = again(|| read_append(fd.raw(), &mut buffer, max, offset, 0));
            (result, Yielded::Bytes(buffer))
        }
        FileOp::Write { fd, bytes, from, offset } => {
            let slice = [IoSlice::new(bytes.get(from..).unwrap_or_default())];
            let result = again(|| write_slices(fd.raw(), &slice, offset, 0));
            (result, Yielded::Bytes(bytes))
        }
        FileOp::Stat { target } => match again(|| stat(&target)) {
            Ok(stat) => (Ok(0), Yielded::Stat(Box::new(stat))),
            Err(error) => (Err(error), Yielded::Nothing),
        },
        FileOp::List { fd } => match again(|| list(fd.raw())) {
            Ok(entries) => (Ok(entries.len()), Yielded::Entries(entries.into())),
            Err(error) => (Err(error), Yielded::Nothing),
        },
        FileOp::Close { fd } => (close(fd).map(|()| 0), Yielded::Nothing),
        FileOp::ReadLink { path } => bytes(again(|| read_link(&path))),
        FileOp::Canonicalize { path } => bytes(canonicalize(&path)),
        FileOp::Load { fd, offset, length } => (load(fd.raw(), offset, length).map(|()| 0), Yielded::Nothing),
        op => (again(|| simple(&op)).map(|()| 0), Yielded::Nothing),
    }
}

fn bytes(result: io::Result<Vec<u8>>) -> Played {
    match result {
        Ok(bytes) => (Ok(bytes.len()), Yielded::Bytes(bytes)),
        Err(error) => (Err(error), Yielded::Nothing),
    }
}

/// Brings a range into memory, a length of 0 up to the end of the file: asks for all of it, then waits for a byte of each step.
fn load(fd: RawFd, offset: u64, length: u64) -> io::Result<()> {
    // Many a device reads no more ahead than this at one request.
    const STEP: u64 = 128 << 10;
    // SAFETY: `stat` is plain integers; zeros are a value.
    let mut facts: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `facts` is valid for writing.
    check(unsafe { libc::fstat(fd, &mut facts) })?;
    let held = u64::try_from(facts.st_size).unwrap_or(0);
    let end = if length == 0 { held } else { offset.saturating_add(length).min(held) };
    let steps = || (0..).map(|step| offset + step * STEP).take_while(|at| *at < end);
    for at in steps() {
        // SAFETY: no pointers. What takes no advice is read all the same.
        unsafe {
            libc::posix_fadvise(fd, place(at)?, STEP.min(end - at) as off_t, libc::POSIX_FADV_WILLNEED)
        };
    }
    // The first byte also tells what can't be read from what is empty there.
    let wait = |at| again(|| read_slices(fd, &mut [IoSliceMut::new(&mut [0])], at, 0));
    wait(offset)?;
    for at in steps() {
        wait(at + STEP.min(end - at) - 1)?;
    }
    Ok(())
}

/// Opens a path. The kernel gives up on a walk beneath a folder (EAGAIN) when something is renamed meanwhile.
fn open_again(path: &FilePath, how: &OpenHow) -> io::Result<Fd> {
    let mut left = 32;
    loop {
        match again(|| open(path, how)) {
            Err(error) if how.beneath && left > 0 && error.raw_os_error() == Some(libc::EAGAIN) => left -= 1,
            result => return result,
        }
    }
}

/// Opens a path.
pub(super) fn open(path: &FilePath, how: &OpenHow) -> io::Result<Fd> {
    let (base, path) = at(path);
    let fd = if how.beneath {
        let how = beneath(how);
        // SAFETY: `path` is a string with its end, alive in the caller, and `how` has the size that is named.
        let fd =
            unsafe { libc::syscall(libc::SYS_openat2, base, path, &raw const how, mem::size_of_val(&how)) };
        check(fd as c_int)?
    } else {
        // SAFETY: `path` is a string with its end, alive in the caller.
        check(unsafe { libc::openat(base, path, how.raw(), how.mode) })?
    };
    // SAFETY: the descriptor is fresh.
    Ok(Arc::new(OpenFile::new(unsafe { owned(fd) })))
}

/// How openat2 is told to stay beneath a folder.
pub(in crate::os) fn beneath(how: &OpenHow) -> libc::open_how {
    // SAFETY: `open_how` is plain integers; zeros are a value.
    let mut raw: libc::open_how = unsafe { mem::zeroed() };
    raw.flags = u64::from(how.raw() as u32);
    // Unlike openat, it takes no mode unless a file may be made.
    raw.mode = if how.create || how.create_new { u64::from(how.mode & 0o7777) } else { 0 };
    raw.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    raw
}

/// Closes a file that nobody else holds; else its last holder does. It is closed on an error too, EINTR included.
fn close(mut fd: Fd) -> io::Result<()> {
    let Some(raw) = OpenFile::sole(&mut fd) else { return Ok(()) };
    OpenFile::closed(&mut fd);
    // SAFETY: the number was this file's alone, which does not close it any more.
    check(unsafe { libc::close(raw) }).map(drop)
}

/// What an open file is.
pub(super) fn kind(fd: RawFd) -> Option<FileKind> {
    // SAFETY: `stat` is plain integers; zeros are a value.
    let mut raw: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `raw` is valid for writing.
    check(unsafe { libc::fstat(fd, &mut raw) }).ok().map(|_| FileKind::from_mode(raw.st_mode))
}

/// The ops that answer with success alone.
fn simple(op: &FileOp) -> io::Result<()> {
    let returned = match op {
        // SAFETY: no pointers.
        FileOp::Sync { fd, data_only: true } => unsafe { libc::fdatasync(fd.raw()) },
        // SAFETY: no pointers.
        FileOp::Sync { fd, data_only: false } => unsafe { libc::fsync(fd.raw()) },
        FileOp::SetLen { fd, length } => {
            let length = place(*length)?;
            // SAFETY: no pointers.
            unsafe { libc::ftruncate(fd.raw(), length) }
        }
        FileOp::Advise { fd, offset, length, advice } => {
            let (offset, length) = (place(*offset)?, place(*length)?);
            // SAFETY: no pointers. The call returns its error.
            match unsafe { libc::posix_fadvise(fd.raw(), offset, length, advice_raw(*advice)) } {
                0 => 0,
                errno => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        FileOp::SetMode { target: Target::Fd(fd), mode } => {
            // SAFETY: no pointers.
            unsafe { libc::fchmod(fd.raw(), *mode) }
        }
        FileOp::SetMode { target: Target::Path { path, .. }, mode } => {
            let (base, path) = at(path);
            // SAFETY: `path` is a string with its end, alive in the op. The same holds for all below.
            unsafe { libc::fchmodat(base, path, *mode, 0) }
        }
        FileOp::MakeDir { path, mode } => {
            let (base, path) = at(path);
            // SAFETY: as above.
            unsafe { libc::mkdirat(base, path, *mode) }
        }
        FileOp::Remove { path, directory } => {
            let (base, path) = at(path);
            // SAFETY: as above.
            unsafe { libc::unlinkat(base, path, if *directory { libc::AT_REMOVEDIR } else { 0 }) }
        }
        FileOp::Rename { from, to } => {
            let ((from_base, from), (to_base, to)) = (at(from), at(to));
            // SAFETY: as above.
            unsafe { libc::renameat(from_base, from, to_base, to) }
        }
        FileOp::Link { from, to } => {
            let ((from_base, from), (to_base, to)) = (at(from), at(to));
            // SAFETY: as above.
            unsafe { libc::linkat(from_base, from, to_base, to, 0) }
        }
        FileOp::Symlink { target, path } => {
            let (base, path) = at(path);
            // SAFETY: as above.
            unsafe { libc::symlinkat(target.as_ptr(), base, path) }
        }
        other => unreachable!("{other:?} answers with more than success"),
    };
    check(returned).map(drop)
}

/// The advice in the kernel's numbers.
pub(in crate::os) fn advice_raw(advice: Advice) -> c_int {
    match advice {
        Advice::Normal => libc::POSIX_FADV_NORMAL,
        Advice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
        Advice::Random => libc::POSIX_FADV_RANDOM,
        Advice::WillNeed => libc::POSIX_FADV_WILLNEED,
        Advice::DontNeed => libc::POSIX_FADV_DONTNEED,
    }
}

/// What statx(2) is asked: descriptor, path and flags.
pub(in crate::os) fn stat_arguments(target: &Target) -> (RawFd, *const c_char, c_int) {
    match target {
        Target::Fd(fd) => (fd.raw(), c"".as_ptr(), libc::AT_EMPTY_PATH),
        Target::Path { path, follow } => {
            let (base, path) = at(path);
            (base, path, if *follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
        }
    }
}

/// The facts that statx(2) is asked for.
pub(in crate::os) const STAT_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

fn stat(target: &Target) -> io::Result<Stat> {
    let (base, path, flags) = stat_arguments(target);
    // SAFETY: `statx` is plain integers; zeros are a value.
    let mut raw: libc::statx = unsafe { mem::zeroed() };
    // SAFETY: `path` is a string with its end, alive in `target`; `raw` is valid for writing.
    check(unsafe { libc::statx(base, path, flags, STAT_MASK, &mut raw) })?;
    Ok(stat_of(&raw))
}

/// The kernel's answer as plain data.
pub(in crate::os) fn stat_of(raw: &libc::statx) -> Stat {
    let time = |time: libc::statx_timestamp| {
        let nanos = Duration::from_nanos(u64::from(time.tv_nsec));
        match u64::try_from(time.tv_sec) {
            Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + nanos,
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(time.tv_sec.unsigned_abs()) + nanos,
        }
    };
    Stat {
        kind: FileKind::from_mode(u32::from(raw.stx_mode)),
        mode: u32::from(raw.stx_mode) & 0o7777,
        length: raw.stx_size,
        inode: raw.stx_ino,
        device: libc::makedev(raw.stx_dev_major, raw.stx_dev_minor),
        links: u64::from(raw.stx_nlink),
        user: raw.stx_uid,
        group: raw.stx_gid,
        block_size: u64::from(raw.stx_blksize),
        blocks: raw.stx_blocks,
        accessed: time(raw.stx_atime),
        modified: time(raw.stx_mtime),
        changed: time(raw.stx_ctime),
        created: (raw.stx_mask & libc::STATX_BTIME != 0).then(|| time(raw.stx_btime)),
    }
}

/// The next entries; none at the end.
fn list(fd: RawFd) -> io::Result<Vec<Entry>> {
    let mut buffer = vec![0u8; ENTRIES];
    loop {
        // SAFETY: pointer and length are those of `buffer`.
        let count = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
        let count = check_size(count as isize)?;
        let entries = entries(&buffer[..count]);
        if count == 0 || !entries.is_empty() {
            return Ok(entries);
        }
    }
}

/// The entries in what getdents64 wrote: inode (8), offset (8), length of the record (2), type (1), name with its end.
fn entries(mut records: &[u8]) -> Vec<Entry> {
    const NAME: usize = 19;
    let mut entries = Vec::new();
    while records.len() > NAME {
        let inode = u64::from_ne_bytes(records[..8].try_into().expect("eight bytes"));
        let length = usize::from(u16::from_ne_bytes([records[16], records[17]]));
        let (record, rest) = records.split_at(length.clamp(NAME, records.len()));
        let name = CStr::from_bytes_until_nul(&record[NAME..]).map_or(&record[NAME..], CStr::to_bytes);
        if name != b"." && name != b".." {
            // The type is the file type bits of a mode.
            let kind = FileKind::from_mode(u32::from(record[18]) << 12);
            entries.push(Entry { name: name.to_vec(), kind, inode });
        }
        records = rest;
    }
    entries
}

fn read_link(path: &FilePath) -> io::Result<Vec<u8>> {
    let (base, path) = at(path);
    let mut bytes: Vec<u8> = Vec::with_capacity(256);
    loop {
        // SAFETY: `path` is a string with its end, alive in the caller; pointer and length are those of unused capacity.
        let count =
            check_size(unsafe { libc::readlinkat(base, path, bytes.as_mut_ptr().cast(), bytes.capacity()) })?;
        if count < bytes.capacity() {
            // SAFETY: the kernel wrote `count` bytes, and they fit.
            unsafe { bytes.set_len(count) };
            return Ok(bytes);
        }
        // It may have been cut off.
        bytes.reserve(bytes.capacity() * 2);
    }
}

fn canonicalize(path: &FilePath) -> io::Result<Vec<u8>> {
    let bytes = path.path.as_bytes();
    let whole = match &path.base {
        None => bytes.to_vec(),
        Some(base) => {
            let base = CString::new(format!("/proc/self/fd/{}", base.raw())).expect("no zero byte in it");
            let mut whole = read_link(&FilePath::from(base))?;
            whole.push(b'/');
            whole.extend_from_slice(bytes);
            whole
        }
    };
    std::fs::canonicalize(OsStr::from_bytes(&whole)).map(|path| path.into_os_string().into_vec())
}

/// Whether all of `memory`, a part of a mapping of the file, is in memory. `None`: the kernel does not say (it answers
/// "yes" to those who could not write the file).
pub(in crate::os) fn resident(fd: &Fd, memory: &[u8]) -> Option<bool> {
    if memory.is_empty() {
        // It may point nowhere.
        return Some(true);
    }
    // SAFETY: no pointers; a constant of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    let start = memory.as_ptr() as usize / page * page;
    let length = memory.as_ptr() as usize + memory.len() - start;
    let mut pages = vec![0u8; length.div_ceil(page)];
    // SAFETY: `pages` has a byte for each page of the range, and mincore only looks at what is mapped there.
    let returned = unsafe { libc::mincore(start as *mut _, length, pages.as_mut_ptr().cast()) };
    if returned != 0 {
        return None;
    }
    if pages.iter().any(|page| page & 1 == 0) {
        return Some(false);
    }
    // SAFETY: an empty string with its end.
    let may_write = unsafe {
        libc::faccessat(fd.raw(), c"".as_ptr(), libc::W_OK, libc::AT_EMPTY_PATH | libc::AT_EACCESS)
    };
    (may_write == 0).then_some(true)
}
