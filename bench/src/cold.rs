//! Hot requests beside cold 16 MiB reads: Pirn's policies on both backends beside blocking in place, a thread for every read, tokio, smol, and
//! monoio, compio and glommio, whose rings take every read. Measured by a package of its own, which brings them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::child::{self, Figures};
use crate::simulator;
use crate::table::{Samples, Table, Target, interleave, short};

/// What the p99 of hot requests may be of the best peer's, while one request in ten is cold.
const TARGET: f64 = 0.35;
/// At these shares of cold requests, of a hundred.
pub(crate) const SHARES: [u32; 1] = [10];

const PEERS: [&str; 5] = ["tokio", "smol", "monoio", "compio", "glommio"];
const PIRN: [&str; 8] = [
    "pirn-uring-ring",
    "pirn-uring-slow",
    "pirn-uring-readahead",
    "pirn-epoll-ring",
    "pirn-epoll-slow",
    "pirn-epoll-readahead",
    "pirn-uring-inline",
    "pirn-uring-pool",
];
/// As many of `PIRN` are policies; the others are what the policies are there to replace.
const POLICIES: usize = 6;

/// How to measure.
pub(crate) struct How<'a> {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Requests a second; `None`: so many that the cold ones keep the disk busy for a quarter of the time.
    pub(crate) rate: Option<u32>,
    /// Shares of cold requests, of a hundred.
    pub(crate) shares: &'a [u32],
    /// Where the files lie, on a disk; `None`: beside this program.
    pub(crate) folder: Option<PathBuf>,
}

fn run(program: &PathBuf, arguments: &[&str]) -> Result<Figures, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", arguments.join(" "), output.status));
    }
    child::figures(&String::from_utf8_lossy(&output.stdout))
}

/// The whole benchmark.
pub(crate) fn bench(table: &mut Table, how: &How<'_>) -> Result<(), String> {
    let program = simulator::program("pirn-bench-cold")?;
    let folder = how.folder.clone().unwrap_or_else(|| program.with_file_name("cold-files"));
    let folder = folder.to_str().ok_or("the folder's name is no text")?.to_owned();
    let disk = run(&program, &["disk", &folder])?;
    let speed = disk.get("mib_s").copied().unwrap_or(0.0);
    if disk.get("cold_files").copied() != Some(16.0) {
        return Err(format!(
            "files in {folder} stay in memory although they were evicted: name a folder on a disk with --folder"
        ));
    }
    for &share in how.shares {
        let cold_rate = 0.25 * speed / 16.0;
        let rate =
            how.rate.unwrap_or((cold_rate * 100.0 / f64::from(share.max(1))).clamp(50.0, 1_000.0) as u32);
        let (rate_text, share_text, seconds) = (rate.to_string(), share.to_string(), how.seconds.to_string());
        let variants: Vec<&str> = PIRN.into_iter().chain(PEERS).collect();
        let all = interleave(&format!("{share} % cold"), how.rounds, &variants, |server| {
            run(&program, &["measure", server, &folder, &rate_text, &share_text, &seconds])
        })?;
        table.title(&format!(
            "hot reads of 4 KiB beside {share} % cold ones of 16 MiB, {rate} requests/s open loop, 2 server threads; the disk reads {} MiB/s; \
             hot latency in µs, median (lowest – highest) of {}",
            short(speed),
            how.rounds
        ));
        for (server, samples) in variants.iter().zip(&all) {
            row(table, server, samples);
        }
        judge(table, &all, share);
        table.flush();
    }
    Ok(())
}

fn row(table: &mut Table, server: &str, samples: &Samples) {
    let latency = format!("{}, p99 {}", samples.show("p50_us"), samples.show("p99_us"));
    let rest = format!(
        "cold {} ms, {} µs CPU a request, {} skipped, {} % not cold",
        samples.show("cold_ms"),
        short(samples.median("cpu_us")),
        short(samples.median("skipped")),
        short(samples.median("warm")),
    );
    table.row(&format!("{server}: p50"), format!("{latency}; {rest}"), 0.0, Target::None);
}

/// The best of the policies against the best of the peers, by their medians, and round by round.
fn judge(table: &mut Table, all: &[Samples], share: u32) {
    let best = |samples: &[Samples], from: usize| {
        let of = |at: &usize| samples[*at].median("p99_us");
        let at = (0..samples.len()).min_by(|a, b| of(a).total_cmp(&of(b))).expect("there are some");
        from + at
    };
    let peer = best(&all[PIRN.len()..], PIRN.len());
    for (at, policy) in PIRN.iter().enumerate().take(POLICIES) {
        let ratio = all[at].over(&all[peer], "p99_us");
        let judged = share == 10 && at == best(&all[..POLICIES], 0);
        let target = if judged { Target::Most(TARGET) } else { Target::None };
        let what = format!("{policy}: p99 / that of the best peer, {}", PEERS[peer - PIRN.len()]);
        table.row(&what, ratio.show("p99_us"), ratio.median("p99_us"), target);
    }
}
