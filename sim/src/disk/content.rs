//! What a file holds: pages, each as the page cache has it and as the medium has it.

use std::collections::BTreeMap;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Bytes that the medium writes whole or not at all.
const SECTOR: usize = 512;
/// The longest file: 2^32 blocks less one, as on ext4.
pub(super) const LONGEST: u64 = ((1 << 32) - 1) * PAGE;

type Block = Box<[u8; PAGE as usize]>;

/// A page. Absent on both sides: a hole.
#[derive(Clone, Debug, Default)]
struct Page {
    /// As programs see it.
    now: Option<Block>,
    /// As it is without power.
    medium: Option<Block>,
    resident: bool,
    dirty: bool,
}

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Page>,
    length: u64,
    medium_length: u64,
}

/// The pages that a range touches.
fn pages(offset: u64, count: usize) -> std::ops::Range<u64> {
    offset / PAGE..(offset + count as u64).div_ceil(PAGE)
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Pages that take room.
    pub(super) fn used(&self) -> u64 {
        self.pages.values().filter(|page| page.now.is_some()).count() as u64
    }

    /// Pages that a write there would add.
    pub(super) fn wanted(&self, offset: u64, count: usize) -> u64 {
        let held = |at: &u64| self.pages.get(at).is_some_and(|page| page.now.is_some());
        pages(offset, count).filter(|at| !held(at)).count() as u64
    }

    /// Bytes to read at `offset`, `max` at most.
    pub(super) fn left(&self, offset: u64, max: usize) -> usize {
        usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(max)
    }

    /// How many of `count` bytes from `offset` on are in memory, up to the first that is not.
    pub(super) fn resident(&self, offset: u64, count: usize) -> usize {
        let cold = |at: &u64| self.pages.get(at).is_some_and(|page| !page.resident);
        match pages(offset, count).find(cold) {
            Some(at) => (at * PAGE).saturating_sub(offset) as usize,
            None => count,
        }
    }

    /// Reads what is there; both sides in memory afterwards.
    pub(super) fn read(&mut self, offset: u64, count: usize, mut into: impl FnMut(&[u8])) {
        const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
        let end = offset + count as u64;
        for at in pages(offset, count) {
            let (from, to) = range(at, offset, end);
            match self.pages.get_mut(&at) {
                Some(page) => {
                    page.resident = true;
                    into(page.now.as_ref().map_or(&ZEROS[from..to], |block| &block[from..to]));
                }
                None => into(&ZEROS[from..to]),
            }
        }
    }

    /// Writes at `offset`.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for at in pages(offset, bytes.len()) {
            let (from, to) = range(at, offset, end);
            let page = self.pages.entry(at).or_default();
            let block = page.now.get_or_insert_with(|| Box::new([0; PAGE as usize]));
            let start = (at * PAGE + from as u64 - offset) as usize;
            block[from..to].copy_from_slice(&bytes[start..start + to - from]);
            (page.resident, page.dirty) = (true, true);
        }
        self.length = self.length.max(end);
    }

    /// Cuts or extends with zeros.
    pub(super) fn set_length(&mut self, length: u64) {
        if length < self.length {
            for (&at, page) in self.pages.range_mut(length / PAGE..) {
                let keep = length.saturating_sub(at * PAGE) as usize;
                match &mut page.now {
                    Some(block) if keep > 0 => block[keep..].fill(0),
                    now => *now = None,
                }
                (page.resident, page.dirty) = (true, true);
            }
            self.pages.retain(|_, page| page.now.is_some() || page.medium.is_some());
        }
        self.length = length;
    }

    /// Brings all to the medium.
    pub(super) fn sync(&mut self) {
        for page in self.pages.values_mut().filter(|page| page.dirty) {
            page.medium.clone_from(&page.now);
            page.dirty = false;
        }
        self.pages.retain(|_, page| page.now.is_some() || page.medium.is_some());
        self.medium_length = self.length;
    }

    /// A sync that failed: the kernel holds the pages clean all the same, and what they held may never reach the medium.
    pub(super) fn sync_failed(&mut self) {
        self.pages.values_mut().for_each(|page| page.dirty = false);
    }

    /// Clean pages of a range leave memory; the next read sees the medium.
    pub(super) fn evict(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length).div_ceil(PAGE);
        for (_, page) in self.pages.range_mut(offset / PAGE..end) {
            if !page.dirty {
                page.resident = false;
                page.now.clone_from(&page.medium);
            }
        }
        self.pages.retain(|_, page| page.now.is_some() || page.medium.is_some());
    }

    /// Power fails: of each page that was not synced, the new state, the old one, or the first sectors of the new one.
    pub(super) fn crash(&mut self, choose: &mut dyn FnMut(u32) -> u32) {
        if self.length != self.medium_length && choose(2) == 1 {
            self.medium_length = self.length;
        }
        for page in self.pages.values_mut() {
            if page.dirty {
                const SECTORS: u32 = (PAGE as usize / SECTOR) as u32;
                // 0: nothing of it; SECTORS: all of it.
                let sectors = match choose(3) {
                    0 => 0,
                    1 => SECTORS,
                    _ => 1 + choose(SECTORS - 1),
                };
                tear(page, sectors as usize * SECTOR);
            }
            page.now.clone_from(&page.medium);
            (page.resident, page.dirty) = (false, false);
        }
        self.length = self.medium_length;
        let end = self.length;
        self.pages.retain(|at, page| page.now.is_some() && at * PAGE < end);
        // Behind the end of a file there is nothing to see when it grows again.
        if let Some((_, page)) = self.pages.range_mut(end / PAGE..).next() {
            let keep = (end % PAGE) as usize;
            for block in [&mut page.now, &mut page.medium].into_iter().flatten() {
                block[keep..].fill(0);
            }
        }
    }

    /// A bit of a page on the medium turns over. False: there is none.
    pub(super) fn rot(&mut self, choose: &mut dyn FnMut(u32) -> u32) -> bool {
        let held: Vec<u64> =
            self.pages.iter().filter(|(_, page)| page.medium.is_some()).map(|(&at, _)| at).collect();
        if held.is_empty() {
            return false;
        }
        let at = held[choose(held.len() as u32) as usize];
        let bits = self.length.saturating_sub(at * PAGE).clamp(1, PAGE) as u32 * 8;
        let bit = choose(bits) as usize;
        let Some(page) = self.pages.get_mut(&at) else { return false };
        if let Some(medium) = &mut page.medium {
            medium[bit / 8] ^= 1 << (bit % 8);
        }
        if !page.resident {
            page.now.clone_from(&page.medium);
        }
        true
    }
}

/// The first `bytes` bytes of what was written reach the medium.
fn tear(page: &mut Page, bytes: usize) {
    match (&page.now, &mut page.medium) {
        (_, _) if bytes == 0 => {}
        (now, medium) if bytes == PAGE as usize => medium.clone_from(now),
        (Some(now), medium) => {
            let medium = medium.get_or_insert_with(|| Box::new([0; PAGE as usize]));
            medium[..bytes].copy_from_slice(&now[..bytes]);
        }
        (None, _) => {}
    }
}

/// The part of page `at` that lies between `offset` and `end`, from its own start.
fn range(at: u64, offset: u64, end: u64) -> (usize, usize) {
    let start = at * PAGE;
    (offset.saturating_sub(start) as usize, (end - start).min(PAGE) as usize)
}
