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

/// Transfer, refill, wake.
pub(super) fn measure(effort: Effort, costs: &mut Costs) -> io::Result<()> {
    // There and back are two transfers.
    costs.transfer = effort.median(|n| Ok(ping_pong(n) / 2))?;
    costs.refill = refill(effort.part(20))?;
    let there_and_back = effort.part(10).median(wake)?;
    costs.wake = (there_and_back / 2.0 - costs.call - costs.event).max(0.0);
    Ok(())
}

/// Two threads pass a number on.
fn ping_pong(turns: u64) -> Duration {
    let line = Line::default();
    // Acquire and Release, here and below: each turn follows the other's.
    let turn = |mine: u64| {
        for at in 0..turns {
            while line.0.load(Ordering::Acquire) != 2 * at + mine {
                std::hint::spin_loop();
            }
            line.0.store(2 * at + mine + 1, Ordering::Release);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| turn(1));
        let started = Instant::now();
        turn(0);
        started.elapsed()
    })
}

/// What it costs to add to so many lines that the other thread wrote last, over what it costs to add to one's own.
fn refill(effort: Effort) -> io::Result<f64> {
    let lines: Vec<Line> = (0..LINES).map(|_| Line::default()).collect();
    let touch = || {
        for line in &lines {
            // Relaxed, and no read-modify-write: as a task uses its own memory.
            line.0.store(line.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    };
    let turn = Line::default();
    let measured = |n: u64, touches: usize| {
        // Acquire and Release: each turn follows the other's.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for at in 0..n {
                    while turn.0.load(Ordering::Acquire) != 2 * at + 1 {
                        std::hint::spin_loop();
                    }
                    touch();
                    turn.0.store(2 * at + 2, Ordering::Release);
                }
            });
            let mut spent = Duration::ZERO;
            for at in 0..n {
                turn.0.store(2 * at + 1, Ordering::Release);
                while turn.0.load(Ordering::Acquire) != 2 * at + 2 {
                    std::hint::spin_loop();
                }
                if touches > 1 {
                    touch();
                }
                let started = Instant::now();
                touch();
                spent += started.elapsed();
            }
            turn.0.store(0, Ordering::Release);
            spent
        })
    };
    let foreign = effort.median(|n| Ok(measured(n, 1)))?;
    let own = effort.median(|n| Ok(measured(n, 2)))?;
    Ok((foreign - own).max(0.0))
}

/// Two threads write each other's eventfd and read their own.
fn wake(turns: u64) -> io::Result<Duration> {
    let (one, other) = (File::from(eventfd(0)?), File::from(eventfd(0)?));
    let number = 1_u64.to_ne_bytes();
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            for _ in 0..turns {
                (&one).read_exact(&mut [0; 8])?;
                (&other).write_all(&number)?;
            }
            io::Result::Ok(())
        });
        let started = Instant::now();
        for _ in 0..turns {
            (&one).write_all(&number)?;
            (&other).read_exact(&mut [0; 8])?;
        }
        let spent = started.elapsed();
        echo.join().unwrap_or_else(|_| Err(io::Error::other("the other thread panicked")))?;
        Ok(spent)
    })
}
