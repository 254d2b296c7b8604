//! `spawn_blocking`: an elastic, bounded pool of threads for calls that block.
//!
//! A call is a task like any other whose only poll runs the closure on a thread of the pool. Threads start on demand
//! through the Os, up to `blocking_threads`, and end after `blocking_keep_alive` without work.
//! `model/src/models/blocking.rs` checks a push against threads that wait and leave.

use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::observe::BlockingMetrics;
use crate::os::{ThreadHandle, ThreadSpec};
use crate::sched::{self, Shared};
use crate::sync::{Condvar, Debt, Mutex, debt};
use crate::task::state::Start;
use crate::task::{JoinHandle, Kind, Polled, Task};
use crate::time::Instant;
use crate::trace::{Event, Place, PollEnd};

const OUTSIDE: u16 = u16::MAX;

/// The pool of one runtime.
pub(crate) struct Blocking {
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    started: u64,
    /// Calls that were begun.
    calls: u64,
    closed: bool,
    handles: Vec<Box<dyn ThreadHandle>>,
}

/// A closure as a future that is ready at its first poll.
struct Call<F>(Option<F>);

impl<F> Unpin for Call<F> {}

impl<F: FnOnce() -> T, T> Future for Call<F> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, _cx: &mut TaskContext<'_>) -> Poll<T> {
        Poll::Ready(self.0.take().expect("blocking work is polled once")())
    }
}

impl Blocking {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), work: Condvar::new(), ended: Condvar::new() }
    }

    /// How it is doing.
    pub(crate) fn metrics(&self) -> BlockingMetrics {
        let state = self.state.lock();
        BlockingMetrics {
            threads: state.threads,
            idle: state.idle,
            queued: state.queue.len(),
            calls: state.calls,
        }
    }

    /// Queues a call and sees to it that a thread will take it.
    pub(crate) fn spawn<F, T>(shared: &Arc<Shared>, call: F, at: &'static Location<'static>) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let id = shared.next_id(None);
        let (task, header) = Task::new(None, Call(Some(call)), Arc::as_ptr(shared), id, Kind::Blocking, at);
        // SAFETY: the handle's reference of a task that yields `T`.
        let handle = unsafe { JoinHandle::new(header) };
        debt(Debt::Push, 1);
        let site = shared.site((at, core::any::type_name::<F>()));
        sched::emit(Event::Spawn { task: id, pinned: false, worker: OUTSIDE, site });
        shared.blocking.push(shared, task);
        handle
    }

    fn push(&self, shared: &Arc<Shared>, task: Task) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            debt(Debt::Push, -1);
            sched::refuse(task);
            return;
        }
        let id = task.id();
        state.queue.push_back(task);
        debt(Debt::Push, -1);
        sched::emit(Event::Enqueue { task: id, place: Place::Blocking, worker: OUTSIDE });
        if state.idle >= state.queue.len() {
            drop(state);
            self.work.notify_one();
        } else if state.threads < shared.config.blocking_threads {
            self.start_thread(shared, &mut state);
        }
    }

    fn start_thread(&self, shared: &Arc<Shared>, state: &mut State) {
        state.started += 1;
        let spec = ThreadSpec { name: format!("pirn-block-{}", state.started), stack: None };
        let body = shared.clone();
        match shared.os.spawn_thread(spec, Box::new(move || run_thread(&body))) {
            Ok(handle) => {
                state.threads += 1;
                state.handles.retain(|handle| !handle.is_finished());
                state.handles.push(handle);
            }
            // The threads there are will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => panic!(
                "spawn_blocking: the system refused the pool's first thread: {error}; raise the limit of threads (ulimit -u)"
            ),
        }
    }

    /// The next call; None: closed, or idle for too long. The thread that gets None counts no more, in the same step: a push
    /// that finds no idle thread must see that there is room for another one.
    fn next(&self, shared: &Shared) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.queue.pop_front() {
                state.calls += 1;
                sched::emit(Event::Dequeue {
                    task: task.id(),
                    place: Place::Blocking,
                    worker: OUTSIDE,
                    by: u32::from(OUTSIDE),
                });
                debt(Debt::Push, 1);
                return Some(task);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (back, late) = self.work.wait_timeout(state, shared.config.blocking_keep_alive);
            state = back;
            state.idle -= 1;
            if late && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        self.ended.notify_all();
        None
    }

    /// Cancels what is queued and waits for what has started; how many calls still run at the deadline.
    pub(crate) fn shut_down(&self, shared: &Shared, deadline: Instant) -> usize {
        let queued = {
            let mut state = self.state.lock();
            state.closed = true;
            core::mem::take(&mut state.queue)
        };
        for task in queued {
            sched::emit(Event::Dequeue {
                task: task.id(),
                place: Place::Blocking,
                worker: OUTSIDE,
                by: u32::from(OUTSIDE),
            });
            sched::refuse(task);
        }
        self.work.notify_all();
        let mut state = self.state.lock();
        while state.threads > 0 {
            let now = shared.os.now();
            if now >= deadline {
                return state.threads;
            }
            state = self.ended.wait_timeout(state, deadline - now).0;
        }
        let handles = core::mem::take(&mut state.handles);
        drop(state);
        handles.into_iter().for_each(ThreadHandle::join);
        0
    }
}

/// The body of a thread of the pool.
fn run_thread(shared: &Arc<Shared>) {
    sched::enter_handle(shared, || {
        while let Some(task) = shared.blocking.next(shared) {
            run(task);
        }
    });
}

fn run(task: Task) {
    let id = task.id();
    let start = task.start();
    debt(Debt::Push, -1);
    match start {
        Start::Complete => task.release(),
        Start::Cancel => sched::cancel(task, OUTSIDE, |_| ()),
        Start::Poll => {
            sched::emit(Event::PollStart { task: id, worker: OUTSIDE });
            let mut end = PollEnd::Ready;
            if task.poll() == Polled::Panicked {
                end = PollEnd::Panicked;
                crate::observe::tell::panicked(task.header());
            }
            sched::emit(Event::FutureDrop { task: id, worker: OUTSIDE });
            task.complete(|| sched::emit(Event::PollEnd { task: id, end, worker: OUTSIDE }));
            task.release();
        }
    }
}
