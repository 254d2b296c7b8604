//! Memory that a ring shares with its user: mmap of a ring's descriptor, and munmap of what that gave.
//!
//! Regions are kept from run to run, because rings are made and closed thousands of times a second.

use std::ffi::{CStr, c_int, c_void};

use super::Kind;
use super::calls::{answer, fail, listed, on, real};
use crate::thread::current;

/// Memory for a ring.
#[derive(Debug)]
pub(crate) struct Region {
    words: Box<[u64]>,
    used: bool,
}

impl Region {
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
    regions.push(Region { words: vec![0; words].into(), used: true });
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
    // SAFETY: the caller's duty.
    unsafe { real(libc::SYS_madvise, [address as usize, length, advice as usize, 0, 0, 0]) as c_int }
}

/// The symbols of this file.
pub(super) fn symbols() -> impl Iterator<Item = (&'static CStr, usize)> {
    listed![mmap munmap madvise].into_iter()
}
