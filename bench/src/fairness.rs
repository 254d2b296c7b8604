//! 1,000 connections on one server thread, closed loop: how late the unlucky are, beside a plain epoll loop. A runtime
//! that serves some connections twice before others once shows it in the tail, and in the spread of answers.

use std::time::Duration;

use crate::cells::{self, How};
use crate::child;
use crate::table::{Table, Target, interleave};

const CONNECTIONS: usize = 1_000;
const BYTES: usize = 64;
/// What Pirn's p99 may be of the floor's.
const TARGET: f64 = 1.25;

/// Who is measured; the first is the floor.
const VARIANTS: [&str; 5] = ["floor", "pirn", "pirn-uring", "tokio", "smol"];

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64) -> Result<(), String> {
    let program = child::own_program()?;
    let how = How { workers: 1, cpus: cells::cpus() };
    let span = Duration::from_secs_f64(seconds);
    let all = interleave("fairness", rounds, &VARIANTS, |server| {
        cells::measure(&program, server, how, (CONNECTIONS, BYTES), span)
    })?;
    table.title(&format!(
        "fairness: {CONNECTIONS} connections x {BYTES} B, closed loop, one server thread; latency in µs, median (lowest – highest) of {rounds}"
    ));
    for (name, samples) in VARIANTS.iter().zip(&all) {
        for figure in ["p50", "p99", "p999"] {
            let shown = samples.show(&format!("{figure}_us"));
            table.row(&format!("{name}: {figure}"), shown, 0.0, Target::None);
        }
        let spread = format!("{} to {}", samples.show("fewest"), samples.show("most"));
        table.row(&format!("{name}: answers a connection, fewest to most"), spread, 0.0, Target::None);
        if *name != VARIANTS[0] {
            let ratio = samples.over(&all[0], "p99_us");
            let target = if name.starts_with("pirn") { Target::Most(TARGET) } else { Target::None };
            let what = format!("{name}: p99 over the floor's");
            table.row(&what, ratio.show("p99_us"), ratio.median("p99_us"), target);
        }
    }
    table.flush();
    Ok(())
}
