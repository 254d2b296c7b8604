//! A socket of the epoll machine: two sides, and the set it is registered in.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::set::Set;
use super::side::{self, Side, Waiting};
use super::sys::{BROKEN, READ, WRITE};
use crate::os::sys::{self as calls, retry};
use crate::os::{Completion, Descriptor, Fd, Op, Submitted, Token};
use crate::sync::Mutex;

/// A socket. Closed when the last reference goes; a waiting op holds one.
pub(super) struct Socket {
    fd: OwnedFd,
    /// Its open file may live on elsewhere (taken over, or duplicated), so closing does not end a registration.
    open_elsewhere: AtomicBool,
    read: Mutex<Side>,
    write: Mutex<Side>,
    registration: Mutex<Registration>,
}

#[derive(Debug, Default)]
struct Registration {
    home: Option<(Arc<Set>, u64)>,
    /// The events the home set watches for.
    events: u32,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The side an op plays on.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Accept { .. } | Op::Recv { .. } => Self::Read,
            Op::Connect { .. } | Op::Send { .. } => Self::Write,
            Op::File(_) => unreachable!("{}", side::NO_SOCKET),
        }
    }
}

/// What playing needs besides the side; kept from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Receives land here first: a socket that waits holds no buffer.
    pub(super) scratch: Vec<u8>,
    /// References of finished ops, dropped when no lock is held.
    pub(super) spent: Vec<Fd>,
}

/// A socket that accept returned.
pub(super) fn fresh(fd: OwnedFd) -> Fd {
    Arc::new(Socket::new(fd, false))
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, open_elsewhere: bool) -> Self {
        Self {
            fd,
            open_elsewhere: AtomicBool::new(open_elsewhere),
            read: Mutex::new(Side::new()),
            write: Mutex::new(Side::new()),
            registration: Mutex::default(),
        }
    }

    /// The socket behind a descriptor of this machine.
    pub(super) fn of(fd: &Fd) -> io::Result<&Self> {
        fd.as_any().downcast_ref().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{fd:?} belongs to another machine than epoll: use it with the one that made it"),
            )
        })
    }

    pub(super) fn try_recv(&self, into: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Option<usize>> {
        let asked = into.iter().map(|slice| slice.len()).sum();
        if asked == 0 {
            return Ok(Some(0));
        }
        let mut side = self.read.lock();
        if side.known_idle() {
            return Ok(None);
        }
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        let count = retry(|| calls::recv_slices(self.raw(), into, flags))?;
        if count.is_none() || !peek {
            side.moved(asked, count);
        }
        Ok(count)
    }

    pub(super) fn try_send(&self, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let asked = from.iter().map(|slice| slice.len()).sum();
        let mut side = self.write.lock();
        if side.known_idle() || side.waits() {
            return Ok(None);
        }
        if asked == 0 {
            return Ok(Some(0));
        }
        let count = retry(|| calls::send_slices(self.raw(), from))?;
        side.moved(asked, count);
        Ok(count)
    }

    pub(super) fn try_accept(&self) -> io::Result<Option<(Fd, SocketAddr)>> {
        let mut side = self.read.lock();
        if side.known_idle() {
            return Ok(None);
        }
        let accepted = side::accept(self.raw())?;
        if accepted.is_none() {
            side.ready = false;
        }
        Ok(accepted)
    }

    /// Plays an op now if it may, else leaves it here until an event of the home set, which is `set` if there is none yet.
    pub(super) fn submit(&self, set: &Arc<Set>, token: Token, op: Op, stage: &mut Stage) -> Submitted {
        let direction = Direction::of(&op);
        let mut waiting = Waiting::new(token, op);
        let mut side = self.side(direction).lock();
        if side.ready
            && !side.waits()
            && let Some((result, yielded)) = side.play(self.raw(), &mut waiting, &mut stage.scratch)
        {
            // The op's reference to the socket goes after the lock.
            drop(side);
            return Submitted::Done(Completion { token, result, yielded });
        }
        if !side.armed {
            // An edge for what became ready since the call comes with the registration.
            if let Err(error) = self.arm(set, direction, waiting.fd()) {
                drop(side);
                let (mut completion, _) = waiting.cancelled();
                completion.result = Err(error);
                return Submitted::Done(completion);
            }
            side.armed = true;
        }
        side.push(waiting);
        Submitted::Pending
    }

    /// Takes a waiting op out. `None`: it has resolved, and its completion is under way.
    pub(super) fn cancel(&self, direction: Direction, token: Token) -> Option<(Completion, Fd)> {
        let waiting = self.side(direction).lock().remove(token)?;
        Some(waiting.cancelled())
    }

    /// Plays what waits for an event.
    pub(super) fn event(&self, bits: u32, stage: &mut Stage, out: &mut Vec<Completion>) {
        for (direction, mask) in [(Direction::Read, READ | BROKEN), (Direction::Write, WRITE | BROKEN)] {
            if bits & mask != 0 {
                let mut side = self.side(direction).lock();
                side.event(bits);
                side.play_all(self.raw(), &mut stage.scratch, out, &mut stage.spent);
                drop(side);
                stage.spent.clear();
            }
        }
    }

    /// The home set is gone: the next op registers anew. What waited is dropped; the runtime has cancelled all it had.
    pub(super) fn orphan(&self) {
        let home = std::mem::take(&mut *self.registration.lock()).home;
        drop(home);
        for side in [&self.read, &self.write] {
            let old = std::mem::replace(&mut *side.lock(), Side::new());
            drop(old);
        }
    }

    fn side(&self, direction: Direction) -> &Mutex<Side> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Has the home set report a side's edges.
    fn arm(&self, set: &Arc<Set>, direction: Direction, this: &Fd) -> io::Result<()> {
        let wanted = match direction {
            Direction::Read => READ,
            Direction::Write => WRITE,
        };
        let mut registration = self.registration.lock();
        let events = registration.events | wanted;
        match &registration.home {
            Some((home, key)) => home.modify(self.raw(), events, *key)?,
            None => {
                let key = set.register(self.raw(), Arc::downgrade(this), events)?;
                registration.home = Some((Arc::clone(set), key));
            }
        }
        registration.events = events;
        Ok(())
    }
}

impl Descriptor for Socket {
    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        let fd = self.fd.as_fd().try_clone_to_owned()?;
        // Relaxed: whoever drops the last reference has synchronised with all who had one.
        self.open_elsewhere.store(true, Ordering::Relaxed);
        Ok(fd)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((home, key)) = self.registration.get_mut().home.take() {
            home.deregister(self.fd.as_raw_fd(), key, *self.open_elsewhere.get_mut());
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.raw())
    }
}
