//! What coroutines cost: `pirn-bench-coro <micro|chart|all> <rounds> <scale> [picture.svg]`, or `one <measurement> <scale>` for profilers. A scale of 1 is the full size.
//! Each round measures every variant once; shown is the median with the lowest and the highest.

use std::process::ExitCode;

mod chart;
mod handlers;
mod micro;
mod picture;
mod ucontext;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["one", name, scale] = words[..] {
        return match scale.parse() {
            Ok(scale) if micro::one(name, scale) => ExitCode::SUCCESS,
            _ => usage(),
        };
    }
    let (what, rounds, scale, picture) = match words[..] {
        [what, rounds, scale] => (what, rounds.parse(), scale.parse(), None),
        [what, rounds, scale, picture] => (what, rounds.parse(), scale.parse(), Some(picture)),
        _ => ("", "".parse(), "".parse(), None),
    };
    let (Ok(rounds @ 1..=100), Ok(scale)) = (rounds, scale) else { return usage() };
    if !(0.001..=10.0).contains(&scale) {
        return usage();
    }
    let done = match what {
        "micro" => Ok(micro::run(rounds, scale)),
        "chart" => chart::run(rounds, scale, picture),
        "all" => {
            micro::run(rounds, scale);
            chart::run(rounds, scale, picture)
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: pirn-bench-coro <micro|chart|all> <rounds: 1 to 100> <scale: 0.001 to 10> [picture.svg], or one <measurement> <scale>"
    );
    ExitCode::from(2)
}

/// The samples of a variant.
#[derive(Clone, Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n % 2 == 1 { sorted[n / 2] } else { (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0 }
    }

    fn show(&self, digits: usize) -> String {
        let low = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.0.iter().copied().fold(0.0, f64::max);
        format!("{:.digits$} ({low:.digits$} – {high:.digits$})", self.median())
    }
}

/// CPU time of the calling thread in nanoseconds: what others run meanwhile does not count.
fn cpu_ns() -> f64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of the whole process.
fn process_cpu_ns() -> f64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
