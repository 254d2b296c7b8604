//! A switch, a yield, a spawn with its join, a parked coroutine: one at a time.

use std::collections::BTreeMap;
use std::hint::black_box;

use corosensei::{Coroutine, CoroutineResult};
use crossbeam_queue::ArrayQueue;
use pirn::{Builder, Runtime, coro};

use crate::{Samples, cpu_ns, process_cpu_ns};

/// Coroutines or tasks spawned before they are joined: more than a worker's ring holds, and fewer.
const BATCH: usize = 1_000;
const FITS: usize = 128;

type Table = BTreeMap<&'static str, Samples>;

type Variant = (&'static str, fn(f64) -> f64);

const VARIANTS: [Variant; 11] = [
    ("resume and suspend, corosensei", |scale| bare(size(20e6, scale))),
    ("push and pop, ArrayQueue", |scale| queue(size(20e6, scale))),
    ("yield of a coroutine", |scale| yields(size(3e6, scale), coroutine_yields)),
    ("yield of a pinned task", |scale| yields(size(3e6, scale), pinned_yields)),
    ("yield of a task", |scale| yields(size(3e6, scale), task_yields)),
    ("yield, may", |scale| may_yields(size(1e6, scale))),
    ("spawn and join of a coroutine, 1 worker", |scale| spawns(size(1e6, scale), BATCH)),
    ("spawn and join of a task, 1 worker", |scale| task_spawns(size(1e6, scale), BATCH)),
    ("spawn and join of a coroutine, batches of 128", |scale| spawns(size(1e6, scale), FITS)),
    ("spawn and join of a task, batches of 128", |scale| task_spawns(size(1e6, scale), FITS)),
    ("spawn and join, may, 1 worker", |scale| may_spawns(size(1e6, scale))),
];

fn size(full: f64, scale: f64) -> usize {
    (full * scale) as usize
}

/// The first one whose name begins so, once: for profilers. False: there is none.
pub(crate) fn one(name: &str, scale: f64) -> bool {
    let Some((name, measure)) = VARIANTS.iter().find(|(known, _)| known.starts_with(name)) else {
        return false;
    };
    println!("{name}: {:.1} ns", measure(scale));
    true
}

/// All of them, interleaved.
pub(crate) fn run(rounds: usize, scale: f64) {
    let mut table = Table::new();
    let variants = VARIANTS;
    for _ in 0..rounds {
        for (name, measure) in &variants {
            table.entry(name).or_default().0.push(measure(scale));
        }
    }
    println!("nanoseconds of CPU time, median (lowest – highest) of {rounds}; may's of all its threads");
    for (name, _) in &variants {
        println!("  {name:<44}{}", table[name].show(1));
    }
    let median = |name: &str| table[name].median();
    let switches = median("yield of a coroutine") - median("yield of a pinned task");
    println!(
        "  the switch in a yield (coroutine - pinned task) / corosensei's: {:.2}",
        switches / median("resume and suspend, corosensei")
    );
    let spawn = median("spawn and join of a coroutine, 1 worker");
    println!("  may's spawn and join / Pirn's: {:.2}", median("spawn and join, may, 1 worker") / spawn);
    let floor = median("resume and suspend, corosensei") + median("push and pop, ArrayQueue");
    println!("  Pirn's spawn and join / (two switches + a push and a pop): {:.2}", spawn / floor);
    let (count, parked, tables) = memory(size(100e3, scale));
    println!(
        "  memory of a parked coroutine, {count} at a time: {parked:.0} bytes, and {tables:.0} of page tables"
    );
}

/// A pair of switches.
fn bare(count: usize) -> f64 {
    let mut coroutine = Coroutine::<(), (), ()>::new(move |yielder, ()| {
        for _ in 0..count {
            yielder.suspend(());
        }
    });
    let start = cpu_ns();
    while let CoroutineResult::Yield(()) = coroutine.resume(()) {}
    (cpu_ns() - start) / count as f64
}

fn queue(count: usize) -> f64 {
    let queue = ArrayQueue::new(256);
    let start = cpu_ns();
    for number in 0..count {
        let _ = queue.push(black_box(number));
        black_box(queue.pop());
    }
    (cpu_ns() - start) / count as f64
}

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a runtime")
}

