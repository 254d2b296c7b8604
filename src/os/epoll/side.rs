//! One direction of a socket: what is known of its readiness, and the ops that wait for it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

use super::ahead::Ahead;
use super::sys::INEXACT;
use crate::os::sys::{self as calls, retry};
use crate::os::{Address, Completion, Fd, Interest, Op, Token, Yielded};

/// The largest piece of the scratch buffer that is given away as it is; smaller ones are copied out, so that a
/// small message does not carry a large buffer about.
const KEEP: usize = 4;

/// How the calls of a side reach the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    pub(super) fd: RawFd,
    /// With the calls of sockets; else with read and write.
    pub(super) socket: bool,
    /// Nobody else makes calls on it, so that what a side knows of its readiness is what is known.
    pub(super) own: bool,
}

/// The state of one direction. Guarded by its lock, which is held across every call that uses it.
#[derive(Debug)]
pub(super) struct Side {
    /// A call may move something. Cleared only by a call that showed otherwise.
    pub(super) ready: bool,
    /// What the home does for this side.
    pub(super) armed: Armed,
    /// A short count proves that the kernel's queue is empty (full).
    exact: bool,
    /// A wait for readiness without a reference of its own to the socket, whose owner has one.
    lent: Option<Token>,
    /// The ops that wait, in order; there once any did. Most sides only ever have the wait above.
    queue: Option<Box<Queue>>,
    /// What was taken before it was asked for; there once anything was.
    ahead: Option<Box<Ahead>>,
}

#[derive(Debug)]
struct Queue(VecDeque<Waiting>);

/// What a home does for a side. Unless that is `No`, `!ready` may be trusted without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    No,
    /// It tells of edges.
    Edges,
    /// It takes from the kernel what comes. Nobody else may then, or what comes would change its order; so `ready` stays unset.
    Takes,
    /// The same, but it was told to stop.
    Pausing,
}

/// An op that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    token: Token,
    op: Op,
    /// Bytes of a send that have left.
    sent: usize,
    /// A connect that the home makes.
    at_home: bool,
}

/// What a played op comes to.
type Played = (io::Result<usize>, Yielded);

impl Side {
    pub(super) fn new() -> Self {
        Self { ready: true, armed: Armed::No, exact: true, lent: None, queue: None, ahead: None }
    }

    /// Whether a call is known to move nothing: nobody has to ask the kernel.
    pub(super) fn known_idle(&self) -> bool {
        self.armed != Armed::No && !self.may_move()
    }

    /// Whether playing an op may move something.
    pub(super) fn may_move(&self) -> bool {
        self.ready || self.ahead.as_ref().is_some_and(|ahead| !ahead.is_empty())
    }

    /// What was taken before it was asked for.
    pub(super) fn ahead(&mut self) -> Option<&mut Ahead> {
        self.ahead.as_deref_mut().filter(|ahead| !ahead.is_empty())
    }

    /// The same, to add to it.
    pub(super) fn more_ahead(&mut self) -> &mut Ahead {
        self.ahead.get_or_insert_default()
    }

