//! The disk: one file system a host.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | inodes and the log of names not yet on the medium |
//! | `content.rs` | what a file holds, in memory and on the medium |
//! | `path.rs` | from a path to an inode |
//! | `names.rs` | the calls about names: open, make, remove, rename, link |
//! | `crash.rs` | what a loss of power leaves, and bits that rot |
//! | `options.rs` | what is asked of disks, what an execution drew |
//! | `play.rs` | the file ops of a driver: when they come, what fails |
//! | `handle.rs` | open files, and the calls that never block |
//!
//! **What is promised.** A write is in the page cache when it returns; a sync of the file brings its bytes and length to the
//! medium; a sync of a directory brings the names in it. Nothing else does. A crash leaves of each unsynced page the new
//! state, the old one or a part of the new one, and of the unsynced changes of names in each directory a prefix; a rename is
//! seen whole or not at all. Permissions are kept, and nobody is refused for them. Names come from a directory in an order of their own.

use std::collections::BTreeMap;

use self::content::{Content, PAGE};
pub(crate) use self::handle::{Open, is_file, read_at, try_read_at, try_write_at};
pub(crate) use self::options::DiskDrawn;
pub use self::options::Storage;
pub(crate) use self::play::Outcome;
use crate::net::Errno;

mod content;
mod crash;
mod handle;
mod names;
mod options;
mod path;
mod play;

/// The number of the root directory.
const ROOT: u32 = 0;
/// Changes of names that wait for their sync at most; older ones reach the medium by themselves.
const LOG: usize = 4096;

/// A thing with a number.
#[derive(Clone, Debug)]
struct Inode {
    node: Node,
    mode: u32,
    links: u32,
    /// Open files of it.
    opens: u32,
    made: u64,
    accessed: u64,
    modified: u64,
    changed: u64,
}

#[derive(Clone, Debug)]
enum Node {
    File(Content),
    Directory(Directory),
    Symlink(Vec<u8>),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    entries: BTreeMap<Vec<u8>, u32>,
    /// The same without power.
    medium: BTreeMap<Vec<u8>, u32>,
    parent: u32,
}

/// One change of names, whole or not at all: directory, name, what it names now.
type Change = Vec<(u32, Vec<u8>, Option<u32>)>;

/// A file system.
#[derive(Debug)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    /// Changes that no sync has brought to the medium, oldest first.
    log: Vec<Change>,
    /// Bytes that fit.
    capacity: u64,
    /// Nanoseconds of Unix time, for what happens next.
    now: u64,
}

impl Disk {
    /// A file system with an empty folder for temporary files.
    pub(crate) fn new(capacity: u64, now: u64) -> Self {
        let root = Directory { parent: ROOT, ..Directory::default() };
        let mut disk = Self { inodes: Vec::new(), log: Vec::new(), capacity, now };
        disk.add(Node::Directory(root), 0o755);
        let temporary = disk.add(Node::Directory(Directory { parent: ROOT, ..Directory::default() }), 0o1777);
        disk.change(vec![(ROOT, b"tmp".to_vec(), Some(temporary))]);
        disk.sync_all();
        disk
    }

    /// The time of what happens next.
    pub(crate) fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    fn add(&mut self, node: Node, mode: u32) -> u32 {
        let links = if matches!(node, Node::Directory(_)) { 2 } else { 0 };
        let now = self.now;
        self.inodes.push(Inode {
            node,
            mode,
            links,
            opens: 0,
            made: now,
            accessed: now,
            modified: now,
            changed: now,
        });
        self.inodes.len() as u32 - 1
    }

    fn inode(&mut self, number: u32) -> &mut Inode {
        &mut self.inodes[number as usize]
    }

