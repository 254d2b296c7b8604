//! What threads of the kernel do for a ring: files, and pipes that block.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};

use super::uring::{Ring, at, cancel, ring};
use super::{Case, Log, checked, owned};
use crate::os::world::World;

pub(super) const CASES: &[(&str, Case)] = &[
    ("a_file", a_file),
    ("names", names),
    ("a_chain_of_file_ops", a_chain_of_file_ops),
    ("refused_file_ops", refused_file_ops),
    ("a_cancel_meets_a_file_op", a_cancel_meets_a_file_op),
    ("a_cancel_meets_a_thread", a_cancel_meets_a_thread),
    ("a_splice", a_splice),
];

const HERE: Fd = Fd(libc::AT_FDCWD);

/// A folder of its own, and paths in it.
struct Folder(String);

impl Folder {
    fn new(ring: &mut Ring, world: &World) -> Self {
        let name = format!("pirn-kernel-{:016x}", world.os.entropy());
        // The simulated disk has its own root, whatever the process calls its folder for temporary files.
        let base = if world.os.name() == "sim" { "/".into() } else { std::env::temp_dir() };
        let folder = Self(base.join(name).display().to_string());
        assert_eq!(ring.one(opcode::MkDirAt::new(HERE, folder.path("").as_ptr()).mode(0o755).build()), 0);
        folder
    }

    fn path(&self, name: &str) -> CString {
        CString::new(format!("{}/{name}", self.0)).expect("no zero byte")
    }

    fn remove(self, ring: &mut Ring, names: &[&str]) {
        for name in names {
            let path = self.path(name);
            assert_eq!(ring.one(opcode::UnlinkAt::new(HERE, path.as_ptr()).build()), 0, "{name}");
        }
        let path = self.path("");
        let entry = opcode::UnlinkAt::new(HERE, path.as_ptr()).flags(libc::AT_REMOVEDIR).build();
        assert_eq!(ring.one(entry), 0, "the folder");
    }
}

impl Ring {
    /// Submits one entry and waits for its result. What it points to outlives the call.
    fn one(&mut self, entry: Entry) -> i32 {
        self.push(entry, 1);
        self.wait(1)[0].1
    }

    fn open(&mut self, folder: &Folder, name: &str, flags: i32) -> Result<OwnedFd, i32> {
        let path = folder.path(name);
        let entry = opcode::OpenAt::new(HERE, path.as_ptr()).flags(flags | libc::O_CLOEXEC).mode(0o640);
        match self.one(entry.build()) {
            fd if fd >= 0 => Ok(owned(fd)),
            errno => Err(errno),
        }
    }

    fn write(&mut self, file: &OwnedFd, bytes: &[u8], offset: u64) -> i32 {
        self.one(opcode::Write::new(at(file), bytes.as_ptr(), bytes.len() as u32).offset(offset).build())
    }

