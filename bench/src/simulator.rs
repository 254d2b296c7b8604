//! The simulator's speed beside shuttle's, and what the simulator costs a live program that links it. Measured by the
//! second package of this workspace: linking the simulator turns on the feature `sim` of pirn, and the live benchmarks
//! here are of a pirn without it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::{self, Figures};
use crate::echo;
use crate::table::{Samples, Table, Target, interleave};

/// Builds another package of this workspace and returns its program, which lies beside this one.
pub(crate) fn program(package: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", package, "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    if !status.success() {
        return Err(format!("{package} can't be built ({status}); its errors stand above"));
    }
    let exe = child::own_program()?;
    let program = exe.with_file_name(package);
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("{} is not there: run this benchmark with cargo run --release", program.display()))
    }
}

fn run(program: &Path, side: &str, what: &str, seconds: f64) -> Result<Figures, String> {
    let output = Command::new(program)
        .args([side, what, &seconds.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    if !output.status.success() {
        // Else not shown: shuttle calls it a failure that its time was over.
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{side} {what} ended with {}:\n{said}", output.status));
    }
    child::figures(&String::from_utf8_lossy(&output.stdout))
}

const VARIANTS: [(&str, &str); 9] = [
    ("pirn", "switching"),
    ("pirn", "staying"),
    ("pirn", "points"),
    ("shuttle", "points"),
    ("pirn", "wakes"),
    ("shuttle", "wakes"),
    ("pirn", "echo"),
    ("pirn", "echo-os-calls"),
    ("pirn", "day"),
];

/// The simulator's speed.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64) -> Result<(), String> {
    let program = program("pirn-bench-sim")?;
    let all = interleave("simulator", rounds, &VARIANTS, |(side, what)| run(&program, side, what, seconds))?;
    let [switching, staying, points, shuttle_points, wakes, shuttle_wakes, echo, echo_os, day] = &all[..]
    else {
        return Err("a variant was not measured".to_owned());
    };
    table.title(&format!("simulators, one core, by CPU time; median (lowest – highest) of {rounds}"));
    let mut row = |what: &str, samples: &Samples, figure: &str, target| {
        table.row(what, samples.show(figure), samples.median(figure), target);
    };
    row("pirn: points/s, 64 threads, each point switches", switching, "points_s", Target::Least(10e6));
    row("pirn: points/s, 4 threads, staying", staying, "points_s", Target::Least(25e6));
    row("pirn: points/s, any of 3 workers at each", points, "points_s", Target::None);
    row("pirn: switches/s in that", points, "switches_s", Target::None);
    row("pirn: share of points that switched", points, "switched", Target::None);
    row("shuttle: decisions/s, any of 3 threads at each", shuttle_points, "points_s", Target::None);
    row("shuttle: switches/s in that", shuttle_points, "switches_s", Target::None);
    let ratio = points.over(shuttle_points, "points_s");
    row("pirn over shuttle", &ratio, "points_s", Target::Least(3.0));
    row(
        "pirn: executions/s (3 workers, 20 tasks that wake one another)",
        wakes,
        "executions_s",
        Target::Least(5e3),
    );
    row("pirn: points in each", wakes, "points_each", Target::None);
    row("pirn: points/s in that, checkers on", wakes, "points_s", Target::Least(3e6));
    row(
        "shuttle: executions/s (20 tasks that wake one another)",
        shuttle_wakes,
        "executions_s",
        Target::None,
    );
    row("shuttle: decisions in each", shuttle_wakes, "points_each", Target::None);
    row("pirn: two-host echo, round trips/s, preempted everywhere", echo, "trips_s", Target::Least(10e3));
    row("pirn: points in each round trip", echo, "points_each", Target::None);
    row("pirn: the same, preempted at OS calls only", echo_os, "trips_s", Target::Least(100e3));
    row("pirn: a day of two hosts, a byte a second, s", day, "day_s", Target::Most(1.0));
    table.flush();
    Ok(())
}

/// Live echo with and without the simulator linked in.
pub(crate) fn linked(table: &mut Table, rounds: usize, seconds: f64) -> Result<(), String> {
    let with = program("pirn-bench-sim")?;
    let without = child::own_program()?;
    let programs = [&without, &with];
    let all = interleave("linked", rounds, &programs, |program| echo::measure(program, "pirn", 2, seconds))?;
    table.title("live echo without and with the simulator linked in (64 x 64 B, 2 workers)");
    table.row("without: server CPU µs a message", all[0].show("cpu_us"), 0.0, Target::None);
    table.row("with: server CPU µs a message", all[1].show("cpu_us"), 0.0, Target::None);
    let ratio = all[1].median("cpu_us") / all[0].median("cpu_us");
    table.row(
        "ratio (noise is several percent; instructions are the measure)",
        format!("{ratio:.3}"),
        0.0,
        Target::None,
    );
    table.flush();
    Ok(())
}
