//! What waits for the next look of a ring: requests to its kernel, completions that need none, and how to interrupt it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Weak;

use crate::os::epoll::home::{Home, Want, Wants};
use crate::os::epoll::registry::Registry;
use crate::os::epoll::sys as calls;
use crate::os::file::pool::Sink;
use crate::os::sys::RawAddress;
use crate::os::{Address, Completion, Descriptor, Fd, Unpark};
use crate::sync::Mutex;

/// What a ring is asked to do. They are carried out in order; the descriptors in them are open until they were.
#[derive(Debug)]
pub(super) enum Request {
    /// Begin to take or watch.
    Watch { key: u64, fd: RawFd, want: Want },
    /// Connect.
    Connect { key: u64, fd: RawFd, address: Box<RawAddress> },
    /// End that.
    Pause { key: u64, want: Want },
    /// End all that was watched, and close. `alone`: nobody else has the file open.
    Leave { key: u64, fd: OwnedFd, watched: Wants, alone: bool },
}

/// The shared part of a driver.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Polled by the ring and never read: each write completes the poll, and a completion waits for the next look (law 6).
    event: OwnedFd,
    registry: Mutex<Registry>,
    staged: Mutex<Staged>,
}

#[derive(Debug, Default)]
struct Staged {
    requests: Vec<Request>,
    completions: VecDeque<Completion>,
    /// Somebody is about to block in the ring, or does: staging must interrupt that.
    blocking: bool,
    closed: bool,
}

impl Outbox {
    pub(super) fn new(near: usize) -> io::Result<Self> {
        let registry = Mutex::new(Registry::new(near));
        Ok(Self { event: calls::eventfd()?, registry, staged: Mutex::default() })
    }

    /// The eventfd.
    pub(super) fn event(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Who is registered.
    pub(super) fn registry(&self) -> &Mutex<Registry> {
        &self.registry
    }

    fn stage(&self, f: impl FnOnce(&mut Staged)) {
        let mut staged = self.staged.lock();
        f(&mut staged);
        let interrupt = staged.blocking;
        drop(staged);
        if interrupt {
            self.unpark();
        }
    }

    /// Stages a request. It comes back if the driver is gone.
    fn request(&self, request: Request) -> Result<(), Request> {
        let mut refused = None;
        self.stage(|staged| {
            if staged.closed {
                refused = Some(request);
            } else {
                staged.requests.push(request);
            }
        });
        refused.map_or(Ok(()), Err)
    }

    /// Stages what a look found beyond its batch.
    pub(super) fn stage_all(&self, excess: impl Iterator<Item = Completion>) {
        self.staged.lock().completions.extend(excess);
    }

    /// Moves the requests, and at most `room` of the completions. With `block`, and no completion, notes that the caller
    /// is going to block, and answers true.
    pub(super) fn take(
        &self,
        requests: &mut VecDeque<Request>,
        out: &mut Vec<Completion>,
        room: usize,
        block: bool,
    ) -> bool {
        let mut staged = self.staged.lock();
        requests.extend(staged.requests.drain(..));
        let count = room.min(staged.completions.len());
        out.extend(staged.completions.drain(..count));
        staged.blocking = block && count == 0 && staged.completions.is_empty();
        staged.blocking
    }

    /// Drops requests to watch and to pause of which `which` says so by their key and what they are about: the ring they were for is
    /// gone, and its sockets ask again. Requests to connect likewise.
    pub(super) fn forget(&self, which: impl Fn(u64, Want) -> bool) {
        self.staged.lock().requests.retain(|request| match request {
            Request::Watch { key, want, .. } | Request::Pause { key, want } => !which(*key, *want),
            Request::Connect { key, .. } => !which(*key, Want::Connected),
            Request::Leave { .. } => true,
        });
    }

    /// The driver is gone. Returns who was registered.
    pub(super) fn close(&self) -> Vec<Fd> {
        let left = {
            let mut staged = self.staged.lock();
            staged.closed = true;
            (std::mem::take(&mut staged.requests), std::mem::take(&mut staged.completions))
        };
        drop(left);
        self.registry.lock().close()
    }
}

fn gone<T>(_: Request) -> io::Result<T> {
    Err(io::Error::other("the driver of this socket's worker is gone: its runtime was shut down"))
}

impl Home for Outbox {
    fn enter(&self, fd: RawFd, socket: Weak<dyn Descriptor>, want: Want) -> io::Result<u64> {
        let key = self.registry.lock().insert(socket)?;
        self.request(Request::Watch { key, fd, want }).map_or_else(gone, |()| Ok(key))
    }

    fn watch(&self, fd: RawFd, key: u64, want: Want, _others: Wants) -> io::Result<()> {
        self.request(Request::Watch { key, fd, want }).or_else(gone)
    }

    fn is_crowded(&self) -> bool {
        self.registry.lock().is_crowded()
    }

    fn takes(&self, want: Want) -> bool {
        matches!(want, Want::Bytes | Want::Connections)
    }

    fn connect(
        &self,
        fd: RawFd,
        socket: Weak<dyn Descriptor>,
        key: Option<u64>,
        address: &Address,
    ) -> Option<u64> {
        let key = key.or_else(|| self.registry.lock().insert(socket).ok())?;
        let address = Box::new(RawAddress::new(address));
        self.request(Request::Connect { key, fd, address }).ok().map(|()| key)
    }

    fn pause(&self, key: u64, want: Want) {
        drop(self.request(Request::Pause { key, want }));
    }

    fn leave(&self, fd: OwnedFd, key: u64, watched: Wants, open_elsewhere: bool) {
        let socket = self.registry.lock().remove(key);
        drop(socket);
        // The kernel's request holds the open file until the next look: nobody is to reach a listener that is gone.
        if watched.has(Want::Connections) && !open_elsewhere {
            drop(crate::os::sys::shutdown(fd.as_raw_fd(), std::net::Shutdown::Both));
        }
        drop(self.request(Request::Leave { key, fd, watched, alone: !open_elsewhere }));
    }
}

impl Sink for Outbox {
    fn deliver(&self, completion: Completion) {
        self.stage(|staged| staged.completions.push_back(completion));
    }
}

impl Unpark for Outbox {
    fn unpark(&self) {
        calls::signal(&self.event);
    }

    fn at_home(&self) -> usize {
        self.registry.lock().len()
    }
}
