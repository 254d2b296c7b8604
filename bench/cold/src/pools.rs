//! Servers with two threads that share all connections: Pirn, tokio, smol.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use pirn::fs::{ColdReads, OpenOptions};
use pirn::{Backend, Builder, Topology};

use crate::disk::{COLD, COLDS, HOT, cold, hot};
use crate::{ANSWER, ASKS, Request, announce};

/// Threads of a server.
const WORKERS: usize = 2;
/// Workers of the group for cold reads.
const SLOW: usize = 2;
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The files of a server that makes plain calls.
struct Plain {
    hot: File,
    colds: Vec<File>,
}

impl Plain {
    fn open(folder: &Path) -> io::Result<Self> {
        let colds = (0..COLDS).map(|file| File::open(cold(folder, file))).collect::<Result<_, _>>()?;
        Ok(Self { hot: File::open(hot(folder))?, colds })
    }

    /// Reads what is asked for, and waits for it.
    fn read(&self, request: Request, buffer: &mut Vec<u8>) {
        match request {
            Request::Hot(place) => {
                buffer.resize(HOT, 0);
                self.hot.read_exact_at(buffer, place)
            }
            Request::Cold(file) => {
                buffer.resize(COLD, 0);
                self.colds[file].read_exact_at(buffer, 0)
            }
        }
        .expect("a read");
    }
}

fn plain(folder: &Path) -> Result<Arc<Plain>, String> {
    Plain::open(folder).map(Arc::new).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Pirn: `uring-ring`, `uring-slow`, `uring-readahead`, `uring-inline` (blocking in place), `uring-pool` (a thread for every read); or `epoll-`.
pub(crate) fn pirn(folder: &Path, how: &str) -> Result<(), String> {
    let (backend, how) = match how.split_once('-') {
        Some(("uring", how)) => (Backend::Uring, how),
        Some(("epoll", how)) => (Backend::Epoll, how),
        _ => return Err(format!("`{how}`: ask for uring or epoll, and a policy")),
    };
    let topology = Topology::stealing(WORKERS);
    let (topology, policy) = match how {
        "ring" => (topology, Some(ColdReads::Ring)),
        "slow" => (topology.with_slow(SLOW), Some(ColdReads::SlowGroup)),
        "readahead" => (topology, Some(ColdReads::Readahead)),
        "inline" | "pool" => (topology, None),
        other => return Err(format!("there is no policy `{other}`")),
    };
    let failed = |error: io::Error| format!("pirn: {error}");
    let runtime = Builder::new().topology(topology).backend(backend).build().map_err(failed)?;
    let (files, pool) = (plain(folder)?, how == "pool");
    runtime
        .block_on(async {
            let mut options = OpenOptions::new();
            options.read(true).cold_reads(policy.unwrap_or_default());
            let mut open = vec![options.open(hot(folder)).await?];
            for file in 0..COLDS {
                open.push(options.open(cold(folder, file)).await?);
            }
            let open = Arc::new(open);
            let accept = async move {
                let listener = pirn::net::TcpListener::bind(ANY).await?;
                announce(&[listener.local_addr()?]);
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    match policy {
                        Some(policy) => pirn::spawn(by_policy(stream, open.clone(), policy)).detach(),
                        None => pirn::spawn(by_calls(stream, files.clone(), pool)).detach(),
                    }
                }
                #[allow(unreachable_code, reason = "says what it would return")]
                io::Result::Ok(())
            };
            pirn::spawn(accept).await.expect("no panic")
        })
        .map_err(failed)
}

