//! 100,000 sleeping tasks, half of them cancelled: none early, and how late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::child;
use crate::peer::{Name, Peer};
use crate::table::{Table, Target, interleave};
use crate::with_peer;

/// The child: prints `early`, `p50_ms`, `p99_ms`, `max_ms`, `woken`.
pub(crate) fn child(peer: Name, workers: usize, tasks: u64) {
    fn measure<P: Peer>(workers: usize, tasks: u64) -> (u64, hdrhistogram::Histogram<u64>) {
        P::run(workers, sleepers::<P>(tasks))
    }
    let (early, late) = with_peer!(peer, measure(workers, tasks));
    println!("early {early}");
    println!("woken {}", late.len());
    println!("p50_ms {}", late.value_at_quantile(0.5) as f64 / 1e6);
    println!("p99_ms {}", late.value_at_quantile(0.99) as f64 / 1e6);
    println!("max_ms {}", late.max() as f64 / 1e6);
}

async fn sleepers<P: Peer>(tasks: u64) -> (u64, hdrhistogram::Histogram<u64>) {
    let early = Arc::new(AtomicU64::new(0));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut kept = Vec::new();
    let mut cancelled = Vec::new();
    let base = Instant::now() + Duration::from_millis(500);
    for n in 0..tasks {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let early = early.clone();
        // Spread over two seconds after everything is spawned.
        let deadline = base + Duration::from_micros(random % 2_000_000);
        let task = P::spawn(async move {
            P::sleep(deadline.saturating_duration_since(Instant::now())).await;
            let now = Instant::now();
            if now < deadline {
                early.fetch_add(1, Ordering::Relaxed);
            }
            now.saturating_duration_since(deadline).as_nanos() as u64
        });
        if n % 2 == 0 { kept.push(task) } else { cancelled.push(task) }
    }
    P::sleep(Duration::from_millis(100)).await;
    for task in cancelled {
        P::cancel(task);
    }
    let mut late = hdrhistogram::Histogram::<u64>::new(3).expect("three figures are valid");
    for task in kept {
        let _ = late.record(task.await);
    }
    (early.load(Ordering::Relaxed), late)
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, tasks: u64) -> Result<(), String> {
    let all = interleave("timers", rounds, &Name::ALL, |peer| {
        child::run(&["work", "timers", peer.text(), "2", &tasks.to_string()])
    })?;
    table.title(&format!(
        "{tasks} sleeping tasks over 2 s, half of them cancelled, 2 workers; lateness in ms, median (lowest – highest) of {rounds}"
    ));
    for (peer, samples) in Name::ALL.iter().zip(&all) {
        let (name, judged) = (peer.text(), *peer == Name::Pirn);
        let target = |target| if judged { target } else { Target::None };
        table.row(
            &format!("{name}: woken early"),
            samples.show("early"),
            samples.median("early"),
            target(Target::Most(0.0)),
        );
        table.row(&format!("{name}: p50"), samples.show("p50_ms"), 0.0, Target::None);
        table.row(
            &format!("{name}: p99"),
            samples.show("p99_ms"),
            samples.median("p99_ms"),
            target(Target::Most(2.0)),
        );
        table.row(&format!("{name}: latest"), samples.show("max_ms"), 0.0, Target::None);
    }
    table.flush();
    Ok(())
}
