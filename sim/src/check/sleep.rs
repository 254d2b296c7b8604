//! S10, S11, S12, and the debts: who sleeps, who searches, who has a token, who owes what.

use pirn::sync::Debt;

use super::{Checked, Checker, Violation, counted, workers::Parked};

/// The kinds of debt, by number.
const PUSH: usize = Debt::Push as usize;
const NOTIFY: usize = Debt::Notify as usize;
const RECHECK: usize = Debt::Recheck as usize;
const TOKEN: usize = Debt::Token as usize;
const NAMES: [&str; 4] = ["Push", "Notify", "Recheck", "Token"];

/// What a thread carries.
#[derive(Clone, Debug, Default)]
struct Carried {
    debts: [i32; 4],
    /// Workers it took off the sleepers that have no token yet.
    owed: Vec<u32>,
    /// Completions it collected and has not handed to their ops yet.
    collected: u64,
    /// It put a task into an injector and has not told the sleepers yet.
    announces: bool,
}

/// Counts over all workers and threads.
#[derive(Debug, Default)]
pub(super) struct Sleep {
    pub(super) sleepers: u32,
    pub(super) searchers: u32,
    /// Notify, Recheck and Token debts of all threads.
    pub(super) owed_looks: i32,
    /// Threads that are about to tell of what they put into an injector: until then its length may stand in their store buffers.
    announcing: u32,
    threads: Vec<Carried>,
}

impl Sleep {
    /// Keeps the debts: the thread that builds a runtime may carry some.
    pub(super) fn reset(&mut self) {
        self.sleepers = 0;
        self.searchers = 0;
        self.owed_looks = 0;
        self.announcing = 0;
        self.threads.clear();
    }

    /// A thread put a task into an injector.
    pub(super) fn announces(&mut self, thread: u32) {
        let carried = self.thread(thread);
        if carried.debts[NOTIFY] > 0 && !std::mem::replace(&mut carried.announces, true) {
            self.announcing += 1;
        }
    }

    /// Whether another thread than `thread` is about to tell of what it put into an injector.
    pub(super) fn others_announce(&self, thread: u32) -> bool {
        let own = self.threads.get(thread as usize).is_some_and(|carried| carried.announces);
        self.announcing > u32::from(own)
    }

    fn thread(&mut self, thread: u32) -> &mut Carried {
        let index = thread as usize;
        if self.threads.len() <= index {
            self.threads.resize_with(index + 1, Carried::default);
        }
        &mut self.threads[index]
    }

    /// The first debt of a thread, and its name.
    fn unpaid(&self, thread: u32) -> Option<usize> {
        self.threads.get(thread as usize)?.debts.iter().position(|debt| *debt != 0)
    }

    /// Threads that carry something, for people.
    pub(super) fn debts(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        self.threads.iter().enumerate().filter(|(_, carried)| carried.debts != [0; 4]).map(
            |(thread, carried)| {
                let list = carried.debts.iter().zip(NAMES).filter(|(debt, _)| **debt != 0);
                (thread, list.map(|(debt, name)| format!("{name} {debt}")).collect::<Vec<_>>().join(", "))
            },
        )
    }
}

impl Checker {
    pub(super) fn debt(&mut self, thread: u32, debt: Debt, by: i32) -> Checked {
        let kind = debt as usize;
        let carried = self.sleep.thread(thread);
        let old = carried.debts[kind];
        carried.debts[kind] = old + by;
        let (left, owed) = (old + by, carried.owed.len());
        if kind == NOTIFY && by < 0 && std::mem::take(&mut carried.announces) {
            self.sleep.announcing -= 1;
        }
        if kind != PUSH {
            self.sleep.owed_looks += by;
        }
        if left < 0 {
            return Err(Violation::new(
                debt_invariant(kind),
                format!("thread {thread} paid {} of {old} {debt:?} debts it carries", -by),
            ));
        }
        if kind == TOKEN && left == 0 && owed != 0 {
            return Err(Violation::new(
                "S11",
                format!(
                    "thread {thread} says it owes no token, but it took {} off the sleepers and gave none",
                    counted(owed as u64, "worker")
                ),
            ));
        }
        if by < 0 { self.work_conserved() } else { Ok(()) }
    }

    /// The counts carried in a note against the truth.
    #[inline]
    pub(super) fn counts(&self, did: &'static str, worker: u32, parked: u32, searching: u32) -> Checked {
        if (parked, searching) == self.sleepers_beside(worker) {
            return Ok(());
        }
        Err(self.counts_differ(did, worker, parked, searching))
    }

