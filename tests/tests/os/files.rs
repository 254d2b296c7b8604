//! Files for the cases: a folder of their own, and ops on paths in it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pirn::os::file::{Entry, FilePath, OpenHow, Stat, Target};
use pirn::os::{Completion, Fd, FileOp, Op, Yielded};

use super::world::{Bench, World, bytes_of, errno, number};

/// A bench with a folder of its own, which goes with it.
pub(crate) struct Files {
    pub(crate) bench: Bench,
    pub(crate) folder: PathBuf,
}

impl World {
    /// A bench with a folder.
    pub(crate) fn files(&self) -> Files {
        let name = format!("pirn-os-{:016x}", self.os.entropy());
        let folder = std::env::temp_dir().join(name);
        let mut files = Files { bench: self.bench(1, 16), folder };
        let made = files.run(FileOp::MakeDir { path: path(&files.folder.clone()), mode: 0o755 });
        assert_eq!(number(&made), 0);
        files
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // The simulator's folder does not exist here.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A path as an op takes it.
pub(crate) fn path(of: &Path) -> FilePath {
    CString::new(of.as_os_str().as_bytes()).expect("no zero byte").into()
}

/// To read and write, making the file if it is not there.
pub(crate) fn making() -> OpenHow {
    OpenHow { read: true, write: true, create: true, mode: 0o644, ..OpenHow::default() }
}

/// To read.
pub(crate) fn reading() -> OpenHow {
    OpenHow { read: true, ..OpenHow::default() }
}

impl Files {
    /// The path of a name in the folder.
    pub(crate) fn at(&self, name: &str) -> FilePath {
        // Joined by hand: a slash at the end matters.
        let whole = format!("{}/{name}", self.folder.display());
        CString::new(whole).expect("no zero byte").into()
    }

    /// Submits and sees it through.
    pub(crate) fn run(&mut self, op: FileOp) -> Completion {
        let op = self.bench.submit(Op::File(op));
        self.bench.wait(op)
    }

    /// The errno of an op that has to fail.
    #[track_caller]
    pub(crate) fn fails(&mut self, op: FileOp) -> i32 {
        let completion = self.run(op);
        match errno(&completion) {
            Some(errno) => errno,
            None => panic!("should have failed: {completion:?}"),
        }
    }

    /// Runs an op that answers with success alone.
    #[track_caller]
    pub(crate) fn does(&mut self, op: FileOp) {
        let completion = self.run(op);
        assert_eq!(number(&completion), 0);
        assert!(matches!(completion.yielded, Yielded::Nothing), "{completion:?}");
    }

    #[track_caller]
    pub(crate) fn open(&mut self, name: &str, how: OpenHow) -> Fd {
        let completion = self.run(FileOp::Open { path: self.at(name), how });
        opened(completion)
    }

    /// The errno of an open that has to fail.
    #[track_caller]
    pub(crate) fn open_fails(&mut self, name: &str, how: OpenHow) -> i32 {
        self.fails(FileOp::Open { path: self.at(name), how })
    }

    /// Makes a file with this content.
    pub(crate) fn make(&mut self, name: &str, bytes: &[u8]) -> Fd {
        let fd = self.open(name, OpenHow { truncate: true, ..making() });
        self.write(&fd, bytes, 0);
        fd
    }

    /// Writes all.
    #[track_caller]
    pub(crate) fn write(&mut self, fd: &Fd, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let offset = offset + done as u64;
            let op = FileOp::Write { fd: fd.clone(), bytes: bytes.to_vec(), from: done, offset };
            let completion = self.run(op);
            let count = number(&completion);
            assert!(count > 0 && count <= bytes.len() - done, "a write wrote {count}");
            assert_eq!(bytes_of(completion), bytes, "the buffer comes back as it was");
            done += count;
        }
    }

    /// Reads at most `max` bytes.
    #[track_caller]
    pub(crate) fn read_some(&mut self, fd: &Fd, max: usize, offset: u64) -> Vec<u8> {
        let buffer = Vec::with_capacity(max);
        let completion = self.run(FileOp::Read { fd: fd.clone(), buffer, max, offset });
        let count = number(&completion);
        let bytes = bytes_of(completion);
        assert_eq!(bytes.len(), count, "a read's result counts its bytes");
        assert!(count <= max);
        bytes
    }

    /// Reads until `max` bytes are there or the file ends.
    #[track_caller]
    pub(crate) fn read(&mut self, fd: &Fd, max: usize, offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < max {
            let more = self.read_some(fd, max - all.len(), offset + all.len() as u64);
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        all
    }

    /// What is known of an open file.
    #[track_caller]
    pub(crate) fn stat(&mut self, fd: &Fd) -> Stat {
        let completion = self.run(FileOp::Stat { target: Target::Fd(fd.clone()) });
        stat_of(completion)
    }

    /// What is known of a name.
    #[track_caller]
    pub(crate) fn stat_at(&mut self, name: &str, follow: bool) -> Stat {
        let target = Target::Path { path: self.at(name), follow };
        let completion = self.run(FileOp::Stat { target });
        stat_of(completion)
    }

    /// All entries of a folder, sorted.
    #[track_caller]
    pub(crate) fn list(&mut self, name: &str) -> Vec<Entry> {
        let fd = self.open(name, OpenHow { directory: true, ..reading() });
        let mut all = Vec::new();
        loop {
            let completion = self.run(FileOp::List { fd: fd.clone() });
            let count = number(&completion);
            let Yielded::Entries(entries) = completion.yielded else { panic!("{completion:?}") };
            assert_eq!(entries.len(), count);
            if count == 0 {
                break;
            }
            all.extend(entries);
        }
        all.sort();
        all
    }
}

/// The file of an open.
#[track_caller]
pub(crate) fn opened(completion: Completion) -> Fd {
    number(&completion);
    match completion.yielded {
        Yielded::Opened(fd) => fd,
        other => panic!("a file was expected, not {other:?}"),
    }
}

#[track_caller]
fn stat_of(completion: Completion) -> Stat {
    number(&completion);
    match completion.yielded {
        Yielded::Stat(stat) => *stat,
        other => panic!("facts were expected, not {other:?}"),
    }
}
