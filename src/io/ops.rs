//! The ops in flight of one worker: a slab of slots with generations.
//!
//! One lock, because completion, poll and drop may come from three threads and are one fact. No user code runs
//! under it: wakers are cloned, dropped and called, and completions dropped, after it was let go.

use core::mem;
use std::io;
use std::task::Waker;

use crate::os::{Completion, Token};
use crate::sync::{Counter, Ghost, Mutex, Which, ghost};
use crate::trace::Event;

/// The table of one worker.
#[derive(Debug)]
pub(crate) struct Ops {
    worker: u32,
    /// Written under the lock only.
    in_flight: Counter,
    table: Mutex<Table>,
}

/// What an op waits for, for dumps, with its descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// Something else.
    #[default]
    Unknown,
    Accept(i32),
    Connect(i32),
    Read(i32),
    Write(i32),
    File,
}

/// What an owner that goes away finds.
#[derive(Debug)]
#[must_use = "an op that is still in flight may have to be cancelled"]
pub(crate) enum Detached {
    /// The op had resolved.
    Done(Completion),
    /// It has not; its completion will be adopted.
    InFlight,
}

/// The answer of a poll.
#[derive(Debug)]
pub(crate) enum Polled {
    /// The completion; the slot is free.
    Ready(Completion),
    /// Not yet; the waker is kept.
    Pending,
    /// Not yet, and a clone of the waker is wanted: make one where no lock is held (it is the executor's code), and poll again.
    NeedsWaker,
}

/// The answer of a renewal.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// The op is in flight still; the waker is kept.
    Pending,
    /// The same, and a clone of the waker is wanted, as for [`Polled::NeedsWaker`].
    NeedsWaker,
    /// It has resolved, and its slot is open for another one, as by [`Ops::open`].
    Open(Token, bool),
    /// It has resolved, and its slot is free: it failed, or the waker is somebody else's.
    Closed(io::Result<usize>),
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// On one line of the cache: of thousands of connections each has its own.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    generation: u32,
    awaits: Awaits,
    state: State,
}

const _: () = assert!(size_of::<Slot>() == 64);

#[derive(Debug)]
enum State {
    Free,
    /// Submitted. The waker is the latest poll's.
    Waiting(Option<Waker>),
    /// Submitted, and its owner is gone.
    Detached,
    /// Resolved, to be taken.
    Done(Completion),
}

impl Table {
    /// The slot of a token, unless it has moved on to another op (law 4).
    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots.get_mut(token.slot() as usize).filter(|slot| slot.generation == token.generation())
    }

    /// Frees a slot and returns what stood in it.
    fn free(&mut self, index: u32) -> State {
        let slot = &mut self.slots[index as usize];
        slot.advance();
        let state = mem::replace(&mut slot.state, State::Free);
        debug_assert!(!matches!(state, State::Free), "an op slot is freed twice");
        self.free.push(index);
        state
    }
}

impl Slot {
    /// On to the next generation.
    fn advance(&mut self) {
        self.generation = Token::new(0, 0, self.generation.wrapping_add(1)).generation();
    }
}

/// Keeps the latest waker of a poll, from the spare or by a clone of its own kind; false: a spare is wanted.
fn keep(
    token: Token,
    kept: &mut Option<Waker>,
    waker: &Waker,
    spare: &mut Option<Waker>,
    own: fn(&Waker) -> Option<Waker>,
) -> bool {
    let note = |waker: &Waker| {
        ghost(|| Ghost::OpAwait { token: token.bits(), waker: Which::woken_by(waker) });
    };
    if kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        note(waker);
        return true;
    }
    if spare.is_none() {
        *spare = own(waker);
    }
    let Some(latest) = spare.as_ref() else { return false };
    note(latest);
    mem::swap(kept, spare);
    true
}

impl Ops {
    /// An empty table of `worker`.
    pub(crate) fn new(worker: u32) -> Self {
        Self { worker, in_flight: Counter::new(0), table: Mutex::new(Table::default()) }
    }

    /// A fresh slot for an op that is about to be submitted. `true`: no other op was in flight.
    pub(crate) fn open(&self, awaits: Awaits) -> (Token, bool) {
        let mut table = self.table.lock();
        let index = table.free.pop().unwrap_or_else(|| {
            table.slots.push(Slot { generation: 0, awaits, state: State::Free });
            (table.slots.len() - 1) as u32
        });
        let slot = &mut table.slots[index as usize];
        let token = Token::new(self.worker, index, slot.generation);
        slot.awaits = awaits;
        slot.state = State::Waiting(None);
        (token, self.one_more())
    }

    /// Counts an op, under the lock. `true`: there was no other.
    fn one_more(&self) -> bool {
        let others = self.in_flight.get();
        self.in_flight.set(others + 1);
        others == 0
    }

    /// Frees the slot of an op that was resolved by its submission, or was never submitted.
    pub(crate) fn close(&self, token: Token) {
        let mut table = self.table.lock();
        let Some(slot) = table.slot(token) else { return };
        debug_assert!(matches!(slot.state, State::Waiting(_)), "an op that is in use was closed");
        let state = table.free(token.slot());
        self.in_flight.set(self.in_flight.get() - 1);
        ghost(|| Ghost::OpTaken { token: token.bits() });
        drop(table);
        drop(state);
    }

    /// Hands a completion to its op and returns the waker to call. A completion nobody waits for is dropped here,
    /// which closes an accepted descriptor; one of an earlier generation is dropped unseen.
    pub(crate) fn complete(&self, completion: Completion) -> Option<Waker> {
        let token = completion.token.bits();
        let error = completion.result.as_ref().err().and_then(std::io::Error::raw_os_error).unwrap_or(0);
        let told = |adopted| crate::sched::emit(Event::Complete { token, error: error as u16, adopted });
        self.resolve(completion, told)
    }

