//! `pirn serve` under load for a while, once on each backend: small, large, cold and missing files, clients that leave in the midst of an answer,
//! files that change and vanish. Judged: descriptors, memory, errors that nobody caused, and the end by SIGTERM.
//!
//! Of the clients here every answer is compared, byte by byte. wrk and h2load, where they are installed, make the load full.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::table::{Table, Target, short};

mod clients;
mod site;

use clients::Tally;
use site::Site;

/// What a soak is to be.
pub(crate) struct Soak {
    /// The binary `pirn`.
    pub(crate) program: PathBuf,
    /// How long, on each backend.
    pub(crate) span: Duration,
    /// Connections, in turn.
    pub(crate) connections: Vec<usize>,
    /// Backends.
    pub(crate) backends: Vec<String>,
}

/// Clients whose answers are compared, beside wrk.
const CHECKERS: usize = 32;
/// What the server may have to come to rest in when all clients are gone.
const REST: Duration = Duration::from_secs(30);
/// How long a drain may take; the slow readers at its begin need about two seconds.
const DRAIN: u64 = 20;
/// Descriptors that may be open at rest beside those before the load: side threads and rings come with the first need.
const SPARE: usize = 8;
/// How often each number of connections has its turn.
const ROUNDS: usize = 4;
/// What the memory at rest may grow from the second round to the last one: in the first ones it finds how much it needs.
const GROWTH: f64 = 1.10;

/// The soak of all backends.
pub(crate) fn bench(table: &mut Table, soak: &Soak) -> Result<(), String> {
    raise_descriptor_limit();
    for backend in &soak.backends {
        table.title(&format!(
            "soak of `pirn serve --os {backend}`, {} s: {:?} connections in turn, {ROUNDS} times",
            soak.span.as_secs(),
            soak.connections
        ));
        one(table, soak, backend)?;
        table.flush();
    }
    Ok(())
}

fn one(table: &mut Table, soak: &Soak, backend: &str) -> Result<(), String> {
    let site = Site::create().map_err(|error| format!("the site can't be made: {error}"))?;
    let mut served = Served::start(&soak.program, &site.root, backend)?;
    let site = Arc::new(site);
    let tally = Arc::new(Tally::default());
    let over = Arc::new(AtomicBool::new(false));
    let meddler = thread::spawn({
        let (site, over) = (Arc::clone(&site), Arc::clone(&over));
        move || site.meddle(&over)
    });
    // Everything once, so that what is made at the first need is there.
    clients::run(served.address, &site, &tally, 8, Duration::from_secs(1))?;
    let (open_before, _) = served.at_rest()?;
    let phases = ROUNDS * soak.connections.len();
    let mut rests = Vec::new();
    let mut tools = Vec::new();
    for connections in soak.connections.iter().cycle().take(phases) {
        tools.extend(phase(&served, &site, &tally, *connections, soak.span / phases as u32)?);
        rests.push(served.at_rest()?);
    }
    over.store(true, Relaxed);
    meddler.join().map_err(|_| "the meddler panicked".to_owned())?;

    let metrics = served.metrics()?;
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let requests = figure("http_requests_total ");
    let rate = format!("{}, {} a second", short(requests), short(requests / soak.span.as_secs_f64()));
    table.row("requests served", rate, requests, Target::Least(1_000.0));
    let compared = format!("{}; {} clients left in the midst", short(tally.answers() as f64), tally.left());
    table.row("answers compared", compared, tally.answers() as f64, Target::Least(100.0));
    let wrong = tally.wrong();
    table.row(
        "wrong answers, connections broken for no reason",
        wrong.to_string(),
        wrong as f64,
        Target::Most(0.0),
    );
    if let Some(first) = tally.first_wrong() {
        table.row("  the first", first, 0.0, Target::None);
    }
    for (tool, errors, said) in &tools {
        table.row(tool, said.clone(), *errors, Target::Most(0.0));
    }
    let (open_after, memory_after) = rests[rests.len() - 1];
    let shown = format!("{open_before} before, {open_after} after");
    let more = open_after.saturating_sub(open_before) as f64;
    table.row("descriptors at rest", shown, more, Target::Most(SPARE as f64));
    let settled = rests[2 * soak.connections.len() - 1].1;
    let shown = rests.iter().map(|(_, memory)| short(*memory)).collect::<Vec<_>>().join(", ");
    table.row("memory at rest after each phase, MiB", shown, memory_after / settled, Target::Most(GROWTH));

    let ended = served.stop_under_way(&site)?;
    table.row(
        "SIGTERM: answers under way that came whole",
        format!("{} of {}", ended.whole, ended.asked),
        (ended.asked - ended.whole) as f64,
        Target::Most(0.0),
    );
    table.row(
        "SIGTERM: seconds until the end",
        short(ended.seconds),
        ended.seconds,
        Target::Most(DRAIN as f64),
    );
    table.row("SIGTERM: exit code", ended.code.to_string(), f64::from(ended.code), Target::Most(0.0));
    let complaints = ended.said.lines().filter(|line| line.contains("panicked")).count();
    table.row("panics", complaints.to_string(), complaints as f64, Target::Most(0.0));
    table.row("its last words", ended.said.lines().last().unwrap_or("").to_owned(), 0.0, Target::None);
    Ok(())
}

