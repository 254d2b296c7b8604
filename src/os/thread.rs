//! What every live machine has whatever its driver: clock, entropy, CPUs, threads.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::sys;
use super::{ThreadHandle, ThreadSpec};
use crate::time::Instant;

/// CLOCK_MONOTONIC when the first machine of this process asked: its instants count from there.
static START_NS: OnceLock<u64> = OnceLock::new();
/// The number of the next thread that asks for one.
static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// This thread's number; 0 until it asks. No destructor, so it can be read while the thread ends.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Monotonic time.
pub(super) fn now() -> Instant {
    let start = *START_NS.get_or_init(sys::monotonic_ns);
    Instant::from_nanos(sys::monotonic_ns().saturating_sub(start))
}

/// A moment of [`now`] as CLOCK_MONOTONIC tells it, for calls of the kernel.
pub(super) fn on_the_clock(at: Instant) -> libc::timespec {
    let ns = START_NS.get_or_init(sys::monotonic_ns).saturating_add(at.as_nanos());
    let seconds = libc::time_t::try_from(ns / 1_000_000_000).unwrap_or(libc::time_t::MAX);
    libc::timespec { tv_sec: seconds, tv_nsec: (ns % 1_000_000_000) as _ }
}

/// CPUs this process may use.
pub(super) fn parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// This thread's number: not re-used, so `!Send` things can't be mistaken for another thread's.
pub(super) fn thread_id() -> u64 {
    THREAD.with(|cell| {
        if cell.get() == 0 {
            cell.set(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
        }
        cell.get()
    })
}

/// The slice of a thread that owns a driver. A worker that wakes up on the CPU of one that computes waits for the end of its
/// slice, and so does everybody else there. The system makes it 3 ms long by itself, many times what a peer needs to see that a
/// worker is overdue (docs/measurements.md).
const SLICE: Duration = Duration::from_micros(200);

/// Has the calling thread, which owns a driver from now on, run in short slices.
pub(super) fn settle() {
    thread_local! {
        static SETTLED: Cell<bool> = const { Cell::new(false) };
    }
    SETTLED.with(|settled| {
        if !settled.replace(true) {
            sys::ask_for_slice(SLICE);
        }
    });
}

/// Where threads of this process ran before the first one was pinned: where new ones begin, whoever starts them.
static ANYWHERE: OnceLock<Vec<usize>> = OnceLock::new();

/// Has the calling thread run on these CPUs only.
pub(super) fn run_on(cpus: &[usize]) -> io::Result<()> {
    ANYWHERE.get_or_init(sys::cpus);
    sys::run_on(cpus)
}

/// Starts a thread.
pub(super) fn spawn(spec: ThreadSpec, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn ThreadHandle>> {
    let mut builder = thread::Builder::new().name(spec.name.clone());
    if let Some(stack) = spec.stack {
        builder = builder.stack_size(stack);
    }
    let unpinned = move || {
        if let Some(anywhere) = ANYWHERE.get() {
            // Refused, it stays where its starter runs: slower, not wrong.
            let _ = sys::run_on(anywhere);
        }
        body();
    };
    match builder.spawn(unpinned) {
        Ok(handle) => Ok(Box::new(Thread(handle))),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!(
                "cannot start the thread \"{}\": {error}; free threads or raise the limit (ulimit -u, the cgroup's pids.max)",
                spec.name
            ),
        )),
    }
}

struct Thread(JoinHandle<()>);

impl ThreadHandle for Thread {
    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    fn join(self: Box<Self>) {
        // A panic was printed when it happened, and ended the thread all the same.
        drop(self.0.join());
    }
}
