//! Epoll sets.
//!
//! An entry stands for an open file under a descriptor's number. It goes when the *file* closes, so an entry outlives its
//! descriptor while another one refers to the same file: its events still come, under the old data.

use std::collections::VecDeque;

use super::readiness::{ALWAYS, IN, OUT};
use super::{Kind, Watcher, sleep_in};
use crate::choice::Kind as Choice;
use crate::cost::Call;
use crate::net::Errno;
use crate::thread::Executor;
use crate::world::World;

const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
/// Bits that say how, not what.
const HOW: u32 = EDGE | ONE_SHOT | EXCLUSIVE | libc::EPOLLWAKEUP as u32;

/// A set.
#[derive(Debug, Default)]
pub(crate) struct Set {
    entries: Vec<Option<Entry>>,
    /// Entries that were woken, in order; what is so of them is asked when they are collected.
    woken: VecDeque<u32>,
    pub(crate) sleepers: VecDeque<u32>,
}

/// An entry.
#[derive(Debug)]
struct Entry {
    fd: i32,
    file: u32,
    events: u32,
    data: u64,
    /// Stands in `woken`.
    queued: bool,
}

impl Set {
    fn find(&self, fd: i32, file: u32) -> Option<u32> {
        let is = |entry: &Option<Entry>| entry.as_ref().is_some_and(|one| one.fd == fd && one.file == file);
        self.entries.iter().position(is).map(|at| at as u32)
    }

    /// The files whose reading it is told of.
    pub(super) fn watched(&self) -> Vec<u32> {
        self.entries.iter().flatten().filter(|entry| entry.events & IN != 0).map(|entry| entry.file).collect()
    }

    fn entry(&mut self, entry: u32) -> Option<&mut Entry> {
        self.entries.get_mut(entry as usize)?.as_mut()
    }
}

impl World {
    fn set(&mut self, file: u32) -> Result<&mut Set, Errno> {
        match &mut self.file_at(file).kind {
            Kind::Set(set) => Ok(set),
            _ => Err(libc::EINVAL),
        }
    }

    /// epoll_ctl(2).
    pub(crate) fn control(
        &mut self,
        epoll: i32,
        what: i32,
        fd: i32,
        event: Option<libc::epoll_event>,
    ) -> Result<(), Errno> {
        let (number, file) = (self.open_file_of(epoll)?, self.open_file_of(fd)?);
        self.set(number)?;
        self.charge(Call::Control);
        if number == file {
            return Err(libc::EINVAL);
        }
        if matches!(self.file_at(file).kind, Kind::Set(_)) {
            // Nested sets are not modelled.
            return Err(libc::ELOOP);
        }
        if matches!(self.file_at(file).kind, Kind::File(_)) {
            return Err(libc::EPERM);
        }
        let known = self.set(number)?.find(fd, file);
        match what {
            libc::EPOLL_CTL_ADD => {
                let event = event.ok_or(libc::EFAULT)?;
                if known.is_some() {
                    return Err(libc::EEXIST);
                }
                let set = self.set(number)?;
                let entry = Entry { fd, file, events: event.events | ALWAYS, data: event.u64, queued: false };
                let at = set.entries.iter().position(Option::is_none).unwrap_or(set.entries.len());
                if at == set.entries.len() {
                    set.entries.push(None);
                }
                set.entries[at] = Some(entry);
                self.watch_file(file, Watcher::Entry { set: number, entry: at as u32 });
                self.note_if_ready(number, at as u32)
            }
            libc::EPOLL_CTL_MOD => {
                let event = event.ok_or(libc::EFAULT)?;
                let at = known.ok_or(libc::ENOENT)?;
                let entry = self.set(number)?.entry(at).ok_or(libc::ENOENT)?;
                (entry.events, entry.data) = (event.events | ALWAYS, event.u64);
                self.note_if_ready(number, at)
            }
            libc::EPOLL_CTL_DEL => {
                let at = known.ok_or(libc::ENOENT)?;
                self.unwatch_file(file, Watcher::Entry { set: number, entry: at });
                self.forget_entry(number, at);
                Ok(())
            }
            _ => Err(libc::EINVAL),
        }
    }

    fn note_if_ready(&mut self, set: u32, entry: u32) -> Result<(), Errno> {
        let record = self.set(set)?.entry(entry).ok_or(libc::ENOENT)?;
        let (file, events) = (record.file, record.events);
        if self.readiness(file) & events != 0 {
            self.wake_entry(set, entry, 0);
        }
        Ok(())
    }

