//! `pirn compare`: the same programs on every topology, live on this machine and simulated with a cost model, in one table and one picture.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pirn::os::Os;
use pirn_sim::Kernel;
use pirn_sim::cost::Costs;

pub(crate) use self::live::has_medium;
use self::load::{Kind, Load};
use self::plan::{Figures, Plan, World};
use self::shape::Shape;
use self::simulated::Asked;
use self::spin::Spin;
use crate::args::{self, Machine};
use crate::calibrate;
use crate::calibrate::file::Calibration;
use crate::failure::Failure;
use crate::show;

mod agreement;
mod chart;
mod live;
pub(crate) mod load;
mod page;
mod plan;
mod program;
pub(crate) mod shape;
mod simulated;
mod spin;
mod table;

/// Where a cell ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Live,
    /// With a CPU for each worker, and clients that cost nothing.
    Simulated,
    /// On the CPUs of this machine, which server and clients share, as live.
    Shared,
}

/// One cell: what was run, and the median of what came of it.
pub(crate) struct Cell {
    pub(crate) load: &'static Load,
    pub(crate) place: Place,
    /// `epoll` or `uring`.
    pub(crate) os: &'static str,
    pub(crate) shape: Shape,
    pub(crate) workers: usize,
    pub(crate) figures: Figures,
}

/// How long a live cell's load lasts, about.
const LIVE: Duration = Duration::from_millis(300);
/// The same in a smoke test.
const QUICK: Duration = Duration::from_millis(15);

/// `pirn compare`.
pub(crate) fn compare(args: &args::Compare) -> Result<(), Failure> {
    let started = Instant::now();
    let mut cells = Vec::new();
    let mut notes = notes(args);
    if args.only != Some(args::Half::Simulated) {
        cells.extend(live_cells(args)?);
    }
    if args.only != Some(args::Half::Live) {
        let (costs, whose) = costs(args)?;
        notes.push(format!("Simulated: {whose}."));
        notes.push("Where it says simulated, each worker has a CPU and the clients cost nothing.".to_owned());
        if args.only.is_none() {
            notes.push(format!("Where it says shared, server and clients share {} CPU(s), as live.", cpus()));
        }
        cells.extend(simulated_cells(args, &costs)?);
    }
    if let Some(found) = agreement::describe(&cells) {
        notes.push(found);
    }
    table::print(&cells);
    for note in &notes {
        println!("{note}");
    }
    let written =
        |path: &Path, error| Failure::input(format!("{} can't be written: {error}", path.display()));
    std::fs::write(&args.page, page::html(&cells, &notes)).map_err(|error| written(&args.page, error))?;
    println!("page: {}", args.page.display());
    if let Some(document) = &args.into {
        page::into(document, &cells, &notes)?;
        println!("picture and table: {}", document.display());
    }
    eprintln!("{:.0} s in all", started.elapsed().as_secs_f64());
    Ok(())
}

/// How it was measured.
fn notes(args: &args::Compare) -> Vec<String> {
    let mut notes = Vec::new();
    let live = format!(
        "Live: Linux {}, {} CPU(s); server with the workers named and clients on one thread, all in one process, over TCP of the loopback \
         interface, {} connections a worker, each with one request at a time; medians of {} interleaved round(s) of about {} ms.",
        crate::probe::kernel(),
        std::thread::available_parallelism().map_or(1, usize::from),
        load::CONNECTIONS,
        if args.quick { 1 } else { args.rounds },
        if args.quick { QUICK } else { LIVE }.as_millis(),
    );
    if args.only != Some(args::Half::Simulated) {
        notes.push(live);
    }
    if args.quick {
        notes.push("A quick run, to see whether it works: its figures say nothing.".to_owned());
    }
    notes
}

