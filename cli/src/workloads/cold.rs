//! File serving, hot and cold: most requests read 4 KiB of a file that is in memory, the others a whole file that was thrown out of it on
//! purpose. Latencies are those of the hot ones: nobody should see the cold ones in them.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pirn::fs::{self, Advice, ColdReads, File, OpenOptions};
use pirn::net::TcpStream;
use pirn::time::Instant;

use super::{Clock, Host, Place, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "cold",
    about: "a file server whose hot files are in memory and whose cold ones are evicted after each read",
    unit: "requests",
    latency: "hot request",
    hosts: &[
        Host { name: "server", main: |setting| Box::pin(server(setting)) },
        Host { name: "client", main: |setting| Box::pin(client(setting)) },
    ],
    small: Size { width: 3, rounds: 6, bytes: 30_000 },
    large: Size { width: 16, rounds: 0, bytes: 16 << 20 },
};

/// What the workload is told beside its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    /// Of the cold files; `None`: drawn.
    pub(crate) policy: Option<ColdReads>,
    /// Of a hundred requests so many are cold.
    pub(crate) percent: u32,
}

impl Default for Cold {
    /// As the simulated runs have it.
    fn default() -> Self {
        Self { policy: None, percent: 40 }
    }
}

/// Bytes that a hot request reads.
const HOT: usize = 4 << 10;
/// Bytes of the hot file.
const HOT_FILE: usize = 16 * HOT;
/// A request: kind (0: hot), place; an answer: so many bytes of what was read.
const MESSAGE: usize = 8;

/// The byte at a place of a file.
fn byte(file: u32, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 11) ^ file as usize) as u8
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// The hot file has the number 0, the cold one of a connection its number and 1.
fn path(folder: &Path, file: u32) -> PathBuf {
    folder.join(format!("{file}"))
}

async fn server(setting: Arc<Setting>) -> Result<Report, String> {
    let handle = pirn::Handle::current();
    let folder = std::env::temp_dir().join(format!("pirn-cold-{:016x}", handle.os().entropy()));
    fs::create_dir_all(&folder).await.map_err(failed("the workload's folder"))?;
    let result = serve_from(&setting, &folder).await;
    fs::remove_dir_all(&folder).await.map_err(failed("cleaning up"))?;
    result
}

async fn serve_from(setting: &Arc<Setting>, folder: &Path) -> Result<Report, String> {
    let policy = setting.cold.policy.unwrap_or_else(|| {
        let choices = if pirn::Handle::current().group("slow").is_ok() { 3 } else { 2 };
        [ColdReads::Ring, ColdReads::Readahead, ColdReads::SlowGroup][Random::new().below(choices) as usize]
    });
    for file in 0..=setting.size.width {
        let length = if file == 0 { HOT_FILE } else { setting.size.bytes as usize };
        let bytes: Vec<u8> = (0..length).map(|at| byte(file, at)).collect();
        fs::write(path(folder, file), bytes).await.map_err(failed("a file to serve"))?;
    }
    let hot = Arc::new(File::open(path(folder, 0)).await.map_err(failed("the hot file"))?);
    let listener = setting.listen().await?;
    let mut connections = Vec::new();
    for file in 1..=setting.size.width {
        let (stream, _) = listener.accept().await.map_err(failed("the server can't accept"))?;
        let cold = OpenOptions::new().read(true).cold_reads(policy).open(path(folder, file)).await;
        let cold = cold.map_err(failed("a cold file (a slow group: --topology with-slow)"))?;
        evict(&cold).await?;
        let (hot, cold, size) = (Arc::clone(&hot), Arc::new(cold), setting.size.bytes as usize);
        connections.push(pirn::spawn(serve(stream, hot, (file, cold), size)));
    }
    let (mut report, mut colds, mut warm) = (setting.report(), 0, 0);
    for connection in connections {
        let served = finished(connection).await??;
        report.count += served.requests;
        colds += served.colds;
        warm += served.warm;
    }
    if matches!(setting.place, Place::Live { .. }) {
        println!("  {policy:?}: {colds} cold reads, {warm} of them of a file that was in memory after all");
    }
    Ok(report)
}

