//! What a loss of power leaves of a file system, and bits that rot.

use super::{Disk, Node, ROOT};

impl Disk {
    /// Power fails, and comes back: what was synced is there; of the rest, what `choose` says (it gets a number of options
    /// and answers with one of them; always 0: nothing that was not synced). No file is open afterwards, and no page is in memory.
    pub(crate) fn crash(&mut self, choose: &mut dyn FnMut(u32) -> u32) {
        self.crash_names(choose);
        for at in 0..self.inodes.len() {
            let inode = &mut self.inodes[at];
            inode.opens = 0;
            match &mut inode.node {
                Node::File(content) => content.crash(choose),
                Node::Directory(directory) => directory.entries.clone_from(&directory.medium),
                Node::Symlink(_) => {}
            }
        }
        self.count_links();
    }

    /// Of the changes in each directory a prefix survives. Once one is lost, all are that touch its directories.
    fn crash_names(&mut self, choose: &mut dyn FnMut(u32) -> u32) {
        let mut lost: Vec<u32> = Vec::new();
        for change in std::mem::take(&mut self.log) {
            let rests = change.iter().any(|(directory, ..)| lost.contains(directory));
            if rests || choose(2) == 0 {
                lost.extend(change.iter().map(|(directory, ..)| *directory));
            } else {
                self.commit(&change);
            }
        }
    }

    /// Finds the links and parents of all that can still be reached; the rest is gone.
    fn count_links(&mut self) {
        for inode in &mut self.inodes {
            inode.links = 0;
        }
        let mut folders = vec![ROOT];
        let mut reached = vec![ROOT];
        self.inode(ROOT).links = 2;
        while let Some(folder) = folders.pop() {
            let Ok(directory) = self.directory(folder) else { continue };
            let children: Vec<(Vec<u8>, u32)> =
                directory.entries.iter().map(|(name, &inode)| (name.clone(), inode)).collect();
            for (name, child) in children {
                if !self.is_directory(child) {
                    self.inode(child).links += 1;
                } else if reached.contains(&child) {
                    // A move between two folders of which one had been made anew: one name is enough.
                    if let Ok(directory) = self.directory(folder) {
                        directory.entries.remove(&name);
                        directory.medium.remove(&name);
                    }
                } else {
                    reached.push(child);
                    folders.push(child);
                    self.inode(child).links = 2;
                    self.inode(folder).links += 1;
                    if let Ok(directory) = self.directory(child) {
                        directory.parent = folder;
                    }
                }
            }
        }
    }

    /// A bit on the medium turns over, in a file that can be reached. False: there is nothing on it.
    pub(crate) fn rot(&mut self, choose: &mut dyn FnMut(u32) -> u32) -> bool {
        let mut files: Vec<usize> = (0..self.inodes.len())
            .filter(|&at| matches!(self.inodes[at].node, Node::File(_)) && self.inodes[at].links > 0)
            .collect();
        while !files.is_empty() {
            let at = files.swap_remove(choose(files.len() as u32) as usize);
            if let Node::File(content) = &mut self.inodes[at].node
                && content.rot(choose)
            {
                return true;
            }
        }
        false
    }
}
