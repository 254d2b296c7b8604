//! What two threads on two CPUs cost one another: a cache line that moves, memory that is read anew, a wake out of a system call.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pirn_sim::cost::Costs;

use super::Effort;
use super::kernel::eventfd;

/// What a connection's task touches: its cell, its stream, and what the kernel keeps of the socket. An estimate.
const LINES: usize = 64;

/// A cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// Turns whose time is taken together, where one takes less than a reading of the clock.
const BATCH: u64 = 64;

/// What it takes when nothing comes between: of many times the one that a tenth are below. Two threads that wait for one another stand
/// still whenever a third one has one of their CPUs.
fn undisturbed(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 10).map_or(0.0, |time| time.as_nanos() as f64)
}

/// Transfer, refill, wake.
pub(super) fn measure(effort: Effort, costs: &mut Costs) -> io::Result<()> {
    // There and back are two transfers.
    costs.transfer = undisturbed(ping_pong(effort.operations.div_ceil(BATCH))) / (2 * BATCH) as f64;
    let turns = effort.part(20).operations;
    costs.refill = (undisturbed(touches(turns, false)) - undisturbed(touches(turns, true))).max(0.0);
    let mut there_and_back = wakes(turns)?;
    there_and_back.sort_unstable();
    let half = there_and_back[there_and_back.len() / 2].as_nanos() as f64 / 2.0;
    costs.wake = (half - costs.call - costs.event).max(0.0);
    Ok(())
}

/// Two threads pass a number on; the times of batches of turns.
fn ping_pong(batches: u64) -> Vec<Duration> {
    let line = Line::default();
    // Acquire and Release, here and below: each turn follows the other's.
    let turn = |at: u64, mine: u64| {
        while line.0.load(Ordering::Acquire) != 2 * at + mine {
            std::hint::spin_loop();
        }
        line.0.store(2 * at + mine + 1, Ordering::Release);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (0..batches * BATCH).for_each(|at| turn(at, 1)));
        let batch = |batch: u64| {
            let started = Instant::now();
            (batch * BATCH..(batch + 1) * BATCH).for_each(|at| turn(at, 0));
            started.elapsed()
        };
        (0..batches).map(batch).collect()
    })
}

/// The times of adding to so many lines that the other thread wrote last, or to one's own.
fn touches(turns: u64, own: bool) -> Vec<Duration> {
    let lines: Vec<Line> = (0..LINES).map(|_| Line::default()).collect();
    let touch = || {
        for line in &lines {
            // Relaxed, and no read-modify-write: as a task uses its own memory.
            line.0.store(line.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    };
    let turn = Line::default();
    // Acquire and Release: each turn follows the other's.
    let wait = |number: u64| {
        while turn.0.load(Ordering::Acquire) != number {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0..turns {
                wait(2 * at + 1);
                touch();
                turn.0.store(2 * at + 2, Ordering::Release);
            }
        });
        let time = |at: u64| {
            turn.0.store(2 * at + 1, Ordering::Release);
            wait(2 * at + 2);
            if own {
                touch();
            }
            let started = Instant::now();
            touch();
            started.elapsed()
        };
        (0..turns).map(time).collect()
    })
}

/// Two threads write each other's eventfd and read their own; the times there and back.
fn wakes(turns: u64) -> io::Result<Vec<Duration>> {
    let (one, other) = (File::from(eventfd(0)?), File::from(eventfd(0)?));
    let number = 1_u64.to_ne_bytes();
    // On two CPUs, or the kernel puts both on one and nobody is woken.
    let machine = pirn::os::epoll()?;
    let cpus = machine.cpus();
    let (Some(first), Some(last)) = (cpus.first(), cpus.last()) else {
        return Err(io::Error::other("the kernel names no CPUs"));
    };
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            machine.run_on(&[*last])?;
            for _ in 0..turns {
                (&one).read_exact(&mut [0; 8])?;
                (&other).write_all(&number)?;
            }
            io::Result::Ok(())
        });
        machine.run_on(&[*first])?;
        let mut times = Vec::new();
        for _ in 0..turns {
            let started = Instant::now();
            (&one).write_all(&number)?;
            (&other).read_exact(&mut [0; 8])?;
            times.push(started.elapsed());
        }
        machine.run_on(&cpus)?;
        echo.join().unwrap_or_else(|_| Err(io::Error::other("the other thread panicked")))?;
        Ok(times)
    })
}
