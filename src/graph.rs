//! Task graphs: tasks that start when others are done.
//!
//! [`spawn_after`] takes the nodes that a task depends on, which exist already: so a graph has no cycles, by construction.
//!
//! ```
//! # pirn::Runtime::new()?.block_on(async {
//! use pirn::graph::{self, Node, spawn_after};
//!
//! let source: Node<()> = spawn_after(graph::NONE, async { /* fetch */ });
//! let left = spawn_after([&source], async { 20 });
//! let right = spawn_after([&source], async { 22 });
//! let sink = spawn_after([&left, &right], async { "both are done" });
//! assert_eq!(sink.await.unwrap(), "both are done");
//! assert_eq!(left.await.unwrap() + right.await.unwrap(), 42);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A node is done when its future is ready and dropped. One that panics, is aborted or ends with its runtime has *failed*: nodes that depend on
//! it, directly or not, are never run. Their futures are dropped, and their errors name the node that failed first.
//!
//! A node that waits is an ordinary task, with a gate before its future: each node it depends on holds the gate until it is done. So a graph
//! may be of any depth and width, an end is one lock and at most one wake for each dependent, and nothing recurses.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::task::{AbortHandle, Id, JoinError, JoinHandle};

/// Depends on nothing: `spawn_after(graph::NONE, ..)`.
pub const NONE: [&Dependency; 0] = [];

/// Spawns a task on any worker of the current runtime that runs when all of `dependencies` are done: nodes, by reference, or
/// [`Node::dependency`] of nodes with different results.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn_after<D, F>(dependencies: impl IntoIterator<Item = D>, future: F) -> Node<F::Output>
where
    D: AsRef<Dependency>,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let end = Arc::new(End {
        id: AtomicU64::new(0),
        spawned_at: Location::caller(),
        state: Mutex::new(Progress::Open(Vec::new())),
    });
    // One hold is ours until everything is in place.
    let gate = Arc::new(Gate(Mutex::new(Waiting { holds: 1, cause: None, waker: None })));
    let future = Run { gate: Some(gate.clone()), end: end.clone(), future: Some(future) };
    let handle = crate::spawn(future);
    // Relaxed: the gate's lock orders it before the future.
    end.id.store(handle.id().get(), Ordering::Relaxed);
    for dependency in dependencies {
        dependency.as_ref().0.hold(&gate);
    }
    gate.release(None);
    Node { handle, dependency: Dependency(end) }
}

/// A task of a graph: waits for its result, and can be depended upon. Dropping it detaches the task.
///
/// Cancel-safe as a future: dropped before it was ready, nothing is lost but the result.
#[must_use = "a dropped node detaches its task; `detach` says that it is meant"]
pub struct Node<T> {
    handle: JoinHandle<Result<T, Cause>>,
    dependency: Dependency,
}

impl<T> Node<T> {
    /// What others depend on; it outlives the node.
    pub fn dependency(&self) -> Dependency {
        self.dependency.clone()
    }

    /// See [`JoinHandle::abort`]. Whatever depends on it will not be run.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// A handle that can only abort.
    pub fn abort_handle(&self) -> AbortHandle {
        self.handle.abort_handle()
    }

    /// Whether the task is over and its result is there.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Lets the task go on without a handle.
    pub fn detach(self) {
        drop(self);
    }

    /// The task's number.
    pub fn id(&self) -> Id {
        self.handle.id()
    }
}

impl<T> AsRef<Dependency> for Node<T> {
    fn as_ref(&self) -> &Dependency {
        &self.dependency
    }
}

impl<T> Future for Node<T> {
    type Output = Result<T, NodeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.id();
        Pin::new(&mut self.handle).poll(context).map(|result| match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(cause)) => Err(NodeError { id, why: Why::Dependency(cause) }),
            Err(error) => Err(NodeError { id, why: Why::Own(error) }),
        })
    }
}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, spawned at {})", self.id(), self.dependency.0.spawned_at)
    }
}

/// The end of a node, for others to depend upon.
#[derive(Clone)]
pub struct Dependency(Arc<End>);

impl AsRef<Dependency> for Dependency {
    fn as_ref(&self) -> &Dependency {
        self
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a number for people.
        write!(f, "Dependency(task {})", self.0.id.load(Ordering::Relaxed))
    }
}

/// Why a node has no result.
pub struct NodeError {
    id: Id,
    why: Why,
}

enum Why {
    Own(JoinError),
    Dependency(Cause),
}

impl NodeError {
    /// The task that failed first: this one, or one that it depends on, directly or not.
    pub fn cause(&self) -> Id {
        match &self.why {
            Why::Own(_) => self.id,
            Why::Dependency(cause) => cause.0.id,
        }
    }

    /// Whether the node was not run because of another.
    pub fn is_dependency(&self) -> bool {
        matches!(self.why, Why::Dependency(_))
    }

