//! Folders: listed, made, removed.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metadata::{Metadata, ask, metadata};
use super::options::open;
use super::{File, op};
use crate::io::Port;
use crate::os::file::{Entry, FileKind, FilePath, OpenHow, Target};
use crate::os::{Fd, FileOp, Yielded};

fn folder() -> OpenHow {
    OpenHow { read: true, directory: true, ..OpenHow::default() }
}

/// Makes a folder, with the permissions 0o777 less the process' mask.
///
/// # Errors
/// The system's, with the path: there already, or the folder it stands in is not.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let at = path.as_ref();
    let path = FilePath::from(op::path(at)?);
    op::on_path("make the folder", at, FileOp::MakeDir { path, mode: 0o777 }).await
}

/// Makes a folder and all above it that are not there. It is no error if it is there.
///
/// Not cancel-safe: dropped before its end, it may have made some.
///
/// # Errors
/// The system's, with the path of the folder that can't be made.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let mut missing = vec![path.as_ref()];
    // Somebody may remove them as they are made.
    let mut tries = 4 * path.as_ref().components().count();
    while let Some(&at) = missing.last() {
        if at.as_os_str().is_empty() {
            missing.pop();
            continue;
        }
        match create_dir(at).await {
            Ok(()) => drop(missing.pop()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match at.parent() {
                Some(parent) if tries > 0 => {
                    tries -= 1;
                    missing.push(parent);
                }
                _ => return Err(error),
            },
            Err(error) => match metadata(at).await {
                Ok(there) if there.is_dir() => drop(missing.pop()),
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Removes an empty folder.
///
/// # Errors
/// The system's, with the path: not there, not empty, no folder.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let at = path.as_ref();
    let path = FilePath::from(op::path(at)?);
    op::on_path("remove the folder", at, FileOp::Remove { path, directory: true }).await
}

/// Removes a folder with all that is in it. Links in it are removed, not followed; a link at `path` is removed itself. The
/// folders below are held open and named from there, so that nobody can lead it elsewhere by putting a link in their place.
///
/// Not cancel-safe: dropped before its end, it has removed a part.
///
/// # Errors
/// The system's: not there, or something in it can't be removed.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let at = path.as_ref();
    if ask(at, false).await?.is_symlink() {
        return super::remove_file(at).await;
    }
    let port = op::port()?;
    let path = FilePath::from(op::path(at)?);
    empty(port.as_ref(), path.clone()).await.map_err(|error| op::failed("empty the folder", at, error))?;
    remove_dir(at).await
}

/// Opens a folder from another, without following a link.
async fn enter(port: &dyn Port, path: FilePath) -> io::Result<Fd> {
    let how = OpenHow { no_follow: true, ..folder() };
    op::opened(op::run(port, FileOp::Open { path, how }).await)
}

/// Removes all that is in a folder.
async fn empty(port: &dyn Port, path: FilePath) -> io::Result<()> {
    /// A folder that is being emptied, and its name in the one above.
    struct Open {
        fd: Fd,
        name: Option<CString>,
        left: Vec<Entry>,
    }
    let mut open = vec![Open { fd: enter(port, path).await?, name: None, left: Vec::new() }];
    while let Some(here) = open.last_mut() {
        let Some(entry) = here.left.pop() else {
            here.left = list(port, &here.fd).await?;
            if here.left.is_empty()
                && let Some(Open { name: Some(name), .. }) = open.pop()
                && let Some(above) = open.last()
            {
                let path = FilePath { base: Some(Arc::clone(&above.fd)), path: name };
                gone(op::simple(port, FileOp::Remove { path, directory: true }).await)?;
            }
            continue;
        };
        let Ok(name) = CString::new(entry.name) else { continue };
        let path = FilePath { base: Some(Arc::clone(&here.fd)), path: name.clone() };
        if entry.kind != FileKind::Directory {
            let removed = op::simple(port, FileOp::Remove { path: path.clone(), directory: false }).await;
            match removed {
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                result => {
                    gone(result)?;
                    continue;
                }
            }
        }
        match enter(port, path).await {
            Ok(fd) => open.push(Open { fd, name: Some(name), left: Vec::new() }),
            Err(error) => gone(Err(error))?,
        }
    }
    Ok(())
}

/// What somebody else has removed is removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

async fn list(port: &dyn Port, fd: &Fd) -> io::Result<Vec<Entry>> {
    let completion = op::run(port, FileOp::List { fd: Arc::clone(fd) }).await;
    completion.result?;
    match completion.yielded {
        Yielded::Entries(entries) => Ok(entries.into_vec()),
        other => Err(op::unexpected("entries of a folder", &other)),
    }
}

/// Opens a folder to list what is in it.
///
/// Cancel-safe.
///
/// # Errors
/// The system's, with the path: not there, no folder.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let at = path.as_ref();
    let file = open(folder(), at).await?;
    Ok(ReadDir {
        fd: Arc::clone(&file.fd),
        port: Arc::clone(&file.port),
        folder: Arc::from(at),
        named: true,
        left: Vec::new(),
        ended: false,
    })
}

impl File {
    /// Lists what is in an open folder. The place in the list is the open folder's own: one listing at a time, and another one
    /// begins where it ended, so open the folder anew for that. The paths of the entries are their names.
    pub fn list(&self) -> ReadDir {
        ReadDir {
            fd: Arc::clone(&self.fd),
            port: Arc::clone(&self.port),
            folder: Arc::from(Path::new("")),
            named: false,
            left: Vec::new(),
            ended: false,
        }
    }
}

/// What is in a folder, in no particular order, without `.` and `..`. Names that come or go while it is listed may be
/// listed or not.
pub struct ReadDir {
    fd: Fd,
    port: Arc<dyn Port>,
    folder: Arc<Path>,
    /// The folder was opened by that path.
    named: bool,
    /// Read ahead, the next one last.
    left: Vec<Entry>,
    ended: bool,
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ReadDir {
    /// The next one; `None` at the end.
    ///
    /// Dropped before its end, it may leave entries out.
    ///
    /// # Errors
    /// A medium that fails.
    pub async fn next(&mut self) -> io::Result<Option<DirEntry>> {
        if self.left.is_empty() && !self.ended {
            self.left = list(self.port.as_ref(), &self.fd).await?;
            self.left.reverse();
            self.ended = self.left.is_empty();
        }
        let entry = self.left.pop();
        let base = || (Arc::clone(&self.fd), Arc::clone(&self.port));
        Ok(entry.map(|entry| DirEntry {
            folder: Arc::clone(&self.folder),
            base: (!self.named).then(base),
            entry,
        }))
    }
}

/// One of the things in a folder.
#[derive(Clone)]
pub struct DirEntry {
    folder: Arc<Path>,
    /// The open folder, if no path is known that leads there.
    base: Option<(Fd, Arc<dyn Port>)>,
    entry: Entry,
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirEntry").field("path", &self.path()).field("kind", &self.kind()).finish()
    }
}

impl DirEntry {
    /// Its name.
    pub fn file_name(&self) -> OsString {
        OsString::from_vec(self.entry.name.clone())
    }

    /// Its path: that of the folder, as it was given, and the name.
    pub fn path(&self) -> PathBuf {
        self.folder.join(OsStr::from_bytes(&self.entry.name))
    }

    /// What it was when it was listed; `Unknown` where the file system does not say.
    pub fn kind(&self) -> FileKind {
        self.entry.kind
    }

    /// Its number on its device.
    pub fn inode(&self) -> u64 {
        self.entry.inode
    }

    /// What is known of it; a link is meant itself.
    ///
    /// # Errors
    /// As [`symlink_metadata`](super::symlink_metadata).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let at = self.path();
        let Some((folder, port)) = &self.base else { return ask(&at, false).await };
        let path = FilePath { base: Some(Arc::clone(folder)), path: op::path(&at)? };
        let facts = op::stat(port.as_ref(), Target::Path { path, follow: false }).await;
        facts.map(Metadata::new).map_err(|error| op::failed("look at", &at, error))
    }
}