    /// The result and what stands in a buffer of eight bytes then.
    fn read(&mut self, file: &OwnedFd, offset: u64, flags: Flags) -> (i32, String) {
        let mut bytes = *b"........";
        let entry = opcode::Read::new(at(file), bytes.as_mut_ptr(), 8).offset(offset).build().flags(flags);
        let result = self.one(entry);
        // SAFETY: the array, which the kernel wrote to behind the compiler's back.
        let bytes = unsafe { std::ptr::read_volatile(&raw const bytes) };
        (result, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Kind and permissions, names, bytes; or the error.
    fn stat(&mut self, folder: &Folder, name: &str, flags: i32) -> Result<(u16, u32, u64), i32> {
        let path = folder.path(name);
        let mut facts = std::mem::MaybeUninit::<libc::statx>::zeroed();
        let entry = opcode::Statx::new(HERE, path.as_ptr(), facts.as_mut_ptr().cast())
            .flags(flags)
            .mask(libc::STATX_BASIC_STATS)
            .build();
        match self.one(entry) {
            0 => {
                // SAFETY: the kernel filled it; plain integers.
                let facts = unsafe { std::ptr::read_volatile(facts.as_ptr()) };
                Ok((facts.stx_mode, facts.stx_nlink, facts.stx_size))
            }
            errno => Err(errno),
        }
    }
}

fn a_file(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let folder = Folder::new(&mut ring, world);
    log.line(format_args!("{:?}", ring.open(&folder, "file", libc::O_RDWR).err()));
    let file = ring.open(&folder, "file", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).expect("a new file");
    log.line(format_args!("{:?}", ring.open(&folder, "file", libc::O_CREAT | libc::O_EXCL).err()));
    log.line(format_args!("{} {}", ring.write(&file, b"hello", 0), ring.write(&file, b"there", 3)));
    log.line(format_args!("{:?}", ring.read(&file, 0, Flags::empty())));
    log.line(format_args!("{:?}", ring.read(&file, 2, Flags::ASYNC)));
    log.line(format_args!("{:?}", ring.read(&file, 100, Flags::ASYNC)));
    log.line(format_args!("{}", ring.one(opcode::Fsync::new(at(&file)).build())));
    log.line(format_args!("{}", ring.one(opcode::Fsync::new(at(&file)).flags(FsyncFlags::DATASYNC).build())));
    log.line(format_args!("{:?}", ring.stat(&folder, "file", 0)));
    log.line(format_args!("{}", ring.one(opcode::Ftruncate::new(at(&file), 2).build())));
    let advice = opcode::Fadvise::new(at(&file), 0, libc::POSIX_FADV_DONTNEED).build();
    log.line(format_args!("{} {:?}", ring.one(advice), ring.read(&file, 0, Flags::empty())));
    log.line(format_args!("{} {:?}", ring.write(&file, b"x", 9), ring.stat(&folder, "file", 0)));
    // A name that is gone leaves the file to those who have it open.
    folder.remove(&mut ring, &["file"]);
    log.line(format_args!("{:?}", ring.read(&file, 8, Flags::ASYNC)));
    use std::os::fd::IntoRawFd;
    let number = Fd(file.into_raw_fd());
    let closes = [0, 1].map(|_| ring.one(opcode::Close::new(number).build()));
    log.line(format_args!("{closes:?}"));
}

fn names(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let folder = Folder::new(&mut ring, world);
    drop(ring.open(&folder, "one", libc::O_WRONLY | libc::O_CREAT).expect("a file"));
    let [one, two, three, sub] = ["one", "two", "three", "sub"].map(|name| folder.path(name));
    log.line(format_args!(
        "{}",
        ring.one(opcode::LinkAt::new(HERE, one.as_ptr(), HERE, two.as_ptr()).build())
    ));
    log.line(format_args!(
        "{}",
        ring.one(opcode::LinkAt::new(HERE, one.as_ptr(), HERE, two.as_ptr()).build())
    ));
    log.line(format_args!("{:?}", ring.stat(&folder, "two", 0)));
    let link =
        |ring: &mut Ring| ring.one(opcode::SymlinkAt::new(HERE, c"one".as_ptr(), three.as_ptr()).build());
    log.line(format_args!("{} {}", link(&mut ring), link(&mut ring)));
    let kind = |(mode, ..): (u16, u32, u64)| u32::from(mode) & libc::S_IFMT;
    log.line(format_args!("{:?}", ring.stat(&folder, "three", 0).map(kind)));
    log.line(format_args!("{:?}", ring.stat(&folder, "three", libc::AT_SYMLINK_NOFOLLOW).map(kind)));
    let make = |ring: &mut Ring| ring.one(opcode::MkDirAt::new(HERE, sub.as_ptr()).mode(0o755).build());
    log.line(format_args!("{} {}", make(&mut ring), make(&mut ring)));
    let inner = folder.path("sub/inner");
    log.line(format_args!(
        "{}",
        ring.one(opcode::RenameAt::new(HERE, two.as_ptr(), HERE, inner.as_ptr()).build())
    ));
    log.line(format_args!("{:?} {:?}", ring.stat(&folder, "two", 0), ring.stat(&folder, "sub/inner", 0)));
    let remove = |ring: &mut Ring, path: &CString, flags: i32| {
        ring.one(opcode::UnlinkAt::new(HERE, path.as_ptr()).flags(flags).build())
    };
    log.line(format_args!("{}", remove(&mut ring, &sub, 0)));
    log.line(format_args!("{}", remove(&mut ring, &sub, libc::AT_REMOVEDIR)));
    log.line(format_args!("{}", remove(&mut ring, &one, libc::AT_REMOVEDIR)));
    // From an open directory on.
    let directory = ring.open(&folder, "sub", libc::O_RDONLY | libc::O_DIRECTORY).expect("a directory");
    log.line(format_args!("{}", ring.one(opcode::UnlinkAt::new(at(&directory), c"inner".as_ptr()).build())));
    log.line(format_args!("{}", remove(&mut ring, &sub, libc::AT_REMOVEDIR)));
    folder.remove(&mut ring, &["one", "three"]);
}

fn a_chain_of_file_ops(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let folder = Folder::new(&mut ring, world);
    let file = ring.open(&folder, "file", libc::O_RDWR | libc::O_CREAT).expect("a file");
    let mut bytes = [0_u8; 4];
    ring.push(opcode::Write::new(at(&file), b"abcd".as_ptr(), 4).build().flags(Flags::IO_LINK), 1);
    ring.push(opcode::Fsync::new(at(&file)).build().flags(Flags::IO_LINK), 2);
    ring.push(opcode::Read::new(at(&file), bytes.as_mut_ptr(), 4).build(), 3);
    log.line(format_args!("{:?}", ring.wait(3)));
    // SAFETY: the array, which the kernel wrote to behind the compiler's back.
    log.line(format_args!("{:?}", unsafe { std::ptr::read_volatile(&raw const bytes) }));
    // Nothing behind one that fails.
    let path = folder.path("none");
    let entry = opcode::UnlinkAt::new(HERE, path.as_ptr()).build();
    ring.push(entry.flags(Flags::IO_LINK), 4);
    ring.push(opcode::Fsync::new(at(&file)).build(), 5);
    log.line(format_args!("{:?}", ring.wait(2)));
    folder.remove(&mut ring, &["file"]);
}

fn refused_file_ops(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let folder = Folder::new(&mut ring, world);
    let reader = ring.open(&folder, "file", libc::O_RDONLY | libc::O_CREAT).expect("a file");
    let writer = ring.open(&folder, "file", libc::O_WRONLY).expect("a file");
    log.line(format_args!("{} {:?}", ring.write(&reader, b"x", 0), ring.read(&writer, 0, Flags::empty())));
    let directory = ring.open(&folder, "", libc::O_RDONLY | libc::O_DIRECTORY).expect("the folder");
    log.line(format_args!("{:?}", ring.read(&directory, 0, Flags::empty())));
    log.line(format_args!("{}", ring.one(opcode::Ftruncate::new(at(&reader), 1).build())));
    let mut byte = [0_u8];
    log.line(format_args!("{}", ring.one(opcode::Recv::new(at(&reader), byte.as_mut_ptr(), 1).build())));
    log.line(format_args!("{}", ring.one(opcode::Fsync::new(Fd(1 << 30)).build())));
    log.line(format_args!("{:?}", ring.open(&folder, "file", libc::O_RDONLY | libc::O_DIRECTORY).err()));
    log.line(format_args!("{:?}", ring.open(&folder, "", libc::O_RDWR).err()));
    log.line(format_args!("{:?}", ring.open(&folder, "file/below", libc::O_RDONLY).err()));
    folder.remove(&mut ring, &["file"]);
}

/// Each of the three answers may come; the op's own result has to fit it.
fn a_cancel_meets_a_file_op(log: &mut Log, world: &World) {
    let mut ring = ring(4, 8);
    let folder = Folder::new(&mut ring, world);
    let file = ring.open(&folder, "file", libc::O_RDWR | libc::O_CREAT).expect("a file");
    assert_eq!(ring.write(&file, b"abcd", 0), 4);
    let mut fits = true;
    for _ in 0..16 {
        let mut bytes = [0_u8; 4];
        ring.push(opcode::Read::new(at(&file), bytes.as_mut_ptr(), 4).build().flags(Flags::ASYNC), 1);
        ring.push(cancel(1), 2);
        let mut got = Vec::new();
        while got.len() < 2 {
            got.extend(ring.wait(1));
        }
        let of = |data| got.iter().find(|cqe: &&(u64, i32, u32)| cqe.0 == data).map(|cqe| cqe.1);
        fits &= match (of(2), of(1)) {
            (Some(0), Some(result)) => result == -libc::ECANCELED,
            (Some(answer), Some(result)) => {
                [-libc::ENOENT, -libc::EALREADY].contains(&answer) && [4, -libc::EINTR].contains(&result)
            }
            _ => false,
        };
    }
    log.line(format_args!("{fits}"));
    folder.remove(&mut ring, &["file"]);
}

/// A pipe whose ends block.
fn blocking_pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for two.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
    checked(made as isize).expect("a pipe");
    let ends = ends.map(owned);
    for end in &ends {
        // SAFETY: no pointers.
        checked(unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, 0) } as isize).expect("a flag");
    }
    let [reading, writing] = ends;
    (reading, writing)
}

