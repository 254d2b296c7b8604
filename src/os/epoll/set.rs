//! One epoll set: who is registered in it, what is staged in memory for its next look, and how to interrupt a look.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Weak;

use super::sys;
use crate::os::file::pool::Sink;
use crate::os::{Completion, Descriptor, Fd, Unpark};
use crate::sync::Mutex;

/// The key of the eventfd.
const WAKE: u64 = u64::MAX;

/// An epoll set.
#[derive(Debug)]
pub(super) struct Set {
    epoll: OwnedFd,
    /// Edge-triggered in the set and never read: each write is an edge, and an edge waits for the next look (law 6).
    event: OwnedFd,
    registry: Mutex<Registry>,
    staged: Mutex<Staged>,
}

/// The registered sockets. A key is an index and the entry's generation, so an event of a socket that has gone finds nobody.
#[derive(Debug, Default)]
struct Registry {
    entries: Vec<Entry>,
    free: Vec<u32>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    socket: Option<Weak<dyn Descriptor>>,
}

#[derive(Debug, Default)]
struct Staged {
    completions: VecDeque<Completion>,
    /// Somebody is about to block in the set, or does: staging must interrupt that.
    blocking: bool,
}

impl Registry {
    fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(key as u32 as usize).filter(|entry| entry.generation == (key >> 32) as u32)
    }

    fn insert(&mut self, socket: Weak<dyn Descriptor>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, socket: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        entry.socket = Some(socket);
        u64::from(entry.generation) << 32 | u64::from(index)
    }

    fn remove(&mut self, key: u64) -> Option<Weak<dyn Descriptor>> {
        let entry = self.entry(key)?;
        let socket = entry.socket.take()?;
        // One bit short, so that no key is `WAKE`.
        entry.generation = (entry.generation + 1) & 0x7fff_ffff;
        self.free.push(key as u32);
        Some(socket)
    }
}

impl Set {
    pub(super) fn new() -> io::Result<Self> {
        let set = Self {
            epoll: sys::create()?,
            event: sys::eventfd()?,
            registry: Mutex::default(),
            staged: Mutex::default(),
        };
        sys::add(&set.epoll, std::os::fd::AsRawFd::as_raw_fd(&set.event), libc::EPOLLIN as u32, WAKE)?;
        Ok(set)
    }

    /// Registers a socket and returns its key. Fails once the set's driver is gone.
    pub(super) fn register(&self, fd: RawFd, socket: Weak<dyn Descriptor>, events: u32) -> io::Result<u64> {
        let key = {
            let mut registry = self.registry.lock();
            if registry.closed {
                return Err(io::Error::other(
                    "the driver of this socket's worker is gone: its runtime was shut down",
                ));
            }
            registry.insert(socket)
        };
        if let Err(error) = sys::add(&self.epoll, fd, events, key) {
            let socket = self.registry.lock().remove(key);
            drop(socket);
            return Err(error);
        }
        Ok(key)
    }

    /// Watches a registered socket for other events.
    pub(super) fn modify(&self, fd: RawFd, events: u32, key: u64) -> io::Result<()> {
        sys::modify(&self.epoll, fd, events, key)
    }

    /// Forgets a socket that is about to close. `open_elsewhere`: closing it will not take it out of the set.
    pub(super) fn deregister(&self, fd: RawFd, key: u64, open_elsewhere: bool) {
        if open_elsewhere {
            sys::delete(&self.epoll, fd);
        }
        let socket = self.registry.lock().remove(key);
        drop(socket);
    }

    /// Appends the sockets that the events are for, as far as they live.
    pub(super) fn resolve(&self, events: &[libc::epoll_event], ready: &mut Vec<(Fd, u32)>) {
        let mut registry = self.registry.lock();
        for event in events {
            let (key, bits) = (event.u64, event.events);
            if let Some(Entry { socket: Some(socket), .. }) = registry.entry(key)
                && let Some(fd) = socket.upgrade()
            {
                ready.push((fd, bits));
            }
        }
    }

    /// Waits in the kernel.
    pub(super) fn wait(&self, events: &mut Vec<libc::epoll_event>, limit: sys::Limit) -> io::Result<()> {
        sys::wait(&self.epoll, events, limit)
    }

    /// Stages a completion for the next look; a look that blocks is interrupted.
    pub(super) fn stage(&self, completion: Completion) {
        let mut staged = self.staged.lock();
        staged.completions.push_back(completion);
        let interrupt = staged.blocking;
        drop(staged);
        if interrupt {
            self.unpark();
        }
    }

    /// Stages what a look found beyond its batch.
    pub(super) fn stage_all(&self, excess: impl Iterator<Item = Completion>) {
        self.staged.lock().completions.extend(excess);
    }

    /// Moves staged completions to `out`, at most `room`, and says whether any are left or were moved. With
    /// `block`, and nothing staged, notes that the caller is going to block.
    pub(super) fn take_staged(&self, out: &mut Vec<Completion>, room: usize, block: bool) -> bool {
        let mut staged = self.staged.lock();
        let count = room.min(staged.completions.len());
        out.extend(staged.completions.drain(..count));
        let any = count > 0 || !staged.completions.is_empty();
        staged.blocking = block && !any;
        any
    }

    /// The driver is gone: no registration from now on. Returns who was registered.
    pub(super) fn close(&self) -> Vec<Fd> {
        let mut registry = self.registry.lock();
        registry.closed = true;
        registry.entries.iter().filter_map(|entry| entry.socket.as_ref()?.upgrade()).collect()
    }
}

impl Unpark for Set {
    fn unpark(&self) {
        sys::signal(&self.event);
    }
}

impl Sink for Set {
    fn deliver(&self, completion: Completion) {
        self.stage(completion);
    }
}
