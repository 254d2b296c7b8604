//! The watchdog: a real thread that turns a hang of the real machine into a message.
//!
//! The world finds its own deadlocks. What it can't see is a simulated thread that blocks in the kernel, or computes
//! for ever without a point: then no point is counted for a while.

use std::panic::Location;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use crate::thread::Executor;

/// Points remembered for the message.
const LAST: usize = 8;

/// What the watchdog reads of a world. Relaxed throughout: it is a report of last resort.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    /// The execution, 0 while none runs.
    run: AtomicU64,
    seed: AtomicU64,
    points: AtomicU64,
    threads: [AtomicU32; LAST],
    places: [AtomicPtr<Location<'static>>; LAST],
}

impl Beat {
    /// The seed of the next execution.
    pub(crate) fn seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// An execution starts.
    pub(crate) fn start(&self, run: u64) {
        self.points.store(0, Ordering::Relaxed);
        self.run.store(run, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn stop(&self) {
        self.run.store(0, Ordering::Relaxed);
    }

    /// A point.
    #[inline(always)]
    pub(crate) fn point(&self, number: u64, thread: u32, at: &'static Location<'static>) {
        let slot = number as usize % LAST;
        self.threads[slot].store(thread, Ordering::Relaxed);
        self.places[slot].store(std::ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        self.points.store(number, Ordering::Relaxed);
    }

    /// The seed, and the thread of the last point.
    pub(crate) fn running(&self) -> (u64, u32) {
        let slot = self.points.load(Ordering::Relaxed) as usize % LAST;
        (self.seed.load(Ordering::Relaxed), self.threads[slot].load(Ordering::Relaxed))
    }

    fn pulse(&self) -> (u64, u64) {
        (self.run.load(Ordering::Relaxed), self.points.load(Ordering::Relaxed))
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        let points = self.points.load(Ordering::Relaxed);
        for number in points.saturating_sub(LAST as u64 - 1)..=points {
            let slot = number as usize % LAST;
            let place = self.places[slot].load(Ordering::Relaxed);
            // SAFETY: either null or a location, which is 'static.
            if let Some(place) = unsafe { place.as_ref() } {
                let thread = self.threads[slot].load(Ordering::Relaxed);
                text.push_str(&format!("  point {number}: thread {thread} at {place}\n"));
            }
        }
        text
    }
}

static WATCHED: Mutex<Vec<&'static Executor>> = Mutex::new(Vec::new());

/// How long without a point is a hang, in milliseconds; 0: never.
static LIMIT_MS: AtomicU64 = AtomicU64::new(10_000);

/// Sets how long, in real time, an execution may go without a point before the process is ended with a message and exit code 1. The
/// default is 10 s; zero turns the watchdog off, for debuggers.
pub fn watchdog(limit: Duration) {
    LIMIT_MS.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Watches an executor from now on.
pub(crate) fn watch(executor: &'static Executor) {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(executor);
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let started = std::thread::Builder::new().name("pirn-watchdog".to_owned()).spawn(look);
        if let Err(error) = started {
            eprintln!("pirn-sim: no watchdog: {error}");
        }
    });
}

fn look() {
    const TICKS: u32 = 10;
    let mut seen: Vec<((u64, u64), u32)> = Vec::new();
    loop {
        let limit = LIMIT_MS.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis((limit / u64::from(TICKS)).clamp(10, 1000)));
        if limit == 0 {
            continue;
        }
        let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.resize(watched.len(), ((0, 0), 0));
        for (executor, (before, still)) in watched.iter().zip(&mut seen) {
            let pulse = executor.beat.pulse();
            *still = if pulse.0 != 0 && pulse == *before { *still + 1 } else { 0 };
            *before = pulse;
            if *still > TICKS.max((limit / 1000) as u32) {
                hang(executor, limit);
            }
        }
    }
}

fn hang(executor: &Executor, limit: u64) -> ! {
    eprintln!(
        "pirn-sim: seed {}: no point for {:.1} s. A simulated thread blocks in the operating system (a call that is not simulated: \
         a pipe, a file lock, a real socket) or computes without end.\nThe last points were:\n{}\
         Run it alone with PIRN_SEED={} under a debugger, with pirn_sim::watchdog(Duration::ZERO).",
        executor.beat.seed.load(Ordering::Relaxed),
        limit as f64 / 1e3,
        executor.beat.describe(),
        executor.beat.seed.load(Ordering::Relaxed),
    );
    std::process::exit(1);
}
