//! Echo in nine cells, 1, 64 and 1,000 connections of 64 B, 1 KiB and 16 KiB: server CPU a message of Pirn on both
//! backends over that of a plain epoll loop, which is the floor. As many server threads on either side.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::child::{self, Figures, Server};
use crate::epoll;
use crate::load::{Load, Outcome};
use crate::table::{Samples, Table, Target, interleave};

const CONNECTIONS: [usize; 3] = [1, 64, 1_000];
const BYTES: [usize; 3] = [64, 1 << 10, 16 << 10];
const WARM_UP: Duration = Duration::from_millis(300);
/// What the geometric mean may be.
const TARGET: f64 = 1.08;

/// Who is measured; the first is the floor.
const VARIANTS: [&str; 3] = ["floor", "pirn", "pirn-uring"];

/// The size of a server's read buffer: a message leaves room, so the read that took it says that there is no more.
pub(crate) fn buffer(bytes: usize) -> usize {
    (2 * bytes).max(4 << 10)
}

/// The CPUs of a server with one thread and of the load generator, if there are enough to keep them apart.
pub(crate) fn cpus() -> Option<(usize, usize)> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    (count > 1).then(|| (0, count - 1))
}

/// How the server of a measurement runs.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// Its threads.
    pub(crate) workers: usize,
    /// Its CPU and the load generator's, if they are kept apart.
    pub(crate) cpus: Option<(usize, usize)>,
}

/// One measurement of echo, against a server process of its own.
pub(crate) fn measure(
    program: &Path,
    server: &str,
    how: How,
    (connections, bytes): (usize, usize),
    span: Duration,
) -> Result<Figures, String> {
    let buffer = buffer(bytes).to_string();
    under_load(program, ["echo", server], &["--buffer", &buffer], how, span, |address| {
        Load::connect(address, connections, bytes)
    })
    .map_err(|error| format!("{connections} x {bytes} B: {error}"))
}

/// One measurement: a server process of its own, `program serve <what> <server> <workers> <options>`, under the load that `connect` makes.
pub(crate) fn under_load(
    program: &Path,
    [what, server]: [&str; 2],
    options: &[&str],
    how: How,
    span: Duration,
    connect: impl FnOnce(SocketAddr) -> io::Result<Load> + Send,
) -> Result<Figures, String> {
    let broken = |error: io::Error| format!("{what} on {server}: {error}");
    let workers = how.workers.to_string();
    let mut arguments = vec![what, server, &workers];
    arguments.extend(options);
    let cpu;
    let mut generator = None;
    if let Some((server_cpu, own)) = how.cpus {
        cpu = server_cpu.to_string();
        arguments.extend(["--cpu", &cpu]);
        generator = Some(own);
    }
    let mut server = Server::start(program, &arguments)?;
    // On a thread of its own: threads that are started later run where the one that starts them may.
    let run = || -> Result<(f64, Outcome), String> {
        generator.map_or(Ok(()), epoll::pin).map_err(broken)?;
        let mut load = connect(server.address).map_err(broken)?;
        load.run(WARM_UP).map_err(broken)?;
        let before = server.cpu()?;
        let outcome = load.run(span).map_err(broken)?;
        Ok((server.cpu()? - before, outcome))
    };
    let (cpu, outcome) = std::thread::scope(|scope| scope.spawn(run).join())
        .map_err(|_| "the load generator panicked".to_owned())??;
    let us = |quantile| outcome.latencies.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Figures::from([
        ("cpu_us".to_owned(), cpu * 1e6 / outcome.messages as f64),
        ("rate".to_owned(), outcome.messages as f64 / outcome.elapsed.as_secs_f64()),
        ("p50_us".to_owned(), us(0.5)),
        ("p99_us".to_owned(), us(0.99)),
        ("p999_us".to_owned(), us(0.999)),
        ("fewest".to_owned(), outcome.fewest as f64),
        ("most".to_owned(), outcome.most as f64),
    ]))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, rounds: usize, seconds: f64, how: How) -> Result<(), String> {
    let program = child::own_program()?;
    table.title(&format!(
        "echo in nine cells, {} server thread(s) each{}; server CPU µs a message, and over the floor's of the same round; median (lowest – highest) of {rounds}",
        how.workers,
        if how.cpus.is_some() { ", on a CPU of their own" } else { "" }
    ));
    let mut logs = [0.0; VARIANTS.len()];
    for connections in CONNECTIONS {
        for bytes in BYTES {
            let cell = format!("{connections} x {bytes} B");
            let span = Duration::from_secs_f64(seconds);
            let all = interleave(&format!("cells: {cell}"), rounds, &VARIANTS, |server| {
                measure(&program, server, how, (connections, bytes), span)
            })?;
            row(table, &cell, &all, &mut logs);
        }
    }
    for (at, name) in VARIANTS.iter().enumerate().skip(1) {
        let mean = (logs[at] / (CONNECTIONS.len() * BYTES.len()) as f64).exp();
        let what = format!("{name} over the floor, geometric mean of the nine");
        table.row(&what, format!("{mean:.3}"), mean, Target::Most(TARGET));
    }
    table.flush();
    Ok(())
}

/// A cell's figures; adds the logarithms of its ratios.
fn row(table: &mut Table, cell: &str, all: &[Samples], logs: &mut [f64]) {
    for (at, name) in VARIANTS.iter().enumerate() {
        let rate = crate::table::short(all[at].median("rate"));
        let mut shown = format!("{}; {rate} messages/s", all[at].show("cpu_us"));
        if at > 0 {
            let ratio = all[at].over(&all[0], "cpu_us");
            logs[at] += ratio.median("cpu_us").ln();
            shown += &format!("; ratio {}", ratio.show("cpu_us"));
        }
        table.row(&format!("{cell}, {name}"), shown, 0.0, Target::None);
    }
    table.flush();
}
