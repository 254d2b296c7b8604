//! What all threads of a runtime share, and the shared half of a seat.

use core::task::Waker;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};

use super::commit::Staging;
use super::config::Config;
use super::core::Core;
use super::entry::Caller;
use super::group::Group;
use super::share::Offer;
use super::shutdown::Exit;
use super::submit::Remote;
use crate::blocking::Blocking;
use crate::io::Ops;
use crate::observe::{Measures, Seen, Sites};
use crate::os::{DriverConfig, Os, Reap, Unpark};
use crate::queue::{Inbox, Injector, LifoSlot, Ring, ring};
use crate::sync::{Apart, AtomicBool, AtomicU32, AtomicU64, Counter, Mutex, Ordering, UnsafeCell};
use crate::task::{Owned, Pool, Task};
use crate::timer::{Wheel, WheelConfig};
use crate::trace::{Event, Recorder};

/// One runtime. What is written while it runs is set apart from what is only read.
pub(crate) struct Shared {
    pub(crate) os: Arc<dyn Os>,
    pub(crate) config: Config,
    pub(crate) seats: Box<[Seat]>,
    pub(crate) groups: Box<[Group]>,
    /// The seats whose drivers carry I/O.
    pub(crate) io_seats: Box<[u32]>,
    /// Task numbers are handed out in blocks of this word.
    pub(crate) ids: Apart<AtomicU64>,
    /// Places that spawn, numbered for the recorder.
    pub(crate) sites: Sites,
    /// The first panic was dumped, or is being.
    pub(crate) panic_dumped: AtomicBool,
    /// Spreads what comes from outside over the seats.
    pub(crate) spread: Apart<AtomicU32>,
    pub(crate) seat_zero: Apart<Mutex<SeatZero>>,
    /// Whether a thread sits on seat 0. Written under the lock of `seat_zero`.
    seat_zero_taken: AtomicBool,
    pub(crate) exit: Exit,
    pub(crate) blocking: Apart<Blocking>,
    pub(crate) this: Weak<Shared>,
}

/// Who may sit on seat 0.
#[derive(Default)]
pub(crate) struct SeatZero {
    /// Its share of a shutdown was done.
    pub(crate) ended: bool,
    /// Callers of block_on that wait for the seat or their future.
    pub(crate) guests: Vec<Weak<Caller>>,
    /// The thread whose `!Send` tasks live on the seat, between its calls of block_on.
    pub(crate) bound: Option<u64>,
}

/// The shared half of a seat, and the cell of the private one.
#[repr(align(128))] // no neighbour's line is touched
pub(crate) struct Seat {
    pub(crate) group: u32,
    /// Whether ops of this seat's tasks wait in its own driver.
    pub(crate) carries_io: bool,
    pub(crate) ring: Arc<Ring<Task>>,
    pub(crate) lifo: LifoSlot<Task>,
    /// Its owner keeps the ring for now: see `share`.
    pub(crate) kept: AtomicBool,
    /// Scheduled pinned tasks.
    pub(crate) inbox: Inbox<Task>,
    /// Complete tasks of this seat's owned list that finished elsewhere: the list's references come home.
    pub(crate) retired: Inbox<Task>,
    /// Tasks that were polled here first and are not over. Others take it for a dump only.
    pub(crate) owned: Owned,
    /// Ops and cancels from threads that are not on this seat.
    pub(crate) remote: Injector<Remote>,
    /// Who holds the Reap half: see `look`.
    pub(crate) hold: AtomicU32,
    reap: UnsafeCell<Box<dyn Reap>>,
    pub(crate) wheel: Mutex<Wheel<Waker>>,
    /// Timers in the wheel; written under its lock.
    pub(crate) armed: Counter,
    /// While parked: until when (ns); else 0. Written under the wheel's lock before a park: who arms an earlier timer under the
    /// same lock sees it and sends a token.
    pub(crate) parked_until: AtomicU64,
    pub(crate) unpark: Arc<dyn Unpark>,
    pub(crate) staging: Staging,
    pub(crate) ops: Apart<Ops>,
    /// Written by its worker all the time, read by others now and then.
    pub(crate) pulse: Apart<Pulse>,
    #[cfg(feature = "coro")]
    pub(crate) coroutines: Arc<crate::coro::Usage>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// What its worker measures, if the clock is read.
    pub(crate) measures: Option<Box<Measures>>,
    core: UnsafeCell<Core>,
}