    /// The same for an op that no driver has seen.
    pub(crate) fn refuse(&self, completion: Completion) -> Option<Waker> {
        self.resolve(completion, |_| ())
    }

    /// `told` hears whether nobody waits for it.
    fn resolve(&self, completion: Completion, told: impl FnOnce(bool)) -> Option<Waker> {
        let token = completion.token;
        debug_assert_eq!(token.worker(), self.worker, "a completion came to another worker's table");
        let mut table = self.table.lock();
        let slot = table.slot(token)?;
        let adopted = matches!(slot.state, State::Detached);
        let (dropped, waker) = match &mut slot.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                slot.state = State::Done(completion);
                (None, waker)
            }
            State::Detached => {
                table.free(token.slot());
                (Some(completion), None)
            }
            State::Done(_) | State::Free => unreachable!("an op resolved twice (law 1)"),
        };
        self.in_flight.set(self.in_flight.get() - 1);
        // Under the lock: unlocking is a point, and none may stand between an effect and its event.
        told(adopted);
        ghost(|| Ghost::OpWake { token: token.bits(), waker: waker.as_ref().map(Which::woken_by) });
        drop(table);
        drop(dropped);
        waker
    }

    /// Takes the completion if it is there, else keeps the spare waker: the latest one wins. A waker that was
    /// replaced is left in the spare's place, to be dropped where no lock is held. `own` clones wakers that run no foreign
    /// code, and may do so here.
    pub(crate) fn poll(
        &self,
        token: Token,
        waker: &Waker,
        spare: &mut Option<Waker>,
        own: fn(&Waker) -> Option<Waker>,
    ) -> Polled {
        let mut table = self.table.lock();
        let slot = table.slot(token).expect("an op is polled after its completion was taken");
        if let State::Waiting(kept) = &mut slot.state {
            return match keep(token, kept, waker, spare, own) {
                true => Polled::Pending,
                false => Polled::NeedsWaker,
            };
        }
        ghost(|| Ghost::OpTaken { token: token.bits() });
        Polled::Ready(done(table.free(token.slot())))
    }

    /// A slot whose op brings nothing but its result, for the next op of the same kind: as [`poll`](Self::poll), and if it
    /// has resolved, as [`open`](Self::open).
    #[inline]
    pub(crate) fn renew(
        &self,
        token: Token,
        waker: &Waker,
        spare: &mut Option<Waker>,
        own: fn(&Waker) -> Option<Waker>,
    ) -> Renewed {
        let mut table = self.table.lock();
        let slot = table.slot(token).expect("an op is renewed after its completion was taken");
        if let State::Waiting(kept) = &mut slot.state {
            return match keep(token, kept, waker, spare, own) {
                true => Renewed::Pending,
                false => Renewed::NeedsWaker,
            };
        }
        ghost(|| Ghost::OpTaken { token: token.bits() });
        let failed = matches!(slot.state, State::Done(Completion { result: Err(_), .. }));
        let Some(waker) = own(waker).filter(|_| !failed) else {
            return Renewed::Closed(done(table.free(token.slot())).result);
        };
        slot.advance();
        let token = Token::new(self.worker, token.slot(), slot.generation);
        ghost(|| Ghost::OpAwait { token: token.bits(), waker: Which::woken_by(&waker) });
        // A wait yields nothing: what is replaced runs no foreign code when it is dropped.
        slot.state = State::Waiting(Some(waker));
        Renewed::Open(token, self.one_more())
    }

    /// The owner is gone. What the op still delivers will be adopted.
    pub(crate) fn detach(&self, token: Token) -> Detached {
        let mut table = self.table.lock();
        ghost(|| Ghost::OpTaken { token: token.bits() });
        let slot = table.slot(token).expect("an op is detached after its completion was taken");
        if let State::Waiting(waker) = &mut slot.state {
            let waker = waker.take();
            slot.state = State::Detached;
            drop(table);
            drop(waker);
            return Detached::InFlight;
        }
        let state = table.free(token.slot());
        drop(table);
        Detached::Done(done(state))
    }

    /// How many ops wait for their completion; exact when nothing moves.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get() as usize
    }

    /// Those that a task waits for, and whom they wake. Under the lock.
    pub(crate) fn each_wait(&self, mut f: impl FnMut(Awaits, &Waker)) {
        for slot in &self.table.lock().slots {
            if let State::Waiting(Some(waker)) = &slot.state {
                f(slot.awaits, waker);
            }
        }
    }

    /// The tokens of those that somebody waits for, for shutdown.
    pub(crate) fn waiting_tokens(&self) -> Vec<Token> {
        self.tokens(|state| matches!(state, State::Waiting(_)))
    }

    /// The tokens of all that wait for their completion, for shutdown.
    pub(crate) fn pending_tokens(&self) -> Vec<Token> {
        self.tokens(|state| matches!(state, State::Waiting(_) | State::Detached))
    }

    fn tokens(&self, wanted: impl Fn(&State) -> bool) -> Vec<Token> {
        let table = self.table.lock();
        let slots = table.slots.iter().enumerate().filter(|(_, slot)| wanted(&slot.state));
        slots.map(|(index, slot)| Token::new(self.worker, index as u32, slot.generation)).collect()
    }
}

/// The completion in the state of a slot that was just freed.
fn done(state: State) -> Completion {
    match state {
        State::Done(completion) => completion,
        state => unreachable!("an op was taken in the state {state:?}"),
    }
}
