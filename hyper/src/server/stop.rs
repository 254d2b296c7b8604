//! How connections hear that the server ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

/// What a server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Run,
    /// Connections end after the requests that they have.
    Drain,
    /// Connections end.
    Abort,
}

/// The phase, where it is set.
pub(super) struct Stop {
    phase: Arc<AtomicU8>,
    changed: watch::Sender<()>,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self { phase: Arc::default(), changed: watch::Sender::new(()) }
    }

    pub(super) fn set(&self, phase: Phase) {
        // Relaxed: who is told by the channel sees what was stored before.
        self.phase.store(phase as u8, Ordering::Relaxed);
        let _ = self.changed.send(());
    }

    pub(super) fn watch(&self) -> Watch {
        let change = change(self.changed.subscribe());
        Watch { phase: Arc::clone(&self.phase), seen: Phase::Run, change, waker: None }
    }
}

type Change = Pin<Box<dyn Future<Output = Option<watch::Receiver<()>>> + Send>>;

fn change(mut receiver: watch::Receiver<()>) -> Change {
    Box::pin(async move { receiver.changed().await.is_ok().then_some(receiver) })
}

/// The phase, where it is watched. The channel's lock is taken when the phase or the waker is a new one; other polls read a word.
pub(super) struct Watch {
    phase: Arc<AtomicU8>,
    seen: Phase,
    change: Change,
    waker: Option<Waker>,
}

impl Watch {
    fn now(&self) -> Phase {
        // Relaxed: as in `Stop::set`.
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Abort,
        }
    }

    /// The phase; the task is woken when it changes.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Phase {
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !known || self.now() != self.seen {
            while let Poll::Ready(Some(receiver)) = self.change.as_mut().poll(context) {
                self.change = change(receiver);
            }
            self.waker = Some(context.waker().clone());
            self.seen = self.now();
        }
        self.seen
    }
}