/// What shows that a worker is alive.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Grows at the start (to odd) and end (to even) of each poll.
    pub(crate) beat: Counter,
    /// The beat of the last poll that a watcher found overdue; written by watchers.
    pub(crate) overdue: Counter,
    /// The task that is, or was last, polled; 0: a main future.
    pub(crate) task: Counter,
    /// Commits, so the number of the turn.
    pub(crate) turns: Counter,
    pub(crate) stats: Stats,
}

/// Counters of one worker.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) polls: Counter,
    pub(crate) steals: Counter,
    pub(crate) stolen: Counter,
    pub(crate) parks: Counter,
    pub(crate) looks: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) tasks: Counter,
    pub(crate) finished: Counter,
    pub(crate) panicked: Counter,
    pub(crate) searches: Counter,
    /// Parks that a token ended, and those of them that found nothing to poll.
    pub(crate) wakes: Counter,
    pub(crate) wasted: Counter,
}

// SAFETY: `core` is touched by the thread on the seat only (`Seat::core`), `reap` by the holder of the hold word only
// (`Seat::reap`); all else is Sync by itself.
unsafe impl Sync for Seat {}

impl Seat {
    fn new(os: &Arc<dyn Os>, config: &Config, number: u32, group: u32, workers: usize) -> io::Result<Self> {
        let near = config.groups[group as usize].near();
        let driver = os.driver(&DriverConfig { worker: number, batch: config.batch, near })?;
        let (owner, shared_ring) = ring(number, config.ring_capacity);
        let recorder = (config.recorder > 0).then(|| Arc::new(Recorder::new(config.recorder)));
        #[cfg(feature = "coro")]
        let coroutines = Arc::<crate::coro::Usage>::default();
        let core = Core {
            ring: owner,
            submit: driver.submit.into(),
            stalled: VecDeque::new().into(),
            look_at: 0.into(),
            pool: Pool::default(),
            buffers: Default::default(),
            #[cfg(feature = "coro")]
            stacks: crate::coro::Pool::new(config.stacks.clone(), coroutines.clone()),
            until_look: config.poll_interval.into(),
            until_far: config.injector_interval.into(),
            inbox_first: false.into(),
            lifo_run: 0.into(),
            searching: false.into(),
            offer: Offer::Made.into(),
            busy: Default::default(),
            fresh: true.into(),
            ending: None.into(),
            quiet: 0.into(),
            serving: false.into(),
            beats: vec![(0, 0); workers].into(),
            ids: (0, 0).into(),
            pinned: 0.into(),
            random: os.entropy().into(),
            staged_since: 0.into(),
            drained: Vec::new().into(),
            waking_drained: false.into(),
            committing: Vec::new().into(),
            completions: Vec::new().into(),
            fired: Vec::new().into(),
            recorder: recorder.clone(),
            clocked: config.clocked(),
            now: 0.into(),
            sites: Seen::new().into(),
            parked_at: 0.into(),
            woken: false.into(),
        };
        Ok(Self {
            group,
            carries_io: config.groups[group as usize].carries_io,
            ring: shared_ring,
            lifo: LifoSlot::new(),
            kept: AtomicBool::new(false),
            inbox: Inbox::new(),
            retired: Inbox::new(),
            remote: Injector::new(),
            owned: Owned::default(),
            hold: AtomicU32::new(super::look::FREE),
            reap: UnsafeCell::new(driver.reap),
            wheel: Mutex::new(Wheel::new(WheelConfig::default(), os.now().as_nanos())),
            armed: Counter::new(0),
            parked_until: AtomicU64::new(0),
            unpark: driver.unpark,
            staging: Staging::default(),
            ops: Apart::new(Ops::new(number)),
            pulse: Apart::default(),
            #[cfg(feature = "coro")]
            coroutines,
            recorder,
            measures: config.clocked().then(Box::default),
            core: UnsafeCell::new(core),
        })
    }

    /// The private half.
    ///
    /// # Safety
    /// The caller is the thread on this seat (or builds or ends the runtime with no worker on it).
    pub(crate) unsafe fn core(&self) -> &Core {
        // SAFETY: the caller's promise: one thread at a time, and `Core` is all cells, so shared borrows by that thread are fine.
        self.core.with(|core| unsafe { &*core })
    }

    /// The Reap half.
    ///
    /// # Safety
    /// The caller holds the hold word of this seat, and ends the borrow before it lets go.
    #[allow(clippy::mut_from_ref, reason = "the hold word is the lock")]
    pub(crate) unsafe fn reap(&self) -> &mut dyn Reap {
        // SAFETY: the caller's promise.
        self.reap.with_mut(|reap| unsafe { &mut **reap })
    }
}