/// What a connection was served.
#[derive(Default)]
struct Served {
    requests: u64,
    colds: u64,
    warm: u64,
}

async fn serve(
    stream: TcpStream,
    hot: Arc<File>,
    (number, cold): (u32, Arc<File>),
    size: usize,
) -> Result<Served, String> {
    stream.set_nodelay(true).map_err(failed("a connection"))?;
    let mut served = Served::default();
    let (mut request, mut small, mut large) = ([0; MESSAGE], vec![0; HOT], vec![0; size]);
    // On its own, so that no hot request stands behind it.
    let mut evicting = None;
    loop {
        match stream.read_exact(&mut request).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                if let Some(task) = evicting {
                    finished(task).await??;
                }
                return Ok(served);
            }
            Err(error) => return Err(format!("a request: {error}")),
        }
        let word = |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().expect("four bytes"));
        let (is_cold, place) = (word(0) != 0, word(4) as usize);
        served.requests += 1;
        if is_cold {
            if let Some(task) = evicting.take() {
                finished(task).await??;
            }
            large.fill(0);
            served.colds += 1;
            served.warm += u64::from(is_warm(&cold));
            let count = cold.read_at(&mut large, 0).await.map_err(failed("a cold read"))?;
            verify(number, 0, &large[..count], size)?;
            stream.write_all(&large[..MESSAGE]).await.map_err(failed("an answer"))?;
            let file = Arc::clone(&cold);
            evicting = Some(pirn::spawn(async move { evict(&file).await }));
        } else {
            let count = hot.read_at(&mut small, place as u64).await.map_err(failed("a hot read"))?;
            verify(0, place, &small[..count], HOT)?;
            stream.write_all(&small[..MESSAGE]).await.map_err(failed("an answer"))?;
        }
    }
}

/// Compares a byte of each 512.
fn verify(file: u32, place: usize, bytes: &[u8], size: usize) -> Result<(), String> {
    check(bytes.len() == size, || format!("{} of {size} bytes were read of file {file}", bytes.len()))?;
    for at in (0..size).step_by(512) {
        let (is, should) = (bytes[at], byte(file, place + at));
        check(is == should, || format!("byte {} of file {file} is {is} in place of {should}", place + at))?;
    }
    Ok(())
}

/// Whether the first byte of a file is in memory although it was evicted. Files of the simulator have no descriptor to ask.
fn is_warm(file: &File) -> bool {
    let Ok(file) = file.to_std() else { return false };
    let mut byte = 0_u8;
    let slice = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: `slice` describes one byte that lives through the call, which never waits.
    unsafe { libc::preadv2(file.as_raw_fd(), &slice, 1, 0, libc::RWF_NOWAIT) == 1 }
}

/// Throws a file out of memory, as far as its file system does so.
async fn evict(file: &File) -> Result<(), String> {
    // Only clean pages go; a sync of a clean file costs little.
    file.sync_data().await.map_err(failed("a sync"))?;
    file.advise(.., Advice::DontNeed).await.map_err(failed("advice"))
}

async fn client(setting: Arc<Setting>) -> Result<Report, String> {
    let clock = setting.clock();
    let tasks: Vec<_> =
        (0..setting.size.width).map(|_| pirn::spawn(ask(setting.clone(), clock.clone()))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    Ok(report)
}

/// One connection: one request at a time.
async fn ask(setting: Arc<Setting>, mut clock: Clock) -> Result<Report, String> {
    let random = Random::new();
    let stream = setting.connect().await?;
    stream.set_nodelay(true).map_err(failed("a connection"))?;
    let mut report = setting.report();
    let mut answer = [0; MESSAGE];
    while clock.again() {
        let is_cold = random.below(100) < setting.cold.percent;
        let place = if is_cold { 0 } else { HOT as u32 * random.below((HOT_FILE / HOT) as u32) };
        let request = [u32::from(is_cold).to_le_bytes(), place.to_le_bytes()].concat();
        let start = Instant::now();
        stream.write_all(&request).await.map_err(failed("a request"))?;
        stream.read_exact(&mut answer).await.map_err(failed("an answer"))?;
        if is_cold {
            report.count += 1;
        } else {
            report.record(start.elapsed());
        }
    }
    Ok(report)
}
