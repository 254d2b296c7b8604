//! Runs a workload live: each host is a thread with a runtime of its own, all in this process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use pirn::Backend;
use pirn::os::Os;

use crate::cpu;
use pirn_sim::Layout;

use crate::failure::Failure;
use crate::workloads::{Host, Report, Setting, Workload};

/// Events that each worker remembers for a dump.
const EVENTS: usize = 16_384;

/// What a host did, and what it cost.
pub(crate) struct Ran {
    /// Its own account.
    pub(crate) report: Report,
    /// CPU time of its runtime's threads.
    pub(crate) cpu: Duration,
    /// From start to end.
    pub(crate) elapsed: Duration,
    /// Of each group of its workers.
    pub(crate) groups: Vec<Share>,
}

/// How busy the workers of a group were.
pub(crate) struct Share {
    /// The group's name.
    pub(crate) name: String,
    /// Its workers.
    pub(crate) workers: usize,
    /// Their CPU time over the time that they had, 0 to 1.
    pub(crate) busy: f64,
}

/// The machine of a backend.
pub(crate) fn machine(backend: Backend) -> Result<Arc<dyn Os>, Failure> {
    let os = match backend {
        Backend::Epoll => pirn::os::epoll(),
        Backend::Uring => pirn::os::uring(),
        _ => pirn::os::choose(),
    };
    os.map_err(|error| Failure::input(format!("this machine can't run it live: {error}")))
}

/// Runs all hosts; `tick` is called now and then meanwhile.
pub(crate) fn run(
    workload: &'static Workload,
    setting: &Arc<Setting>,
    workers: (Option<usize>, Layout),
    dump: Option<&Path>,
    os: &Arc<dyn Os>,
    mut tick: impl FnMut(Duration),
) -> Result<Vec<Ran>, Failure> {
    let started = Instant::now();
    let mut threads = Vec::new();
    for (number, host) in workload.hosts.iter().enumerate() {
        // One after another: the threads that appear while a runtime is built are its own.
        let (built, wait) = channel::<()>();
        let workers = if number == 0 { workers } else { (Some(1), Layout::Stealing) };
        let (setting, os, dump) = (setting.clone(), os.clone(), dump.map(Path::to_owned));
        let thread = std::thread::Builder::new()
            .name(host.name.to_owned())
            .spawn(move || run_host(host, setting, workers, dump, os, || drop(built)))
            .map_err(|error| Failure::input(format!("no thread for the {}: {error}", host.name)))?;
        let _ = wait.recv();
        threads.push((host, thread));
    }
    while threads.iter().any(|(_, thread)| !thread.is_finished()) {
        // A host that fails leaves the others without their peer: report it at once.
        if let Some(at) = threads.iter().position(|(_, thread)| thread.is_finished()) {
            let (host, thread) = threads.remove(at);
            let ran = join(host, thread)?;
            return finish(threads, at, ran, tick, started);
        }
        std::thread::sleep(Duration::from_millis(20));
        tick(started.elapsed());
    }
    threads.into_iter().map(|(host, thread)| join(host, thread)).collect()
}

type Running = (&'static Host, std::thread::JoinHandle<Result<Ran, Failure>>);

/// Waits for the other hosts after the one at `at` has ended well.
fn finish(
    threads: Vec<Running>,
    at: usize,
    first: Ran,
    mut tick: impl FnMut(Duration),
    started: Instant,
) -> Result<Vec<Ran>, Failure> {
    let mut all = Vec::new();
    for (host, thread) in threads {
        while !thread.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            tick(started.elapsed());
        }
        all.push(join(host, thread)?);
    }
    all.insert(at, first);
    Ok(all)
}

fn join(host: &Host, thread: std::thread::JoinHandle<Result<Ran, Failure>>) -> Result<Ran, Failure> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Failure::Violation(format!("the {} panicked; its message stands above", host.name))),
    }
}

fn run_host(
    host: &Host,
    setting: Arc<Setting>,
    workers: (Option<usize>, Layout),
    dump: Option<PathBuf>,
    os: Arc<dyn Os>,
    built: impl FnOnce(),
) -> Result<Ran, Failure> {
    let before = cpu::threads();
    let (workers, layout) = workers;
    let topology = layout.topology(workers.unwrap_or_else(|| os.parallelism()));
    let mut builder = pirn::Builder::new().os(os).topology(topology);
    if dump.is_some() {
        builder = builder.recorder(EVENTS).timing(true);
    }
    let runtime = builder.build().map_err(|error| {
        Failure::input(format!("the runtime of the {} can't be built: {error}", host.name))
    })?;
    let mut threads = cpu::threads();
    threads.retain(|thread| !before.contains(thread));
    threads.insert(cpu::this_thread());
    let groups: Vec<_> =
        runtime.handle().groups().into_iter().map(|group| (of_group(&group, &threads), group)).collect();
    let by_group = || groups.iter().map(|(threads, _)| cpu::used(threads)).collect::<Vec<_>>();
    let (started, used, used_by_group) = (Instant::now(), cpu::used(&threads), by_group());
    built();
    let dumped = dump.map(|folder| dump_half_way(host.name, runtime.handle(), setting.span / 2, folder));
    let mut result = runtime.block_on((host.main)(setting));
    if let Ok(Report { after, .. }) = &mut result
        && let Some(after) = after.take()
        && let Err(message) = after()
    {
        result = Err(message);
    }
    let (elapsed, cpu) = (started.elapsed(), cpu::used(&threads) - used);
    let share = |((_, group), (now, before)): (&(_, pirn::Group), (Duration, Duration))| Share {
        name: group.name().to_owned(),
        workers: group.workers(),
        busy: (now - before).as_secs_f64() / elapsed.as_secs_f64().max(1e-9) / group.workers() as f64,
    };
    let groups = groups.iter().zip(by_group().into_iter().zip(used_by_group)).map(share).collect();
    if let Some(dumped) = dumped {
        let path = dumped.join().map_err(|_| Failure::input("the thread that writes the dump panicked"))?;
        println!("  dump of the {}: {}", host.name, path.map_err(Failure::input)?.display());
    }
    let report = result.map_err(|message| Failure::input(format!("the {} failed: {message}", host.name)))?;
    runtime.shutdown_timeout(Duration::from_secs(5)).map_err(|error| {
        Failure::Violation(format!("the runtime of the {} did not shut down: {error}", host.name))
    })?;
    Ok(Ran { report, cpu, elapsed, groups })
}

/// The threads of a group's workers, of those of its runtime; worker 0 is the calling thread.
fn of_group(group: &pirn::Group, threads: &BTreeSet<i32>) -> BTreeSet<i32> {
    let names: BTreeSet<_> = group.seats().map(|seat| format!("pirn-worker-{seat}")).collect();
    let mut own: BTreeSet<_> =
        threads.iter().copied().filter(|thread| names.contains(&cpu::name(*thread))).collect();
    if group.seats().contains(&0) {
        own.insert(cpu::this_thread());
    }
    own
}

/// Writes a dump of the runtime after a while.
fn dump_half_way(
    name: &'static str,
    runtime: pirn::Handle,
    wait: Duration,
    folder: PathBuf,
) -> std::thread::JoinHandle<std::io::Result<PathBuf>> {
    std::thread::spawn(move || {
        std::thread::sleep(wait);
        runtime.dump(&format!("{name} half way through its run")).save_in(folder)
    })
}
