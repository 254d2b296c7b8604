//! How to open a file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::op;
use super::{ColdReads, File};
use crate::os::file::{FilePath, OpenHow};
use crate::os::{Fd, FileOp};

/// How to open a file; like its namesake in `std`, and the same combinations are refused.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let log = pirn::fs::OpenOptions::new().append(true).create(true).open("log").await?;
/// log.write_all_at(b"one more line\n", 0).await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    how: OpenHow,
    cold: ColdReads,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is asked for yet; a file that is made gets the permissions 0o666 less the process' mask.
    pub fn new() -> Self {
        Self { how: OpenHow { mode: 0o666, ..OpenHow::default() }, cold: ColdReads::default() }
    }

    /// To read.
    pub fn read(&mut self, on: bool) -> &mut Self {
        self.how.read = on;
        self
    }

    /// To write, over what is there.
    pub fn write(&mut self, on: bool) -> &mut Self {
        self.how.write = on;
        self
    }

    /// To write at the end, whatever the place that a write names.
    pub fn append(&mut self, on: bool) -> &mut Self {
        self.how.append = on;
        self
    }

    /// Cuts it to nothing.
    pub fn truncate(&mut self, on: bool) -> &mut Self {
        self.how.truncate = on;
        self
    }

    /// Makes it if it is not there.
    pub fn create(&mut self, on: bool) -> &mut Self {
        self.how.create = on;
        self
    }

    /// Makes it, and fails if it is there: nobody else can have made it in between.
    pub fn create_new(&mut self, on: bool) -> &mut Self {
        self.how.create_new = on;
        self
    }

    /// The permission bits of a file that is made, before the process' mask. Default: 0o666.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.how.mode = mode;
        self
    }

    /// Further flags of open(2), such as O_NOFOLLOW; the access mode in them is ignored. The simulator ignores them all.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.how.flags = flags;
        self
    }

    /// What its reads do about bytes that are not in memory. Default: [`ColdReads::Ring`].
    ///
    /// ```
    /// use pirn::fs::{ColdReads, OpenOptions};
    /// use pirn::{Builder, Topology};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Builder::new().topology(Topology::stealing(2).with_slow(1)).build()?;
    /// runtime.block_on(async {
    ///     let file = OpenOptions::new().read(true).cold_reads(ColdReads::SlowGroup).open("Cargo.toml").await?;
    ///     let task = pirn::spawn(async move {
    ///         let mut bytes = [0; 9];
    ///         file.read_exact_at(&mut bytes, 0).await?; // in place, or on the worker of the group `slow`
    ///         Ok::<_, std::io::Error>(bytes)
    ///     });
    ///     assert_eq!(&task.await.unwrap()?, b"[workspac");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn cold_reads(&mut self, policy: ColdReads) -> &mut Self {
        self.cold = policy;
        self
    }

    /// Opens.
    ///
    /// Cancel-safe, except that the file may have been made or cut.
    ///
    /// # Errors
    /// `InvalidInput` for a combination that means nothing (nothing to do with it; cutting or making without writing;
    /// [`ColdReads::SlowGroup`] in a runtime without a group `slow`) and for a path with a zero byte; the system's, with the path: not there, there already, a folder, no descriptor left.
    /// Opening a named pipe that nobody has open at its other end waits for that, on a side thread.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        open_at(self.checked()?, None, self.cold, path.as_ref()).await
    }

    /// Opens what a path names in a folder, and nothing outside of that folder: an absolute path, a `..` that leads above it
    /// and a symbolic link that leads out (or is absolute) are refused, whatever is renamed meanwhile. For names that come from strangers.
    ///
    /// Cancel-safe, except that the file may have been made or cut.
    ///
    /// # Errors
    /// As [`open`](Self::open); `CrossesDevices` for a path that leads out; `Unsupported` where the kernel is older than Linux 5.6 or a
    /// filter refuses openat2 to the process.
    pub async fn open_beneath(&self, folder: &File, path: impl AsRef<Path>) -> io::Result<File> {
        let how = OpenHow { beneath: true, ..self.checked()? };
        open_at(how, Some(Arc::clone(&folder.fd)), self.cold, path.as_ref()).await
    }

    fn checked(&self) -> io::Result<OpenHow> {
        let how = &self.how;
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if !(how.read || how.write || how.append) {
            return refuse("a file is opened to read, write or append: ask for one of them");
        }
        if (how.create || how.create_new) && !(how.write || how.append) {
            return refuse("a file that is to be made must be opened to write or append");
        }
        if how.truncate && (how.append || !how.write) && !how.create_new {
            return refuse("a file that is to be cut must be opened to write, and not to append");
        }
        Ok(how.clone())
    }
}

/// Opens a path in a way that was checked.
pub(super) async fn open(how: OpenHow, at: &Path) -> io::Result<File> {
    open_at(how, None, ColdReads::default(), at).await
}

/// The same, from a folder.
async fn open_at(how: OpenHow, base: Option<Fd>, cold: ColdReads, at: &Path) -> io::Result<File> {
    let port = op::port()?;
    if cold == ColdReads::SlowGroup && !port.has_slow() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "cannot open {}: cold_reads(SlowGroup), and this runtime has no group `slow`: add Topology::with_slow to its builder",
                at.display()
            ),
        ));
    }
    let path = FilePath { base, path: op::path(at)? };
    let appends = how.append;
    let completion = op::run(port.as_ref(), FileOp::Open { path, how }).await;
    match op::opened(completion) {
        Ok(fd) => Ok(File::new(fd, port, cold, appends)),
        Err(error) => Err(op::failed("open", at, error)),
    }
}
