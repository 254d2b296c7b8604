//! The load, open loop: hot and cold requests at a steady rate, each kind on connections of its own, so that no hot request stands behind a cold
//! one by the protocol. A cold file is asked for by one connection at a time, and thrown out of memory again when its answer came.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::disk::{COLDS, HOT, HOT_FILE, cold, evict, is_cold, prepare};
use crate::urgent::urgent;
use crate::{ANSWER, Request};

/// Connections for hot requests.
const HOTS: usize = 48;
/// Answers that come so much later are not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to ask for.
pub(crate) struct Plan {
    /// Requests a second.
    pub(crate) rate: u32,
    /// Of a hundred so many are cold.
    pub(crate) percent: u32,
    pub(crate) seconds: f64,
}

/// A server in a process of its own.
struct Server {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    addresses: Vec<SocketAddr>,
}

impl Server {
    fn start(server: &str, folder: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
        let mut child = Command::new(program)
            .args(["serve", server])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{server} did not start: {error}"))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| format!("{server}: {error}"))?;
        let addresses: Vec<SocketAddr> = line.split_whitespace().flat_map(str::parse).collect();
        if addresses.is_empty() {
            return Err(format!("{server} printed {line:?} in place of its addresses"));
        }
        Ok(Self { child, stdout, addresses })
    }

