//! The requests of a ring: what each does when it is tried, and how it waits.

use pirn::os::Address;

use super::Watcher;
use super::network::{receive_message, send_message};
use super::readiness::{ALWAYS, IN, OUT, RDHUP, READERS};
use super::ring::{CQE_BUFFER, CQE_MORE, CQE_NONEMPTY, Cqe};
use crate::check::Violation;
use crate::choice::Kind as Choice;
use crate::net::Errno;
use crate::rng::mix_bytes;
use crate::world::World;

pub(super) const NOP: u8 = 0;
pub(super) const READV: u8 = 1;
pub(super) const WRITEV: u8 = 2;
pub(super) const FSYNC: u8 = 3;
pub(super) const POLL_ADD: u8 = 6;
pub(super) const SENDMSG: u8 = 9;
pub(super) const RECVMSG: u8 = 10;
pub(super) const TIMEOUT: u8 = 11;
pub(super) const ACCEPT: u8 = 13;
pub(super) const ASYNC_CANCEL: u8 = 14;
pub(super) const LINK_TIMEOUT: u8 = 15;
pub(super) const CONNECT: u8 = 16;
pub(super) const OPENAT: u8 = 18;
pub(super) const CLOSE: u8 = 19;
pub(super) const STATX: u8 = 21;
pub(super) const READ: u8 = 22;
pub(super) const WRITE: u8 = 23;
pub(super) const FADVISE: u8 = 24;
pub(super) const SEND: u8 = 26;
pub(super) const RECV: u8 = 27;
pub(super) const SPLICE: u8 = 30;
pub(super) const SHUTDOWN: u8 = 34;
pub(super) const RENAMEAT: u8 = 35;
pub(super) const UNLINKAT: u8 = 36;
pub(super) const MKDIRAT: u8 = 37;
pub(super) const SYMLINKAT: u8 = 38;
pub(super) const LINKAT: u8 = 39;
pub(super) const FTRUNCATE: u8 = 55;
/// The last op that a kernel with these knows.
pub(super) const LAST: u8 = 58;
/// What is modelled.
pub(super) const OPS: &[u8] = &[
    NOP,
    READV,
    WRITEV,
    FSYNC,
    POLL_ADD,
    SENDMSG,
    RECVMSG,
    TIMEOUT,
    ACCEPT,
    ASYNC_CANCEL,
    LINK_TIMEOUT,
    CONNECT,
    OPENAT,
    CLOSE,
    STATX,
    READ,
    WRITE,
    FADVISE,
    SEND,
    RECV,
    SPLICE,
    SHUTDOWN,
    RENAMEAT,
    UNLINKAT,
    MKDIRAT,
    SYMLINKAT,
    LINKAT,
    FTRUNCATE,
];

/// Flags of an entry.
pub(super) const FIXED_FILE: u8 = 1;
pub(super) const DRAIN: u8 = 1 << 1;
pub(super) const LINK: u8 = 1 << 2;
pub(super) const HARD_LINK: u8 = 1 << 3;
pub(super) const ASYNC: u8 = 1 << 4;
pub(super) const BUFFER_SELECT: u8 = 1 << 5;
pub(super) const SKIP_SUCCESS: u8 = 1 << 6;

const POLL_MULTI: u32 = 1;
const RECV_MULTI: u16 = 2;
const ACCEPT_MULTI: u16 = 1;
/// Completions of one multishot request in a row, before others have their turn.
const ROUNDS: usize = 32;

/// An entry of the submission queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) op: u8,
    pub(super) flags: u8,
    pub(super) priority: u16,
    pub(super) fd: i32,
    pub(super) offset: u64,
    pub(super) address: usize,
    pub(super) length: u32,
    pub(super) how: u32,
    pub(super) data: u64,
    pub(super) group: u16,
    /// The descriptor that a splice takes from.
    pub(super) from: i32,
}

impl Entry {
    /// The entry at an address.
    ///
    /// # Safety
    /// 64 readable bytes.
    pub(super) unsafe fn read(at: usize) -> Self {
        // SAFETY: the caller's duty.
        unsafe {
            let byte = at as *const u8;
            Self {
                op: *byte,
                flags: *byte.add(1),
                priority: byte.add(2).cast::<u16>().read(),
                fd: byte.add(4).cast::<i32>().read(),
                offset: byte.add(8).cast::<u64>().read(),
                address: byte.add(16).cast::<u64>().read() as usize,
                length: byte.add(24).cast::<u32>().read(),
                how: byte.add(28).cast::<u32>().read(),
                data: byte.add(32).cast::<u64>().read(),
                group: byte.add(40).cast::<u16>().read(),
                from: byte.add(44).cast::<i32>().read(),
            }
        }
    }

