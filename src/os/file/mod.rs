//! File ops as plain data, and what all live machines share to play them.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the ops and what they answer |
//! | `handle.rs` | an open file, and the calls on it that never block |
//! | `calls.rs` | the system calls, one an op; they may block |
//! | `pool.rs` | the side threads that make those calls, with cancel |
//!
//! A machine plays what its kernel interface can do by itself there, and hands the rest to its pool: no file op ever
//! blocks a worker. An op that a side thread has begun can't be interrupted; its cancel then loses, and its result comes.

use std::ffi::CString;
use std::time::SystemTime;

use super::Fd;

pub(super) mod calls;
pub(super) mod handle;
pub(super) mod pool;

/// Bytes that a direct call on a file moves at most, and an op that is played at once: a copy of so much takes some 20 µs, for
/// which the worker does nothing else.
pub const AT_ONCE: usize = 128 << 10;

/// One request about files. It owns all it needs.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileOp {
    /// Open: result 0 and `Yielded::Opened`.
    Open {
        /// What.
        path: FilePath,
        /// How.
        how: OpenHow,
    },
    /// Read at most `max` bytes at `offset` and append them to `buffer`, which has the room (less room: fewer bytes):
    /// the count, and the buffer (`Yielded::Bytes`), on an error too. 0 is the end of the file, or `max` was 0.
    Read {
        /// The file.
        fd: Fd,
        /// Where the bytes go, behind what it holds.
        buffer: Vec<u8>,
        /// Bytes at most.
        max: usize,
        /// Where in the file.
        offset: u64,
    },
    /// Write `bytes[from..]` at `offset` (at the end, if the file was opened to append): the count, perhaps not all,
    /// and the buffer (`Yielded::Bytes`), on an error too.
    Write {
        /// The file.
        fd: Fd,
        /// The buffer.
        bytes: Vec<u8>,
        /// Where in it to begin.
        from: usize,
        /// Where in the file.
        offset: u64,
    },
    /// Close, if nobody else holds it: result 0. It is closed on an error too, which tells of what was written before.
    Close {
        /// The file or directory.
        fd: Fd,
    },
    /// Bring what was written to the medium: result 0.
    Sync {
        /// The file or directory.
        fd: Fd,
        /// Only what is needed to read the bytes again (fdatasync).
        data_only: bool,
    },
    /// Cut or extend with zeros: result 0.
    SetLen {
        /// The file.
        fd: Fd,
        /// Its new length.
        length: u64,
    },
    /// Say what a range will be used for: result 0.
    Advise {
        /// The file.
        fd: Fd,
        /// Where the range begins.
        offset: u64,
        /// Its length; 0: to the end.
        length: u64,
        /// What for.
        advice: Advice,
    },
    /// Bring a range into memory: result 0 when it is there.
    Load {
        /// The file.
        fd: Fd,
        /// Where the range begins.
        offset: u64,
        /// Its length; 0: to the end.
        length: u64,
    },
    /// Ask what is known of it: result 0 and `Yielded::Stat`.
    Stat {
        /// Of what.
        target: Target,
    },
    /// Set its permission bits: result 0. A symbolic link is followed.
    SetMode {
        /// Of what.
        target: Target,
        /// The bits, 0o7777 at most.
        mode: u32,
    },
    /// The next entries of a directory, without `.` and `..`: how many, and `Yielded::Entries`. 0 is the end. The place is the
    /// open directory's own, so one at a time.
    List {
        /// The directory.
        fd: Fd,
    },
    /// Make a directory: result 0.
    MakeDir {
        /// Where.
        path: FilePath,
        /// Its permission bits before the process' mask.
        mode: u32,
    },
    /// Remove a name: result 0.
    Remove {
        /// Which.
        path: FilePath,
        /// It is an empty directory (else it must be none).
        directory: bool,
    },
    /// Give it another name, in place of what has that name: result 0.
    Rename {
        /// The old name.
        from: FilePath,
        /// The new name.
        to: FilePath,
    },
    /// Give it one more name: result 0. A symbolic link is linked itself.
    Link {
        /// The name that is there.
        from: FilePath,
        /// The new name.
        to: FilePath,
    },
    /// Make a symbolic link: result 0.
    Symlink {
        /// What it says.
        target: CString,
        /// Where it stands.
        path: FilePath,
    },
    /// What a symbolic link says: the length and `Yielded::Bytes`.
    ReadLink {
        /// The link.
        path: FilePath,
    },
    /// The absolute path without links: its length and `Yielded::Bytes`.
    Canonicalize {
        /// Of what.
        path: FilePath,
    },
}