    fn cpu(&mut self) -> Result<f64, String> {
        let failed = |error: std::io::Error| format!("the server does not answer: {error}");
        self.child.stdin.as_mut().expect("it is piped").write_all(b"cpu\n").map_err(failed)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(failed)?;
        line.trim().parse().map_err(|_| format!("the server printed {line:?} in place of its CPU time"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Has the calling thread run soon when it wakes up: what is measured is the server's delay.
fn soon() {
    urgent();
    // SAFETY: the slack of this thread's timers is a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_u64) };
}

/// Throws the files out of memory whose numbers come, and hands those on that are.
fn evictor(files: Vec<File>, asked: &Receiver<usize>, clean: &Sender<usize>) -> (u64, u64) {
    let (mut evicted, mut warm) = (0, 0);
    for number in asked {
        evict(&files[number]);
        evicted += 1;
        warm += u64::from(!is_cold(&files[number]));
        if clean.send(number).is_err() {
            break;
        }
    }
    (evicted, warm)
}

/// What was measured.
struct Answers {
    hot: Histogram<u64>,
    cold: Histogram<u64>,
}

/// Takes answers until all requests were answered that `sent` tells of, in order, on each connection.
fn receive(
    mut streams: Vec<TcpStream>,
    sent: &Receiver<(usize, Instant)>,
    dirty: &Sender<usize>,
) -> Result<Answers, String> {
    soon();
    let histogram = || Histogram::<u64>::new(3).expect("three figures are valid");
    let mut answers = Answers { hot: histogram(), cold: histogram() };
    let mut polled: Vec<libc::pollfd> = streams
        .iter()
        .map(|stream| libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let mut waiting = vec![std::collections::VecDeque::new(); streams.len()];
    let (mut held, mut open) = (vec![0; streams.len()], true);
    let mut last = Instant::now();
    while open || waiting.iter().any(|times| !times.is_empty()) {
        // SAFETY: pointer and count are those of one live vector.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 10) };
        let now = Instant::now();
        loop {
            match sent.try_recv() {
                Ok((at, time)) => waiting[at].push_back(time),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        for (at, _) in polled.iter().enumerate().filter(|(_, entry)| entry.revents != 0) {
            let mut bytes = [0; 16 * ANSWER];
            let count = streams[at].read(&mut bytes).map_err(|error| format!("an answer: {error}"))?;
            if count == 0 {
                return Err("the server closed a connection".to_owned());
            }
            last = now;
            held[at] += count;
            while held[at] >= ANSWER {
                held[at] -= ANSWER;
                // Told before it was sent.
                let time = waiting[at].pop_front().ok_or("an answer to nothing")?;
                let span = now.saturating_duration_since(time).as_nanos() as u64;
                if at < HOTS {
                    let _ = answers.hot.record(span);
                } else {
                    let _ = answers.cold.record(span);
                    let _ = dirty.send(at - HOTS);
                }
            }
        }
        if last.elapsed() > PATIENCE && waiting.iter().any(|times| !times.is_empty()) {
            return Err(format!("nothing was answered for {} s", PATIENCE.as_secs()));
        }
    }
    Ok(answers)
}

/// Sends at a steady pace, whatever comes back; how often no cold file was left to ask for.
fn send(
    streams: &mut [TcpStream],
    plan: &Plan,
    told: &Sender<(usize, Instant)>,
    clean: &Receiver<usize>,
) -> Result<u64, String> {
    soon();
    let period = Duration::from_secs(1) / plan.rate;
    let (start, mut count, mut skipped, mut hots) = (Instant::now(), 0_u32, 0, 0_usize);
    let until = start + Duration::from_secs_f64(plan.seconds);
    loop {
        let next = start + period * count;
        if next >= until {
            return Ok(skipped);
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        // Evenly spread: as many cold ones among any hundred as there should be.
        let is_cold = (count + 1) * plan.percent / 100 > count * plan.percent / 100;
        count += 1;
        let (at, request) = if is_cold {
            let Ok(file) = clean.try_recv() else {
                skipped += 1;
                continue;
            };
            (HOTS + file, Request::Cold(file))
        } else {
            hots += 1;
            (hots % HOTS, Request::Hot((hots * 7 % (HOT_FILE / HOT) * HOT) as u64))
        };
        let _ = told.send((at, Instant::now()));
        streams[at].write_all(&request.bytes()).map_err(|error| format!("a request: {error}"))?;
    }
}

/// One span of load.
fn load(server: &Server, folder: &Path, plan: &Plan) -> Result<(Answers, u64, (u64, u64)), String> {
    let failed = |error: std::io::Error| format!("the load: {error}");
    let open = |at: usize| {
        let address = server.addresses[at % server.addresses.len()];
        // Some bind late.
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(std::io::Error::other(format!("nobody listens at {address}")))
    };
    let mut senders: Vec<TcpStream> =
        (0..HOTS + COLDS).map(open).collect::<Result<_, _>>().map_err(failed)?;
    let receivers: Vec<TcpStream> =
        senders.iter().map(TcpStream::try_clone).collect::<Result<_, _>>().map_err(failed)?;
    let files: Vec<File> =
        (0..COLDS).map(|file| File::open(cold(folder, file))).collect::<Result<_, _>>().map_err(failed)?;
    let ((tell, told), (dirty, evicts), (clean, free)) = (channel(), channel(), channel());
    for file in 0..COLDS {
        let _ = dirty.send(file);
    }
    let evictor = std::thread::spawn(move || evictor(files, &evicts, &clean));
    let receiver = std::thread::spawn(move || receive(receivers, &told, &dirty));
    // The first files leave memory before the first request.
    std::thread::sleep(Duration::from_millis(200));
    let skipped = send(&mut senders, plan, &tell, &free);
    drop(tell);
    let answers = receiver.join().map_err(|_| "the receiving thread panicked")??;
    let evicted = evictor.join().map_err(|_| "the evicting thread panicked")?;
    Ok((answers, skipped?, evicted))
}

/// Starts the server, warms it up, measures, and prints figures as lines `name value`.
pub(crate) fn measure(server: &str, folder: &Path, plan: &Plan) -> Result<(), String> {
    prepare(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // The hot file is in memory.
    std::fs::read(crate::disk::hot(folder)).map_err(|error| format!("the hot file: {error}"))?;
    let mut server = Server::start(server, folder)?;
    let warm_up = Plan { seconds: 0.5, ..*plan };
    load(&server, folder, &warm_up)?;
    let before = server.cpu()?;
    let (answers, skipped, (evicted, warm)) = load(&server, folder, plan)?;
    let cpu = server.cpu()? - before;
    let us = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    let requests = answers.hot.len() + answers.cold.len();
    println!("p50_us {}", us(&answers.hot, 0.5));
    println!("p99_us {}", us(&answers.hot, 0.99));
    println!("p999_us {}", us(&answers.hot, 0.999));
    println!("cold_ms {}", us(&answers.cold, 0.5) / 1e3);
    println!("cold_p99_ms {}", us(&answers.cold, 0.99) / 1e3);
    println!("colds {}", answers.cold.len());
    println!("skipped {skipped}");
    println!("warm {}", 100.0 * warm as f64 / evicted.max(1) as f64);
    println!("cpu_us {}", cpu * 1e6 / requests.max(1) as f64);
    Ok(())
}