/// What things cost, and who says so.
fn costs(args: &args::Compare) -> Result<(Costs, String), Failure> {
    let usual = Path::new(calibrate::FILE);
    let path = match &args.costs {
        Some(path) => path,
        None if usual.exists() => usual,
        None => {
            return Ok((
                Costs::default(),
                "the built-in costs, of another machine; `pirn calibrate` measures this one".to_owned(),
            ));
        }
    };
    let read = Calibration::load(path)?;
    let here =
        if read.machine == calibrate::file::Machine::this() { "this machine" } else { "another machine" };
    let whose = format!(
        "the costs of {} ({}, {} CPUs, Linux {}: {here}), of which these are assumed: {}",
        path.display(),
        read.machine.cpu,
        read.machine.cpus,
        read.machine.kernel,
        read.assumed.join(", ")
    );
    Ok((read.costs, whose))
}

/// Topologies that were asked for and make sense with so many workers.
fn shapes(args: &args::Compare, workers: usize) -> impl Iterator<Item = Shape> {
    let asked = args.topologies.clone();
    Shape::ALL
        .into_iter()
        .filter(move |shape| (asked.is_empty() || asked.contains(shape)) && workers >= shape.least())
}

fn loads(args: &args::Compare) -> Vec<&'static Load> {
    let asked = &args.workloads;
    load::ALL
        .iter()
        .filter(|load| asked.is_empty() || asked.iter().any(|other| other.name == load.name))
        .collect()
}

/// The machines to run on: those that were asked for, or all that this one offers.
fn machines(args: &args::Compare) -> Result<Vec<Arc<dyn Os>>, Failure> {
    let refused = |name: &str, error: std::io::Error| {
        Failure::input(format!(
            "this machine can't run live on {name}: {error}; leave --os out, or see `pirn doctor`"
        ))
    };
    let epoll = || pirn::os::epoll().map_err(|error| refused("epoll", error));
    let uring = || pirn::os::uring();
    Ok(match args.os {
        Machine::Epoll => vec![epoll()?],
        Machine::Uring => vec![uring().map_err(|error| refused("io_uring", error))?],
        Machine::Auto => {
            let mut all = vec![epoll()?];
            match uring() {
                Ok(uring) => all.push(uring),
                Err(error) => eprintln!("epoll only, io_uring is not to be had: {error}"),
            }
            all
        }
    })
}

/// The CPUs of this machine.
fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32)
}

/// Workers up to which both kernels are simulated where none was asked for; beyond, it is epoll alone, or the time would double.
const BOTH: usize = 16;

/// Kernels to simulate with so many workers.
fn kernels(args: &args::Compare, workers: usize) -> Vec<(&'static str, Kernel)> {
    let (epoll, uring) = (("epoll", Kernel::Epoll), ("uring", Kernel::Uring));
    match args.os {
        Machine::Uring => vec![uring],
        Machine::Auto if workers <= BOTH => vec![epoll, uring],
        Machine::Auto | Machine::Epoll => vec![epoll],
    }
}

