//! The blocking pool: a push against threads that take, wait and leave. The steps of `src/blocking.rs` (`push`, `next`), whose
//! thread that has waited for too long is one that does not wait at all.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::explore;

#[derive(Default)]
struct State {
    queue: u32,
    threads: u32,
    idle: u32,
    done: u32,
    closed: bool,
}

struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

impl Pool {
    /// True: the pusher must start a thread.
    fn push(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.queue += 1;
        if state.idle >= state.queue {
            drop(state);
            self.work.notify_one();
        } else if state.threads < 2 {
            state.threads += 1;
            return true;
        }
        false
    }

    /// A thread of the pool; `patient`: it waits for work until the pool is closed.
    fn run(&self, patient: bool) {
        let mut state = self.state.lock().unwrap();
        loop {
            if state.queue > 0 {
                state.queue -= 1;
                state.done += 1;
                drop(state);
                thread::yield_now();
                state = self.state.lock().unwrap();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            if patient {
                state = self.work.wait(state).unwrap();
            } else {
                // Its time is over, and others may have pushed meanwhile.
                drop(state);
                thread::yield_now();
                state = self.state.lock().unwrap();
            }
            state.idle -= 1;
            if !patient && state.queue == 0 {
                break;
            }
        }
        state.threads -= 1;
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.work.notify_all();
    }
}

fn one_thread(patient: bool) -> (Arc<Pool>, thread::JoinHandle<()>) {
    let state = State { threads: 1, ..State::default() };
    let pool = Arc::new(Pool { state: Mutex::new(state), work: Condvar::new() });
    let running = pool.clone();
    (pool, thread::spawn(move || running.run(patient)))
}

/// A push against a thread that leaves: it takes the job, or the pusher starts another one. Bound: 3 preemptions.
#[test]
fn push_against_a_thread_that_leaves() {
    explore(Some(3), || {
        let (pool, leaving) = one_thread(false);
        if pool.push() {
            pool.run(false);
        }
        leaving.join().unwrap();
        let state = pool.state.lock().unwrap();
        assert_eq!((state.queue, state.done), (0, 1), "a job waits, and no thread will take it");
        assert_eq!((state.threads, state.idle), (0, 0));
    });
}

/// A push and a close against a thread that waits: the job is done, the thread ends. Bound: 3 preemptions.
#[test]
fn push_and_close_against_a_thread_that_waits() {
    explore(Some(3), || {
        let (pool, waiting) = one_thread(true);
        if pool.push() {
            pool.run(false);
        }
        pool.close();
        waiting.join().unwrap();
        let state = pool.state.lock().unwrap();
        assert_eq!((state.queue, state.done, state.threads), (0, 1, 0));
    });
}