    fn is_multishot(&self) -> bool {
        match self.op {
            POLL_ADD => self.length & POLL_MULTI != 0,
            RECV => self.priority & RECV_MULTI != 0,
            ACCEPT => self.priority & ACCEPT_MULTI != 0,
            _ => false,
        }
    }

    /// What it waits for at its file.
    fn events(&self) -> u32 {
        match self.op {
            POLL_ADD => (self.how & 0xffff) | ALWAYS,
            SEND | SENDMSG | WRITE | WRITEV | CONNECT => OUT | ALWAYS,
            ACCEPT => IN | ALWAYS,
            _ => READERS | RDHUP | ALWAYS,
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) entry: Entry,
    pub(super) serial: u64,
    /// The open file it refers to.
    pub(super) file: Option<u32>,
    /// Waits at its file.
    pub(super) armed: bool,
    /// Its work waits for the owner.
    pub(super) queued: bool,
    /// Why its work is done: it was cancelled, or its time is over.
    pub(super) ends: Option<Errno>,
    /// Since when it has been a thread's of the kernel (`work.rs`), and what came of that.
    pub(super) thread: Option<u64>,
    pub(super) outcome: Option<Result<usize, Errno>>,
    /// The bits of its wake-up; 0: to be asked for.
    woken: u32,
    /// Not tried yet: one of a chain, whose turn has come with its work.
    pub(super) fresh: bool,
    /// Bytes that were sent.
    done: usize,
    /// What the bytes of a send were when it was submitted.
    hash: u64,
    /// Where a connect goes: the kernel copies the address when it takes the entry.
    address: Option<Address>,
    /// Entries that are linked behind it.
    pub(super) chain: Vec<Entry>,
    /// The request whose time limit this is, and the request that is this one's limit.
    pub(super) limits: Option<u32>,
    pub(super) limit: Option<u32>,
}

impl Request {
    pub(super) fn new(entry: Entry, serial: u64) -> Self {
        Self {
            entry,
            serial,
            file: None,
            armed: false,
            queued: false,
            ends: None,
            thread: None,
            outcome: None,
            fresh: true,
            woken: 0,
            done: 0,
            hash: 0,
            address: None,
            chain: Vec::new(),
            limits: None,
            limit: None,
        }
    }
}

/// What a try came to.
pub(super) enum Tried {
    /// It ends, with these flags.
    Done(Result<usize, Errno>, u32),
    /// It waits at its file.
    Waits,
    /// It has more to do: others first.
    Again,
}

impl World {
    pub(super) fn request(&mut self, ring: u32, request: u32) -> Option<&mut Request> {
        self.ring(ring)?.requests.get_mut(request as usize)?.as_mut()
    }

    /// The file of a request changed; 0: in whatever way.
    pub(super) fn wake_request(&mut self, ring: u32, request: u32, bits: u32) {
        let Some(record) = self.request(ring, request) else { return };
        if record.armed && (bits == 0 || bits & record.entry.events() != 0) {
            // What one wake-up told is told; after several, or a mute one, it is asked.
            record.woken = if record.queued { 0 } else { bits };
            self.queue_work(ring, request);
        }
    }

    /// The owner has something to do for a request.
    pub(super) fn queue_work(&mut self, ring: u32, request: u32) {
        let Some(record) = self.request(ring, request) else { return };
        if std::mem::replace(&mut record.queued, true) {
            return;
        }
        let Some(record) = self.ring(ring) else { return };
        record.work.push_back(request);
        record.tell_work();
        let sleepers = std::mem::take(&mut record.sleepers);
        self.wake_sleeper(&sleepers);
        if let Some(record) = self.ring(ring) {
            record.sleepers = sleepers;
        }
    }

    /// Tries a request.
    pub(super) fn try_request(&mut self, ring: u32, request: u32) {
        let Some(record) = self.request(ring, request) else { return };
        record.fresh = false;
        let (entry, file) = (record.entry, record.file);
        let tried = match file {
            Some(file) if entry.op == POLL_ADD => self.try_poll(ring, request, file, entry),
            Some(file) => match self.try_transfer(ring, request, file, entry) {
                Ok(tried) => tried,
                Err(libc::EAGAIN) => Tried::Waits,
                Err(errno) => Tried::Done(Err(errno), 0),
            },
            None => Tried::Done(Err(libc::EBADF), 0),
        };
        match tried {
            Tried::Done(result, flags) => self.finish(ring, request, result, flags),
            Tried::Again => self.queue_work(ring, request),
            Tried::Waits => self.arm(ring, request),
        }
    }

