//! A socket of a live machine: two sides, and the set or ring that tells of their edges.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::{Deref, Range};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::home::{Direction, Home, Want, Wants};
use super::side::{Armed, Kernel, Side, Waiting};
use super::sys::{BROKEN, READ, WRITE};
use crate::os::signal::Leave;
use crate::os::sys::{self as calls, retry};
use crate::os::{
    Address, Completion, Descriptor, Fd, Interest, Op, RecvMessage, SendMessage, SocketOption, Submitted,
    Token, Yielded, total,
};
use crate::sync::Mutex;

/// A socket. Closed when the last reference goes; a waiting op holds one, a wait that was lent the socket ends with it.
///
/// In this order: a message touches its first 100 bytes or so, and with thousands of connections each line of the cache counts.
#[repr(C)]
pub(in crate::os) struct Socket {
    read: Mutex<Side>,
    /// None only while it is dropped.
    fd: Option<OwnedFd>,
    kind: Kind,
    listening: AtomicBool,
    /// Its open file may live on elsewhere (taken over, or duplicated), so closing does not end a registration.
    open_elsewhere: AtomicBool,
    write: Mutex<Side>,
    registration: Mutex<Registration>,
    /// Of a listener for signals: what it gives back.
    _post: Option<Leave>,
}

/// What a descriptor is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::os) enum Kind {
    /// A stream of bytes (or a listener for some) that nobody else reads, so they may be taken ahead.
    Stream,
    /// Another socket.
    Socket,
    /// A pipe or another thing that is read and written.
    Other,
}

#[derive(Debug, Default)]
struct Registration {
    home: Option<(Arc<dyn Home>, u64)>,
    /// What the home has watched for.
    watched: Wants,
    /// The home of the listener that it came from.
    near: Option<Arc<dyn Home>>,
}

/// What playing needs besides the side; kept from one look to the next.
#[derive(Debug, Default)]
pub(in crate::os) struct Stage {
    /// Receives land here first: a socket that waits holds no buffer.
    pub(super) scratch: Vec<u8>,
    /// References of finished ops, dropped when no lock is held.
    pub(super) spent: Vec<Fd>,
}

/// A socket that nobody else has.
pub(in crate::os) fn fresh(fd: OwnedFd, kind: Kind) -> Fd {
    Arc::new(Socket::new(fd, kind, false, None))
}

impl Socket {
    /// A descriptor that is no socket. A listener's is open in its post too.
    pub(in crate::os) fn other(fd: OwnedFd, post: Option<Leave>) -> Fd {
        Arc::new(Self::new(fd, Kind::Other, post.is_some(), post))
    }

    /// One that was open before.
    pub(in crate::os) fn adopted(fd: OwnedFd) -> Fd {
        let kind = if calls::is_socket(fd.as_fd()) { Kind::Socket } else { Kind::Other };
        Arc::new(Self::new(fd, kind, true, None))
    }

    fn new(fd: OwnedFd, kind: Kind, open_elsewhere: bool, post: Option<Leave>) -> Self {
        Self {
            fd: Some(fd),
            kind,
            listening: AtomicBool::new(false),
            _post: post,
            open_elsewhere: AtomicBool::new(open_elsewhere),
            read: Mutex::new(Side::new()),
            write: Mutex::new(Side::new()),
            registration: Mutex::default(),
        }
    }