/// CPU time of a yield, with two that take turns on the one worker, which is this thread.
fn yields(count: usize, start: fn(usize) -> pirn::task::JoinHandle<()>) -> f64 {
    runtime(1).block_on(async {
        start(count / 10).await.expect("no panic");
        let before = cpu_ns();
        let (one, two) = (start(count / 2), start(count / 2));
        one.await.expect("no panic");
        two.await.expect("no panic");
        (cpu_ns() - before) / count as f64
    })
}

fn coroutine_yields(count: usize) -> pirn::task::JoinHandle<()> {
    coro::spawn(move || (0..count).for_each(|_| coro::yield_now()))
}

fn pinned_yields(count: usize) -> pirn::task::JoinHandle<()> {
    pirn::spawn_local(async move {
        for _ in 0..count {
            pirn::yield_now().await;
        }
    })
}

fn task_yields(count: usize) -> pirn::task::JoinHandle<()> {
    pirn::spawn(async move {
        for _ in 0..count {
            pirn::yield_now().await;
        }
    })
}

/// CPU time of the process: may's worker is a thread of its own.
fn may_yields(count: usize) -> f64 {
    may::config().set_workers(1);
    let start = process_cpu_ns();
    // SAFETY: the closures use no thread-locals and little stack.
    let spawn =
        || unsafe { may::coroutine::spawn(move || (0..count / 2).for_each(|_| may::coroutine::yield_now())) };
    let (one, two) = (spawn(), spawn());
    one.join().expect("no panic");
    two.join().expect("no panic");
    (process_cpu_ns() - start) / count as f64
}

fn spawns(count: usize, batch_size: usize) -> f64 {
    runtime(1).block_on(async {
        let mut handles = Vec::with_capacity(batch_size);
        let mut before = 0.0;
        // The first tenth warms up.
        let batches = count.div_ceil(batch_size);
        for batch in 0..batches + batches / 10 + 1 {
            if batch == batches / 10 + 1 {
                before = cpu_ns();
            }
            handles.extend((0..batch_size).map(|n| coro::spawn(move || batch ^ n)));
            for (n, handle) in handles.drain(..).enumerate() {
                assert_eq!(handle.await.expect("no panic"), batch ^ n);
            }
        }
        (cpu_ns() - before) / (batches * batch_size) as f64
    })
}

fn task_spawns(count: usize, batch_size: usize) -> f64 {
    runtime(1).block_on(async {
        let mut handles = Vec::with_capacity(batch_size);
        let before = cpu_ns();
        let batches = count.div_ceil(batch_size);
        for batch in 0..batches {
            handles.extend((0..batch_size).map(|n| pirn::spawn(async move { batch ^ n })));
            for (n, handle) in handles.drain(..).enumerate() {
                assert_eq!(handle.await.expect("no panic"), batch ^ n);
            }
        }
        (cpu_ns() - before) / (batches * batch_size) as f64
    })
}

/// From inside of a coroutine, in CPU time of the process.
fn may_spawns(count: usize) -> f64 {
    may::config().set_workers(1);
    let batches = count.div_ceil(BATCH);
    // SAFETY: the closures use no thread-locals and little stack.
    let all = unsafe {
        may::coroutine::spawn(move || {
            let mut handles = Vec::with_capacity(BATCH);
            let mut start = process_cpu_ns();
            for batch in 0..batches + batches / 10 + 1 {
                if batch == batches / 10 + 1 {
                    start = process_cpu_ns();
                }
                handles.extend((0..BATCH).map(|n| may::coroutine::spawn(move || batch ^ n)));
                for (n, handle) in handles.drain(..).enumerate() {
                    assert_eq!(handle.join().expect("no panic"), batch ^ n);
                }
            }
            (process_cpu_ns() - start) / (batches * BATCH) as f64
        })
    };
    all.join().expect("no panic")
}

/// Coroutines that all wait at once: how many, resident bytes of each, bytes of page tables of each.
fn memory(count: usize) -> (usize, f64, f64) {
    let read = |field: &str| {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("a number of kB") * 1024.0
    };
    let runtime = runtime(1);
    runtime.block_on(async {
        let before = (read("VmRSS"), read("VmPTE"));
        let tasks: Vec<_> =
            (0..count).map(|_| coro::spawn(|| coro::wait(std::future::pending::<()>()))).collect();
        while runtime.handle().metrics().workers[0].coroutines < count {
            pirn::yield_now().await;
        }
        let each = |field: &str, before: f64| (read(field) - before) / count as f64;
        let found = (count, each("VmRSS", before.0), each("VmPTE", before.1));
        drop(tasks);
        found
    })
}
