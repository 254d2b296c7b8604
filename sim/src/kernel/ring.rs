//! An io_uring: its memory, its completion queue, its provided buffers. How requests go is in `request.rs`, `submit.rs` and `cancel.rs`.
//!
//! Modelled are rings with SINGLE_ISSUER and DEFER_TASKRUN, which Pirn uses: a change of a file queues *work*, and only an enter of the
//! thread that enabled the ring brings it in. What the completion queue has no room for waits in the kernel until an enter that
//! asks for completions; a multishot request that finds no room ends, and now and then one that finds room, which a user has to expect.
//!
//! The memory of a ring is used by the thread on the seat, by peers and by this, one after another on one OS thread; atomics are used
//! because others do.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::calls::{answer, call};
use super::memory::{Region, give_back, take};
use super::request::{POLL_ADD, Request};
use super::{Kind, Watcher};
use crate::check::Violation;
use crate::net::Errno;
use crate::thread::Executor;
use crate::world::World;

pub(super) const SETUP_CQSIZE: u32 = 1 << 3;
const SETUP_CLAMP: u32 = 1 << 4;
const SETUP_R_DISABLED: u32 = 1 << 6;
pub(super) const SETUP_SUBMIT_ALL: u32 = 1 << 7;
const SETUP_COOP_TASKRUN: u32 = 1 << 8;
const SETUP_TASKRUN_FLAG: u32 = 1 << 9;
const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
const KNOWN: u32 = SETUP_CQSIZE
    | SETUP_CLAMP
    | SETUP_R_DISABLED
    | SETUP_SUBMIT_ALL
    | SETUP_COOP_TASKRUN
    | SETUP_TASKRUN_FLAG
    | SETUP_SINGLE_ISSUER
    | SETUP_DEFER_TASKRUN;
/// SINGLE_MMAP, NODROP, SUBMIT_STABLE, RW_CUR_POS, CUR_PERSONALITY, FAST_POLL, POLL_32BITS, EXT_ARG, NATIVE_WORKERS, RSRC_TAGS, CQE_SKIP, LINKED_FILE.
const FEATURES: u32 = 0x7f | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

const SQ_CQ_OVERFLOW: u32 = 1 << 1;
const SQ_TASKRUN: u32 = 1 << 2;

pub(super) const CQE_BUFFER: u32 = 1;
pub(super) const CQE_MORE: u32 = 1 << 1;
pub(super) const CQE_NONEMPTY: u32 = 1 << 2;

/// Offsets in the rings' memory.
const SQ_HEAD: usize = 0;
const SQ_TAIL: usize = 4;
const CQ_HEAD: usize = 8;
const CQ_TAIL: usize = 12;
const SQ_MASK: usize = 16;
const CQ_MASK: usize = 20;
const SQ_ENTRIES: usize = 24;
const CQ_ENTRIES: usize = 28;
const SQ_DROPPED: usize = 32;
const SQ_FLAGS: usize = 36;
const CQ_FLAGS: usize = 40;
const CQ_OVERFLOW: usize = 44;
const SQ_ARRAY: usize = 64;
/// Where a ring's descriptor shows its memory.
const AT_ENTRIES: u64 = 0x1000_0000;

const SQE: usize = 64;
const CQE: usize = 16;
/// Entries of a queue at most.
const MOST: u32 = 32_768;

/// A completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cqe {
    pub(super) data: u64,
    pub(super) result: i32,
    pub(super) flags: u32,
}

/// A group of provided buffers.
#[derive(Debug)]
struct Group {
    id: u16,
    memory: usize,
    entries: u16,
    /// Buffers that were taken, and entries that were looked at.
    head: u16,
    seen: u16,
    /// Buffers that were taken and that none was provided for.
    used: u32,
    /// For each buffer whether it is provided.
    provided: Vec<bool>,
}

/// A ring.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) flags: u32,
    submissions: u32,
    completions: u32,
    /// Its memory: the queues, and the entries of submissions.
    memory: usize,
    entries: usize,
    pub(super) enabled: bool,
    /// The thread that may enter.
    pub(super) owner: u32,
    pub(super) requests: Vec<Option<Request>>,
    pub(super) serial: u64,
    /// Requests whose work waits for an enter of the owner.
    pub(super) work: VecDeque<u32>,
    overflow: VecDeque<Cqe>,
    groups: Vec<Group>,
    pub(crate) sleepers: VecDeque<u32>,
}

