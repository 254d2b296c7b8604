//! A look at a ring from a thread that may not enter it, while its owner is stuck or gone.
//!
//! Under DEFER_TASKRUN the kernel completes nothing until the owner enters. So the order of a stream's bytes is the
//! holder's: what stands in the completion queue comes first, and behind it a direct call may take what the kernel still
//! has. Which sockets have anything is told by a level-triggered epoll set; sockets enter it at such a look, so that a
//! worker that is never overdue pays nothing.
//!
//! What a turn staged before its worker got stuck is begun by who takes over: file ops in their own ring, connects by the
//! call, watches by the set. Only what ends something in the ring stays for the owner.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::driver::UringReap;
use super::outbox::{Outbox, Request};
use crate::os::alarm::Alarm;
use crate::os::epoll::home::Direction;
use crate::os::epoll::socket::{Socket, Stage};
use crate::os::epoll::sys::{self, BROKEN, READ, WRITE};
use crate::os::{Completion, Wait, sys as calls};

/// The key of what only ends a wait: the eventfd, the alarm.
const WAKE: u64 = u64::MAX;

/// The set.
pub(super) struct Away {
    epoll: OwnedFd,
    /// For each index of the registry: the key that was entered, and its events.
    entered: Vec<(u64, u32)>,
    events: Vec<libc::epoll_event>,
}

impl Away {
    pub(super) fn new(outbox: &Outbox, alarm: &Alarm) -> io::Result<Self> {
        let epoll = sys::create()?;
        for fd in [outbox.event(), alarm.as_raw_fd()] {
            sys::add(&epoll, fd, libc::EPOLLIN as u32, WAKE)?;
        }
        Ok(Self { epoll, entered: Vec::new(), events: Vec::with_capacity(256) })
    }

    /// Enters every socket that is not in it yet, and watches for writing where a write waits.
    fn enter(&mut self, outbox: &Outbox) {
        let sockets = outbox.registry().lock().keys();
        for (key, socket) in sockets {
            let Some(fd) = socket.upgrade() else { continue };
            let Ok(socket) = Socket::of(&fd) else { continue };
            let write = if socket.waits(Direction::Write) { WRITE } else { 0 };
            let events = READ | write;
            let index = key as u32 as usize;
            if self.entered.len() <= index {
                self.entered.resize(index + 1, (WAKE, 0));
            }
            if self.entered[index] != (key, events) {
                let known = self.entered[index].0 == key;
                // A socket that can't be entered is served when its owner comes back.
                if sys::level(&self.epoll, fd.raw(), events, key, known).is_ok() {
                    self.entered[index] = (key, events);
                }
            }
        }
    }

    /// Waits for events and serves the ops that wait for them.
    fn serve(
        &mut self,
        outbox: &Outbox,
        block: bool,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        sys::wait(&self.epoll, &mut self.events, block)?;
        for event in &self.events {
            let (key, bits) = (event.u64, event.events);
            let fd = if key == WAKE { None } else { outbox.registry().lock().get(key) };
            let Some(socket) = fd.as_ref().and_then(|fd| Socket::of(fd).ok()) else { continue };
            if bits & (READ | BROKEN) != 0 {
                socket.around(Direction::Read, bits, stage, out);
            }
            if bits & (WRITE | BROKEN) != 0 {
                socket.around(Direction::Write, bits, stage, out);
            }
        }
        Ok(())
    }
}

impl UringReap {
    /// Connects by calls what was to be connected by entries that are not made yet, so that each is begun once.
    fn begin_connects(&mut self, out: &mut Vec<Completion>) {
        let mut keys = Vec::new();
        self.requests.retain(|request| match request {
            Request::Connect { key, .. } => {
                keys.push(*key);
                false
            }
            _ => true,
        });
        for key in keys {
            let fd = self.outbox.registry().lock().get(key);
            if let Some(socket) = fd.as_ref().and_then(|fd| Socket::of(fd).ok()) {
                socket.connected(-libc::ECANCELED, &mut self.stage, out);
            }
        }
    }

    /// Closes are the owner's; the peers of what is to be closed need not wait for that. `from`: the requests before it have been seen.
    fn shut_down_what_leaves(&self, from: usize) {
        for request in self.requests.range(from..) {
            if let Request::Leave { fd, alone: true, .. } = request {
                drop(calls::shutdown(fd.as_raw_fd(), std::net::Shutdown::Both));
            }
        }
    }

    /// One look on another thread than the ring's own.
    pub(super) fn look_from_elsewhere(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()> {
        let before = out.len();
        let full = before + self.batch;
        let waiting = self.requests.len();
        // Half of the batch is the sockets'.
        let sent = self.files.look(self.batch.div_ceil(2), out)?;
        let may_block = sent && self.alarm.may_block(wait);
        let mut block = self.outbox.take(&mut self.requests, out, full - out.len(), may_block);
        self.shut_down_what_leaves(waiting);
        self.begin_connects(out);
        self.collect(full, out)?;
        if out.len() == full || self.ring.has_overflowed() {
            return Ok(());
        }
        block &= out.len() == before;
        self.away.enter(&self.outbox);
        let served = self.away.serve(&self.outbox, block, &mut self.stage, out);
        let waiting = self.requests.len();
        self.outbox.take(&mut self.requests, out, full.saturating_sub(out.len()), false);
        self.shut_down_what_leaves(waiting);
        if out.len() > full {
            self.outbox.stage_all(out.drain(full..));
        }
        served
    }
}
