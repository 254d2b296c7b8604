//! Who is on each seat and what the seat is doing: the facts that more than one theme reads.

use super::{Checked, Checker, NONE, Violation, counted};

/// A worker that is blocked, or about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) deadline: u64,
    pub(super) since: u64,
}

/// One seat.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    /// The thread of the world that sits here.
    pub(super) thread: u32,
    /// The task it polls; 0: none.
    pub(super) polling: u64,
    /// When that poll began.
    pub(super) polling_since: u64,
    /// It keeps its ring from the others for now.
    pub(super) kept: bool,
    /// Since when.
    pub(super) kept_since: u64,
    /// A poll has started although it was kept for too long.
    pub(super) kept_late: bool,
    /// Since when it has been blocked in its driver whenever time passed.
    pub(super) idle_from: u64,
    /// The worker it took over last, since its last poll.
    pub(super) victim: u32,
    /// Inside the main future's poll, as far as events tell.
    pub(super) main: bool,
    /// Tasks in its ring, by the published cursors.
    pub(super) ring: u32,
    /// Tasks in its LIFO slot, by events.
    pub(super) lifo: u32,
    /// Tasks in its ring, by events.
    pub(super) ring_tasks: u32,
    /// Pinned tasks in its inbox, by events.
    pub(super) inbox: u32,
    /// Streams that hold writes for its commit.
    pub(super) staged: u32,
    /// Since when there are any.
    pub(super) staged_since: u64,
    /// Among the sleepers.
    pub(super) joined: bool,
    /// Among the searchers.
    pub(super) searching: bool,
    /// Its park word says token.
    pub(super) token: bool,
    /// Taken off the sleepers and not given its token yet.
    pub(super) owed: u32,
    /// Between `ParkBegin` and `ParkEnd`.
    pub(super) park: Option<Parked>,
    /// An op waits in its seat because its driver had no room.
    pub(super) stalled: bool,
    /// The shutdown phase it reached.
    pub(super) phase: u8,
    /// When it reached phase 2.
    pub(super) cleaned: u64,
    /// Nobody has been on it since its thread got up.
    pub(super) left: bool,
    /// When its LIFO slot was filled.
    pub(super) lifo_since: u64,
    /// A peer filled it: its worker sees that with the token that follows.
    pub(super) lifo_left: bool,
    /// Its group, and whether that one's workers take from each other's rings.
    pub(super) group: u32,
    pub(super) steals: bool,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            thread: NONE,
            polling: 0,
            polling_since: 0,
            kept: false,
            kept_since: 0,
            kept_late: false,
            idle_from: 0,
            victim: NONE,
            main: false,
            ring: 0,
            lifo: 0,
            ring_tasks: 0,
            inbox: 0,
            staged: 0,
            staged_since: 0,
            joined: false,
            searching: false,
            token: false,
            owed: 0,
            park: None,
            stalled: false,
            phase: 0,
            cleaned: 0,
            left: false,
            lifo_since: 0,
            lifo_left: false,
            group: 0,
            steals: true,
        }
    }
}

impl Worker {
    /// Tasks in its LIFO slot that it knows of.
    pub(super) fn own_lifo(&self) -> u32 {
        if self.lifo_left { 0 } else { self.lifo }
    }

    /// Work in its ring that only others can be expected to take soon.
    pub(super) fn stranded(&self) -> bool {
        self.steals && self.ring != 0 && !self.kept && (self.polling != 0 || self.main || self.joined)
    }
}

/// All seats, and who of the world's threads sits where.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) list: Vec<Worker>,
    /// The seat of each thread of the world.
    seats: Vec<u32>,
    /// Workers with stranded work.
    pub(super) stranded: u32,
}

impl Workers {
    pub(super) fn reset(&mut self, workers: u32) {
        self.list.clear();
        self.list.resize_with(workers as usize, Worker::default);
        self.seats.fill(NONE);
        self.stranded = 0;
    }

    #[inline]
    pub(super) fn get(&self, worker: u32) -> Option<&Worker> {
        self.list.get(worker as usize)
    }