/// A path, and the open directory it starts from if it is relative.
#[derive(Clone, Debug)]
pub struct FilePath {
    /// The directory; `None`: the process' own.
    pub base: Option<Fd>,
    /// The path.
    pub path: CString,
}

impl From<CString> for FilePath {
    fn from(path: CString) -> Self {
        Self { base: None, path }
    }
}

/// What an op is about: an open file, or a name.
#[derive(Clone, Debug)]
pub enum Target {
    /// An open file or directory.
    Fd(Fd),
    /// A name.
    Path {
        /// The name.
        path: FilePath,
        /// Whether a symbolic link at its end stands for what it says.
        follow: bool,
    },
}

/// How to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// Each write goes to the end (and may write).
    pub append: bool,
    /// Cut to nothing.
    pub truncate: bool,
    /// Make it if it is not there.
    pub create: bool,
    /// Make it, and fail if it is there.
    pub create_new: bool,
    /// It must be a directory.
    pub directory: bool,
    /// A symbolic link at the end of the path is refused (ELOOP).
    pub no_follow: bool,
    /// Nothing outside of the path's base is reached: an absolute path, a `..` above the base, and a symbolic link that leads
    /// out or is absolute are refused (EXDEV). Linux 5.6 (openat2); ENOSYS before, or where a filter refuses the call.
    pub beneath: bool,
    /// Permission bits of a file that is made, before the process' mask.
    pub mode: u32,
    /// Other flags of open(2), as they are.
    pub flags: i32,
}

impl OpenHow {
    /// The flags of open(2).
    pub fn raw(&self) -> i32 {
        let access = match (self.read, self.write || self.append) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            _ => libc::O_RDONLY,
        };
        let flag = |on: bool, flag: i32| if on { flag } else { 0 };
        access
            | libc::O_CLOEXEC
            | flag(self.append, libc::O_APPEND)
            | flag(self.truncate, libc::O_TRUNC)
            | flag(self.create || self.create_new, libc::O_CREAT)
            | flag(self.create_new, libc::O_EXCL)
            | flag(self.directory, libc::O_DIRECTORY)
            | flag(self.no_follow, libc::O_NOFOLLOW)
            | (self.flags & !libc::O_ACCMODE)
    }
}

/// What a range of a file will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing special.
    Normal,
    /// Reads in order.
    Sequential,
    /// Reads in any order.
    Random,
    /// It will be read soon: bring it into memory now.
    WillNeed,
    /// It will not be read soon: its clean pages may leave memory.
    DontNeed,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// The file system does not say.
    Unknown,
}

impl FileKind {
    /// From the type bits of `st_mode`.
    pub fn from_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR => Self::CharDevice,
            libc::S_IFBLK => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, 0o7777 at most.
    pub mode: u32,
    /// Bytes.
    pub length: u64,
    /// Its number on its device.
    pub inode: u64,
    /// Its device.
    pub device: u64,
    /// Names it has.
    pub links: u64,
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Bytes of a good read or write.
    pub block_size: u64,
    /// 512-byte blocks it takes.
    pub blocks: u64,
    /// Last read.
    pub accessed: SystemTime,
    /// Last written.
    pub modified: SystemTime,
    /// Last changed, the facts here included.
    pub changed: SystemTime,
    /// Made, where the file system keeps that.
    pub created: Option<SystemTime>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is, as far as the directory says.
    pub kind: FileKind,
    /// Its number.
    pub inode: u64,
}
