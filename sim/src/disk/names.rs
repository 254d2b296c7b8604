//! The calls about names: open, make, remove, rename, link. Errors are Linux's, in Linux's order.

use pirn::os::file::{Entry, FileKind, OpenHow, Stat};
use std::time::{Duration, SystemTime};

use super::path::{End, Last};
use super::{Content, Directory, Disk, Node, PAGE, ROOT};
use crate::net::Errno;
use crate::rng::mix_bytes;

/// The mask that takes permission bits away from what is made.
const MASK: u32 = 0o022;

impl Disk {
    /// Finds or makes what is to be opened.
    pub(super) fn open(&mut self, base: u32, path: &[u8], how: &OpenHow) -> Result<u32, Errno> {
        let creates = how.create || how.create_new;
        if creates && path.ends_with(b"/") && matches!(self.named(base, path)?.0.last, Last::Name(_)) {
            return Err(libc::EISDIR);
        }
        let follow = !how.no_follow && !how.create_new;
        let end =
            if how.beneath { self.end_beneath(base, path, follow)? } else { self.end(base, path, follow)? };
        let writes = how.write || how.append;
        let Some(inode) = end.inode else {
            return match end.last {
                Last::Name(name) if creates => {
                    self.live_folder(end.folder)?;
                    let made = self.add(Node::File(Content::default()), how.mode & !MASK & 0o7777);
                    self.change(vec![(end.folder, name, Some(made))]);
                    Ok(made)
                }
                _ => Err(libc::ENOENT),
            };
        };
        if how.create_new {
            return Err(libc::EEXIST);
        }
        match &self.inode(inode).node {
            Node::Symlink(_) if how.directory => return Err(libc::ENOTDIR),
            Node::Symlink(_) => return Err(libc::ELOOP),
            Node::Directory(_) if creates || writes || how.truncate => return Err(libc::EISDIR),
            Node::File(_) if how.directory => return Err(libc::ENOTDIR),
            _ => {}
        }
        if how.truncate {
            self.set_length(inode, 0)?;
        }
        Ok(inode)
    }

    /// A folder that was removed takes no new name.
    fn live_folder(&mut self, folder: u32) -> Result<(), Errno> {
        if folder == ROOT {
            return Ok(());
        }
        let parent = self.directory(folder)?.parent;
        let named = self.directory(parent)?.entries.values().any(|&inode| inode == folder);
        if named { Ok(()) } else { Err(libc::ENOENT) }
    }

    /// Cuts or extends a file.
    pub(super) fn set_length(&mut self, inode: u32, length: u64) -> Result<(), Errno> {
        if length > super::content::LONGEST {
            return Err(libc::EFBIG);
        }
        let now = self.now;
        self.content(inode)?.set_length(length);
        let record = self.inode(inode);
        (record.modified, record.changed) = (now, now);
        Ok(())
    }

    /// Where a new name may be made.
    fn vacant(&mut self, base: u32, path: &[u8], directory: bool) -> Result<(u32, Vec<u8>), Errno> {
        // A slash behind the name of a link that leads nowhere does not lead there.
        let trimmed = match path.iter().rposition(|&byte| byte != b'/') {
            Some(at) => &path[..=at],
            None => path,
        };
        let slash = trimmed.len() < path.len();
        let end = self.end(base, trimmed, false)?;
        match (end.last, end.inode) {
            (Last::Name(name), None) => {
                if slash && !directory {
                    return Err(libc::ENOENT);
                }
                self.live_folder(end.folder)?;
                Ok((end.folder, name))
            }
            _ => Err(libc::EEXIST),
        }
    }

    /// Makes a directory.
    pub(super) fn make_directory(&mut self, base: u32, path: &[u8], mode: u32) -> Result<(), Errno> {
        let (folder, name) = self.vacant(base, path, true)?;
        let node = Node::Directory(Directory { parent: folder, ..Directory::default() });
        let made = self.add(node, mode & !MASK & 0o7777);
        self.change(vec![(folder, name, Some(made))]);
        Ok(())
    }

