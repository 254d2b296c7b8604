//! What is known of a file.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::op;
use crate::os::FileOp;
use crate::os::file::{FileKind, Stat};

/// What is known of a file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    stat: Stat,
}

impl Metadata {
    pub(super) fn new(stat: Stat) -> Self {
        Self { stat }
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.stat.kind
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileKind::File
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// Whether it is a symbolic link; never after [`metadata`], which follows them.
    pub fn is_symlink(&self) -> bool {
        self.kind() == FileKind::Symlink
    }

    /// Bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "as std has it: most things with a length here are no files"
    )]
    pub fn len(&self) -> u64 {
        self.stat.length
    }

    /// Its permissions.
    pub fn permissions(&self) -> Permissions {
        Permissions { mode: self.stat.mode }
    }

    /// When it was last written.
    pub fn modified(&self) -> SystemTime {
        self.stat.modified
    }

    /// When it was last read, as far as the file system keeps count.
    pub fn accessed(&self) -> SystemTime {
        self.stat.accessed
    }

    /// When it was last changed, its name, links and permissions included.
    pub fn changed(&self) -> SystemTime {
        self.stat.changed
    }

    /// When it was made, if the file system says.
    pub fn created(&self) -> Option<SystemTime> {
        self.stat.created
    }

    /// All that the system says.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Whether two answers are about the same file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.stat.device, self.stat.inode) == (other.stat.device, other.stat.inode)
    }
}

/// Who may do what: the nine bits for user, group and others, and the three above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    mode: u32,
}

impl Permissions {
    /// From bits such as 0o644; those above 0o7777 are ignored.
    pub fn from_mode(mode: u32) -> Self {
        Self { mode: mode & 0o7777 }
    }

    /// The bits.
    pub fn mode(self) -> u32 {
        self.mode
    }

    /// Whether nobody may write.
    pub fn is_readonly(self) -> bool {
        self.mode & 0o222 == 0
    }
}

/// What is known of what a path leads to.
///
/// Cancel-safe.
///
/// # Errors
/// The system's, with the path: not there, or a part of the path is no folder.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    ask(path.as_ref(), true).await
}

/// The same, but a symbolic link at the end is meant itself.
///
/// # Errors
/// As [`metadata`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    ask(path.as_ref(), false).await
}

pub(super) async fn ask(at: &Path, follow: bool) -> io::Result<Metadata> {
    let port = op::port()?;
    let target = op::named(op::path(at)?, follow);
    match op::stat(port.as_ref(), target).await {
        Ok(stat) => Ok(Metadata::new(stat)),
        Err(error) => Err(op::failed("look at", at, error)),
    }
}

/// Whether a path leads to something.
///
/// Cancel-safe.
///
/// # Errors
/// When that can't be said: the system's other errors than "not there".
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the permissions of what a path leads to.
///
/// # Errors
/// The system's, with the path.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let at = path.as_ref();
    let target = op::named(op::path(at)?, true);
    op::on_path("set the permissions of", at, FileOp::SetMode { target, mode: permissions.mode() }).await
}