/// Load with so many connections, for so long; what wrk and h2load say: what they did, errors, in words.
fn phase(
    served: &Served,
    site: &Arc<Site>,
    tally: &Arc<Tally>,
    connections: usize,
    span: Duration,
) -> Result<Vec<(String, f64, String)>, String> {
    let seconds = span.as_secs().max(1).to_string();
    let wrk = site.wrk(served.address, connections, &seconds);
    // With HTTP/2 a connection is many requests at a time.
    let h2load = site.h2load(served.address, connections / 16, &seconds);
    let own = if wrk.is_some() { CHECKERS } else { connections };
    clients::run(served.address, site, tally, own, span)?;
    let mut said = Vec::new();
    if let Some(wrk) = wrk {
        let text = output(wrk, "wrk")?;
        let errors = if text.contains("Non-2xx") || socket_errors(&text) > 0.0 { 1.0 } else { 0.0 };
        let line = text.lines().filter(|line| {
            ["Requests/sec", "Socket errors", "Non-2xx"].iter().any(|word| line.contains(word))
        });
        let line = line.map(str::trim).collect::<Vec<_>>().join("; ");
        said.push((format!("wrk, {connections} connections"), errors, line));
    }
    if let Some(h2load) = h2load {
        let text = output(h2load, "h2load")?;
        let line = text.lines().find(|line| line.starts_with("requests:")).unwrap_or("no figures").to_owned();
        let number = |word: &str| {
            let at = line.split(", ").find(|part| part.ends_with(word))?;
            at.split(' ').next()?.parse::<f64>().ok()
        };
        let errors =
            number("failed").zip(number("errored")).map_or(1.0, |(failed, errored)| failed + errored);
        said.push((format!("h2load, {} connections", connections / 16), errors, line));
    }
    Ok(said)
}

/// Connects, reads, writes that failed, as wrk counts them. Its timeouts are the load's, not errors.
fn socket_errors(text: &str) -> f64 {
    let Some(line) = text.lines().find(|line| line.contains("Socket errors")) else { return 0.0 };
    line.split([',', ':'])
        .filter(|part| ["connect", "read", "write"].iter().any(|word| part.trim().starts_with(word)))
        .filter_map(|part| part.trim().split(' ').nth(1)?.parse::<f64>().ok())
        .sum()
}

fn output(child: Child, name: &str) -> Result<String, String> {
    let output = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `pirn serve` in a process of its own.
struct Served {
    child: Child,
    address: SocketAddr,
}

/// How it ended.
struct Ended {
    asked: usize,
    whole: usize,
    seconds: f64,
    code: i32,
    said: String,
}

impl Served {
    fn start(program: &Path, root: &Path, backend: &str) -> Result<Self, String> {
        let mut child = Command::new(program)
            .arg("serve")
            .arg(root)
            .args(["--listen", "127.0.0.1:0", "--metrics", "--os", backend, "--drain", &DRAIN.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!(
                    "{}: {error}; build it: `cargo build --release` in the repository's root",
                    program.display()
                )
            })?;
        let mut line = String::new();
        let said = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line);
        let address = line.split("://").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        match (said, address) {
            (Ok(_), Some(address)) => Ok(Self { child, address }),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("`pirn serve --os {backend}` said `{}`, and no address", line.trim()))
            }
        }
    }

    /// Waits until no connection is open; descriptors and memory (MiB) then.
    fn at_rest(&self) -> Result<(usize, f64), String> {
        let start = Instant::now();
        // The one that asks is open itself.
        while !self.metrics()?.contains("\nhttp_connections_open 1\n") {
            if start.elapsed() > REST {
                return Err(format!(
                    "connections stay open although their clients left: {}",
                    self.metrics()?
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
        // That one's end, and what the runtime gives back when it has nothing to do.
        thread::sleep(Duration::from_millis(500));
        let pid = self.child.id();
        let broken = |error: std::io::Error| format!("/proc/{pid}: {error}");
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(broken)?.count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(broken)?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok());
        Ok((open, kib.ok_or("there is no VmRSS")? / 1024.0))
    }

    fn metrics(&self) -> Result<String, String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(REST))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().map_err(|error| format!("/metrics: {error}"))
    }

    /// Asks for large files, slowly; sends SIGTERM; sees all to their end.
    fn stop_under_way(&mut self, site: &Site) -> Result<Ended, String> {
        let asked = 16;
        let begun = Arc::new(std::sync::Barrier::new(asked + 1));
        let readers: Vec<_> = (0..asked)
            .map(|at| {
                let (address, begun, file) = (self.address, Arc::clone(&begun), site.large(at));
                thread::spawn(move || clients::slowly(address, &file, &begun))
            })
            .collect();
        begun.wait();
        let start = Instant::now();
        let pid = self.child.id() as libc::pid_t;
        // SAFETY: a plain call; the child is ours, and has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let whole =
            readers.into_iter().filter_map(|reader| reader.join().ok()).filter(|whole| *whole).count();
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut said).map_err(|error| format!("its standard error: {error}"))?;
        let status = self.child.wait().map_err(|error| format!("its end: {error}"))?;
        let code = status.code().unwrap_or(255);
        Ok(Ended { asked, whole, seconds: start.elapsed().as_secs_f64(), code, said })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many descriptors as this process may have.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing, then for reading.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
