//! Names: removed, changed, linked.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::op;
use crate::io::context;
use crate::os::FileOp;
use crate::os::file::FilePath;

fn path(at: &Path) -> io::Result<FilePath> {
    op::path(at).map(FilePath::from)
}

/// Removes the name of a file or link. The file itself goes with its last name and handle.
///
/// # Errors
/// The system's, with the path: not there, or a folder.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let at = path.as_ref();
    op::on_path("remove the file", at, FileOp::Remove { path: self::path(at)?, directory: false }).await
}

/// An op about two paths.
async fn on_two(what: &str, one: &Path, other: &Path, op: FileOp) -> io::Result<()> {
    let port = op::port()?;
    let failed = |error| context(|| format!("cannot {what} {} to {}", one.display(), other.display()), error);
    op::simple(port.as_ref(), op).await.map_err(failed)
}

/// Gives a file or folder another name on the same file system, in place of what has that name. Others see the old state or
/// the new one, nothing between.
///
/// # Errors
/// The system's, with both paths: not there, a folder that is not empty has the name, two file systems.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (one, other) = (from.as_ref(), to.as_ref());
    on_two("rename", one, other, FileOp::Rename { from: path(one)?, to: path(other)? }).await
}

/// Gives a file one more name, `link`.
///
/// # Errors
/// The system's, with both paths: not there, `link` is there, a folder, two file systems.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (one, other) = (original.as_ref(), link.as_ref());
    on_two("link", one, other, FileOp::Link { from: path(one)?, to: path(other)? }).await
}

/// Makes a symbolic link at `link` that says `original`, which need not be there.
///
/// # Errors
/// The system's, with both paths: `link` is there.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (one, other) = (original.as_ref(), link.as_ref());
    on_two("link", one, other, FileOp::Symlink { target: op::path(one)?, path: path(other)? }).await
}

/// What a symbolic link says.
///
/// # Errors
/// The system's, with the path: not there; `InvalidInput`: no link.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let at = path.as_ref();
    answer("read the link", at, FileOp::ReadLink { path: self::path(at)? }).await
}

/// The absolute path without links and dots.
///
/// # Errors
/// The system's, with the path: not there, or a part of it is no folder.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let at = path.as_ref();
    answer("find the whole path of", at, FileOp::Canonicalize { path: self::path(at)? }).await
}

/// Runs an op that answers with a path.
async fn answer(what: &str, at: &Path, op: FileOp) -> io::Result<PathBuf> {
    let port = op::port()?;
    match op::bytes(op::run(port.as_ref(), op).await) {
        Ok(bytes) => Ok(PathBuf::from(OsString::from_vec(bytes))),
        Err(error) => Err(op::failed(what, at, error)),
    }
}
