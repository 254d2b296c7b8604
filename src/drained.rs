//! The end of a worker's turn, for programs that batch work of their own.
//!
//! A turn is what a worker runs between two commits. It ends when nothing is left to run, at the latest after 61 polls, or
//! 100 µs after the first wait for its end ([`Builder::turn_limit`](crate::Builder::turn_limit)). So what a program collects until then is
//! small when it is idle and grows with its load, without a size or a delay to choose.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;

use crate::io::Turn;
use crate::sched::poll_commit;
use crate::sync::{AtomicBool, Ordering};

/// Waits for the end of the current worker's turn: until it has run what else it had to run, or has run for long.
///
/// However many tasks wait, they are woken together, once. Where there is no worker (a guest's `block_on`, another executor) it
/// is ready at once. Cancel-safe.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// # pirn::Runtime::new()?.block_on(async {
/// let batch = Rc::new(RefCell::new(Vec::new()));
/// for number in 0..10 {
///     let batch = batch.clone();
///     pirn::spawn_local(async move { batch.borrow_mut().push(number) }).detach();
/// }
/// pirn::drained().await;
/// assert_eq!(batch.borrow().len(), 10);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn drained() -> Drained {
    Drained { waits: None }
}

/// The future of [`drained`].
#[derive(Debug)]
#[must_use = "it does nothing until it is awaited"]
pub struct Drained {
    waits: Option<Turn>,
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if poll_commit(&mut self.waits, context.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A callback for the end of a turn: the same as [`drained`], without a task.
///
/// However often it is asked for, from whichever workers, it runs once, at the next commit of the worker that asked first. It
/// runs between two polls of that worker, so it should be short. A panic in it is caught and dropped. Asked for by itself it runs again at the
/// next commit; what it asks for while its runtime ends does not come.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// # pirn::Runtime::new()?.block_on(async {
/// let flushed = Arc::new(AtomicU32::new(0));
/// let hook = pirn::DrainedHook::new({
///     let flushed = flushed.clone();
///     move || {
///         flushed.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// for _ in 0..3 {
///     hook.ask();
/// }
/// pirn::drained().await;
/// assert_eq!(flushed.load(Ordering::Relaxed), 1);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct DrainedHook(Arc<Hook>);

struct Hook {
    /// It is going to run.
    asked: AtomicBool,
    call: Box<dyn Fn() + Send + Sync>,
}

impl DrainedHook {
    /// A hook that calls `call`.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Hook { asked: AtomicBool::new(false), call: Box::new(call) }))
    }

    /// Has it run at the end of the current worker's turn; where there is no worker, now. What the caller did before is seen by the run.
    pub fn ask(&self) {
        // AcqRel: pairs with the swap in `run`: a run that this call relies on sees what was done before it.
        if !self.0.asked.swap(true, Ordering::AcqRel) && poll_commit(&mut None, &Waker::from(self.0.clone()))
        {
            self.0.run();
        }
    }
}

impl fmt::Debug for DrainedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainedHook").finish_non_exhaustive()
    }
}

impl Hook {
    fn run(&self) {
        // AcqRel: pairs with the swap in `ask`; whoever asks from now on has it run again.
        self.asked.swap(false, Ordering::AcqRel);
        (self.call)();
    }
}

impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        self.run();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.run();
    }
}
