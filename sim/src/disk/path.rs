//! From a path to an inode: folders, links, dots.

use super::{Disk, Node, ROOT};
use crate::net::Errno;

/// Links that one path may lead through.
const LINKS: u32 = 40;
/// Bytes of a name, and of a path.
const NAME: usize = 255;
const PATH: usize = 4095;

/// What a walk along a path has met, and may not leave.
struct Walk {
    links: u32,
    within: Option<u32>,
}

/// Where a path ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The folder it ends in.
    pub(super) folder: u32,
    /// The last name in it.
    pub(super) last: Last,
    /// What has that name.
    pub(super) inode: Option<u32>,
    /// A slash stands behind it: it has to be a folder.
    pub(super) slash: bool,
}

/// The last part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A name.
    Name(Vec<u8>),
    /// `.`
    Dot,
    /// `..`
    Up,
    /// The path is `/`.
    Root,
}

impl Last {
    /// The name, or the error that a call gives for the others.
    pub(super) fn name(self, otherwise: Errno) -> Result<Vec<u8>, Errno> {
        match self {
            Self::Name(name) => Ok(name),
            _ => Err(otherwise),
        }
    }
}

impl Disk {
    /// Where a path ends. `follow`: a link there is followed.
    pub(super) fn end(&mut self, base: u32, path: &[u8], follow: bool) -> Result<End, Errno> {
        self.walk(base, path, follow, &mut Walk { links: 0, within: None })
    }

    /// The same, for a path that must not leave its base.
    pub(super) fn end_beneath(&mut self, base: u32, path: &[u8], follow: bool) -> Result<End, Errno> {
        self.walk(base, path, follow, &mut Walk { links: 0, within: Some(base) })
    }

    /// What a path names.
    pub(super) fn resolve(&mut self, base: u32, path: &[u8], follow: bool) -> Result<u32, Errno> {
        let end = self.end(base, path, follow)?;
        end.inode.ok_or(libc::ENOENT)
    }

    fn walk(&mut self, base: u32, path: &[u8], follow: bool, walk: &mut Walk) -> Result<End, Errno> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        if path.len() > PATH {
            return Err(libc::ENAMETOOLONG);
        }
        if path[0] == b'/' && walk.within.is_some() {
            return Err(libc::EXDEV);
        }
        let mut folder = if path[0] == b'/' { ROOT } else { base };
        let slash = path.ends_with(b"/");
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
        let Some((last, folders)) = parts.split_last() else {
            return Ok(End { folder: ROOT, last: Last::Root, inode: Some(ROOT), slash });
        };
        for part in folders {
            let end = self.step(folder, part, true, walk, false)?;
            folder = end.inode.ok_or(libc::ENOENT)?;
            if !self.is_directory(folder) {
                return Err(libc::ENOTDIR);
            }
        }
        let end = self.step(folder, last, follow || slash, walk, slash)?;
        if slash && end.inode.is_some_and(|inode| !self.is_directory(inode)) {
            return Err(libc::ENOTDIR);
        }
        Ok(end)
    }

    /// One part of a path.
    fn step(
        &mut self,
        folder: u32,
        part: &[u8],
        follow: bool,
        walk: &mut Walk,
        slash: bool,
    ) -> Result<End, Errno> {
        let directory = self.directory(folder)?;
        let (last, inode) = match part {
            b"." => (Last::Dot, Some(folder)),
            b".." if walk.within == Some(folder) => return Err(libc::EXDEV),
            b".." => (Last::Up, Some(directory.parent)),
            name if name.len() > NAME => return Err(libc::ENAMETOOLONG),
            name => (Last::Name(name.to_vec()), directory.entries.get(name).copied()),
        };
        if follow
            && let Some(inode) = inode
            && let Node::Symlink(target) = &self.inode(inode).node
        {
            let target = target.clone();
            walk.links += 1;
            if walk.links > LINKS {
                return Err(libc::ELOOP);
            }
            let end = self.walk(folder, &target, true, walk)?;
            return Ok(End { slash: slash || end.slash, ..end });
        }
        Ok(End { folder, last, inode, slash })
    }

    /// The absolute path of a folder.
    pub(super) fn path_of(&mut self, mut folder: u32) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        while folder != ROOT {
            let parent = self.directory(folder)?.parent;
            let named = self.directory(parent)?.entries.iter().find(|&(_, &inode)| inode == folder);
            names.push(named.map(|(name, _)| name.clone()).ok_or(libc::ENOENT)?);
            folder = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }
}