impl Ring {
    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: inside of the ring's memory, which stays until the ring closes, and aligned.
        unsafe { &*((self.memory + at) as *const AtomicU32) }
    }

    // The orderings pair with those of whoever uses the ring, as the kernel's do.
    fn get(&self, at: usize) -> u32 {
        self.word(at).load(Ordering::Acquire)
    }

    fn put(&self, at: usize, value: u32) {
        self.word(at).store(value, Ordering::Release);
    }

    fn flag(&self, flag: u32, on: bool) {
        let flags = self.get(SQ_FLAGS);
        self.put(SQ_FLAGS, if on { flags | flag } else { flags & !flag });
    }

    fn cqes(&self) -> usize {
        SQ_ARRAY + (self.submissions as usize * 4).next_multiple_of(64)
    }

    /// Where `length` bytes from `offset` on are in memory.
    pub(super) fn mapped(&self, offset: u64, length: usize) -> Option<usize> {
        let (address, size) = match offset {
            0 => (self.memory, self.cqes() + self.completions as usize * CQE),
            AT_ENTRIES => (self.entries, self.submissions as usize * SQE),
            _ => return None,
        };
        (length <= size.next_multiple_of(4096)).then_some(address)
    }

    /// Gives the memory back.
    pub(super) fn free_memory(&self, regions: &mut [Region]) {
        give_back(regions, self.memory);
        give_back(regions, self.entries);
    }

    /// The next submission: the address of its entry.
    pub(super) fn next_entry(&self) -> Option<usize> {
        let head = self.get(SQ_HEAD);
        if head == self.get(SQ_TAIL) {
            return None;
        }
        let at = SQ_ARRAY + (head & (self.submissions - 1)) as usize * 4;
        let index = self.get(at) & (self.submissions - 1);
        self.put(SQ_HEAD, head.wrapping_add(1));
        Some(self.entries + index as usize * SQE)
    }

    /// Submissions that wait to be taken.
    pub(super) fn staged(&self) -> u32 {
        self.get(SQ_TAIL).wrapping_sub(self.get(SQ_HEAD))
    }

    /// Completions that wait to be collected.
    pub(super) fn ready(&self) -> u32 {
        self.get(CQ_TAIL).wrapping_sub(self.get(CQ_HEAD))
    }

    /// Whether there are any, here or in the kernel.
    pub(crate) fn has_completions(&self) -> bool {
        self.ready() > 0 || !self.overflow.is_empty()
    }

    fn write(&self, cqe: Cqe) {
        let tail = self.get(CQ_TAIL);
        let at = self.memory + self.cqes() + (tail & (self.completions - 1)) as usize * CQE;
        // SAFETY: inside of the ring's memory; this entry is the kernel's.
        unsafe {
            (at as *mut u64).write(cqe.data);
            ((at + 8) as *mut i32).write(cqe.result);
            ((at + 12) as *mut u32).write(cqe.flags);
        }
        self.put(CQ_TAIL, tail.wrapping_add(1));
    }

    /// Posts a completion; in the kernel, if there is no room.
    pub(super) fn post(&mut self, cqe: Cqe) {
        if !self.post_if_room(cqe) {
            self.overflow.push_back(cqe);
            self.flag(SQ_CQ_OVERFLOW, true);
        }
    }

    /// The same for one of several of a request. False: no room, and nothing is posted.
    pub(super) fn post_if_room(&mut self, cqe: Cqe) -> bool {
        let room = self.overflow.is_empty() && self.ready() < self.completions;
        if room {
            self.write(cqe);
        }
        room
    }

    /// Moves what waits in the kernel to where there is room now.
    pub(super) fn flush(&mut self) {
        while self.ready() < self.completions
            && let Some(cqe) = self.overflow.pop_front()
        {
            self.write(cqe);
        }
        if self.overflow.is_empty() {
            self.flag(SQ_CQ_OVERFLOW, false);
        }
    }

    /// Says in the shared memory whether work waits.
    pub(super) fn tell_work(&self) {
        if self.flags & SETUP_TASKRUN_FLAG != 0 {
            self.flag(SQ_TASKRUN, !self.work.is_empty());
        }
    }

    /// The files that polls wait at.
    pub(super) fn polled(&self) -> Vec<u32> {
        let polls = self.requests.iter().flatten().filter(|one| one.armed && one.entry.op == POLL_ADD);
        polls.filter_map(|one| one.file).collect()
    }

    fn group(&mut self, id: u16) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }
}