    fn arm(&mut self, ring: u32, request: u32) {
        let Some(record) = self.request(ring, request) else { return };
        let Some(file) = record.file else { return };
        if !std::mem::replace(&mut record.armed, true) {
            self.watch_file(file, Watcher::Request { ring, request });
        }
    }

    /// A poll tells what is so when it is armed, and after that of edges.
    fn try_poll(&mut self, ring: u32, request: u32, file: u32, entry: Entry) -> Tried {
        let told = self.request(ring, request).map_or(0, |record| std::mem::take(&mut record.woken));
        let ready = if told == 0 { self.readiness(file) } else { told } & entry.events();
        if ready == 0 {
            return Tried::Waits;
        }
        if !entry.is_multishot() {
            return Tried::Done(Ok(ready as usize), 0);
        }
        if !self.request(ring, request).is_some_and(|record| record.armed) {
            // What is ready already comes as work, as every edge does.
            self.arm(ring, request);
            return Tried::Again;
        }
        if self.post_more(ring, entry, ready as i32, 0) {
            Tried::Waits
        } else {
            Tried::Done(Ok(ready as usize), 0)
        }
    }

    /// One completion of several. False: there was no room, or the request ends for a reason of the kernel's own, with this completion.
    fn post_more(&mut self, ring: u32, entry: Entry, result: i32, flags: u32) -> bool {
        if self.rarely(Choice::Spurious, 2, self.options.spurious / 4) != 0 {
            return false;
        }
        let cqe = Cqe { data: entry.data, result, flags: flags | CQE_MORE };
        self.ring(ring).is_some_and(|ring| ring.post_if_room(cqe))
    }

    fn try_transfer(&mut self, ring: u32, request: u32, file: u32, entry: Entry) -> Result<Tried, Errno> {
        let done = |count: usize| Ok(Tried::Done(Ok(count), 0));
        let bytes_at = entry.address;
        match entry.op {
            ACCEPT => return self.try_accept(ring, file, entry),
            RECV if entry.flags & BUFFER_SELECT != 0 => return self.try_receive(ring, file, entry),
            SEND => return self.try_send(ring, request, file, entry),
            SPLICE => return done(self.splice(file, entry)?),
            _ => {}
        }
        match entry.op {
            READ => {
                let bytes = self.read_some(file, entry.length as usize)?;
                // SAFETY: the submitter's promise: as many writable bytes until the completion.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), bytes_at as *mut u8, bytes.len()) };
                done(bytes.len())
            }
            WRITE => {
                // SAFETY: the submitter's promise.
                let bytes = unsafe { copied(bytes_at, entry.length as usize) };
                let count = self.write_some(file, &bytes)?;
                done(count)
            }
            READV | WRITEV => {
                let (slices, count) = (bytes_at as *const libc::iovec, entry.length as usize);
                // SAFETY: the submitter's promise.
                unsafe {
                    if entry.op == WRITEV {
                        let bytes = super::calls::gather(slices, count);
                        return done(self.write_some(file, &bytes)?);
                    }
                    let bytes = self.read_some(file, super::calls::room(slices, count))?;
                    super::calls::scatter(&bytes, slices, count);
                    done(bytes.len())
                }
            }
            _ => {
                let socket = self.socket_of_file(file)?;
                match entry.op {
                    RECV => {
                        let (bytes, _) =
                            self.receive_bytes(socket, entry.length as usize, entry.how as i32)?;
                        // SAFETY: the submitter's promise.
                        unsafe {
                            std::ptr::copy_nonoverlapping(bytes.as_ptr(), bytes_at as *mut u8, bytes.len());
                        }
                        done(bytes.len())
                    }
                    // SAFETY: the submitter's promise: a message until the completion.
                    RECVMSG => done(unsafe {
                        receive_message(self, socket, bytes_at as *mut libc::msghdr, entry.how as i32)
                    }?),
                    // SAFETY: as above.
                    SENDMSG => done(unsafe { send_message(self, socket, bytes_at as *const libc::msghdr) }?),
                    CONNECT => self.try_connect(ring, request, socket, entry),
                    SHUTDOWN => self.shut_down(socket, entry.length as i32).map(|()| Tried::Done(Ok(0), 0)),
                    _ => Err(libc::EINVAL),
                }
            }
        }
    }

    fn socket_of_file(&mut self, file: u32) -> Result<u32, Errno> {
        let super::Kind::Socket(socket) = self.file_at(file).kind else { return Err(libc::ENOTSOCK) };
        if self.net.socket(socket).family.is_socket() { Ok(socket) } else { Err(libc::ENOTSOCK) }
    }

