//! The op slot: submit, complete, cancel, drop, re-use (`src/io/ops.rs`, compiled here by path).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering as Plain};
use std::task::{Wake, Waker};

use loom::thread;

use super::explore;
use crate::ops::{Awaits, Detached, Ops, Polled, Renewed};
use crate::os::{Completion, Token};

/// Counts its wakes, out of loom's sight.
#[derive(Default)]
struct Woken(Tally);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Plain::Relaxed);
    }
}

impl Woken {
    fn count(&self) -> u32 {
        self.0.load(Plain::Relaxed)
    }
}

/// The driver's side: the completion of `token`, and the wake it asks for.
fn complete(ops: &Ops, token: Token, payload: &Arc<()>) {
    let completion = Completion { token, result: Ok(1), yielded: payload.clone() };
    if let Some(waker) = ops.complete(completion) {
        waker.wake();
    }
}

/// One poll of the owner: whether the completion was taken.
fn poll(ops: &Ops, token: Token, waker: &Waker) -> bool {
    let mut spare = None;
    loop {
        match ops.poll(token, waker, &mut spare, |_| None) {
            Polled::Ready(completion) => {
                assert_eq!(completion.token, token, "it got another op's completion");
                return true;
            }
            Polled::Pending => return false,
            Polled::NeedsWaker => spare = Some(waker.clone()),
        }
    }
}

/// Two polls with different wakers against the completion: it is taken, or the last waker is woken (S29, L3). Every interleaving.
#[test]
fn poll_against_completion() {
    explore(None, || {
        let ops = Arc::new(Ops::new(0));
        let payload = Arc::new(());
        let token = ops.open(Awaits::Unknown).0;
        let completing = thread::spawn({
            let (ops, payload) = (ops.clone(), payload.clone());
            move || complete(&ops, token, &payload)
        });
        let wakers = [Arc::new(Woken::default()), Arc::new(Woken::default())];
        let mut taken = poll(&ops, token, &wakers[0].clone().into());
        if !taken {
            taken = poll(&ops, token, &wakers[1].clone().into());
        }
        completing.join().unwrap();
        assert!(taken || wakers[1].count() == 1, "the task of the last poll waits for ever");
        assert!(taken || poll(&ops, token, Waker::noop()), "a woken task finds its completion");
        assert_eq!(ops.in_flight(), 0);
        assert_eq!(Arc::strong_count(&payload), 1, "what the op delivered is dropped once");
    });
}

/// The owner goes while the op completes: whoever comes second drops what it delivered, and the slot is free (S17, S20). Every interleaving.
#[test]
fn drop_against_completion() {
    explore(None, || {
        let ops = Arc::new(Ops::new(0));
        let payload = Arc::new(());
        let token = ops.open(Awaits::Unknown).0;
        let completing = thread::spawn({
            let (ops, payload) = (ops.clone(), payload.clone());
            move || complete(&ops, token, &payload)
        });
        poll(&ops, token, Waker::noop());
        // Taken by that poll or not: the next op may have the slot by now.
        let next = ops.open(Awaits::Unknown).0;
        if next.slot() != token.slot() {
            match ops.detach(token) {
                Detached::Done(completion) => assert_eq!(completion.token, token),
                Detached::InFlight => {}
            }
        }
        completing.join().unwrap();
        assert_eq!(Arc::strong_count(&payload), 1, "what the op delivered is dropped once");
        assert_eq!(ops.in_flight(), 1, "the next op is in flight, and no other");
        assert_eq!(ops.pending_tokens(), [next]);
    });
}

/// A late completion of an op that was closed meets the slot's next op: the generation tells them apart (S17). Every interleaving.
#[test]
fn late_completion_against_reuse() {
    explore(None, || {
        let ops = Arc::new(Ops::new(0));
        let payload = Arc::new(());
        let token = ops.open(Awaits::Unknown).0;
        ops.close(token);
        let late = thread::spawn({
            let (ops, payload) = (ops.clone(), payload.clone());
            move || complete(&ops, token, &payload)
        });
        let next = ops.open(Awaits::Unknown).0;
        assert_eq!(next.slot(), token.slot());
        assert!(!poll(&ops, next, Waker::noop()), "it got the completion of the op before it");
        late.join().unwrap();
        complete(&ops, next, &payload);
        assert!(poll(&ops, next, Waker::noop()));
        assert_eq!(Arc::strong_count(&payload), 1);
    });
}

/// A slot is renewed for wait after wait while its first op completes: each completion wakes its own wait once, and a renewal before
/// it came keeps the latest waker (S17, S29, L3). Every interleaving.
#[test]
fn renewal_against_completion() {
    explore(None, || {
        let ops = Arc::new(Ops::new(0));
        let payload = Arc::new(());
        let first = ops.open(Awaits::Unknown).0;
        let completing = thread::spawn({
            let (ops, payload) = (ops.clone(), payload.clone());
            move || complete(&ops, first, &payload)
        });
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let renew = |token| ops.renew(token, &waker, &mut Some(waker.clone()), |waker| Some(waker.clone()));
        let next = match renew(first) {
            Renewed::Open(next, others) => {
                assert!(others, "the one before it has resolved");
                Some(next)
            }
            Renewed::Pending => None,
            other => panic!("{other:?}"),
        };
        completing.join().unwrap();
        let next = next.unwrap_or_else(|| {
            assert_eq!(woken.count(), 1, "the task of the last poll waits for ever");
            match renew(first) {
                Renewed::Open(next, true) => next,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!((next.slot(), ops.in_flight()), (first.slot(), 1));
        assert_ne!(next, first, "a late completion of the first could be taken for the second's");
        complete(&ops, next, &payload);
        assert!(poll(&ops, next, Waker::noop()));
        assert_eq!((ops.in_flight(), Arc::strong_count(&payload)), (0, 1));
    });
}