impl Shared {
    /// A runtime with all its drivers and no thread yet.
    pub(crate) fn new(os: Arc<dyn Os>, config: Config) -> io::Result<Arc<Self>> {
        config.check()?;
        let cpus = os.cpus();
        for group in config.groups.iter().filter(|_| !cpus.is_empty()) {
            if let Some(cpu) = group.cpus.iter().find(|cpu| !cpus.contains(cpu)) {
                let why =
                    format!("the group {:?} asks for CPU {cpu}: this thread may use {cpus:?}", group.name);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        let groups = Group::list(&config.groups);
        let places: Vec<(u32, u32)> =
            (0..).zip(&groups).flat_map(|(group, of)| of.seats().map(move |seat| (seat, group))).collect();
        let seats = places.iter().map(|&(seat, group)| Seat::new(&os, &config, seat, group, places.len()));
        let seats = seats.collect::<io::Result<Box<[Seat]>>>()?;
        let io_seats =
            places.iter().map(|&(seat, _)| seat).filter(|&seat| seats[seat as usize].carries_io).collect();
        let start = Event::Start {
            workers: places.len() as u16,
            ring: config.ring_capacity as u32,
            lifo_limit: config.lifo_limit as u8,
            interval: u64::from(config.poll_interval.max(config.injector_interval)),
        };
        let shared = Arc::new_cyclic(|this| Self {
            groups,
            io_seats,
            ids: Apart::new(AtomicU64::new(1)),
            spread: Apart::new(AtomicU32::new(0)),
            sites: Sites::default(),
            panic_dumped: AtomicBool::new(false),
            seat_zero: Apart::new(Mutex::new(SeatZero::default())),
            seat_zero_taken: AtomicBool::new(false),
            exit: Exit::new(),
            blocking: Apart::new(Blocking::new()),
            this: this.clone(),
            os,
            config,
            seats,
        });
        super::emit(start);
        Group::tell(&shared.groups);
        shared.note_watches();
        Ok(shared)
    }

    pub(crate) fn workers(&self) -> u32 {
        self.seats.len() as u32
    }

    pub(crate) fn seat(&self, number: u32) -> &Seat {
        &self.seats[number as usize]
    }

    /// Gives a worker a token: it will look at everything before it parks again, or comes back from its park.
    pub(crate) fn give_token(&self, worker: u32) {
        let parked = self.group_of(worker).sleep.give_token(worker);
        self.interrupt(worker, parked);
    }

    /// Wakes one sleeper of the group if there is work for it that nobody looks for. The caller has pushed that work.
    pub(crate) fn notify(&self, group: &Group) {
        if let Some(worker) = group.sleep.notify() {
            let parked = group.sleep.deliver(worker);
            self.interrupt(worker, parked);
        }
    }

    fn interrupt(&self, worker: u32, parked: bool) {
        super::emit(Event::Unpark { worker: worker as u16, system: parked });
        if parked {
            self.seat(worker).unpark.unpark();
        }
    }

    /// A seat that carries I/O for something from outside: a vacant seat 0 only if there is no other.
    pub(crate) fn pick_seat(&self) -> u32 {
        // Relaxed: any spread will do.
        let turn = self.spread.fetch_add(1, Ordering::Relaxed) as usize;
        let seats = &self.io_seats;
        let pick = seats[turn % seats.len()];
        if pick == 0 && seats.len() > 1 && !self.seat_zero_is_taken() {
            return seats[1 + turn % (seats.len() - 1)];
        }
        pick
    }

    /// Whether a thread sits on seat 0, some time ago.
    pub(crate) fn seat_zero_is_taken(&self) -> bool {
        // Relaxed: a look; who acts on the seat takes its lock.
        self.seat_zero_taken.load(Ordering::Relaxed)
    }

    /// Takes or leaves seat 0; says whether it was taken.
    pub(crate) fn occupy_seat_zero(&self, _zero: &mut SeatZero, taken: bool) -> bool {
        // Relaxed: the lock orders it.
        let was = self.seat_zero_taken.load(Ordering::Relaxed);
        self.seat_zero_taken.store(taken, Ordering::Relaxed);
        was
    }

    /// Whether anything is in flight or armed on any seat, as far as can be seen without a lock.
    pub(crate) fn anything_outside(&self) -> bool {
        self.seats.iter().any(Seat::anything_outside)
    }
}