    /// Makes a symbolic link.
    pub(super) fn symlink(&mut self, target: &[u8], base: u32, path: &[u8]) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(libc::ENOENT);
        }
        let (folder, name) = self.vacant(base, path, false)?;
        let made = self.add(Node::Symlink(target.to_vec()), 0o777);
        self.change(vec![(folder, name, Some(made))]);
        Ok(())
    }

    /// Gives a file one more name.
    pub(super) fn link(&mut self, from: (u32, &[u8]), to: (u32, &[u8])) -> Result<(), Errno> {
        let inode = self.resolve(from.0, from.1, false)?;
        let (folder, name) = self.vacant(to.0, to.1, false)?;
        if self.is_directory(inode) {
            return Err(libc::EPERM);
        }
        self.change(vec![(folder, name, Some(inode))]);
        Ok(())
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, base: u32, path: &[u8], directory: bool) -> Result<(), Errno> {
        let (end, slash) = self.named(base, path)?;
        let name = match end.last {
            Last::Name(name) => name,
            Last::Dot if directory => return Err(libc::EINVAL),
            Last::Up if directory => return Err(libc::ENOTEMPTY),
            Last::Root if directory => return Err(libc::EBUSY),
            _ => return Err(libc::EISDIR),
        };
        let inode = end.inode.ok_or(libc::ENOENT)?;
        match (self.is_directory(inode), directory) {
            (false, true) => return Err(libc::ENOTDIR),
            (false, false) if slash => return Err(libc::ENOTDIR),
            (true, false) => return Err(libc::EISDIR),
            (true, true) if !self.directory(inode)?.entries.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        self.change(vec![(end.folder, name, None)]);
        Ok(())
    }

    /// Where a name stands that is removed or renamed: a link at the end is meant itself. And whether a slash follows.
    fn named(&mut self, base: u32, path: &[u8]) -> Result<(End, bool), Errno> {
        let trimmed = match path.iter().rposition(|&byte| byte != b'/') {
            Some(at) => &path[..=at],
            None => path,
        };
        Ok((self.end(base, trimmed, false)?, trimmed.len() < path.len()))
    }

    /// Gives something another name.
    pub(super) fn rename(&mut self, from: (u32, &[u8]), to: (u32, &[u8])) -> Result<(), Errno> {
        let (old, old_slash) = self.named(from.0, from.1)?;
        let (new, new_slash) = self.named(to.0, to.1)?;
        let old_name = old.last.name(libc::EBUSY)?;
        let new_name = new.last.name(libc::EBUSY)?;
        let inode = old.inode.ok_or(libc::ENOENT)?;
        let directory = self.is_directory(inode);
        if !directory && (old_slash || new_slash) {
            return Err(libc::ENOTDIR);
        }
        if directory && self.lies_in(new.folder, inode)? {
            return Err(libc::EINVAL);
        }
        if let Some(there) = new.inode {
            if there == inode {
                return Ok(());
            }
            if self.is_directory(there) && self.lies_in(old.folder, there)? {
                return Err(libc::ENOTEMPTY);
            }
            match (directory, self.is_directory(there)) {
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (true, true) if !self.directory(there)?.entries.is_empty() => return Err(libc::ENOTEMPTY),
                _ => {}
            }
        }
        self.live_folder(new.folder)?;
        self.change(vec![(old.folder, old_name, None), (new.folder, new_name, Some(inode))]);
        Ok(())
    }

    /// Whether a folder is `ancestor` or lies in it.
    fn lies_in(&mut self, mut folder: u32, ancestor: u32) -> Result<bool, Errno> {
        loop {
            if folder == ancestor {
                return Ok(true);
            }
            if folder == ROOT {
                return Ok(false);
            }
            folder = self.directory(folder)?.parent;
        }
    }

    /// What a symbolic link says.
    pub(super) fn read_link(&mut self, base: u32, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let inode = self.resolve(base, path, false)?;
        match &self.inode(inode).node {
            Node::Symlink(target) => Ok(target.clone()),
            _ => Err(libc::EINVAL),
        }
    }

    /// The absolute path without links.
    pub(super) fn canonicalize(&mut self, base: u32, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let end = self.end(base, path, true)?;
        let inode = end.inode.ok_or(libc::ENOENT)?;
        if self.is_directory(inode) {
            return self.path_of(inode);
        }
        let mut whole = self.path_of(end.folder)?;
        if whole.last() != Some(&b'/') {
            whole.push(b'/');
        }
        whole.extend(end.last.name(libc::ENOENT)?);
        Ok(whole)
    }

    /// All entries, in the directory's own order.
    pub(super) fn entries(&mut self, inode: u32) -> Result<Vec<Entry>, Errno> {
        let found: Vec<(Vec<u8>, u32)> =
            self.directory(inode)?.entries.iter().map(|(name, &inode)| (name.clone(), inode)).collect();
        let mut entries: Vec<Entry> = found
            .into_iter()
            .map(|(name, inode)| Entry { name, kind: self.kind(inode), inode: number(inode) })
            .collect();
        entries.sort_by_key(|entry| mix_bytes(7, &entry.name));
        Ok(entries)
    }

    fn kind(&self, inode: u32) -> FileKind {
        match self.inodes[inode as usize].node {
            Node::File(_) => FileKind::File,
            Node::Directory(_) => FileKind::Directory,
            Node::Symlink(_) => FileKind::Symlink,
        }
    }

    /// What is known of an inode.
    pub(super) fn stat(&mut self, inode: u32) -> Stat {
        let kind = self.kind(inode);
        let record = self.inode(inode);
        let (length, pages) = match &record.node {
            Node::File(content) => (content.length(), content.used()),
            Node::Directory(_) => (PAGE, 1),
            Node::Symlink(target) => (target.len() as u64, 0),
        };
        let time = |ns: u64| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns);
        Stat {
            kind,
            mode: record.mode,
            length,
            inode: number(inode),
            device: 1,
            links: u64::from(record.links),
            user: 0,
            group: 0,
            block_size: PAGE,
            blocks: pages * (PAGE / 512),
            accessed: time(record.accessed),
            modified: time(record.modified),
            changed: time(record.changed),
            created: Some(time(record.made)),
        }
    }

    /// Sets permission bits.
    pub(super) fn set_mode(&mut self, inode: u32, mode: u32) {
        let now = self.now;
        let record = self.inode(inode);
        record.mode = mode & 0o7777;
        record.changed = now;
    }
}

/// The number that programs see: the root is 2, as on ext4.
fn number(inode: u32) -> u64 {
    u64::from(inode) + 2
}
