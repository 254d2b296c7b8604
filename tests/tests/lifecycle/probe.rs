//! The task under test, the hands that hold it, and the comparison with the model.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use pirn::task::{AbortHandle, JoinError, JoinHandle};

use super::model::{Answer, Case, Model, Outcome, Step};
use crate::support::CountWaker;

/// What was seen of a task.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) polls: AtomicUsize,
    drops: AtomicUsize,
    outputs: AtomicUsize,
    dropped_on: Mutex<Option<ThreadId>>,
    /// The waker of each poll.
    wakers: Mutex<Vec<Waker>>,
}

/// Held by the future.
struct Body {
    seen: Arc<Seen>,
    panics: bool,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.seen.drops.fetch_add(1, Ordering::SeqCst);
        *self.seen.dropped_on.lock().unwrap() = Some(thread::current().id());
        if self.panics {
            // Without the hook's message.
            resume_unwind(Box::new("drop of the future"));
        }
    }
}

pub(crate) struct Output {
    seen: Arc<Seen>,
    panics: bool,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.seen.outputs.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            resume_unwind(Box::new("drop of the output"));
        }
    }
}

fn end(answer: Answer, seen: &Arc<Seen>, case: Case) -> Poll<Output> {
    match answer {
        Answer::Pending => Poll::Pending,
        Answer::Ready => Poll::Ready(Output { seen: seen.clone(), panics: case.output_panics }),
        Answer::Panic => resume_unwind(Box::new("poll")),
    }
}

/// A future whose polls end as `answer` says.
pub(crate) struct Probe<A> {
    case: Case,
    body: Body,
    answer: A,
}

impl<A: FnMut() -> Answer + Unpin> Probe<A> {
    pub(crate) fn new(case: Case, seen: &Arc<Seen>, answer: A) -> Self {
        Self { case, body: Body { seen: seen.clone(), panics: case.drop_panics }, answer }
    }

    /// The same as a call.
    pub(crate) fn call(mut self) -> Output {
        let Self { case, body, answer } = &mut self;
        body.seen.polls.fetch_add(1, Ordering::SeqCst);
        match end(answer(), &body.seen, *case) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("a call always ends"),
        }
    }
}

impl<A: FnMut() -> Answer + Unpin> Future for Probe<A> {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let Self { case, body, answer } = self.get_mut();
        body.seen.wakers.lock().unwrap().push(cx.waker().clone());
        body.seen.polls.fetch_add(1, Ordering::SeqCst);
        end(answer(), &body.seen, *case)
    }
}

/// Everything outside of the task that refers to it.
pub(crate) struct Hands {
    pub(crate) seen: Arc<Seen>,
    handle: Option<JoinHandle<Output>>,
    abort: AbortHandle,
    count: Arc<CountWaker>,
    waker: Waker,
    /// Chooses among ways that must come to the same.
    turn: usize,
}

impl Hands {
    pub(crate) fn new(seen: Arc<Seen>, handle: JoinHandle<Output>, turn: usize) -> Self {
        let (count, waker) = CountWaker::new();
        Self { abort: handle.abort_handle(), seen, handle: Some(handle), count, waker, turn }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.abort.is_finished()
    }

    /// Does what a step says, if it is one from outside. Returns what a finished task gave.
    pub(crate) fn perform(&mut self, step: Step) -> Option<Outcome> {
        self.turn += 1;
        match step {
            Step::Enter | Step::Leave | Step::End => None,
            Step::Wake => {
                let waker = self.seen.wakers.lock().unwrap().last().expect("it was polled").clone();
                match self.turn % 3 {
                    0 => waker.wake(),
                    1 => waker.wake_by_ref(),
                    // An older one, the only one of its poll.
                    _ => {
                        drop(waker);
                        let older = self.seen.wakers.lock().unwrap().swap_remove(0);
                        self.seen.wakers.lock().unwrap().push(older.clone());
                        older.wake();
                    }
                }
                None
            }
            Step::Abort => {
                match &self.handle {
                    Some(handle) if self.turn.is_multiple_of(2) => handle.abort(),
                    _ => self.abort.clone().abort(),
                }
                None
            }
            Step::Detach => {
                let handle = self.handle.take().expect("a handle");
                // The output's panic is the dropper's.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(handle)));
                None
            }
            Step::Join => {
                let mut handle = self.handle.take().expect("a handle");
                let polled = pin!(&mut handle).poll(&mut Context::from_waker(&self.waker));
                match polled {
                    Poll::Pending => {
                        self.handle = Some(handle);
                        None
                    }
                    Poll::Ready(result) => Some(outcome(result)),
                }
            }
        }
    }

    /// Holds what can be seen against the model.
    pub(crate) fn check(&self, model: &Model) -> Result<(), String> {
        let seen = (
            self.seen.polls.load(Ordering::SeqCst),
            self.seen.drops.load(Ordering::SeqCst),
            self.seen.outputs.load(Ordering::SeqCst),
            self.is_finished(),
            self.handle.is_some(),
            self.count.wakes(),
        );
        let told = (
            model.polls,
            model.drops,
            model.outputs,
            model.outcome.is_some(),
            model.handle,
            model.join_wakes,
        );
        if self.handle.as_ref().is_some_and(|handle| handle.is_finished() != seen.3) {
            return Err("the two handles differ".to_owned());
        }
        if seen == told {
            return Ok(());
        }
        Err(format!(
            "(polls, drops, outputs, finished, handle, join wakes) is {seen:?}, must be {told:?}; {model:?}"
        ))
    }

    /// When all is over: nothing that refers to the task can do anything or is kept.
    pub(crate) fn finish(mut self, model: &mut Model, home: ThreadId) -> Result<(), String> {
        self.check(model)?;
        if *self.seen.dropped_on.lock().unwrap() != Some(home) {
            return Err("the future was dropped on a thread that is not its worker's".to_owned());
        }
        for waker in self.seen.wakers.lock().unwrap().drain(..) {
            waker.wake_by_ref();
            waker.clone().wake();
            waker.wake();
        }
        self.abort.abort();
        self.check(model)?;
        if model.handle {
            let told = model.outcome;
            model.apply(Step::Join);
            let given = self.perform(Step::Join);
            if given != told {
                return Err(format!("the handle gave {given:?}, must be {told:?}"));
            }
        }
        self.check(model)?;
        let Self { count, abort, waker, .. } = self;
        drop((abort, waker));
        match Arc::strong_count(&count) {
            2.. => Err("the join waker is kept: the task's cell leaks".to_owned()),
            _ => Ok(()),
        }
    }
}

fn outcome(result: Result<Output, JoinError>) -> Outcome {
    match result {
        Ok(output) => {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(output)));
            Outcome::Value
        }
        Err(error) if error.is_cancelled() && !error.is_panic() => Outcome::Cancelled,
        Err(error) => {
            assert!(error.is_panic());
            let payload = error.into_panic().expect("a panic");
            assert!(["poll", "drop of the future"].contains(payload.downcast_ref::<&str>().expect("a text")));
            Outcome::Panic
        }
    }
}
