//! The socket calls that transfer something: receive, send, accept, shut down.

use std::net::{Shutdown, SocketAddr};

use pirn::os::{Address, Interest};

use crate::choice::Kind;
use crate::kernel::{IN, OUT, READERS};
use crate::net::{Errno, Role, What};
use crate::rng::mix_bytes;
use crate::unix::Family;
use crate::world::World;

impl World {
    /// Perhaps less than `count`, but at least 1.
    pub(crate) fn shortened(&mut self, count: usize) -> usize {
        if count < 2 {
            return count;
        }
        match self.rarely(Kind::Short, 4, self.options.short) {
            0 => count,
            1 => 1,
            2 => count / 2,
            _ => count - 1,
        }
    }

    /// Receives up to `max` bytes into `into`; `None`: not now.
    pub(crate) fn receive(
        &mut self,
        id: u32,
        max: usize,
        peek: bool,
        mut into: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, Errno> {
        self.maybe_reset(id);
        let socket = self.net.socket(id);
        match socket.role {
            Role::Stream => {}
            Role::Connecting => return Ok(None),
            Role::Listener { .. } => return Err(libc::ENOTCONN),
            Role::Fresh => return Err(socket.error.take().unwrap_or(libc::ENOTCONN)),
        }
        if socket.inbox.is_empty() {
            if let Some(errno) = socket.error.take() {
                return Err(errno);
            }
            return Ok((socket.eof || socket.read_shut || socket.reset || max == 0).then_some(0));
        }
        let whole = matches!(socket.family, Family::Signal(_));
        let count = max.min(socket.inbox.len());
        let count = if whole { count } else { self.shortened(count) };
        let socket = self.net.socket(id);
        let (front, back) = socket.inbox.as_slices();
        let first = count.min(front.len());
        into(&front[..first]);
        if count > first {
            into(&back[..count - first]);
        }
        if !peek {
            socket.inbox.drain(..count);
            let more = !socket.inbox.is_empty();
            self.read_by_other(id, count);
            if count < max && more {
                // A short count says that no more was there: the rest has come since.
                self.readable(id);
            }
        }
        Ok(Some(count))
    }

    /// The other end of `id` has room for `count` bytes more.
    fn read_by_other(&mut self, id: u32, count: usize) {
        let Some(other) = self.net.socket(id).other else { return };
        let sender = self.net.socket(other);
        if sender.starved {
            sender.starved = false;
            let host = sender.host;
            self.send_packet(id, host, other, What::Room(count));
        } else {
            sender.unread -= count.min(sender.unread);
        }
    }

    /// Sends what fits of `total` bytes; `copy` gives a range of them.
    pub(crate) fn send(
        &mut self,
        id: u32,
        total: usize,
        copy: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<Option<usize>, Errno> {
        self.maybe_reset(id);
        let (buffer, unheard) = (self.options.buffer, self.unheard(id));
        let socket = self.net.socket(id);
        match socket.role {
            Role::Stream => {}
            Role::Connecting => return Ok(None),
            Role::Listener { .. } => return Err(libc::ENOTCONN),
            Role::Fresh => return Err(socket.error.take().unwrap_or(libc::ENOTCONN)),
        }
        if let Some(errno) = socket.error.take() {
            return Err(errno);
        }
        if socket.write_shut || socket.reset || unheard {
            return Err(libc::EPIPE);
        }
        if total == 0 {
            return Ok(Some(0));
        }
        let room = buffer.saturating_sub(socket.unread);
        if room == 0 {
            socket.starved = true;
            return Ok(None);
        }
        let count = self.shortened(total.min(room));
        let bytes = copy(count);
        self.note(mix_bytes(0, &bytes));
        let socket = self.net.socket(id);
        socket.unread += count;
        // Who could not send all is told when there is room: at once, if there was some.
        socket.starved |= count < total;
        let told = count < total.min(room);
        if let Some(other) = socket.other {
            let host = self.net.socket(other).host;
            self.send_packet(id, host, other, What::Data(bytes));
        }
        if told {
            self.writable(id);
        }
        Ok(Some(count))
    }

    /// Accepts a connection that waits: its socket, with a descriptor, and the other side's address.
    pub(crate) fn accept(&mut self, id: u32) -> Result<Option<(u32, Address)>, Errno> {
        let limit = self.options.descriptors;
        let socket = self.net.socket(id);
        let host = socket.host;
        let Role::Listener { queue, .. } = &mut socket.role else { return Err(libc::EINVAL) };
        let Some(&waiting) = queue.front() else { return Ok(None) };
        self.net.open(host, waiting, limit)?;
        if let Role::Listener { queue, .. } = &mut self.net.socket(id).role {
            queue.pop_front();
        }
        let socket = self.net.socket(waiting);
        let peer = match &socket.other_name {
            Some(name) => name.clone().into(),
            None => socket.peer.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))).into(),
        };
        Ok(Some((waiting, peer)))
    }

    /// How connecting went; `None`: not known yet.
    pub(crate) fn connected(&mut self, id: u32) -> Result<Option<()>, Errno> {
        let socket = self.net.socket(id);
        if let Some(errno) = socket.error.take() {
            return Err(errno);
        }
        match socket.role {
            _ if socket.family.is_datagram() => Ok(Some(())),
            Role::Stream => Ok(Some(())),
            Role::Connecting => Ok(None),
            _ => Err(libc::ENOTCONN),
        }
    }

    pub(crate) fn shutdown_socket(&mut self, id: u32, how: Shutdown) -> Result<(), Errno> {
        let socket = self.net.socket(id);
        if !socket.family.is_socket() {
            return Err(libc::ENOTSOCK);
        }
        if !matches!(socket.role, Role::Stream) || socket.reset {
            return Err(libc::ENOTCONN);
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            socket.read_shut = true;
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) && !socket.write_shut {
            socket.write_shut = true;
            if let Some(other) = socket.other {
                let host = self.net.socket(other).host;
                self.send_packet(id, host, other, What::Fin);
            }
        }
        self.both(id);
        Ok(())
    }

    // ---- readiness ----

    /// Whether a call of that direction would move something, end or fail.
    pub(crate) fn is_ready(&mut self, id: u32, interest: Interest) -> bool {
        if self.net.socket(id).family.is_datagram() {
            return self.is_letter_ready(id, interest);
        }
        if interest == Interest::Write && self.unheard(id) {
            return true;
        }
        let buffer = self.options.buffer;
        let socket = self.net.socket(id);
        match (&socket.role, interest) {
            (Role::Connecting, _) => false,
            (Role::Listener { queue, .. }, Interest::Read) => !queue.is_empty(),
            (Role::Listener { .. } | Role::Fresh, _) => true,
            (Role::Stream, _) if socket.error.is_some() || socket.reset => true,
            (Role::Stream, Interest::Read) => !socket.inbox.is_empty() || socket.eof || socket.read_shut,
            (Role::Stream, Interest::Write) => {
                let room = buffer > socket.unread;
                // Who waits for room is told when there is some.
                socket.starved |= !room && !socket.write_shut;
                room || socket.write_shut
            }
        }
    }

    /// Tells who waits to read.
    pub(crate) fn readable(&mut self, id: u32) {
        let waiting = std::mem::take(&mut self.net.socket(id).readers);
        for &op in &waiting {
            self.op_ready(op);
        }
        self.net.socket(id).readers = recycled(waiting);
        let urgent = self.net.socket(id).family.is_socket();
        self.socket_changed(id, if urgent { READERS } else { IN });
    }

    /// Tells who waits to write.
    pub(crate) fn writable(&mut self, id: u32) {
        let waiting = std::mem::take(&mut self.net.socket(id).writers);
        for &op in &waiting {
            self.op_ready(op);
        }
        self.net.socket(id).writers = recycled(waiting);
        self.socket_changed(id, OUT);
    }

    /// Tells both.
    pub(crate) fn both(&mut self, id: u32) {
        self.readable(id);
        self.writable(id);
        self.socket_changed(id, 0);
    }
}

/// The same allocation, empty.
fn recycled<T>(mut list: Vec<T>) -> Vec<T> {
    list.clear();
    list
}
