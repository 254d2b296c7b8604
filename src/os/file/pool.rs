//! The side threads of a live machine: they make the file calls that may block.
//!
//! Threads start when an op finds none idle, up to a limit, and end when they have been idle for a while. An op waits in
//! the queue until a thread takes it; until then a cancel removes it. Its completion goes to the driver it came from.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{FileOp, calls};
use crate::os::{Completion, ThreadSpec, Token, Yielded, thread};
use crate::sync::{Condvar, Mutex};

/// Threads at most: as many requests as a disk's queue gains by, at 128 KiB of stack each.
const THREADS: usize = 64;
/// Stack of a thread: a few paths of 4 KiB fit.
const STACK: usize = 128 << 10;
/// A thread that was idle for so long ends.
const KEEP: Duration = Duration::from_secs(10);

/// Where completions go: a driver. Called on a side thread; it wakes a look that blocks.
pub(in crate::os) trait Sink: Send + Sync {
    /// Takes the completion of an op that came from this driver.
    fn deliver(&self, completion: Completion);
}

/// The file ops of one driver that may block: who plays them.
pub(in crate::os) trait Files: Send + Sync {
    /// Takes an op, whose completion comes to the driver. An error: it can't be played, and comes back.
    fn start(&self, token: Token, op: FileOp) -> Result<(), (FileOp, io::Error)>;
    /// Asks for an early end of an op; nothing, if it is not here any more.
    fn cancel(&self, token: Token);
}

/// The side threads, as one driver sees them.
pub(in crate::os) struct PoolOf {
    /// The threads.
    pub(in crate::os) pool: Arc<Pool>,
    /// The driver.
    pub(in crate::os) sink: Arc<dyn Sink>,
}

impl Files for PoolOf {
    fn start(&self, token: Token, op: FileOp) -> Result<(), (FileOp, io::Error)> {
        self.pool.start(token, op, &self.sink)
    }

    fn cancel(&self, token: Token) {
        self.pool.cancel(token, &self.sink);
    }
}

/// The side threads. They end when it goes.
pub(in crate::os) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    started: u64,
    closed: bool,
}

struct Job {
    token: Token,
    op: FileOp,
    sink: Arc<dyn Sink>,
}

impl Pool {
    /// A pool without a thread.
    pub(in crate::os) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State::default()), work: Condvar::new() }) }
    }

    /// Queues an op. An error: no thread can be started, and the op comes back.
    pub(in crate::os) fn start(
        &self,
        token: Token,
        op: FileOp,
        sink: &Arc<dyn Sink>,
    ) -> Result<(), (FileOp, io::Error)> {
        let mut state = self.shared.state.lock();
        if state.idle <= state.queue.len() && state.threads < THREADS {
            match self.start_thread(state.started) {
                Ok(()) => {
                    state.threads += 1;
                    state.started += 1;
                }
                // The threads there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err((op, error)),
            }
        }
        state.queue.push_back(Job { token, op, sink: Arc::clone(sink) });
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Takes an op out that no thread has taken yet; its completion is delivered before the return. One that runs goes on.
    pub(in crate::os) fn cancel(&self, token: Token, sink: &Arc<dyn Sink>) {
        let job = {
            let mut state = self.shared.state.lock();
            let mine = |job: &Job| job.token == token && Arc::ptr_eq(&job.sink, sink);
            let Some(at) = state.queue.iter().position(mine) else { return };
            state.queue.remove(at)
        };
        if let Some(Job { token, op, sink }) = job {
            let error = io::Error::from_raw_os_error(libc::ECANCELED);
            sink.deliver(Completion { token, result: Err(error), yielded: give_back(op) });
        }
    }

    fn start_thread(&self, number: u64) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let spec = ThreadSpec { name: format!("pirn-file-{number}"), stack: Some(STACK) };
        thread::spawn(spec, Box::new(move || shared.run())).map(drop)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let queue = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        self.shared.work.notify_all();
        drop(queue);
    }
}

impl Shared {
    /// The body of a thread.
    fn run(&self) {
        while let Some(Job { token, op, sink }) = self.next() {
            let (result, yielded) = calls::play(op);
            sink.deliver(Completion { token, result, yielded });
        }
    }

    /// The next op. `None`: this thread is to end, and counts no more.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (back, late) = self.work.wait_timeout(state, KEEP);
            state = back;
            state.idle -= 1;
            if late && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}

/// The buffer of an op that is not played.
pub(in crate::os) fn give_back(op: FileOp) -> Yielded {
    match op {
        FileOp::Read { buffer: bytes, .. } | FileOp::Write { bytes, .. } => Yielded::Bytes(bytes),
        _ => Yielded::Nothing,
    }
}
