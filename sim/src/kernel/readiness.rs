//! What poll(2) would say of an open file, and the wake-ups that tell of changes.

use pirn::os::Interest;

use super::{Kind, Watcher};
use crate::net::Role;
use crate::unix::Family;
use crate::world::World;

pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
/// Told whether asked for or not.
pub(crate) const ALWAYS: u32 = ERR | HUP;
/// What data that comes to a socket wakes.
pub(crate) const READERS: u32 = IN | PRI;

fn when(on: bool, bits: u32) -> u32 {
    if on { bits } else { 0 }
}

impl World {
    /// What is so of an open file now. Who finds no room to write is told when there is some.
    pub(crate) fn readiness(&mut self, file: u32) -> u32 {
        match &self.file_at(file).kind {
            Kind::Socket(socket) => {
                let socket = *socket;
                self.socket_readiness(socket)
            }
            Kind::Event(event) => when(event.count > 0, IN) | when(event.count < u64::MAX - 1, OUT),
            Kind::Timer(timer) => when(timer.rang, IN),
            Kind::Ring(ring) => when(ring.has_completions(), IN) | OUT,
            Kind::File(_) => IN | OUT,
            Kind::Set(_) | Kind::Gone => 0,
        }
    }

    fn socket_readiness(&mut self, id: u32) -> u32 {
        let family = self.net.socket(id).family;
        if family.is_datagram() {
            let error = self.net.socket(id).error.is_some();
            let (reads, writes) =
                (self.is_letter_ready(id, Interest::Read), self.is_letter_ready(id, Interest::Write));
            return when(reads, IN) | when(writes, OUT) | when(error, ERR);
        }
        let (unheard, writes) = (self.unheard(id), self.is_ready(id, Interest::Write));
        let socket = self.net.socket(id);
        let data = when(!socket.inbox.is_empty(), IN);
        let error = when(socket.error.is_some(), ERR);
        match (&socket.role, family) {
            (_, Family::Signal(_)) => data | OUT,
            (_, Family::PipeReader) => data | when(socket.eof, HUP),
            (_, Family::PipeWriter) => when(writes && !unheard, OUT) | when(unheard, OUT | ERR),
            (Role::Listener { queue, .. }, _) => when(!queue.is_empty(), IN),
            (Role::Connecting, _) if socket.reset => IN | OUT | RDHUP | HUP | error,
            (Role::Connecting, _) => error,
            // One that was refused has been shut down.
            (Role::Fresh, _) => OUT | HUP | error | when(socket.peer.is_some(), IN | RDHUP),
            (Role::Stream, _) => {
                let reading = socket.eof || socket.read_shut || socket.reset || unheard;
                let writing = socket.write_shut || socket.reset || unheard;
                data | error
                    | when(reading, IN | RDHUP)
                    | when(reading && writing, HUP)
                    | when(writes || writing, OUT)
            }
        }
    }

    /// A socket changed: whoever watches its open file is told which bits.
    #[inline]
    pub(crate) fn socket_changed(&mut self, socket: u32, bits: u32) {
        if let Some(file) = self.net.socket(socket).file {
            self.wake_watchers(file, bits);
        }
    }

    /// An open file changed.
    pub(crate) fn wake_watchers(&mut self, file: u32, bits: u32) {
        let watchers = std::mem::take(&mut self.file_at(file).watchers);
        for &watcher in &watchers {
            match watcher {
                Watcher::Entry { set, entry } => self.wake_entry(set, entry, bits),
                Watcher::Request { ring, request } => self.wake_request(ring, request, bits),
            }
        }
        // Nobody is added or taken out by a wake-up.
        self.file_at(file).watchers = watchers;
    }
}
