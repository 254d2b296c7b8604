//! Memory that a ring shares with its user: mmap of a ring's descriptor, and munmap of what that gave.
//!
//! Regions are kept from run to run, because rings are made and closed thousands of times a second.
//!
//! A runtime's handle may outlive its world, and unmaps its ring where there is no world to ask. So the regions of all worlds are
//! listed, and what is in the list is never unmapped for real: it is memory of the heap.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Kind;
use super::calls::{answer, fail, listed, on, real};
use crate::thread::current;

/// Memory for a ring.
#[derive(Debug)]
pub(crate) struct Region {
    words: Box<[u64]>,
    used: bool,
}

/// The addresses of all regions of the process; 0: a free place. Without locks and memory of its own, for `munmap` may be called in the midst
/// of anything. More regions than places are not listed.
static LISTED: [AtomicUsize; 4096] = [const { AtomicUsize::new(0) }; 4096];

/// Puts `new` into the first place that has `old`. Relaxed: who asks for an address has it from whoever listed it.
fn relist(old: usize, new: usize) {
    let _ = LISTED
        .iter()
        .any(|place| place.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok());
}

fn is_listed(address: usize) -> bool {
    address != 0 && LISTED.iter().any(|place| place.load(Ordering::Relaxed) == address)
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.used {
            // Somebody outside still has the ring.
            std::mem::forget(std::mem::take(&mut self.words));
        } else {
            relist(self.address(), 0);
        }
    }
}

impl Region {
    fn new(words: usize) -> Self {
        let region = Self { words: vec![0; words].into(), used: true };
        relist(0, region.address());
        region
    }

    /// Nobody uses it any more.
    pub(super) fn free(&mut self) {
        self.used = false;
    }

    fn address(&self) -> usize {
        self.words.as_ptr() as usize
    }
}

/// Zeroed memory of so many bytes: its address.
pub(super) fn take(regions: &mut Vec<Region>, bytes: usize) -> usize {
    let words = bytes.div_ceil(8);
    let free = regions.iter_mut().find(|region| !region.used && region.words.len() == words);
    if let Some(region) = free {
        region.used = true;
        region.words.fill(0);
        return region.address();
    }
    regions.push(Region::new(words));
    regions.last().map_or(0, Region::address)
}

/// Gives back the memory at an address.
pub(super) fn give_back(regions: &mut [Region], address: usize) {
    if let Some(region) = regions.iter_mut().find(|region| region.address() == address) {
        region.free();
    }
}

/// # Safety
/// As mmap(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    let Some(executor) = on(fd) else {
        let a = [address as usize, length, protection as usize, flags as usize, fd as usize, offset as usize];
        // SAFETY: the caller's duty.
        return unsafe { real(libc::SYS_mmap, a) as *mut c_void };
    };
    let world = executor.world();
    let found = world.open_file_of(fd).and_then(|file| match &world.file_at(file).kind {
        Kind::Ring(ring) => ring.mapped(offset as u64, length).ok_or(libc::EINVAL),
        _ => Err(libc::ENODEV),
    });
    match found {
        Ok(address) => address as *mut c_void,
        Err(errno) => {
            fail(errno);
            libc::MAP_FAILED
        }
    }
}

/// # Safety
/// As munmap(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn munmap(address: *mut c_void, length: usize) -> c_int {
    if let Some(executor) = current()
        && is_region(&executor.world().kernel.regions, address as usize)
    {
        // It stays until its ring closes.
        return answer(executor, Ok(0)) as c_int;
    }
    if is_listed(address as usize) {
        return 0;
    }
    // SAFETY: the caller's duty.
    unsafe { real(libc::SYS_munmap, [address as usize, length, 0, 0, 0, 0]) as c_int }
}

fn is_region(regions: &[Region], address: usize) -> bool {
    regions.iter().any(|region| region.used && region.address() == address)
}

/// # Safety
/// As madvise(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int {
    if let Some(executor) = current()
        && is_region(&executor.world().kernel.regions, address as usize)
    {
        return 0;
    }
    if is_listed(address as usize) {
        return 0;
    }
    // SAFETY: the caller's duty.
    unsafe { real(libc::SYS_madvise, [address as usize, length, advice as usize, 0, 0, 0]) as c_int }
}

/// The symbols of this file.
pub(super) fn symbols() -> impl Iterator<Item = (&'static CStr, usize)> {
    listed![mmap munmap madvise].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_outlives_its_world_unmaps_nothing() {
        let mut regions = Vec::new();
        let kept = take(&mut regions, 4096);
        let given_back = take(&mut regions, 8192);
        give_back(&mut regions, given_back);
        drop(regions);
        assert!(is_listed(kept) && !is_listed(given_back));
        // SAFETY: nobody uses the memory; the call is to leave it alone.
        assert_eq!(unsafe { munmap(kept as *mut c_void, 4096) }, 0);
        // SAFETY: it is leaked memory of this test's, 4,096 bytes.
        unsafe { std::slice::from_raw_parts_mut(kept as *mut u8, 4096) }.fill(7);
    }
}