    /// The file of an entry changed; 0: in whatever way.
    pub(crate) fn wake_entry(&mut self, set: u32, entry: u32, bits: u32) {
        let Ok(record) = self.set(set) else { return };
        let Some(one) = record.entry(entry) else { return };
        let disabled = one.events & !HOW == 0;
        if one.queued || disabled || (bits != 0 && bits & one.events == 0) {
            return;
        }
        one.queued = true;
        record.woken.push_back(entry);
        let sleepers = std::mem::take(&mut record.sleepers);
        self.wake_sleeper(&sleepers);
        if let Ok(record) = self.set(set) {
            record.sleepers = sleepers;
        }
    }

    /// An entry goes.
    pub(crate) fn forget_entry(&mut self, set: u32, entry: u32) {
        if let Ok(set) = self.set(set) {
            set.woken.retain(|&one| one != entry);
            set.entries[entry as usize] = None;
        }
    }

    /// The set goes.
    pub(crate) fn close_set(&mut self, number: u32, set: Set) {
        for (at, entry) in set.entries.iter().enumerate() {
            if let Some(entry) = entry {
                self.unwatch_file(entry.file, Watcher::Entry { set: number, entry: at as u32 });
            }
        }
    }

    /// Collects events, `most` at most.
    fn collect_events(&mut self, number: u32, most: usize, out: &mut Vec<libc::epoll_event>) {
        let Ok(set) = self.set(number) else { return };
        let mut left = set.woken.len();
        while left > 0 && out.len() < most {
            left -= 1;
            let Ok(set) = self.set(number) else { return };
            let Some(at) = set.woken.pop_front() else { return };
            let Some(entry) = set.entry(at) else { continue };
            entry.queued = false;
            let file = entry.file;
            let ready = self.readiness(file);
            let Ok(set) = self.set(number) else { return };
            let Some(entry) = set.entry(at) else { continue };
            let (events, data) = (ready & entry.events, entry.data);
            if events == 0 {
                continue;
            }
            out.push(libc::epoll_event { events, u64: data });
            if entry.events & ONE_SHOT != 0 {
                entry.events &= HOW;
            } else if entry.events & EDGE == 0 {
                // A level is told again.
                entry.queued = true;
                set.woken.push_back(at);
            }
        }
        self.maybe_for_nothing(number, most, out);
    }

    /// Perhaps an event that has no reason: what it told of is gone, as when another process took it or a checksum was wrong.
    fn maybe_for_nothing(&mut self, number: u32, most: usize, out: &mut Vec<libc::epoll_event>) {
        if out.len() >= most || self.rarely(Choice::Spurious, 2, self.options.spurious / 4) == 0 {
            return;
        }
        let Ok(set) = self.set(number) else { return };
        let told: Vec<(u32, u64)> = set
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.events & !HOW & !ALWAYS != 0 && entry.events & ONE_SHOT == 0)
            .map(|entry| (entry.events & (IN | OUT), entry.data))
            .collect();
        if told.is_empty() {
            return;
        }
        let (events, data) = told[self.uniform(Choice::Order, told.len() as u32) as usize];
        if !out.iter().any(|event| event.u64 == data) {
            out.push(libc::epoll_event { events, u64: data });
        }
    }
}

/// epoll_wait(2), with nanoseconds; [`u64::MAX`] is for ever.
pub(crate) fn wait(
    executor: &'static Executor,
    epoll: i32,
    most: usize,
    span: u64,
) -> Result<Vec<libc::epoll_event>, Errno> {
    let world = executor.world();
    let number = world.open_file_of(epoll)?;
    world.set(number)?;
    if most == 0 {
        return Err(libc::EINVAL);
    }
    let until = world.now.saturating_add(span);
    let mut out = Vec::new();
    loop {
        let world = executor.world();
        world.collect_events(number, most, &mut out);
        if !out.is_empty() || until <= world.now {
            world.note(out.len() as u64);
            return Ok(out);
        }
        if world.is_interrupted() || world.rarely(Choice::Spurious, 2, world.options.spurious) != 0 {
            return Err(libc::EINTR);
        }
        world.check_wake_source(number);
        executor.settle();
        sleep_in(executor, number, until);
    }
}