fn splice(from: &OwnedFd, to: &OwnedFd) -> Entry {
    opcode::Splice::new(at(from), -1, at(to), -1, 100).build()
}

fn a_cancel_meets_a_thread(log: &mut Log, _: &World) {
    let mut ring = ring(4, 8);
    let ((reading, _kept), (_other, writing)) = (blocking_pipe(), blocking_pipe());
    ring.push(splice(&reading, &writing), 1);
    log.line(format_args!("{:?}", ring.go()));
    // A thread of the kernel has begun with it by then.
    std::thread::sleep(Duration::from_millis(50));
    ring.push(cancel(1), 2);
    let mut got = Vec::new();
    while got.len() < 2 {
        got.extend(ring.wait(1));
    }
    got.sort_unstable();
    // Which error says "interrupted" depends on the kernel.
    log.line(format_args!("{} {:?}", got[0].1 < 0, got[1]));
    ring.push(cancel(1), 3);
    log.line(format_args!("{:?}", ring.go()));
}

fn a_splice(log: &mut Log, _: &World) {
    let mut ring = ring(4, 8);
    let ((reading, feeding), (result, writing)) = (blocking_pipe(), blocking_pipe());
    ring.push(splice(&reading, &writing), 1);
    log.line(format_args!("{:?}", ring.go()));
    // SAFETY: a readable buffer.
    let written = unsafe { libc::write(feeding.as_raw_fd(), b"hello".as_ptr().cast(), 5) };
    log.line(format_args!("{:?} {:?}", checked(written), ring.wait(1)));
    let mut bytes = [0_u8; 8];
    // SAFETY: a writable buffer.
    let count = unsafe { libc::read(result.as_raw_fd(), bytes.as_mut_ptr().cast(), 8) };
    log.line(format_args!("{:?} {bytes:?}", checked(count)));
    drop(feeding);
    log.line(format_args!("{}", ring.one(splice(&reading, &writing))));
}