/// Simulated runs, on several threads: none depends on another.
fn simulated_cells(args: &args::Compare, costs: &Costs) -> Result<Vec<Cell>, Failure> {
    let mut asked = Vec::new();
    let quick = args.quick;
    for load in loads(args) {
        let halves = [(Some(cpus()), &args.workers), (None, &args.simulated_workers)];
        for (cpus, all) in halves.into_iter().filter(|(cpus, _)| cpus.is_none() || args.only.is_none()) {
            for &workers in all {
                for (os, kernel) in kernels(args, workers) {
                    for shape in shapes(args, workers) {
                        asked.push((os, Asked { load, shape, workers, kernel, cpus, quick }));
                    }
                }
            }
        }
    }
    let bar = show::bar(asked.len() as u64, "simulated", "{pos}/{len} {msg}");
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<Result<Figures, Failure>>> = asked.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..crate::explore::default_jobs() {
            scope.spawn(|| {
                loop {
                    // Relaxed: a number of one's own.
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, cell)) = asked.get(at) else { break };
                    bar.set_message(format!(
                        "{} on {}, {} worker(s)",
                        cell.load.name,
                        cell.shape.name(),
                        cell.workers
                    ));
                    let _ = results[at].set(simulated::run(*cell, costs));
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let cell = |((os, Asked { load, shape, workers, cpus, .. }), result): (_, OnceLock<_>)| {
        let figures = result.into_inner().expect("every cell was run")?;
        let place = if cpus.is_some() { Place::Shared } else { Place::Simulated };
        Ok(Cell { load, place, os, shape, workers, figures })
    };
    asked.into_iter().zip(results).map(cell).collect()
}

struct LiveCell {
    load: &'static Load,
    shape: Shape,
    workers: usize,
    os: Arc<dyn Os>,
    runs: Vec<Figures>,
}

/// Live runs, interleaved: each round runs all cells once, so that what else happens on the machine meets all alike.
fn live_cells(args: &args::Compare) -> Result<Vec<Cell>, Failure> {
    let folder = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let machines = machines(args)?;
    let mut cells = Vec::new();
    for load in loads(args) {
        if load.kind == Kind::Files && !medium(&folder)? {
            continue;
        }
        for os in &machines {
            for &workers in &args.workers {
                for shape in shapes(args, workers) {
                    cells.push(LiveCell { load, shape, workers, os: os.clone(), runs: Vec::new() });
                }
            }
        }
    }
    let (rounds, span) = if args.quick { (1, QUICK) } else { (args.rounds, LIVE) };
    let spin = Spin::measure();
    let file = folder.join(format!("pirn-compare-{}.data", std::process::id()));
    let bar = show::bar((cells.len() * rounds as usize) as u64, "live", "{pos}/{len} {msg}");
    let mut result = Ok(());
    'all: for _ in 0..rounds {
        for cell in &mut cells {
            bar.set_message(format!(
                "{} on {}, {} worker(s)",
                cell.load.name,
                cell.shape.name(),
                cell.workers
            ));
            let world = World::Live { spin, threads: OnceLock::new() };
            let turns = cell.load.rounds(cell.workers, span);
            let plan = Plan::new(cell.load, cell.shape, cell.workers, turns, world, file.clone());
            match live::run(&Arc::new(plan), &cell.os) {
                Ok(figures) => cell.runs.push(figures),
                Err(failure) => {
                    result = Err(failure);
                    break 'all;
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    // It may never have been made.
    let _ = std::fs::remove_file(&file);
    result?;
    Ok(cells.into_iter().map(LiveCell::finish).collect())
}

fn medium(folder: &Path) -> Result<bool, Failure> {
    let there = live::has_medium(folder).map_err(|error| {
        Failure::input(format!(
            "the folder {} can't be used: {error}; choose one with --folder",
            folder.display()
        ))
    })?;
    if !there {
        eprintln!(
            "the workload `files` is left out: {} lies in memory, where nothing is ever cold; choose another folder with --folder",
            folder.display()
        );
    }
    Ok(there)
}

impl LiveCell {
    fn finish(self) -> Cell {
        let os = if self.os.name() == "epoll" { "epoll" } else { "uring" };
        let Self { load, shape, workers, runs, .. } = self;
        Cell { load, place: Place::Live, os, shape, workers, figures: median(&runs) }
    }
}

/// The median of each figure.
fn median(runs: &[Figures]) -> Figures {
    let of = |figure: &dyn Fn(&Figures) -> f64| {
        let mut all: Vec<_> = runs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    Figures {
        rate: of(&|run| run.rate),
        p50: of(&|run| run.p50),
        p99: of(&|run| run.p99),
        p999: of(&|run| run.p999),
        cpu: of(&|run| run.cpu),
        moves: of(&|run| run.moves),
        stolen: of(&|run| run.stolen),
        looks: of(&|run| run.looks),
        calls: None,
    }
}
