//! `pirn calibrate`: measures what the cost model of `pirn compare` needs to know of this machine, and keeps it in a file.

use std::path::Path;
use std::time::Duration;

use pirn_sim::cost::Costs;

use self::file::{Calibration, Machine};
use crate::args;
use crate::failure::Failure;
use crate::show;

pub(crate) mod file;
mod kernel;
mod runtime;
mod threads;

/// Where the costs are kept, unless an option says otherwise.
pub(crate) const FILE: &str = "pirn-costs.json";

/// How hard to measure: rounds of which the median is taken, and operations in each.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    operations: u64,
}

impl Effort {
    /// The median of what `once` says after so many operations, in nanoseconds for each.
    fn median(self, mut once: impl FnMut(u64) -> std::io::Result<Duration>) -> std::io::Result<f64> {
        let mut all = Vec::new();
        for _ in 0..self.rounds {
            all.push(once(self.operations)?.as_nanos() as f64 / self.operations as f64);
        }
        all.sort_by(f64::total_cmp);
        Ok(all[all.len() / 2])
    }

    /// The same with a part of the operations, for what takes long.
    fn part(self, divisor: u64) -> Self {
        Self { operations: (self.operations / divisor).max(20), ..self }
    }
}

/// `pirn calibrate`.
pub(crate) fn calibrate(args: &args::Calibrate) -> Result<(), Failure> {
    let effort = if args.quick {
        Effort { rounds: 3, operations: 400 }
    } else {
        Effort { rounds: 9, operations: 50_000 }
    };
    file::is_writable(&args.output)?;
    let folder = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let bar = show::bar(5, "calibrate", "{pos}/{len} {msg}");
    let failed =
        |what: &str, error: std::io::Error| Failure::input(format!("{what} can't be measured: {error}"));
    let mut costs = Costs::default();
    let mut assumed = vec!["node_factor".to_owned(), "node_workers".to_owned(), "entry".to_owned()];
    bar.set_message("clock and system calls");
    kernel::calls(effort, &mut costs).map_err(|error| failed("a system call", error))?;
    bar.inc(1);
    bar.set_message("sockets");
    kernel::sockets(effort, &mut costs).map_err(|error| failed("the loopback interface", error))?;
    bar.inc(1);
    bar.set_message("files");
    if !kernel::files(effort, &folder, &mut costs).map_err(|error| failed("a file", error))? {
        eprintln!(
            "cold_read is not measured: {} lies in memory; choose another folder with --folder",
            folder.display()
        );
        assumed.push("cold_read".to_owned());
    }
    bar.inc(1);
    bar.set_message("threads");
    if std::thread::available_parallelism().map_or(1, usize::from) > 1 {
        threads::measure(effort, &mut costs).map_err(|error| failed("a thread", error))?;
    } else {
        eprintln!("transfer, refill and wake are not measured: they need two CPUs");
        assumed.extend(["transfer", "refill", "wake"].map(str::to_owned));
    }
    bar.inc(1);
    bar.set_message("the runtime");
    costs.operation = runtime::operation(effort)?;
    bar.finish_and_clear();
    let calibration = Calibration::new(Machine::this(), assumed, costs);
    calibration.save(&args.output)?;
    print(&calibration, &args.output);
    Ok(())
}

fn print(calibration: &Calibration, path: &Path) {
    println!(
        "{} CPU(s), {}, Linux {}",
        calibration.machine.cpus, calibration.machine.cpu, calibration.machine.kernel
    );
    for (name, value) in calibration.values() {
        let note = if calibration.assumed.contains(&name) { "  (assumed)" } else { "" };
        println!("  {name:<13} {value:>10.1}{note}");
    }
    println!("in nanoseconds, but for node_factor and node_workers; kept in {}", path.display());
}