    /// Whether the node itself was aborted, or its runtime shut down.
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.why, Why::Own(error) if error.is_cancelled())
    }

    /// Whether the node itself panicked.
    pub fn is_panic(&self) -> bool {
        matches!(&self.why, Why::Own(error) if error.is_panic())
    }

    /// Its own end as that of a task; the error back if another one is the cause.
    pub fn into_join_error(self) -> Result<JoinError, Self> {
        match self.why {
            Why::Own(error) => Ok(error),
            Why::Dependency(_) => Err(self),
        }
    }

    /// Which task it was.
    pub fn id(&self) -> Id {
        self.id
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Own(error) => error.fmt(f),
            Why::Dependency(cause) => {
                let First { id, spawned_at, how } = &*cause.0;
                write!(
                    f,
                    "{} was not run: it depends on {id} (spawned at {spawned_at}), which {how}",
                    self.id
                )
            }
        }
    }
}

impl fmt::Debug for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeError({self})")
    }
}

impl std::error::Error for NodeError {}

/// The node that failed first.
#[derive(Clone)]
struct Cause(Arc<First>);

struct First {
    id: Id,
    spawned_at: &'static Location<'static>,
    how: String,
}

/// Where a node's end is told.
struct End {
    id: AtomicU64,
    spawned_at: &'static Location<'static>,
    state: Mutex<Progress>,
}

enum Progress {
    /// Who waits for it.
    Open(Vec<Arc<Gate>>),
    Over(Option<Cause>),
}

impl End {
    /// Holds `gate` until this node is over.
    fn hold(&self, gate: &Arc<Gate>) {
        // Before the end can release it.
        gate.0.lock().holds += 1;
        let over = match &mut *self.state.lock() {
            Progress::Open(gates) => {
                gates.push(gate.clone());
                return;
            }
            Progress::Over(cause) => cause.clone(),
        };
        gate.release(over);
    }

    /// The node failed by itself.
    fn cause(&self, how: String) -> Cause {
        // Relaxed: see `spawn_after`.
        let id = Id(self.id.load(Ordering::Relaxed));
        Cause(Arc::new(First { id, spawned_at: self.spawned_at, how }))
    }

    /// Tells the end, once; later ones change nothing.
    fn tell(&self, failed: impl FnOnce() -> Option<Cause>) {
        if matches!(&*self.state.lock(), Progress::Over(_)) {
            return;
        }
        // Only the task itself ends itself, so nobody came in between.
        let failed = failed();
        let over = Progress::Over(failed.clone());
        let before = core::mem::replace(&mut *self.state.lock(), over);
        if let Progress::Open(gates) = before {
            gates.iter().for_each(|gate| gate.release(failed.clone()));
        }
    }
}

/// What stands before a node's future.
struct Gate(Mutex<Waiting>);

struct Waiting {
    holds: usize,
    cause: Option<Cause>,
    waker: Option<Waker>,
}

impl Gate {
    /// One hold less; a failed node opens the gate at once.
    fn release(&self, failed: Option<Cause>) {
        let waker = {
            let mut waiting = self.0.lock();
            waiting.holds -= 1;
            if waiting.cause.is_none() {
                waiting.cause = failed;
            }
            if waiting.holds == 0 || waiting.cause.is_some() { waiting.waker.take() } else { None }
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Cause>> {
        // Cloned and dropped outside of the lock.
        let mut waker = Some(context.waker().clone());
        let mut waiting = self.0.lock();
        if let Some(cause) = &waiting.cause {
            return Poll::Ready(Err(cause.clone()));
        }
        if waiting.holds == 0 {
            return Poll::Ready(Ok(()));
        }
        core::mem::swap(&mut waiting.waker, &mut waker);
        drop(waiting);
        Poll::Pending
    }
}

/// The task of a node.
struct Run<F> {
    /// `None`: it was open.
    gate: Option<Arc<Gate>>,
    end: Arc<End>,
    /// Pinned with the task. `None`: over.
    future: Option<F>,
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, Cause>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is never moved, only polled and set to `None` in its place; the rest is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut future = unsafe { Pin::new_unchecked(&mut this.future) };
        if let Some(gate) = &this.gate {
            match gate.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => this.gate = None,
                Poll::Ready(Err(cause)) => {
                    future.set(None);
                    this.end.tell(|| Some(cause.clone()));
                    return Poll::Ready(Err(cause));
                }
            }
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let running = future.as_mut().as_pin_mut().expect("a node was polled after its end");
            let polled = running.poll(context);
            if polled.is_ready() {
                future.set(None);
            }
            polled
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                this.end.tell(|| None);
                Poll::Ready(Ok(value))
            }
            Err(payload) => {
                let text = payload.downcast_ref::<&'static str>().copied();
                let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                let how = format!("panicked: {}", text.unwrap_or("no message"));
                this.end.tell(|| Some(this.end.cause(how)));
                resume_unwind(payload)
            }
        }
    }
}

impl<F> Drop for Run<F> {
    fn drop(&mut self) {
        // In its place, as its pin demands, and before others run.
        let dropped = catch_unwind(AssertUnwindSafe(|| self.future = None));
        self.end.tell(|| Some(self.end.cause("was cancelled: aborted, or its runtime shut down".into())));
        if let Err(payload) = dropped {
            resume_unwind(payload);
        }
    }
}
