//! Ops from tasks to drivers: the runtime as `io` sees it.

use core::ops::ControlFlow;
use core::task::Poll;
use std::io;
use std::sync::{Arc, Weak};

use super::context::{Context, with_context};
use super::core::Core;
use super::moves::{Move, group_of_task};
use super::shared::Shared;
use super::worker::Worker;
use crate::io::{Awaits, InFlight, Ops, Polled, Port, Renewed, Staged, Started, Turn, Wakers};
use crate::os::{Completion, Fd, Interest, Op, Os, Submitted, Token, Yielded};
use crate::sync::{Ghost, ghost};
use crate::task;
use crate::trace::Event;

/// The name of the group that cold reads may go to: that of `Topology::with_slow`.
const SLOW: &str = "slow";

/// What a thread without the seat asks of the seat's Submit half.
#[derive(Debug)]
pub(crate) enum Remote {
    Submit(Token, Op),
    Cancel(Token),
}

/// For dumps.
fn awaits(op: &Op) -> Awaits {
    match op {
        Op::Accept { fd } => Awaits::Accept(fd.raw()),
        Op::Connect { fd, .. } => Awaits::Connect(fd.raw()),
        Op::Recv { fd, .. } => Awaits::Read(fd.raw()),
        Op::Send { fd, .. } => Awaits::Write(fd.raw()),
        Op::Ready { fd, interest } => awaits_ready(fd, *interest),
        Op::File(_) => Awaits::File,
        Op::Settle { .. } => Awaits::Unknown,
    }
}

fn awaits_ready(fd: &Fd, interest: Interest) -> Awaits {
    match interest {
        Interest::Read => Awaits::Read(fd.raw()),
        Interest::Write => Awaits::Write(fd.raw()),
    }
}

impl Port for Shared {
    fn os(&self) -> &Arc<dyn Os> {
        &self.os
    }

    fn start(&self, op: Op) -> Started {
        if self.exit.refuses(&op) {
            return Started::Done(refused());
        }
        with_context(|cx| match self.io_here(cx) {
            Some((core, seat)) => {
                let slot = self.seat(seat).ops.open(awaits(&op));
                self.start_here(core, seat, op, slot)
            }
            None => {
                let seat = self.pick_seat();
                let (token, _) = self.seat(seat).ops.open(awaits(&op));
                self.send_op(seat, token, op)
            }
        })
    }

    fn wait_ready(
        &self,
        wait: &mut Option<InFlight>,
        fd: &Fd,
        interest: Interest,
        wakers: &mut Wakers<'_>,
    ) -> ControlFlow<Poll<io::Result<()>>> {
        with_context(|cx| {
            let here = self.io_here(cx).filter(|_| !self.exit.is_ending());
            loop {
                let mut slot = None;
                match (wait.as_ref(), here) {
                    // The common case: the slot of the last wait, with one look at the table.
                    (Some(last), Some((_, seat))) if last.token().worker() == seat => {
                        match wakers.renew(&self.seat(seat).ops, last.token()) {
                            Renewed::Pending => return ControlFlow::Break(Poll::Pending),
                            Renewed::NeedsWaker => return ControlFlow::Continue(()),
                            Renewed::Open(token, first) => slot = Some((token, first)),
                            Renewed::Closed(Ok(_)) => {}
                            Renewed::Closed(Err(error)) => {
                                *wait = None;
                                return ControlFlow::Break(Poll::Ready(Err(error)));
                            }
                        }
                    }
                    (Some(last), _) => match last.poll(self, wakers) {
                        Polled::Pending => return ControlFlow::Break(Poll::Pending),
                        Polled::NeedsWaker => return ControlFlow::Continue(()),
                        Polled::Ready(completion) => {
                            *wait = None;
                            if let Err(error) = completion.result {
                                return ControlFlow::Break(Poll::Ready(Err(error)));
                            }
                        }
                    },
                    (None, _) => {}
                }
                let renewed = slot.is_some();
                let started = match here {
                    Some((core, seat)) => {
                        let open = || self.seat(seat).ops.open(awaits_ready(fd, interest));
                        let (token, first) = slot.unwrap_or_else(open);
                        let submitted = core.submit.borrow_mut().wait(token, fd, interest);
                        self.started(core, seat, submitted, (token, first))
                    }
                    None => self.start(Op::Ready { fd: Arc::clone(fd), interest }),
                };
                match started {
                    Started::InFlight(token) => *wait = Some(InFlight::new(token)),
                    Started::Done(completion) => {
                        *wait = None;
                        return ControlFlow::Break(Poll::Ready(completion.result.map(|_| ())));
                    }
                }
                if renewed {
                    return ControlFlow::Break(Poll::Pending);
                }
            }
        })
    }

    fn cancel(&self, token: Token) {
        super::emit(Event::CancelOp { token: token.bits() });
        with_context(|cx| match self.here(cx) {
            // Behind an op that has not reached the driver yet, it may be that op's cancel: it keeps its place.
            Some((core, seat)) if seat == token.worker() && self.nothing_waits(core, seat) => {
                core.submit.borrow_mut().cancel(token)
            }
            // Of a worker that is gone nothing is in flight.
            _ => drop(self.send(token.worker(), Remote::Cancel(token))),
        });
    }

    fn turn(&self) -> Option<Turn> {
        self.turn_here()
    }

    fn stage(&self, what: Weak<dyn Staged>) {
        self.stage_here(what);
    }

    fn has_slow(&self) -> bool {
        self.slow().is_some()
    }

