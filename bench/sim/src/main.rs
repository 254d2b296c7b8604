//! One measurement of a simulator's speed, on one core: `pirn-bench-sim <pirn|shuttle> <what> <seconds>` prints its
//! figures as lines `name value`. `serve echo pirn <workers>` is a live echo server with the simulator linked in.

use std::process::ExitCode;
use std::time::Duration;

use pirn_sim::{Preempt, Strategy};

mod pirn_side;
mod serve;
mod shuttle_side;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["serve", "echo", "pirn", workers] = words[..]
        && let Ok(workers) = workers.parse()
    {
        serve::serve(workers);
        return ExitCode::SUCCESS;
    }
    let measured = match words[..] {
        [side, what, seconds] => seconds
            .parse()
            .ok()
            .filter(|seconds| (0.01..=3_600.0).contains(seconds))
            .and_then(|seconds| measure(side, what, Duration::from_secs_f64(seconds))),
        _ => None,
    };
    let Some(figures) = measured else {
        eprintln!("usage: pirn-bench-sim <pirn|shuttle> <points|wakes> <seconds>");
        eprintln!("       pirn-bench-sim pirn <switching|staying|echo|echo-os-calls|day> <seconds>");
        return ExitCode::from(2);
    };
    for (name, value) in figures {
        println!("{name} {value}");
    }
    ExitCode::SUCCESS
}

/// Figures by name.
type Figures = Vec<(&'static str, f64)>;

fn measure(side: &str, what: &str, span: Duration) -> Option<Figures> {
    match (side, what) {
        ("pirn", "switching") => Some(pirn_side::bare(span, Strategy::Uniform, 64)),
        ("pirn", "staying") => Some(pirn_side::bare(span, Strategy::Stay, 4)),
        ("pirn", "day") => Some(pirn_side::day()),
        ("pirn", "points") => Some(pirn_side::points(span)),
        ("pirn", "wakes") => Some(pirn_side::wakes(span)),
        ("pirn", "echo") => Some(pirn_side::echo(span, Preempt::Everywhere)),
        ("pirn", "echo-os-calls") => Some(pirn_side::echo(span, Preempt::OsCalls)),
        ("shuttle", "points") => Some(shuttle_side::points(span)),
        ("shuttle", "wakes") => Some(shuttle_side::wakes(span)),
        _ => None,
    }
}