    #[cold]
    fn counts_differ(&self, did: &str, worker: u32, parked: u32, searching: u32) -> Violation {
        let (sleepers, searchers) = self.sleepers_beside(worker);
        Violation::new(
            "S10",
            format!(
                "when worker {worker} {did} the counts said {parked} parked and {searching} searching, but {sleepers} are parked and {searchers} search"
            ),
        )
        .worker(worker)
    }

    pub(super) fn sleep_join(&mut self, worker: u32) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if seat.joined {
            return Err(
                Violation::new("S10", format!("worker {worker} joined the sleepers twice")).worker(worker)
            );
        }
        if seat.ring != 0 || seat.own_lifo() != 0 {
            let (ring, lifo) = (seat.ring, seat.lifo);
            return Err(Violation::new(
                "L2",
                format!("worker {worker} joined the sleepers with {} in its ring and {lifo} in its LIFO slot: own work comes first", counted(ring, "task")),
            )
            .worker(worker));
        }
        self.workers.change(worker, |seat| seat.joined = true);
        self.sleep.sleepers += 1;
        Ok(())
    }

    /// Off the sleepers, by whoever.
    fn unjoin(&mut self, worker: u32, does: &str) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if !seat.joined {
            return Err(Violation::new(
                "S10",
                format!("worker {worker} {does}, but it is not among the sleepers"),
            )
            .worker(worker));
        }
        self.workers.change(worker, |seat| seat.joined = false);
        self.sleep.sleepers -= 1;
        Ok(())
    }

    pub(super) fn sleep_taken(&mut self, thread: u32, worker: u32) -> Checked {
        self.unjoin(worker, "was taken off the sleepers")?;
        let thread = self.sleep.thread(thread);
        thread.owed.push(worker);
        self.workers.change(worker, |seat| seat.owed += 1);
        // The permit to search comes with the token.
        self.searching(worker, true, "was taken off the sleepers and passed a permit")
    }

    pub(super) fn sleep_leave(&mut self, worker: u32) -> Checked {
        self.unjoin(worker, "left the sleepers by itself")
    }

    pub(super) fn search_begin(&mut self, worker: u32) -> Checked {
        self.round(worker)?;
        self.searching(worker, true, "began to search")
    }

    pub(super) fn search_end(&mut self, worker: u32) -> Checked {
        self.searching(worker, false, "stopped searching")
    }

    fn searching(&mut self, worker: u32, begins: bool, does: &str) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if seat.searching == begins {
            let was = if begins { "it was searching already" } else { "it was not searching" };
            return Err(Violation::new("S10", format!("worker {worker} {does}, but {was}")).worker(worker));
        }
        self.workers.change(worker, |seat| seat.searching = begins);
        if begins {
            self.sleep.searchers += 1;
        } else {
            self.sleep.searchers -= 1;
        }
        Ok(())
    }

    pub(super) fn token_give(
        &mut self,
        thread: u32,
        worker: u32,
        was_parked: bool,
        was_token: bool,
    ) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        let (token, parked) = (seat.token, seat.park.is_some());
        if was_token != token {
            let word = |token| if token { "a token" } else { "no token" };
            return Err(Violation::new(
                "L4",
                format!(
                    "worker {worker} was given a token and its park word held {}, but {} was given and not taken",
                    word(was_token),
                    word(token)
                ),
            )
            .worker(worker));
        }
        if !was_token && was_parked != parked {
            return Err(Violation::new(
                "L4",
                format!(
                    "worker {worker} was given a token and its park word said {}, but it is {}",
                    if was_parked { "parked" } else { "awake" },
                    if parked { "parked" } else { "awake" }
                ),
            )
            .worker(worker));
        }
        let debts = &mut self.sleep.thread(thread).owed;
        let paid =
            debts.iter().position(|owed| *owed == worker).map(|index| debts.swap_remove(index)).is_some();
        self.workers.change(worker, |seat| {
            seat.token = true;
            seat.owed -= u32::from(paid);
        });
        Ok(())
    }

    pub(super) fn token_take(&mut self, worker: u32) -> Checked {
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if !seat.token {
            let what =
                format!("worker {worker} took a token out of its park word, but none is pending there");
            return Err(Violation::new("L4", what).worker(worker));
        }
        self.workers.change(worker, |seat| seat.token = false);
        Ok(())
    }

    pub(super) fn park_begin(&mut self, thread: u32, worker: u32, deadline: u64) -> Checked {
        self.sits(thread, worker, "parks")?;
        self.all_dispatched(thread, worker)?;
        self.round(worker)?;
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        let parks = |id, what: String| {
            Err(Violation::new(id, format!("worker {worker} parks {what}")).worker(worker))
        };
        if seat.park.is_some() {
            return parks("S10", "and is parked already".to_owned());
        }
        if seat.polling != 0 {
            return parks("S3", format!("inside a poll of task {}", seat.polling));
        }
        if seat.token {
            return parks(
                "L4",
                "although its token was given and not taken: the park must return at once".to_owned(),
            );
        }
        if seat.staged != 0 {
            return parks(
                "S30",
                format!("with {} streams that hold staged writes: they leave before a park", seat.staged),
            );
        }
        if seat.ring != 0 || seat.own_lifo() != 0 {
            let (ring, lifo) = (seat.ring, seat.lifo);
            return parks(
                "L2",
                format!(
                    "with {} in its ring and {lifo} in its LIFO slot: own work comes first",
                    counted(ring, "task")
                ),
            );
        }
        if seat.searching && seat.owed == 0 && !self.shutdown.asked() {
            return parks("L13", "while it counts as a searcher".to_owned());
        }
        if let Some(kind) = self.sleep.unpaid(thread) {
            let what = format!("and its thread still carries a {} debt", NAMES[kind]);
            return parks(debt_invariant(kind), what);
        }
        self.watches(worker, deadline)?;
        let since = self.now;
        self.workers.change(worker, |seat| {
            seat.park = Some(Parked { deadline, since });
            seat.main = false;
        });
        self.work_conserved()
    }

    pub(super) fn park_end(&mut self, thread: u32, worker: u32) -> Checked {
        self.sits(thread, worker, "comes back from a park")?;
        let Some(seat) = self.workers.get(worker) else { return Ok(()) };
        if seat.park.is_none() {
            let what = format!("worker {worker} came back from a park it had not begun");
            return Err(Violation::new("L4", what).worker(worker));
        }
        self.workers.change(worker, |seat| seat.park = None);
        Ok(())
    }

    /// A worker that does work is awake in every sense.
    #[inline]
    pub(super) fn awake(&self, worker: u32, does: &'static str) -> Checked {
        match self.workers.get(worker) {
            Some(seat) if seat.joined || seat.park.is_some() => Err(Self::asleep(worker, seat.joined, does)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn asleep(worker: u32, joined: bool, does: &str) -> Violation {
        let state = if joined { "is still among the sleepers" } else { "has not come back from its park" };
        Violation::new("S10", format!("worker {worker} {does}, but it {state}")).worker(worker)
    }

    /// A thread collected completions from a driver.
    pub(super) fn collected(&mut self, thread: u32, count: u64) {
        self.sleep.thread(thread).collected += count;
    }

    /// It handed one to its op. One that resolved in its submission was never collected.
    pub(super) fn dispatched(&mut self, thread: u32) {
        let collected = &mut self.sleep.thread(thread).collected;
        *collected = collected.saturating_sub(1);
    }

    /// No completion is consumed without dispatch.
    #[inline]
    fn all_dispatched(&self, thread: u32, worker: u32) -> Checked {
        match self.sleep.threads.get(thread as usize) {
            Some(carried) if carried.collected != 0 => Err(Self::undispatched(worker, carried.collected)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn undispatched(worker: u32, count: u64) -> Violation {
        let what =
            format!("worker {worker} goes on with {count} completions that it collected and handed to no op");
        Violation::new("S19", what).worker(worker)
    }

    /// Debts of a thread that ends are never paid.
    pub(super) fn debt_left(&self, thread: u32) -> Option<Violation> {
        let kind = self.sleep.unpaid(thread)?;
        let what = format!("thread {thread} ended and still carries a {} debt", NAMES[kind]);
        Some(Violation::new(debt_invariant(kind), what))
    }

    /// Whether a thread carries a Push debt: a task in its hands is on its way.
    pub(super) fn owes_push(&self, thread: u32) -> bool {
        self.sleep.threads.get(thread as usize).is_some_and(|carried| carried.debts[PUSH] > 0)
    }

    /// A worker starts a poll: what it owed others before is paid, or there is nothing left to see.
    pub(super) fn owes_no_look(&self, thread: u32, worker: u32) -> Checked {
        self.all_dispatched(thread, worker)?;
        let Some(carried) = self.sleep.threads.get(thread as usize) else { return Ok(()) };
        match (carried.debts[NOTIFY], carried.debts[RECHECK]) {
            (0, 0) => Ok(()),
            (notify, _) => {
                let kind = if notify != 0 { NOTIFY } else { RECHECK };
                let what = format!(
                    "worker {worker} starts a poll and its thread still carries a {} debt",
                    NAMES[kind]
                );
                Err(Violation::new("L1", what).worker(worker))
            }
        }
    }
}

/// The invariant that an unpaid debt breaks.
fn debt_invariant(kind: usize) -> &'static str {
    match kind {
        PUSH => "S4",
        TOKEN => "S11",
        _ => "L1",
    }
}
