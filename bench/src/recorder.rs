//! The flight recorder, on against off: server CPU a message of an echo, 64 connections of 64 B, on each backend.

use std::time::Duration;

use crate::cells::{self, How};
use crate::child;
use crate::table::{Table, Target, interleave};

const CONNECTIONS: usize = 64;
const BYTES: usize = 64;
/// What it may cost.
const TARGET: f64 = 1.03;

/// Who is measured: off and on, a pair a backend.
const VARIANTS: [&str; 4] = ["pirn", "pirn-recorded", "pirn-uring", "pirn-uring-recorded"];

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64, how: How) -> Result<(), String> {
    let program = child::own_program()?;
    let span = Duration::from_secs_f64(seconds);
    let all = interleave("recorder", rounds, &VARIANTS, |server| {
        cells::measure(&program, server, how, (CONNECTIONS, BYTES), span)
    })?;
    table.title(&format!(
        "flight recorder: echo, {CONNECTIONS} connections x {BYTES} B, {} server worker(s); median (lowest – highest) of {rounds}",
        how.workers
    ));
    for (name, samples) in VARIANTS.iter().zip(&all) {
        table.row(&format!("{name}: server CPU µs a message"), samples.show("cpu_us"), 0.0, Target::None);
    }
    for pair in [0, 2] {
        let ratio = all[pair + 1].over(&all[pair], "cpu_us");
        let what = format!("{} over {}", VARIANTS[pair + 1], VARIANTS[pair]);
        table.row(&what, ratio.show("cpu_us"), ratio.median("cpu_us"), Target::Most(TARGET));
    }
    table.flush();
    Ok(())
}