    fn ways_to_slow(&self) -> Option<(Move, Move)> {
        let (slow, here) = (self.slow()?, group_of_task(self)?);
        let shared = self.this.upgrade()?;
        Some((Move::new(Arc::clone(&shared), slow), Move::new(shared, here)))
    }

    fn ops(&self, worker: u32) -> &Ops {
        &self.seat(worker).ops
    }
}

impl Shared {
    /// The private half and number of the seat that the calling thread has in this runtime.
    pub(crate) fn here<'a>(&self, cx: Option<&'a Context>) -> Option<(&'a Core, u32)> {
        let cx = cx.filter(|cx| core::ptr::eq(Arc::as_ptr(&cx.shared), self))?;
        Some((cx.core()?, cx.seat?))
    }

    /// The same, if that seat's driver carries I/O.
    fn io_here<'a>(&self, cx: Option<&'a Context>) -> Option<(&'a Core, u32)> {
        self.here(cx).filter(|&(_, seat)| self.seat(seat).carries_io)
    }

    /// The number of the group for what may block.
    fn slow(&self) -> Option<u32> {
        let at = self.groups.iter().position(|group| &*group.config.name == SLOW)?;
        Some(at as u32)
    }

    /// Starts an op in an open slot of the calling thread's seat.
    fn start_here(&self, core: &Core, seat: u32, op: Op, slot: (Token, bool)) -> Started {
        let submitted = core.submit.borrow_mut().submit(slot.0, op);
        self.started(core, seat, submitted, slot)
    }

    /// What became of an op of an open slot of the calling thread's seat.
    #[inline]
    fn started(
        &self,
        core: &Core,
        seat: u32,
        submitted: Submitted,
        (token, first): (Token, bool),
    ) -> Started {
        match submitted {
            Submitted::Done(completion) => {
                self.seat(seat).ops.close(token);
                return Started::Done(completion);
            }
            Submitted::Pending => core.emit(Event::Submit { token: token.bits(), worker: seat as u16 }),
            // Law 7: it waits with the ops from outside for the next turn.
            Submitted::Full(op) => match self.send_op(seat, token, op) {
                Started::InFlight(_) => {}
                done => return done,
            },
        }
        if first {
            // Its descriptor may be at home in any group.
            self.groups.iter().for_each(|group| self.see_to_watch(group));
        }
        Started::InFlight(token)
    }

    /// Whether all ops and cancels for the seat have reached its driver.
    pub(crate) fn nothing_waits(&self, core: &Core, seat: u32) -> bool {
        self.seat(seat).remote.is_empty() && core.stalled.borrow().is_empty()
    }

    /// Leaves something for the thread on a seat. False: the worker is gone and its driver with it, so nothing of it is in flight.
    fn send(&self, seat: u32, remote: Remote) -> bool {
        let sent = self.seat(seat).remote.push(remote, |_| ()).is_ok();
        if sent {
            self.give_token(seat);
        }
        sent
    }

    /// The same for an op in an open slot.
    fn send_op(&self, seat: u32, token: Token, op: Op) -> Started {
        if self.send(seat, Remote::Submit(token, op)) {
            return Started::InFlight(token);
        }
        self.seat(seat).ops.close(token);
        Started::Done(refused())
    }
}

/// The answer to an op of a runtime that has shut down.
fn refused() -> Completion {
    let error =
        io::Error::other("the runtime of this socket has shut down: no operation can be started on it");
    Completion { token: Token::from_bits(0), result: Err(error), yielded: Yielded::Nothing }
}

impl Worker<'_> {
    /// Submits what other threads left here, in order: a cancel comes after its op.
    pub(crate) fn drain_remote(&self) {
        loop {
            let stalled = self.core.stalled.borrow_mut().pop_front();
            if stalled.is_some() {
                ghost(|| Ghost::OpStalled { worker: self.number, stalled: false });
            }
            let Some(remote) = stalled.or_else(|| self.seat.remote.pop(|_| ())) else { return };
            let (token, op) = match remote {
                Remote::Cancel(token) => {
                    self.core.submit.borrow_mut().cancel(token);
                    continue;
                }
                Remote::Submit(token, op) => (token, op),
            };
            if self.refuses(token, &op) {
                let waker = self.seat.ops.refuse(Completion { token, ..refused() });
                waker.into_iter().for_each(task::wake_contained);
                continue;
            }
            let submitted = self.core.submit.borrow_mut().submit(token, op);
            if let Submitted::Full(op) = submitted {
                // Law 7. The token keeps the worker from blocking; its next look makes room.
                self.core.stalled.borrow_mut().push_front(Remote::Submit(token, op));
                ghost(|| Ghost::OpStalled { worker: self.number, stalled: true });
                self.shared.give_token(self.number);
                return;
            }
            self.core.emit(Event::Submit { token: token.bits(), worker: self.number as u16 });
            if let Submitted::Done(completion) = submitted {
                let waker = self.seat.ops.complete(completion);
                waker.into_iter().for_each(task::wake_contained);
            }
        }
    }

    /// Whether it is too late for an op: the shutdown has cancelled what waits, maybe this one too, which was about to be sent here.
    /// A send goes on, for its bytes were accepted.
    fn refuses(&self, token: Token, op: &Op) -> bool {
        let ending = self.core.ending.borrow();
        ending.as_ref().is_some_and(|met| met.contains(&token.bits()) || !matches!(op, Op::Send { .. }))
    }
}