impl Group {
    /// Looks at entries that are new. A buffer that is provided already is returned.
    fn look(&mut self) -> Option<u16> {
        // SAFETY: the tail stands in the first entry of the memory that was registered; its owner writes it atomically.
        let tail = unsafe { &*((self.memory + 14) as *const AtomicU16) };
        // Acquire: pairs with the provider's Release: the entries before the tail are there.
        let tail = tail.load(Ordering::Acquire);
        let mut twice = None;
        while self.seen != tail {
            let id = self.entry(self.seen).2;
            self.seen = self.seen.wrapping_add(1);
            self.used = self.used.saturating_sub(1);
            if self.provided.len() <= usize::from(id) {
                self.provided.resize(usize::from(id) + 1, false);
            }
            if std::mem::replace(&mut self.provided[usize::from(id)], true) {
                twice = Some(id);
            }
        }
        twice
    }

    /// Address, length and number of an entry.
    fn entry(&self, at: u16) -> (usize, u32, u16) {
        let address = self.memory + usize::from(at & (self.entries - 1)) * 16;
        // SAFETY: inside of the memory that was registered.
        unsafe {
            (
                *(address as *const u64) as usize,
                *((address + 8) as *const u32),
                *((address + 12) as *const u16),
            )
        }
    }
}

impl World {
    pub(super) fn ring(&mut self, file: u32) -> Option<&mut Ring> {
        match &mut self.file_at(file).kind {
            Kind::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// The next provided buffer of a group: address, length, number. It stays provided until [`World::use_buffer`].
    pub(super) fn next_buffer(&mut self, ring: u32, group: u16) -> Option<(usize, u32, u16)> {
        let most = self.options.rings.buffers;
        let group = self.ring(ring)?.group(group)?;
        if let Some(id) = group.look() {
            let what = format!("buffer {id} of a ring was provided while it was provided already");
            self.violated(Violation::new("S20", what));
            return None;
        }
        if group.seen == group.head || (most > 0 && group.used >= most) {
            return None;
        }
        Some(group.entry(group.head))
    }

    /// It is the user's.
    pub(super) fn use_buffer(&mut self, ring: u32, group: u16, id: u16) {
        if let Some(group) = self.ring(ring).and_then(|ring| ring.group(group)) {
            group.head = group.head.wrapping_add(1);
            group.used += 1;
            group.provided[usize::from(id)] = false;
        }
    }

    /// The ring goes: its requests with it. What its completions delivered and nobody collected stays open.
    pub(super) fn close_ring(&mut self, number: u32, ring: Ring) {
        for (at, request) in ring.requests.iter().enumerate() {
            if let Some(file) = request.as_ref().and_then(|request| request.file) {
                self.unwatch_file(file, Watcher::Request { ring: number, request: at as u32 });
            }
        }
        for file in ring.requests.iter().flatten().filter_map(|request| request.file) {
            self.let_go(file);
        }
        ring.free_memory(&mut self.kernel.regions);
    }
}

/// io_uring_setup(2).
///
/// # Safety
/// `params` is valid for reading and writing.
pub(super) unsafe fn setup(executor: &'static Executor, entries: u32, params: *mut u32) -> isize {
    call(executor, |world| {
        // SAFETY: the caller's duty: 30 words.
        let params = unsafe { std::slice::from_raw_parts_mut(params, 30) };
        let flags = params[2];
        let deferred = SETUP_DEFER_TASKRUN | SETUP_SINGLE_ISSUER;
        if flags & !KNOWN != 0 || flags & deferred != deferred {
            return Err(libc::EINVAL);
        }
        let clamps = flags & SETUP_CLAMP != 0;
        if entries == 0 || (entries > MOST && !clamps) {
            return Err(libc::EINVAL);
        }
        let sizes = world.options.rings;
        let limited = |asked: u32, most: u32| if most == 0 { asked } else { asked.min(most) };
        let submissions = limited(entries.min(MOST).next_power_of_two(), sizes.submissions);
        let mut completions = submissions * 2;
        if flags & SETUP_CQSIZE != 0 {
            if params[1] < entries || (params[1] > 2 * MOST && !clamps) {
                return Err(libc::EINVAL);
            }
            completions = params[1].min(2 * MOST).next_power_of_two();
        }
        let completions = limited(completions, sizes.completions).max(submissions);
        let owner = world.current;
        let ring = Ring {
            flags,
            submissions,
            completions,
            memory: 0,
            entries: 0,
            enabled: flags & SETUP_R_DISABLED == 0,
            owner,
            requests: Vec::new(),
            serial: 0,
            work: VecDeque::new(),
            overflow: VecDeque::new(),
            groups: Vec::new(),
            sleepers: VecDeque::new(),
        };
        let cqes = ring.cqes();
        let fd = world.install(Kind::Ring(Box::new(ring)))?;
        let memory = take(&mut world.kernel.regions, cqes + completions as usize * CQE);
        let entries = take(&mut world.kernel.regions, submissions as usize * SQE);
        let file = world.open_file_of(fd)?;
        let ring = world.ring(file).ok_or(libc::EBADF)?;
        (ring.memory, ring.entries) = (memory, entries);
        for (at, value) in [
            (SQ_MASK, submissions - 1),
            (CQ_MASK, completions - 1),
            (SQ_ENTRIES, submissions),
            (CQ_ENTRIES, completions),
        ] {
            ring.put(at, value);
        }
        (params[0], params[1], params[5]) = (submissions, completions, FEATURES);
        let offsets = |at: [usize; 7]| at.map(|at| at as u32);
        params[10..17].copy_from_slice(&offsets([
            SQ_HEAD, SQ_TAIL, SQ_MASK, SQ_ENTRIES, SQ_FLAGS, SQ_DROPPED, SQ_ARRAY,
        ]));
        params[20..27].copy_from_slice(&offsets([
            CQ_HEAD,
            CQ_TAIL,
            CQ_MASK,
            CQ_ENTRIES,
            CQ_OVERFLOW,
            cqes,
            CQ_FLAGS,
        ]));
        Ok(fd as usize)
    })
}

const REGISTER_PROBE: u32 = 8;
const REGISTER_ENABLE: u32 = 12;
const REGISTER_BUFFERS: u32 = 22;
const UNREGISTER_BUFFERS: u32 = 23;

/// io_uring_register(2).
///
/// # Safety
/// As the call.
pub(super) unsafe fn register(
    executor: &'static Executor,
    fd: i32,
    what: u32,
    argument: usize,
    count: u32,
) -> isize {
    executor.os_point_at(Location::caller());
    let world = executor.world();
    let me = world.current;
    let result = (|| -> Result<usize, Errno> {
        let file = world.open_file_of(fd)?;
        let ring = world.ring(file).ok_or(libc::EOPNOTSUPP)?;
        match what {
            REGISTER_ENABLE if ring.enabled => return Err(libc::EBADFD),
            REGISTER_ENABLE => (ring.enabled, ring.owner) = (true, me),
            REGISTER_PROBE => {
                // SAFETY: a probe with room for `count` ops, 16 bytes of head and 8 for each.
                let bytes =
                    unsafe { std::slice::from_raw_parts_mut(argument as *mut u8, 16 + 8 * count as usize) };
                bytes.fill(0);
                (bytes[0], bytes[1]) = (super::request::LAST, super::request::LAST + 1);
                for op in super::request::OPS.iter().copied().filter(|&op| u32::from(op) < count) {
                    let at = 16 + 8 * usize::from(op);
                    (bytes[at], bytes[at + 2]) = (op, 1);
                }
            }
            REGISTER_BUFFERS => {
                // SAFETY: a registration.
                let (memory, entries, id) = unsafe {
                    let bytes = argument as *const u8;
                    (
                        bytes.cast::<u64>().read() as usize,
                        bytes.add(8).cast::<u32>().read(),
                        bytes.add(12).cast::<u16>().read(),
                    )
                };
                if !entries.is_power_of_two() || entries >= 65_536 || memory == 0 {
                    return Err(libc::EINVAL);
                }
                if ring.group(id).is_some() {
                    return Err(libc::EEXIST);
                }
                let entries = entries as u16;
                ring.groups.push(Group {
                    id,
                    memory,
                    entries,
                    head: 0,
                    seen: 0,
                    used: 0,
                    provided: Vec::new(),
                });
            }
            UNREGISTER_BUFFERS => {
                // SAFETY: as above.
                let id = unsafe { (argument as *const u8).add(12).cast::<u16>().read() };
                let at = ring.groups.iter().position(|group| group.id == id).ok_or(libc::ENOENT)?;
                ring.groups.remove(at);
            }
            _ => return Err(libc::EINVAL),
        }
        Ok(0)
    })();
    answer(executor, result)
}