    fn directory(&mut self, number: u32) -> Result<&mut Directory, Errno> {
        match &mut self.inode(number).node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(libc::ENOTDIR),
        }
    }

    fn content(&mut self, number: u32) -> Result<&mut Content, Errno> {
        match &mut self.inode(number).node {
            Node::File(content) => Ok(content),
            Node::Directory(_) => Err(libc::EISDIR),
            Node::Symlink(_) => Err(libc::EINVAL),
        }
    }

    fn is_directory(&self, number: u32) -> bool {
        matches!(self.inodes[number as usize].node, Node::Directory(_))
    }

    /// Makes a change of names, and remembers it for a sync.
    fn change(&mut self, change: Change) {
        for (directory, name, to) in &change {
            let now = self.now;
            let record = self.inode(*directory);
            (record.modified, record.changed) = (now, now);
            let Node::Directory(entries) = &mut record.node else { continue };
            let old = match to {
                Some(to) => entries.entries.insert(name.clone(), *to),
                None => entries.entries.remove(name),
            };
            for (inode, gained) in [(*to, true), (old, false)] {
                let Some(inode) = inode else { continue };
                let is_directory = self.is_directory(inode);
                let record = self.inode(inode);
                record.changed = now;
                if is_directory {
                    let parent = self.inode(*directory);
                    parent.links = if gained { parent.links + 1 } else { parent.links - 1 };
                    if gained && let Ok(moved) = self.directory(inode) {
                        moved.parent = *directory;
                    }
                } else {
                    record.links = if gained { record.links + 1 } else { record.links - 1 };
                }
            }
        }
        self.log.push(change);
        if self.log.len() > LOG {
            let oldest = self.log.remove(0);
            self.commit(&oldest);
        }
    }

    /// A change reaches the medium.
    fn commit(&mut self, change: &Change) {
        for (directory, name, to) in change {
            let Ok(directory) = self.directory(*directory) else { continue };
            match to {
                Some(to) => directory.medium.insert(name.clone(), *to),
                None => directory.medium.remove(name),
            };
        }
    }

    /// Brings a file or directory to the medium: of a directory its names, with all changes that those rest on.
    pub(crate) fn sync(&mut self, number: u32) {
        if let Ok(content) = self.content(number) {
            content.sync();
        }
        if !self.is_directory(number) {
            return;
        }
        let mut directories = vec![number];
        let mut kept = Vec::new();
        let mut synced = Vec::new();
        for change in std::mem::take(&mut self.log).into_iter().rev() {
            if change.iter().any(|(directory, ..)| directories.contains(directory)) {
                directories.extend(change.iter().map(|(directory, ..)| *directory));
                synced.push(change);
            } else {
                kept.push(change);
            }
        }
        synced.iter().rev().for_each(|change| self.commit(change));
        kept.reverse();
        self.log = kept;
    }

    /// Brings everything to the medium.
    pub(crate) fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.log) {
            self.commit(&change);
        }
        for inode in &mut self.inodes {
            if let Node::File(content) = &mut inode.node {
                content.sync();
            }
        }
    }

    /// Bytes that are free.
    fn free(&self) -> u64 {
        let used = |inode: &Inode| match &inode.node {
            Node::File(content) if inode.links > 0 || inode.opens > 0 => content.used() * PAGE,
            _ => 0,
        };
        self.capacity.saturating_sub(self.inodes.iter().map(used).sum())
    }

    /// How much of a write of `count` bytes at `offset` fits.
    fn fits(&mut self, number: u32, offset: u64, count: usize) -> Result<usize, Errno> {
        if count == 0 {
            return Ok(0);
        }
        if offset >= content::LONGEST {
            return Err(libc::EFBIG);
        }
        let count = count.min(usize::try_from(content::LONGEST - offset).unwrap_or(usize::MAX));
        let free = self.free() / PAGE;
        let content = self.content(number)?;
        if content.wanted(offset, count) <= free {
            return Ok(count);
        }
        // Up to the last page for which there is room.
        let mut fits = 0;
        while fits < count {
            let step = ((PAGE - (offset + fits as u64) % PAGE) as usize).min(count - fits);
            if content.wanted(offset, fits + step) > free {
                break;
            }
            fits += step;
        }
        if fits == 0 { Err(libc::ENOSPC) } else { Ok(fits) }
    }
}