    /// The socket behind a descriptor of this machine.
    pub(in crate::os) fn of(fd: &Fd) -> io::Result<&Self> {
        fd.downcast_ref().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{fd:?} belongs to no live machine: use it with the one that made it"),
            )
        })
    }

    #[inline]
    pub(in crate::os) fn try_recv(
        &self,
        into: &mut [IoSliceMut<'_>],
        peek: bool,
    ) -> io::Result<Option<usize>> {
        let range = one_call(into);
        let into = &mut into[range];
        let asked = total(into);
        if asked == 0 {
            return Ok(Some(0));
        }
        let mut side = self.read.lock();
        if let Some(count) = side.ahead().and_then(|ahead| ahead.copy(into, peek)) {
            return count.map(Some);
        }
        if side.known_idle() {
            return Ok(None);
        }
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        let count = match self.kind != Kind::Other {
            true => calls::recv_slices(self.raw(), into, flags),
            false => calls::read_slices(self.raw(), into),
        }?;
        if count.is_none() || !peek {
            side.moved(asked, count);
        }
        Ok(count)
    }

    /// The same into the unused capacity of a buffer.
    #[inline]
    pub(in crate::os) fn try_recv_owned(
        &self,
        into: &mut Vec<u8>,
        least: usize,
    ) -> io::Result<Option<usize>> {
        let room = into.capacity() - into.len();
        if room == 0 {
            return Ok(Some(0));
        }
        let mut side = self.read.lock();
        if let Some(count) = side.ahead().and_then(|ahead| ahead.hand_over(into, least)) {
            return count.map(Some);
        }
        if side.known_idle() {
            return Ok(None);
        }
        let count = calls::recv_spare(self.raw(), self.kind != Kind::Other, into, room)?;
        side.moved(room, count);
        Ok(count)
    }

    #[inline]
    pub(in crate::os) fn try_send(&self, from: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let from = &from[one_call(from)];
        let asked = total(from);
        let mut side = self.write.lock();
        if side.known_idle() || side.waits() {
            return Ok(None);
        }
        if asked == 0 {
            return Ok(Some(0));
        }
        let count = match self.kind != Kind::Other {
            true => calls::send_slices(self.raw(), from),
            false => calls::write_slices(self.raw(), from),
        }?;
        side.moved(asked, count);
        Ok(count)
    }

    pub(in crate::os) fn try_recv_batch(
        &self,
        batch: &mut [RecvMessage<'_>],
        peek: bool,
    ) -> io::Result<Option<usize>> {
        let mut side = self.read.lock();
        if side.known_idle() {
            return Ok(None);
        }
        let batch = if peek { &mut batch[..1] } else { batch };
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        let count = retry(|| calls::recv_batch(self.raw(), batch, flags))?;
        if count.is_none() {
            side.ready = false;
        }
        Ok(count)
    }

    pub(in crate::os) fn try_send_batch(&self, batch: &[SendMessage<'_>]) -> io::Result<Option<usize>> {
        let mut side = self.write.lock();
        if side.known_idle() {
            return Ok(None);
        }
        let count = retry(|| calls::send_batch(self.raw(), batch))?;
        if count.is_none() {
            side.ready = false;
        }
        Ok(count)
    }

    pub(in crate::os) fn try_accept(&self) -> io::Result<Option<(Fd, Address)>> {
        let accepted = self.read.lock().accept(self.raw())?;
        if let Some((connection, _)) = &accepted {
            self.settle(connection);
        }
        Ok(accepted)
    }

    /// Plays an op now if it may, else leaves it here until its home has something, which is `home` if there is none yet.
    pub(in crate::os) fn submit(
        &self,
        home: &Arc<dyn Home>,
        token: Token,
        op: Op,
        stage: &mut Stage,
    ) -> Submitted {
        let (direction, want) = (Direction::of(&op), Want::of(&op, self.kind_now()));
        let settles = matches!(op, Op::Settle { .. });
        let mut waiting = Waiting::new(token, op);
        let mut side = self.side(direction).lock();
        if settles {
            if side.pause() {
                self.with_home(|home, key| home.pause(key, Want::Bytes));
            }
            if side.armed == Armed::Pausing {
                side.push_front(waiting);
                return Submitted::Pending;
            }
        }
        if let Op::Connect { fd, address } = waiting.op()
            && side.armed == Armed::No
            && self.connect_at_home(home, fd, address)
        {
            side.push_connect(waiting);
            return Submitted::Pending;
        }
        if (settles || side.may_move() && !side.waits())
            && let Some((result, yielded)) = side.play(self.kernel(), &mut waiting, &mut stage.scratch)
        {
            // The op's reference to the socket goes after the lock.
            drop(side);
            return Submitted::Done(Completion { token, result, yielded });
        }
        if let Err(error) = self.arm_side(&mut side, home, want, waiting.fd()) {
            drop(side);
            let (mut completion, _) = waiting.cancelled();
            completion.result = Err(error);
            return Submitted::Done(completion);
        }
        side.push(waiting);
        Submitted::Pending
    }

    /// The same for a wait for readiness that is lent the socket, behind `this`. `None`: another such wait stands here.
    #[inline]
    pub(in crate::os) fn wait(
        &self,
        home: &Arc<dyn Home>,
        token: Token,
        this: &Fd,
        interest: Interest,
    ) -> Option<Submitted> {
        let done = |result| Some(Submitted::Done(Completion { token, result, yielded: Yielded::Nothing }));
        let mut side = self.side(Direction::to(interest)).lock();
        if side.may_move()
            && !side.waits()
            && let Some(result) = side.play_ready(self.kernel(), interest)
        {
            return done(result.map(|()| 0));
        }
        if side.armed == Armed::No
            && let Err(error) = self.arm_side(&mut side, home, Want::ready(interest, self.kind_now()), this)
        {
            return done(Err(error));
        }
        side.lend(token).then_some(Submitted::Pending)
    }

    /// What it is for who waits now.
    fn kind_now(&self) -> Kind {
        // Relaxed: who waits at a listener has it from whoever made it one.
        if self.listening.load(Ordering::Relaxed) { Kind::Socket } else { self.kind }
    }

    /// Has a home see to a side, unless one does.
    fn arm_side(&self, side: &mut Side, home: &Arc<dyn Home>, want: Want, this: &Fd) -> io::Result<()> {
        if side.armed == Armed::No {
            // What became ready since the call comes with the registration.
            side.armed = self.arm(Some(home), want, this)?;
            side.ready = false;
        }
        Ok(())
    }

    /// Takes a waiting op out, with its reference to the socket if it had one. `None`: it has resolved, and its completion
    /// is under way.
    pub(in crate::os) fn cancel(
        &self,
        direction: Direction,
        token: Token,
    ) -> Option<(Completion, Option<Fd>)> {
        let mut side = self.side(direction).lock();
        if side.take_lent(token) {
            return Some((cancelled(token), None));
        }
        let waiting = side.remove(token)?;
        let (completion, fd) = waiting.cancelled();
        Some((completion, Some(fd)))
    }

    /// Plays what waits for an event.
    pub(in crate::os) fn event(&self, bits: u32, stage: &mut Stage, out: &mut Vec<Completion>) {
        for (direction, mask) in [(Direction::Read, READ | BROKEN), (Direction::Write, WRITE | BROKEN)] {
            if bits & mask != 0 {
                self.edge(direction, bits, stage, out);
            }
        }
    }

    /// The same for one side.
    pub(in crate::os) fn edge(
        &self,
        direction: Direction,
        bits: u32,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let mut side = self.side(direction).lock();
        side.event(bits);
        if let Some(token) = side.only_lent() {
            out.push(Completion { token, result: Ok(0), yielded: Yielded::Nothing });
            return;
        }
        let before = out.len();
        side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
        drop(side);
        stage.spent.clear();
        for completion in &out[before..] {
            if let Yielded::Accepted(accepted) = &completion.yielded {
                self.settle(&accepted.0);
            }
        }
    }

    /// The home set is gone: the next op registers anew. What waited is dropped; the runtime has cancelled all it had.
    pub(in crate::os) fn orphan(&self) {
        let old = std::mem::take(&mut *self.registration.lock());
        drop(old);
        for side in [&self.read, &self.write] {
            let old = std::mem::replace(&mut *side.lock(), Side::new());
            drop(old);
        }
    }

    fn open(&self) -> &OwnedFd {
        self.fd.as_ref().expect("a socket is open until it is dropped")
    }

    /// Notes that connections come here, not bytes.
    pub(super) fn listens(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// How to call the kernel.
    pub(super) fn kernel(&self) -> Kernel {
        Kernel { fd: self.raw(), socket: self.kind != Kind::Other, own: self.kind == Kind::Stream }
    }

    pub(super) fn side(&self, direction: Direction) -> &Mutex<Side> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Calls the home, if there is one.
    pub(super) fn with_home(&self, f: impl FnOnce(&dyn Home, u64)) {
        if let Some((home, key)) = &self.registration.lock().home {
            f(home.as_ref(), *key);
        }
    }

    /// Settles a connection that came here near its listener, until it has a home.
    pub(super) fn settle(&self, connection: &Fd) {
        let near = self.registration.lock().home.as_ref().map(|(home, _)| Arc::clone(home));
        if let Ok(connection) = Self::of(connection) {
            connection.registration.lock().near = near;
        }
    }

    /// Has the home, or `own` if there is none yet, connect. False: it does not, or that would spare no wait.
    fn connect_at_home(&self, own: &Arc<dyn Home>, this: &Fd, address: &Address) -> bool {
        if self.kind != Kind::Stream || !matches!(address, Address::Ip(_)) {
            return false;
        }
        let mut registration = self.registration.lock();
        let (home, key) = match &registration.home {
            Some((home, key)) => (home, Some(*key)),
            None => (own, None),
        };
        let Some(key) = home.connect(self.raw(), Arc::downgrade(this), key, address) else { return false };
        registration.home = Some((Arc::clone(home), key));
        registration.watched = registration.watched.with(Want::Connected);
        true
    }

    /// Notes that the home has ended a connect.
    pub(super) fn not_connecting(&self) {
        let mut registration = self.registration.lock();
        registration.watched = registration.watched.without(Want::Connected);
    }

    /// Has the home, or one for it if there is none yet (`own`, or that of its listener), watch for what a side waits for.
    pub(super) fn arm(&self, own: Option<&Arc<dyn Home>>, want: Want, this: &Fd) -> io::Result<Armed> {
        let mut registration = self.registration.lock();
        let takes = match (&registration.home, own) {
            (Some((home, key)), _) => {
                home.watch(self.raw(), *key, want, registration.watched)?;
                home.takes(want)
            }
            (None, Some(own)) => {
                let near = registration.near.take().filter(|near| !near.is_crowded());
                let home = near.unwrap_or_else(|| Arc::clone(own));
                let key = home.enter(self.raw(), Arc::downgrade(this), want)?;
                let takes = home.takes(want);
                registration.home = Some((home, key));
                takes
            }
            (None, None) => return Err(io::Error::other("the driver of this socket's worker is gone")),
        };
        registration.watched = registration.watched.with(want);
        Ok(if takes { Armed::Takes } else { Armed::Edges })
    }
}

/// The slices that one call takes: what it leaves is not what the kernel has not. Behind empty ones, lest it say 0 for nothing.
fn one_call<S: Deref<Target = [u8]>>(slices: &[S]) -> Range<usize> {
    if slices.len() <= calls::SLICES {
        return 0..slices.len();
    }
    let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
    first..slices.len().min(first + calls::SLICES)
}

/// The completion of a wait that was cancelled.
fn cancelled(token: Token) -> Completion {
    let result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
    Completion { token, result, yielded: Yielded::Nothing }
}

impl Descriptor for Socket {
    fn raw(&self) -> RawFd {
        self.open().as_raw_fd()
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        let fd = self.open().try_clone()?;
        // Relaxed: whoever drops the last reference has synchronised with all who had one.
        self.open_elsewhere.store(true, Ordering::Relaxed);
        Ok(fd)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let elsewhere = *self.open_elsewhere.get_mut();
        if self.read.get_mut().ahead().is_some_and(|ahead| ahead.held() > 0) && !elsewhere {
            // The kernel resets a connection that is closed with unread bytes; of these it does not know.
            drop(calls::set_option(self.raw(), SocketOption::Linger(Some(0))));
        }
        let registration = self.registration.get_mut();
        if let Some((home, key)) = registration.home.take()
            && let Some(fd) = self.fd.take()
        {
            // Their cancels, if they are on their way, find nobody any more.
            for side in [&mut self.read, &mut self.write] {
                side.get_mut().end_lent().into_iter().for_each(|token| home.deliver(cancelled(token)));
            }
            home.leave(fd, key, registration.watched, elsewhere);
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.raw())
    }
}
