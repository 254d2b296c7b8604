//! One epoll set: who is registered in it, what is staged in memory for its next look, and how to interrupt a look.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Weak;

use super::home::{Home, Want, Wants};
use super::registry::Registry;
use super::sys;
use crate::os::alarm::Alarm;
use crate::os::file::pool::Sink;
use crate::os::{Completion, Descriptor, Fd, Unpark};
use crate::sync::Mutex;

/// The key of the eventfd.
const WAKE: u64 = u64::MAX;
/// The key of the alarm.
const ALARM: u64 = u64::MAX - 1;

/// An epoll set.
#[derive(Debug)]
pub(super) struct Set {
    epoll: OwnedFd,
    /// Edge-triggered in the set and never read: each write is an edge, and an edge waits for the next look (law 6).
    event: OwnedFd,
    registry: Mutex<Registry>,
    staged: Mutex<Staged>,
}

#[derive(Debug, Default)]
struct Staged {
    completions: VecDeque<Completion>,
    /// Somebody is about to block in the set, or does: staging must interrupt that.
    blocking: bool,
}

impl Set {
    /// An empty one. `near` as in `DriverConfig`.
    pub(super) fn new(near: usize) -> io::Result<Self> {
        let set = Self {
            epoll: sys::create()?,
            event: sys::eventfd()?,
            registry: Mutex::new(Registry::new(near)),
            staged: Mutex::default(),
        };
        sys::add(&set.epoll, set.event.as_raw_fd(), libc::EPOLLIN as u32, WAKE)?;
        Ok(set)
    }

    /// Has the alarm end a wait.
    pub(super) fn register_alarm(&self, alarm: &Alarm) -> io::Result<()> {
        sys::add(&self.epoll, alarm.as_raw_fd(), libc::EPOLLIN as u32, ALARM)
    }

    /// Appends the sockets that the events are for, as far as they live.
    pub(super) fn resolve(&self, events: &[libc::epoll_event], ready: &mut Vec<(Fd, u32)>) {
        let mut registry = self.registry.lock();
        for event in events {
            let (key, bits) = (event.u64, event.events);
            ready.extend(registry.get(key).map(|fd| (fd, bits)));
        }
    }

    /// Collects events, waiting for one if it may `block`.
    pub(super) fn wait(&self, events: &mut Vec<libc::epoll_event>, block: bool) -> io::Result<()> {
        sys::wait(&self.epoll, events, block)
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
        self.registry.lock().close()
    }
}

/// The events that mean `wants`.
fn events(wants: Wants) -> u32 {
    let read = [Want::Bytes, Want::Connections, Want::Readable].into_iter().any(|want| wants.has(want));
    let write = wants.has(Want::Writable);
    let bits = |on: bool, bits: u32| if on { bits } else { 0 };
    bits(read, sys::READ) | bits(write, sys::WRITE)
}

impl Home for Set {
    fn enter(&self, fd: RawFd, socket: Weak<dyn Descriptor>, want: Want) -> io::Result<u64> {
        let key = self.registry.lock().insert(socket)?;
        if let Err(error) = sys::add(&self.epoll, fd, events(Wants::default().with(want)), key) {
            let socket = self.registry.lock().remove(key);
            drop(socket);
            return Err(error);
        }
        Ok(key)
    }

    fn watch(&self, fd: RawFd, key: u64, want: Want, others: Wants) -> io::Result<()> {
        sys::modify(&self.epoll, fd, events(others.with(want)), key)
    }

    fn is_crowded(&self) -> bool {
        self.registry.lock().is_crowded()
    }

    fn takes(&self, _want: Want) -> bool {
        false
    }

    fn pause(&self, _key: u64, _want: Want) {}

    fn leave(&self, fd: OwnedFd, key: u64, _watched: Wants, open_elsewhere: bool) {
        if open_elsewhere {
            sys::delete(&self.epoll, fd.as_raw_fd());
        }
        let socket = self.registry.lock().remove(key);
        drop(socket);
    }
}

impl Unpark for Set {
    fn unpark(&self) {
        sys::signal(&self.event);
    }

    fn at_home(&self) -> usize {
        self.registry.lock().len()
    }
}

impl Sink for Set {
    fn deliver(&self, completion: Completion) {
        self.stage(completion);
    }
}
