//! A cell of the comparison on this machine: the server's runtime with its workers, and a client's of one worker, in this process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use pirn::Topology;
use pirn::os::Os;

use super::load::Kind;
use super::plan::{Figures, Plan, World};
use super::program;
use crate::cpu;
use crate::failure::Failure;

/// Runs it. The plan is a live one, and fresh.
pub(crate) fn run(plan: &Arc<Plan>, os: &Arc<dyn Os>) -> Result<Figures, Failure> {
    let named = |what: String| {
        let Plan { load, shape, workers, .. } = &**plan;
        Failure::input(format!(
            "{} on {} with {workers} worker(s), {}: {what}",
            load.name,
            shape.name(),
            os.name()
        ))
    };
    let mut threads = Vec::new();
    let server = host("server", plan.shape.topology(plan.workers), plan, os, true).map_err(&named)?;
    threads.push(server);
    if plan.load.kind != Kind::Graphs {
        threads.push(host("client", Topology::stealing(1), plan, os, false).map_err(&named)?);
    }
    for thread in threads {
        let result = thread.join().unwrap_or_else(|_| Err("it panicked; its message stands above".into()));
        result.map_err(&named)?;
    }
    plan.figures().ok_or_else(|| named("it ended without figures".into()))
}

type Ran = Result<(), String>;

/// A thread with a runtime; returns when that is built.
fn host(
    name: &str,
    topology: Topology,
    plan: &Arc<Plan>,
    os: &Arc<dyn Os>,
    is_server: bool,
) -> Result<JoinHandle<Ran>, String> {
    let (built, wait) = channel::<()>();
    let (plan, os) = (plan.clone(), os.clone());
    let body = move || {
        let before = cpu::threads();
        let runtime = pirn::Builder::new()
            .os(os)
            .topology(topology)
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        if is_server {
            note_threads(&plan, &before);
        }
        drop(built);
        let graphs = plan.load.kind == Kind::Graphs;
        match (is_server, graphs) {
            (true, false) => runtime.block_on(program::server(plan))?,
            (true, true) => runtime.block_on(program::graphs(plan))?,
            _ => runtime.block_on(program::client(plan))?,
        }
        runtime.shutdown_timeout(Duration::from_secs(5)).map_err(|error| error.to_string())
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| format!("no thread for the {name}: {error}"))?;
    // An error means that it was dropped: built, or failed.
    let _ = wait.recv();
    Ok(thread)
}

/// The threads that appeared while the runtime was built are its own; cells run one after another.
fn note_threads(plan: &Plan, before: &BTreeSet<i32>) {
    if let World::Live { threads, .. } = &plan.world {
        let mut own: BTreeSet<_> = cpu::threads().difference(before).copied().collect();
        own.insert(cpu::this_thread());
        let _ = threads.set(own);
    }
}

/// Whether what is written into a folder can leave memory again: not on a memory file system.
pub(crate) fn has_medium(folder: &Path) -> io::Result<bool> {
    /// What statfs(2) says of tmpfs and ramfs.
    const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
    let folder = File::open(folder)?;
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open, and the kernel fills the structure or says that it did not.
    if unsafe { libc::fstatfs(folder.as_raw_fd(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded.
    let kind = unsafe { found.assume_init() }.f_type;
    Ok(!IN_MEMORY.contains(&kind))
}