    /// Whether the home should take no more for now: nobody waits for what there is. Says so once.
    pub(super) fn should_pause(&mut self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.is_full()) && self.pause()
    }

    /// Notes that the home is told to take no more; false: it was told already, or takes nothing.
    pub(super) fn pause(&mut self) -> bool {
        let takes = self.armed == Armed::Takes;
        if takes {
            self.armed = Armed::Pausing;
        }
        takes
    }

    /// The home does nothing for this side any more: the kernel can be asked again.
    pub(super) fn disarmed(&mut self) {
        self.armed = Armed::No;
        self.ready = true;
    }

    /// Appends a connect that the home makes.
    pub(super) fn push_connect(&mut self, waiting: Waiting) {
        (self.armed, self.ready) = (Armed::Takes, false);
        self.push(Waiting { at_home: true, ..waiting });
    }

    /// What came of that resolves the op, unless it was cancelled or resolved since.
    pub(super) fn end_connect(&mut self, result: io::Result<usize>) -> Option<(Completion, Fd)> {
        let token = self.queue.as_ref()?.0.iter().find(|waiting| waiting.at_home)?.token;
        let waiting = self.remove(token)?;
        Some((Completion { token, result, yielded: Yielded::Nothing }, waiting.into_fd()))
    }

    /// Whether ops wait.
    pub(super) fn waits(&self) -> bool {
        self.lent.is_some() || self.first().is_some()
    }

    /// Has a wait stand here that is lent its socket. One only: false says that another one does.
    pub(super) fn lend(&mut self, token: Token) -> bool {
        let free = self.lent.is_none();
        if free {
            self.lent = Some(token);
        }
        free
    }

    /// Takes that wait out, if it is this one.
    pub(super) fn take_lent(&mut self, token: Token) -> bool {
        self.lent.take_if(|lent| *lent == token).is_some()
    }

    /// Takes that wait out if it is all that waits, because an event has come: the common case.
    pub(super) fn only_lent(&mut self) -> Option<Token> {
        if self.first().is_some() { None } else { self.lent.take() }
    }

    /// Takes out whichever it is, because the socket goes.
    pub(super) fn end_lent(&mut self) -> Option<Token> {
        self.lent.take()
    }

    /// The op whose turn it is.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.queue.as_ref()?.0.front()
    }

    /// Notes what a call that asked for `asked` bytes showed.
    pub(super) fn moved(&mut self, asked: usize, count: Option<usize>) {
        match count {
            None => self.ready = false,
            Some(count) if count < asked && count > 0 && self.exact => self.ready = false,
            Some(_) => {}
        }
    }

    /// Notes an event.
    pub(super) fn event(&mut self, bits: u32) {
        self.ready = true;
        if bits & INEXACT != 0 {
            self.exact = false;
        }
    }

    /// Appends an op that has to wait.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting().push_back(waiting);
    }

    /// The same, before all others.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        self.waiting().push_front(waiting);
    }

    fn waiting(&mut self) -> &mut VecDeque<Waiting> {
        // Room for one: many a connection has one connect, or one send that had to wait, in its life.
        &mut self.queue.get_or_insert_with(|| Box::new(Queue(VecDeque::with_capacity(1)))).0
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.queue.as_mut()?.0.pop_front()
    }

    /// Takes an op out of the queue.
    pub(super) fn remove(&mut self, token: Token) -> Option<Waiting> {
        let queue = &mut self.queue.as_mut()?.0;
        let index = queue.iter().position(|waiting| waiting.token == token)?;
        queue.remove(index)
    }

    /// Plays the ops in order while the side is ready. Finished ones are appended to `out`, and their own
    /// references to the socket to `spent`, to be dropped when the side is unlocked.
    pub(super) fn play_all(
        &mut self,
        kernel: Kernel,
        scratch: &mut Vec<u8>,
        out: &mut Vec<Completion>,
        spent: &mut Vec<Fd>,
    ) {
        if !self.may_move() {
            return;
        }
        // An event is what it waited for; whoever then hears "not now" asks again.
        out.extend(self.lent.take().map(|token| Completion {
            token,
            result: Ok(0),
            yielded: Yielded::Nothing,
        }));
        while self.may_move()
            && let Some(mut first) = self.pop()
        {
            let played = match first.op {
                Op::Ready { .. } => Some((Ok(0), Yielded::Nothing)),
                _ => self.play(kernel, &mut first, scratch),
            };
            match played {
                None => {
                    self.push_front(first);
                    return;
                }
                Some((result, yielded)) => {
                    out.push(Completion { token: first.token, result, yielded });
                    spent.push(first.into_fd());
                }
            }
        }
    }

    /// Makes the call of an op. `None`: it has to wait, and `ready` says so.
    pub(super) fn play(
        &mut self,
        kernel: Kernel,
        waiting: &mut Waiting,
        scratch: &mut Vec<u8>,
    ) -> Option<Played> {
        let fd = kernel.fd;
        match &mut waiting.op {
            Op::Accept { .. } => match self.accept(fd) {
                Ok(Some(accepted)) => Some((Ok(0), Yielded::Accepted(Box::new(accepted)))),
                Ok(None) => self.has_to_wait(),
                Err(error) => Some((Err(error), Yielded::Nothing)),
            },
            Op::Connect { address, .. } => match connect(fd, &calls::RawAddress::new(address)) {
                Ok(true) => Some((Ok(0), Yielded::Nothing)),
                Ok(false) => self.has_to_wait(),
                Err(error) => Some((Err(error), Yielded::Nothing)),
            },
            Op::Recv { max, .. } => self.play_recv(kernel, *max, scratch),
            Op::Send { bytes, from, .. } => self.play_send(kernel, bytes, *from, &mut waiting.sent),
            Op::Ready { interest, .. } => {
                self.play_ready(kernel, *interest).map(|done| (done.map(|()| 0), Yielded::Nothing))
            }
            Op::Settle { .. } if matches!(self.armed, Armed::Takes | Armed::Pausing) => None,
            Op::Settle { .. } => {
                let held = self.ahead.as_ref().map_or(0, |ahead| ahead.held());
                Some((Ok(held), Yielded::Nothing))
            }
            Op::File(_) => unreachable!("{NO_SOCKET}"),
        }
    }

    /// A connection taken ahead, or one of the kernel's.
    pub(super) fn accept(&mut self, fd: RawFd) -> io::Result<Option<(Fd, Address)>> {
        if let Some(connection) = self.ahead().and_then(Ahead::connection) {
            return Ok(Some(connection));
        }
        if !self.ready && self.armed != Armed::No {
            return Ok(None);
        }
        let accepted = accept(fd)?;
        if accepted.is_none() {
            self.ready = false;
        }
        Ok(accepted)
    }

    fn has_to_wait(&mut self) -> Option<Played> {
        self.ready = false;
        None
    }

    /// Whether a wait for readiness is over before it began.
    pub(super) fn play_ready(&mut self, kernel: Kernel, interest: Interest) -> Option<io::Result<()>> {
        if self.ahead().is_some() {
            return Some(Ok(()));
        }
        if self.armed != Armed::No {
            if !self.ready {
                return None;
            }
            // It may come without a reason: whoever makes the call finds out.
            if kernel.own {
                return Some(Ok(()));
            }
        }
        // `ready` is a guess where others than this machine make the calls.
        match calls::is_ready(kernel.fd, interest) {
            Ok(true) => Some(Ok(())),
            Ok(false) => {
                self.ready = false;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn play_recv(&mut self, kernel: Kernel, max: usize, scratch: &mut Vec<u8>) -> Option<Played> {
        if let Some(taken) = self.ahead().and_then(|ahead| ahead.take(max)) {
            return Some(match taken {
                Ok(bytes) => (Ok(bytes.len()), Yielded::Bytes(bytes)),
                Err(error) => (Err(error), Yielded::Nothing),
            });
        }
        if !self.ready {
            return None;
        }
        match calls::recv_vec(kernel.fd, kernel.socket, scratch, max) {
            Ok(count) => {
                self.moved(max, count);
                let count = count?;
                let bytes =
                    if count >= max / KEEP { std::mem::take(scratch) } else { scratch.as_slice().to_vec() };
                Some((Ok(count), Yielded::Bytes(bytes)))
            }
            Err(error) => Some((Err(error), Yielded::Nothing)),
        }
    }

    fn play_send(
        &mut self,
        kernel: Kernel,
        bytes: &mut Vec<u8>,
        from: usize,
        sent: &mut usize,
    ) -> Option<Played> {
        let result = loop {
            let rest = &bytes[from + *sent..];
            if rest.is_empty() {
                break Ok(*sent);
            }
            let sent_now = match kernel.socket {
                true => calls::send(kernel.fd, rest),
                false => calls::write_slices(kernel.fd, &[io::IoSlice::new(rest)]),
            };
            match sent_now {
                Ok(count) => {
                    self.moved(rest.len(), count);
                    *sent += count.unwrap_or(0);
                    if !self.ready && from + *sent < bytes.len() {
                        return None;
                    }
                }
                Err(error) => break Err(error),
            }
        };
        Some((result, Yielded::Bytes(std::mem::take(bytes))))
    }
}

impl Waiting {
    pub(super) fn new(token: Token, op: Op) -> Self {
        Self { token, op, sent: 0, at_home: false }
    }

    /// The answer of an op that was cancelled. Its reference to the socket is dropped with the rest of it.
    pub(super) fn cancelled(self) -> (Completion, Fd) {
        let result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
        let (fd, yielded) = match self.op {
            Op::Send { fd, bytes, .. } => (fd, Yielded::Bytes(bytes)),
            Op::Accept { fd }
            | Op::Connect { fd, .. }
            | Op::Recv { fd, .. }
            | Op::Ready { fd, .. }
            | Op::Settle { fd } => (fd, Yielded::Nothing),
            Op::File(_) => unreachable!("{NO_SOCKET}"),
        };
        (Completion { token: self.token, result, yielded }, fd)
    }

    /// What it waits for.
    pub(super) fn op(&self) -> &Op {
        &self.op
    }

    /// The op's own reference to its socket.
    pub(super) fn fd(&self) -> &Fd {
        socket_of(&self.op)
    }

    fn into_fd(self) -> Fd {
        match self.op {
            Op::Send { fd, .. }
            | Op::Accept { fd }
            | Op::Connect { fd, .. }
            | Op::Recv { fd, .. }
            | Op::Ready { fd, .. }
            | Op::Settle { fd } => fd,
            Op::File(_) => unreachable!("{NO_SOCKET}"),
        }
    }
}

/// Why a file op is never met here.
pub(super) const NO_SOCKET: &str = "a file op waits at no socket: the driver keeps them apart";

/// The socket that an op is about.
pub(super) fn socket_of(op: &Op) -> &Fd {
    match op {
        Op::Accept { fd }
        | Op::Connect { fd, .. }
        | Op::Recv { fd, .. }
        | Op::Send { fd, .. }
        | Op::Ready { fd, .. }
        | Op::Settle { fd } => fd,
        Op::File(_) => unreachable!("{NO_SOCKET}"),
    }
}

/// A connection that waits. One that broke while it waited is passed over, as accept(2) advises.
pub(super) fn accept(fd: RawFd) -> io::Result<Option<(Fd, Address)>> {
    loop {
        match retry(|| calls::accept(fd)) {
            Ok(None) => return Ok(None),
            Ok(Some((fd, peer))) => {
                return Ok(Some((super::socket::fresh(fd, super::socket::Kind::Stream), peer)));
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EPROTO)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Starts to connect, or asks how it went: the kernel answers the second call with the outcome. `false`: not yet.
fn connect(fd: RawFd, address: &calls::RawAddress) -> io::Result<bool> {
    let mut asked = false;
    loop {
        match calls::connect(fd, address) {
            Ok(()) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EISCONN) => return Ok(true),
                // Within a machine it has been answered by now: a call more is less than a wait (2 of 13.5 µs of CPU a connect).
                Some(libc::EINPROGRESS) if !asked => asked = true,
                Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => return Ok(false),
                _ => return Err(error),
            },
        }
    }
}