async fn by_policy(
    stream: pirn::net::TcpStream,
    files: Arc<Vec<pirn::fs::File>>,
    policy: ColdReads,
) -> io::Result<()> {
    let (mut request, mut small, mut large) = ([0; ASKS], [0; HOT], Vec::new());
    loop {
        stream.read_exact(&mut request).await?;
        match Request::parse(&request) {
            Request::Hot(place) => {
                files[0].read_exact_at(&mut small, place).await?;
                stream.write_all(&small[..ANSWER]).await?;
            }
            Request::Cold(file) => {
                let file = &files[file + 1];
                if policy == ColdReads::Ring {
                    // The op's own buffer: nothing is copied twice.
                    large.clear();
                    large.reserve_exact(COLD);
                    while large.len() < COLD {
                        let place = large.len() as u64;
                        let (count, back) = file.read_owned_at(large, place).await;
                        large = back;
                        assert!(count? > 0, "a cold file ended early");
                    }
                } else {
                    large.resize(COLD, 0);
                    file.read_exact_at(&mut large, 0).await?;
                }
                stream.write_all(&large[..ANSWER]).await?;
            }
        }
    }
}

async fn by_calls(stream: pirn::net::TcpStream, files: Arc<Plain>, pool: bool) -> io::Result<()> {
    let (mut asked, mut buffers) = ([0; ASKS], [Vec::new(), Vec::new()]);
    loop {
        stream.read_exact(&mut asked).await?;
        let request = Request::parse(&asked);
        let mut buffer = std::mem::take(&mut buffers[usize::from(matches!(request, Request::Cold(_)))]);
        if pool {
            let files = files.clone();
            let call = pirn::spawn_blocking(move || {
                files.read(request, &mut buffer);
                buffer
            });
            buffer = call.await.expect("no panic");
        } else {
            files.read(request, &mut buffer);
        }
        stream.write_all(&buffer[..ANSWER]).await?;
        buffers[usize::from(matches!(request, Request::Cold(_)))] = buffer;
    }
}

/// tokio, a thread of its blocking pool for every read.
pub(crate) fn tokio(folder: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let (runtime, files) = (runtime.map_err(|error| format!("tokio: {error}"))?, plain(folder)?);
    let accept = async move {
        let listener = tokio::net::TcpListener::bind(ANY).await.expect("a listener");
        announce(&[listener.local_addr().expect("its address")]);
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let files = files.clone();
            tokio::spawn(async move {
                let (mut asked, mut buffers) = ([0; ASKS], [Vec::new(), Vec::new()]);
                while tokio::io::AsyncReadExt::read_exact(&mut stream, &mut asked).await.is_ok() {
                    let request = Request::parse(&asked);
                    let kind = usize::from(matches!(request, Request::Cold(_)));
                    let (mut buffer, files) = (std::mem::take(&mut buffers[kind]), files.clone());
                    let call = tokio::task::spawn_blocking(move || {
                        files.read(request, &mut buffer);
                        buffer
                    });
                    buffers[kind] = call.await.expect("no panic");
                    let answer = &buffers[kind][..ANSWER];
                    if tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    };
    runtime.block_on(async { tokio::spawn(accept).await.expect("no panic") })
}

/// smol, a thread of the crate blocking for every read.
pub(crate) fn smol(folder: &Path) -> Result<(), String> {
    static EXECUTOR: smol::Executor<'static> = smol::Executor::new();
    let files = plain(folder)?;
    for _ in 1..WORKERS {
        std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
    }
    let accept = async move {
        let listener = smol::net::TcpListener::bind(ANY).await.expect("a listener");
        announce(&[listener.local_addr().expect("its address")]);
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let files = files.clone();
            let serve = async move {
                let (mut asked, mut buffers) = ([0; ASKS], [Vec::new(), Vec::new()]);
                while smol::io::AsyncReadExt::read_exact(&mut stream, &mut asked).await.is_ok() {
                    let request = Request::parse(&asked);
                    let kind = usize::from(matches!(request, Request::Cold(_)));
                    let (mut buffer, files) = (std::mem::take(&mut buffers[kind]), files.clone());
                    buffers[kind] = smol::unblock(move || {
                        files.read(request, &mut buffer);
                        buffer
                    })
                    .await;
                    let answer = &buffers[kind][..ANSWER];
                    if smol::io::AsyncWriteExt::write_all(&mut stream, answer).await.is_err() {
                        return;
                    }
                }
            };
            EXECUTOR.spawn(serve).detach();
        }
    };
    smol::block_on(EXECUTOR.run(accept))
}
