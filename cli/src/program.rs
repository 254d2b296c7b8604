//! A workload as a simulation, and back from a trace's header: the arguments of the command line travel in the trace, so
//! that `replay` rebuilds the same program.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pirn_sim::{Faults, Kernel, Layout, Returned, Simulation, Strategy, Trace};

use crate::failure::Failure;
use crate::workloads::cold::Cold;
use crate::workloads::{self, Place, Report, Setting, Size, Workload};

/// The names under which a size stands in a trace.
const WIDTH: &str = "connections";
const ROUNDS: &str = "rounds";
const BYTES: &str = "bytes";

/// What the command line says about a simulation besides its size.
pub(crate) struct Schedule {
    pub(crate) workers: RangeInclusive<usize>,
    pub(crate) strategy: Strategy,
    pub(crate) faults: Faults,
    pub(crate) tso: pirn_sim::Tso,
    pub(crate) kernel: Kernel,
    pub(crate) layout: Layout,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            workers: 1..=4,
            strategy: Strategy::Mix,
            faults: Faults::default(),
            tso: pirn_sim::Tso::Half,
            kernel: Kernel::Ops,
            layout: Layout::Stealing,
        }
    }
}

/// What a host's program does after its main future: the runtime lives until it is asked whether it failed.
struct Rest(&'static str, Result<Report, String>);

impl Returned for Rest {
    fn failure(self) -> Option<String> {
        let rest = self.1.and_then(|report| report.after.map_or(Ok(()), |after| after()));
        rest.err().map(|message| format!("of the {} failed: {message}", self.0))
    }
}

/// The workload of that size, simulated.
pub(crate) fn simulation(workload: &'static Workload, size: Size, schedule: &Schedule) -> Simulation {
    let mut simulation = Simulation::new(workload.name)
        .arg(WIDTH, size.width)
        .arg(ROUNDS, size.rounds)
        .arg(BYTES, size.bytes)
        .workers(schedule.workers.clone())
        .strategy(schedule.strategy)
        .faults(schedule.faults.clone())
        .tso(schedule.tso)
        .kernel(schedule.kernel)
        .topology(schedule.layout);
    for host in workload.hosts {
        simulation = simulation.host(host.name, move || async move {
            let setting = Setting {
                size,
                span: Duration::ZERO,
                measure: false,
                place: Place::Simulated,
                cold: Cold::default(),
            };
            Rest(host.name, (host.main)(Arc::new(setting)).await)
        });
    }
    simulation
}

/// The simulation a trace was recorded from.
pub(crate) fn of_trace(trace: &Trace) -> Result<Simulation, Failure> {
    let name = trace.program();
    let Some(workload) = workloads::find(name) else {
        let known: Vec<_> = workloads::ALL.iter().map(|workload| workload.name).collect();
        return Err(Failure::input(format!(
            "the trace is of the program `{name}`, which is none of this command's workloads ({}); if it is a test, run \
             it again with PIRN_TRACE=<the trace> cargo test",
            known.join(", ")
        )));
    };
    Ok(simulation(workload, size(trace.args())?, &Schedule::default()))
}

/// The size that the arguments of a simulation name.
pub(crate) fn size(arguments: &BTreeMap<String, String>) -> Result<Size, Failure> {
    let number = |key: &str| -> Result<u32, Failure> {
        let value = arguments.get(key).ok_or_else(|| {
            Failure::input(format!(
                "the trace's header lacks the argument `{key}`: it is damaged or of another version"
            ))
        })?;
        value.parse().map_err(|_| {
            Failure::input(format!("the trace's argument `{key}` is `{value}`, which is no number"))
        })
    };
    Ok(Size { width: number(WIDTH)?, rounds: number(ROUNDS)?, bytes: number(BYTES)? })
}
