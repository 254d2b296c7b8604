//! Spawn and join: 1,000,000 tasks in batches of 1,000, from inside; and the same with 1 µs of work in each task.

use std::time::{Duration, Instant};

use crate::child::{self, Figures};
use crate::peer::{Name, Peer};
use crate::table::{Table, Target, interleave};
use crate::with_peer;

const BATCH: usize = 1_000;

/// The child: prints `rate`, tasks a second.
pub(crate) fn child(peer: Name, workers: usize, tasks: usize, work_ns: u64) {
    fn measure<P: Peer>(workers: usize, tasks: usize, work_ns: u64) -> f64 {
        P::run(workers, async move {
            batches::<P>(tasks.min(50 * BATCH), work_ns).await;
            let started = Instant::now();
            batches::<P>(tasks, work_ns).await;
            tasks as f64 / started.elapsed().as_secs_f64()
        })
    }
    println!("rate {}", with_peer!(peer, measure(workers, tasks, work_ns)));
}

async fn batches<P: Peer>(tasks: usize, work_ns: u64) {
    let mut handles = Vec::with_capacity(BATCH);
    for batch in 0..tasks / BATCH {
        handles.extend((0..BATCH).map(|n| {
            P::spawn(async move {
                if work_ns > 0 {
                    work(Duration::from_nanos(work_ns));
                }
                batch ^ n
            })
        }));
        for (n, handle) in handles.drain(..).enumerate() {
            assert_eq!(handle.await, batch ^ n, "a task returned another one's value");
        }
    }
}

/// Computes for `span`.
pub(crate) fn work(span: Duration) {
    let started = Instant::now();
    while started.elapsed() < span {
        std::hint::spin_loop();
    }
}

fn run(peer: Name, workers: usize, tasks: usize, work_ns: u64) -> Result<Figures, String> {
    child::run(&[
        "work",
        "spawn",
        peer.text(),
        &workers.to_string(),
        &tasks.to_string(),
        &work_ns.to_string(),
    ])
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, tasks: usize) -> Result<(), String> {
    let all = interleave("spawn", rounds, &Name::ALL, |peer| run(peer, 2, tasks, 0))?;
    table.title(&format!(
        "spawn and join, {tasks} tasks in batches of {BATCH}, from inside, 2 workers; tasks/s, median (lowest – highest) of {rounds}"
    ));
    for (peer, samples) in Name::ALL.iter().zip(&all) {
        table.row(peer.text(), samples.show("rate"), 0.0, Target::None);
    }
    let ratio = all[0].median("rate") / all[1].median("rate");
    table.row("pirn's rate / tokio's", format!("{ratio:.2}"), ratio, Target::Least(2.0));

    let variants: Vec<(Name, usize)> = Name::ALL.iter().flat_map(|peer| [(*peer, 1), (*peer, 2)]).collect();
    let all = interleave("spawn, 1 µs each", rounds, &variants, |(peer, workers)| {
        run(peer, workers, tasks / 2, 1_000)
    })?;
    table.title(&format!("the same with 1 µs of work in each of {} tasks, on 1 and 2 workers", tasks / 2));
    for (at, peer) in Name::ALL.iter().enumerate() {
        let (one, two) = (&all[2 * at], &all[2 * at + 1]);
        table.row(&format!("{}, 1 worker", peer.text()), one.show("rate"), 0.0, Target::None);
        table.row(&format!("{}, 2 workers", peer.text()), two.show("rate"), 0.0, Target::None);
        let ratio = two.median("rate") / one.median("rate");
        let target = if *peer == Name::Pirn { Target::Least(1.6) } else { Target::None };
        table.row(&format!("{}: 2 workers / 1", peer.text()), format!("{ratio:.2}"), ratio, target);
    }
    table.flush();
    Ok(())
}
