//! Threads that wait: blocks, their limits, and who is woken.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::choice::Kind;
use crate::clock::Due;
use crate::world::{State, Why, World};

/// Milliseconds of real time in which another OS thread may let go of a shared lock.
const PATIENCE: u32 = 50;

impl World {
    /// The running thread waits.
    pub(crate) fn block(&mut self, why: Why, until: u64, bits: u32) {
        let me = self.current;
        self.tso.drain(me);
        self.progress();
        self.ready.remove(me);
        let thread = &mut self.threads[me as usize];
        thread.state = State::Blocked { why, until };
        thread.blocks += 1;
        thread.woken = false;
        thread.clock_reads = 0;
        let block = thread.blocks;
        if until != u64::MAX {
            self.due.push(until.max(self.now), Due::Thread { thread: me, block });
        }
        if let Why::Address(address) | Why::Futex(address) = why {
            self.waiters.push((address, me, bits));
        }
        if let Some(cost) = &mut self.cost {
            cost.blocked(me, self.now);
        }
    }

    /// A blocked thread becomes runnable.
    pub(crate) fn make_ready(&mut self, thread: u32, woken: bool) {
        let record = &mut self.threads[thread as usize];
        let State::Blocked { why, .. } = record.state else { return };
        record.state = State::Ready;
        record.woken = woken;
        if matches!(why, Why::Address(_) | Why::Futex(_)) {
            self.waiters.retain(|&(_, waiter, _)| waiter != thread);
        }
        if !self.threads[thread as usize].frozen {
            self.ready.insert(thread);
        }
        if let Some(cost) = &mut self.cost {
            cost.woken(thread, why, self.now);
        }
        self.progress();
    }

    /// A block's limit has come.
    pub(crate) fn time_out(&mut self, thread: u32, block: u32) {
        if self.still_blocked(thread, block) {
            self.make_ready(thread, false);
        }
    }

    /// Whether a thread is in its block number `block`.
    pub(crate) fn still_blocked(&self, thread: u32, block: u32) -> bool {
        let record = &self.threads[thread as usize];
        record.blocks == block && matches!(record.state, State::Blocked { .. })
    }

    /// Wakes up to `count` who wait at `address` for one of `bits`; returns how many.
    #[inline]
    pub(crate) fn wake(&mut self, address: usize, count: u32, bits: u32) -> u32 {
        if self.waiters.is_empty() { 0 } else { self.wake_some(address, count, bits) }
    }

    fn wake_some(&mut self, address: usize, count: u32, bits: u32) -> u32 {
        let mut woken = 0;
        while woken < count {
            let fits = |&&(at, _, mask): &&(usize, u32, u32)| at == address && mask & bits != 0;
            let options = self.waiters.iter().filter(fits).count() as u32;
            if options == 0 {
                break;
            }
            let rank = if options <= count - woken { 0 } else { self.uniform(Kind::Waiter, options) };
            let Some(&(_, thread, _)) = self.waiters.iter().filter(fits).nth(rank as usize) else { break };
            self.make_ready(thread, true);
            woken += 1;
        }
        woken
    }

    /// Before a deadlock is declared: a lock that executions on several OS threads share (standard output, a global
    /// variable of the program) is let go by another of them, in real time. True: somebody may try again.
    pub(crate) fn shared_lock_freed(&mut self) -> bool {
        let waiting: Vec<(u32, usize, u32)> = self
            .threads
            .iter()
            .zip(0..)
            .filter_map(|(thread, number)| match thread.state {
                State::Blocked { why: Why::Futex(address), .. } => Some((number, address, thread.expects)),
                _ => None,
            })
            .collect();
        if waiting.is_empty() {
            return false;
        }
        for _ in 0..PATIENCE {
            let mut freed = false;
            for &(thread, address, expects) in &waiting {
                // SAFETY: the thread waits in a futex call on this word, so it is live and changes atomically.
                let word = unsafe { &*(address as *const AtomicU32) };
                // Acquire: as the kernel's look at the word.
                if word.load(Ordering::Acquire) != expects {
                    self.make_ready(thread, true);
                    freed = true;
                }
            }
            if freed {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}
