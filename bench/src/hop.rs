//! Hops between two groups of one worker each: what a move costs while both are awake, and while the other one sleeps, beside a
//! bare hand-over of a cache line and a wake by eventfd.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::child::{self, Figures};
use crate::peer::Name;
use crate::table::{Table, Target, interleave};

/// Tasks that keep both workers awake.
const TASKS: u64 = 64;
/// What a move between workers that are awake may cost, ns.
const TARGET: f64 = 300.0;

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum What {
    /// So many tasks go to and fro.
    Hop(u64),
    /// Two threads pass a number on.
    Line,
    /// Two threads write each other's eventfd and read their own.
    Eventfd,
}

/// The child: prints `wall`, ns a move on the clock, and `cpu`, ns of CPU time a move.
pub(crate) fn child(kind: u64, moves: u64) {
    let run = |moves| match kind {
        0 => line(moves),
        1 => eventfd(moves),
        tasks => hops(tasks - 1, moves),
    };
    run(moves / 10);
    let (started, used) = (Instant::now(), cpu_time());
    run(moves);
    let each = |ns: u128| ns as f64 / moves as f64;
    println!("wall {}", each(started.elapsed().as_nanos()));
    println!("cpu {}", each(u128::from(cpu_time() - used)));
}

/// CPU time of this process, ns.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn hops(tasks: u64, moves: u64) {
    let topology = pirn::Topology::stages([("one", 1), ("two", 1)]);
    let runtime = pirn::Builder::new().topology(topology).build().expect("a runtime");
    runtime.block_on(async {
        let groups: Arc<[pirn::Group]> = pirn::Handle::current().groups().into();
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let groups = groups.clone();
                pirn::spawn(async move {
                    for at in 1..=moves / tasks {
                        pirn::hop(&groups[at as usize % 2]).await.expect("it may move");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it ends");
        }
    });
}

/// Passes a number to and fro between two threads, each on a CPU of its own.
fn line(moves: u64) {
    let word = AtomicU64::new(0);
    let player = |mine: u64| {
        crate::epoll::pin(mine as usize).ok();
        for at in (mine..moves).step_by(2) {
            while word.load(Ordering::Acquire) != at {
                std::hint::spin_loop();
            }
            word.store(at + 1, Ordering::Release);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| player(0));
        scope.spawn(|| player(1));
    });
}

fn eventfd(moves: u64) {
    let new = || {
        // SAFETY: makes a descriptor.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        assert!(fd >= 0, "no eventfd: {}", std::io::Error::last_os_error());
        fd
    };
    let fds = [new(), new()];
    let player = |mine: usize| {
        crate::epoll::pin(mine).ok();
        let one = 1_u64;
        let mut value = 0_u64;
        for _ in 0..moves / 2 {
            // SAFETY: both are eventfds that are open until the threads have ended, and 8 bytes are what they move.
            unsafe {
                if mine == 0 {
                    libc::write(fds[1], (&raw const one).cast(), 8);
                }
                libc::read(fds[mine], (&raw mut value).cast(), 8);
                if mine == 1 {
                    libc::write(fds[0], (&raw const one).cast(), 8);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| player(0));
        scope.spawn(|| player(1));
    });
    for fd in fds {
        // SAFETY: nobody uses them any more.
        unsafe { libc::close(fd) };
    }
}

fn run(what: What, moves: u64) -> Result<Figures, String> {
    let (kind, moves) = match what {
        What::Line => (0, moves),
        What::Eventfd => (1, moves / 20),
        What::Hop(1) => (2, moves / 20),
        What::Hop(tasks) => (tasks + 1, moves),
    };
    child::run(&["work", "hop", Name::Pirn.text(), &kind.to_string(), &moves.to_string()])
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, moves: u64) -> Result<(), String> {
    let variants = [
        ("hop, both workers awake (64 tasks)", What::Hop(TASKS)),
        ("hop, the other one asleep (1 task)", What::Hop(1)),
        ("a cache line, between two CPUs", What::Line),
        ("an eventfd, between two CPUs", What::Eventfd),
    ];
    let all = interleave("hop", rounds, &variants, |(_, what)| run(what, moves))?;
    table.title(&format!("ns a move from one thread to another, on the clock and of CPU time; median (lowest – highest) of {rounds}"));
    for (at, ((name, _), samples)) in variants.iter().zip(&all).enumerate() {
        let target = if at == 0 { Target::Most(TARGET) } else { Target::None };
        table.row(name, samples.show("wall"), samples.median("wall"), target);
        table.row("  CPU time", samples.show("cpu"), 0.0, Target::None);
    }
    table.flush();
    Ok(())
}
