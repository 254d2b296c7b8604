//! ASYNC_CANCEL: which requests it means, and what it answers.
//!
//! A request that waits at its file, or for its time, ends with ECANCELED, and the cancel answers 0; so it is for one whose work
//! is queued: what came for it stays where it was. One that has ended is not found (ENOENT), and one that a thread of the kernel is
//! at goes on for the time being (EALREADY; see `work.rs`).

use super::request::Entry;
use super::work::{INTERRUPTED, Met};
use crate::net::Errno;
use crate::world::World;

const ALL: u32 = 1;
const BY_FD: u32 = 1 << 1;
const ANY: u32 = 1 << 2;

impl World {
    /// Cancels what an entry names, `own` left out; the answer.
    pub(super) fn cancel_requests(&mut self, ring: u32, own: u32, entry: Entry) -> Result<usize, Errno> {
        if entry.how & !(ALL | BY_FD | ANY) != 0 {
            return Err(libc::EINVAL);
        }
        let file = match entry.how & BY_FD {
            0 => None,
            _ => Some(self.open_file_of(entry.fd)?),
        };
        let meant = |other: &super::request::Request| {
            other.limits.is_none()
                && match file {
                    _ if entry.how & ANY != 0 => true,
                    Some(file) => other.file == Some(file),
                    None => other.entry.data == entry.address as u64,
                }
        };
        let found: Vec<u32> = match self.ring(ring) {
            Some(record) => (0..record.requests.len() as u32)
                .filter(|&at| at != own && record.requests[at as usize].as_ref().is_some_and(meant))
                .collect(),
            None => Vec::new(),
        };
        let every = entry.how & (ALL | ANY) != 0;
        let mut count = 0;
        for request in found {
            match self.cancel_request(ring, request) {
                Met::Over => continue,
                Met::Waiting if !every => return Ok(0),
                Met::UnderWay if !every => return Err(libc::EALREADY),
                Met::Waiting | Met::UnderWay => count += 1,
            }
        }
        if every { Ok(count) } else { Err(libc::ENOENT) }
    }

    /// A request is to end.
    pub(super) fn cancel_request(&mut self, ring: u32, request: u32) -> Met {
        let Some(record) = self.request(ring, request) else { return Met::Over };
        if record.ends.is_some() || record.outcome.is_some() {
            return Met::Over;
        }
        let met = record.thread.map_or(Met::Waiting, |since| self.meets_thread(since));
        let Some(record) = self.request(ring, request) else { return Met::Over };
        record.ends = match met {
            Met::UnderWay if !record.armed => return met,
            Met::UnderWay => Some(INTERRUPTED),
            _ => Some(libc::ECANCELED),
        };
        self.queue_work(ring, request);
        met
    }
}