    /// Changes a worker and keeps the count of those with stranded work. Unknown workers are none.
    #[inline]
    pub(super) fn change(&mut self, worker: u32, change: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.list.get_mut(worker as usize) {
            let before = worker.stranded();
            change(worker);
            self.stranded = self.stranded + u32::from(worker.stranded()) - u32::from(before);
        }
    }

    /// The seat of a thread, or `NONE`.
    #[inline]
    pub(super) fn seat_of(&self, thread: u32) -> u32 {
        self.seats.get(thread as usize).copied().unwrap_or(NONE)
    }

    fn bind(&mut self, thread: u32, worker: u32) {
        if self.seats.len() <= thread as usize {
            self.seats.resize(thread as usize + 1, NONE);
        }
        let old = core::mem::replace(&mut self.list[worker as usize].thread, thread);
        if let Some(seat) = self.seats.get_mut(old as usize) {
            *seat = NONE;
        }
        self.seats[thread as usize] = worker;
        self.list[worker as usize].left = false;
    }

    pub(super) fn thread_gone(&mut self, thread: u32) {
        let seat = self.seat_of(thread);
        if let Some(worker) = self.list.get_mut(seat as usize) {
            worker.thread = NONE;
            self.seats[thread as usize] = NONE;
        }
    }
}

impl Checker {
    /// `thread` does what only the thread on the seat of `worker` does.
    #[inline]
    pub(super) fn sits(&mut self, thread: u32, worker: u32, does: &'static str) -> Checked {
        match self.workers.get(worker) {
            Some(seat) if seat.thread == thread => Ok(()),
            Some(_) => self.sits_down(thread, worker, does),
            None => Ok(()),
        }
    }

    /// The first sign of a thread on a seat: it may sit there only if nobody is in the middle of something, and on no other seat.
    #[cold]
    fn sits_down(&mut self, thread: u32, worker: u32, does: &'static str) -> Checked {
        let seat = &self.workers.list[worker as usize];
        let busy = seat.polling != 0 || seat.park.is_some() || seat.searching;
        if seat.thread != NONE && (busy || worker != 0) {
            return Err(Violation::new(
                "S13",
                format!(
                    "thread {thread} {does} as worker {worker}, but thread {} is on that seat: a seat has one holder",
                    seat.thread
                ),
            )
            .worker(worker));
        }
        let other = self.workers.seat_of(thread);
        if other != NONE && other != worker {
            return Err(Violation::new(
                "S9",
                format!("thread {thread} {does} as worker {worker}, but it is on the seat of worker {other}"),
            )
            .worker(worker));
        }
        self.workers.bind(thread, worker);
        Ok(())
    }

    /// The thread on a seat got up: what it had is taken up by others.
    pub(super) fn seat_left(&mut self, thread: u32, worker: u32) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        let left = |id, what: &str| {
            let what = format!("the thread on the seat of worker {worker} got up and left {what}");
            Err(Violation::new(id, what).worker(worker))
        };
        if seat.ring + seat.ring_tasks + seat.lifo != 0 {
            let what = format!(
                "{} in its ring and {} in its LIFO slot: nobody takes them from there",
                counted(seat.ring_tasks.max(seat.ring), "task"),
                seat.lifo
            );
            return left("L14", &what);
        }
        if seat.staged != 0 {
            return left("S30", &format!("{} streams with staged writes: nobody commits them", seat.staged));
        }
        if self.ops.holder(worker as usize) == Some(worker) {
            return left("L14", "its driver held: nobody can serve it");
        }
        // A token that is owed to it may come later: it stays for who sits down next.
        if seat.joined || seat.searching {
            return left(
                "L9",
                "a wake with it: it still counts as a sleeper or searcher, and passed the wake on to nobody",
            );
        }
        self.workers.thread_gone(thread);
        self.workers.change(worker, |seat| {
            seat.left = true;
            seat.main = false;
        });
        Ok(())
    }

    /// `thread` is no longer inside the main future of the seat it is on.
    #[inline]
    pub(super) fn out_of_main(&mut self, worker: u32) {
        if self.workers.get(worker).is_some_and(|seat| seat.main) {
            self.workers.change(worker, |seat| seat.main = false);
        }
    }
}