    fn try_connect(&mut self, ring: u32, request: u32, socket: u32, entry: Entry) -> Result<Tried, Errno> {
        let taken = self.request(ring, request).and_then(|record| record.address.clone());
        let address = match taken {
            Some(address) => address,
            // SAFETY: the submitter's promise: an address until the entry is taken, and this is the first try.
            None => unsafe { super::address::decode(entry.address as *const _, entry.offset as u32) }?,
        };
        if let Some(record) = self.request(ring, request) {
            record.address.get_or_insert_with(|| address.clone());
        }
        match self.connect_to(socket, &address) {
            Ok(()) | Err(libc::EISCONN) => Ok(Tried::Done(Ok(0), 0)),
            Err(libc::EINPROGRESS | libc::EALREADY) => Ok(Tried::Waits),
            Err(errno) => Err(errno),
        }
    }

    fn try_accept(&mut self, ring: u32, file: u32, entry: Entry) -> Result<Tried, Errno> {
        let socket = self.socket_of_file(file)?;
        for _ in 0..ROUNDS {
            let (accepted, peer) = self.accept_from(socket)?;
            if !entry.is_multishot() {
                // SAFETY: the submitter's promise: room for an address, or none.
                unsafe { super::address::encode(&peer, entry.address as *mut u8, entry.offset as *mut u32) };
                return Ok(Tried::Done(Ok(accepted as usize), 0));
            }
            if !self.post_more(ring, entry, accepted, 0) {
                return Ok(Tried::Done(Ok(accepted as usize), 0));
            }
        }
        Ok(Tried::Again)
    }

    /// A receive into a provided buffer.
    fn try_receive(&mut self, ring: u32, file: u32, entry: Entry) -> Result<Tried, Errno> {
        let socket = self.socket_of_file(file)?;
        for _ in 0..ROUNDS {
            let (address, length, id) = self.next_buffer(ring, entry.group).ok_or(libc::ENOBUFS)?;
            let room = if entry.length == 0 { length } else { length.min(entry.length) };
            let (bytes, _) = self.receive_bytes(socket, room as usize, entry.how as i32)?;
            if bytes.is_empty() {
                // The end: the buffer stays where it was.
                return Ok(Tried::Done(Ok(0), 0));
            }
            // SAFETY: the provider's promise: as many writable bytes until the buffer is its own again.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
            self.use_buffer(ring, entry.group, id);
            let left = !self.net.socket(socket).inbox.is_empty();
            let flags = CQE_BUFFER | if left { CQE_NONEMPTY } else { 0 } | u32::from(id) << 16;
            let more = entry.is_multishot() && self.post_more(ring, entry, bytes.len() as i32, flags);
            if !more {
                return Ok(Tried::Done(Ok(bytes.len()), flags));
            }
            let socket = self.net.socket(socket);
            if !left && !socket.eof && !socket.reset && !socket.read_shut {
                return Ok(Tried::Waits);
            }
        }
        Ok(Tried::Again)
    }

    fn try_send(&mut self, ring: u32, request: u32, file: u32, entry: Entry) -> Result<Tried, Errno> {
        let socket = self.socket_of_file(file)?;
        // SAFETY: the submitter's promise: readable bytes until the completion.
        let bytes = unsafe { copied(entry.address, entry.length as usize) };
        let hash = mix_bytes(1, &bytes);
        let Some(record) = self.request(ring, request) else { return Err(libc::EBADF) };
        if record.done == 0 && record.hash == 0 {
            record.hash = hash;
        } else if record.hash != hash {
            let what = "the bytes of a send changed between its submission and its completion: its buffer is not its own";
            self.violated(Violation::new("S18", what.to_owned()));
            return Err(libc::EFAULT);
        }
        loop {
            let done = self.request(ring, request).map_or(0, |record| record.done);
            match self.send_bytes(socket, &bytes[done..]) {
                Ok(count) => {
                    let Some(record) = self.request(ring, request) else { return Err(libc::EBADF) };
                    record.done += count;
                    let all = record.done;
                    if all == bytes.len() || entry.how & libc::MSG_WAITALL as u32 == 0 {
                        return Ok(Tried::Done(Ok(all), 0));
                    }
                }
                Err(errno) if errno != libc::EAGAIN && done > 0 => return Ok(Tried::Done(Ok(done), 0)),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// A copy of bytes.
///
/// # Safety
/// They are readable.
pub(super) unsafe fn copied(address: usize, count: usize) -> Vec<u8> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's duty.
    unsafe { std::slice::from_raw_parts(address as *const u8, count) }.to_vec()
}
