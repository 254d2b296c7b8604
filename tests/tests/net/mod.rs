//! Sockets and pipes, on live kernels and simulated ones.

mod bad;
mod bulk;
mod cancel;
mod cork;
mod ends;
mod fd;
mod listener;
mod messages;
mod names;
mod owned;
mod pipe;
mod resources;
mod stream;
mod takeover;
mod udp;
mod unix;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use pirn::net::{TcpListener, TcpStream};

/// An unused port of the loopback address.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An unused port of this machine, live or simulated.
pub(crate) fn any() -> SocketAddr {
    #[cfg(feature = "sim")]
    if pirn_sim::is_simulated() {
        return SocketAddr::new(pirn_sim::host_addr("host"), 0);
    }
    ANY
}

/// A size for live runs, or a smaller one for simulated runs, which do much more per byte.
pub(crate) fn scale(live: usize, simulated: usize) -> usize {
    #[cfg(feature = "sim")]
    if pirn_sim::is_simulated() {
        return simulated;
    }
    let _ = simulated;
    live
}

/// Runs a test's future as [`on_workers`] does, and in the simulator, on a host with 1 to 3 workers, for some seeds.
pub(crate) fn everywhere<F: AsyncFn() -> io::Result<()> + Copy + Send + Sync + 'static>(name: &str, test: F) {
    on_workers(test);
    #[cfg(feature = "sim")]
    for seed in 0..40 {
        let simulation =
            pirn_sim::Simulation::new(name).host("host", move || leaves_nothing(test)).tso(seed % 2 == 1);
        let verdict = simulation.run(seed).verdict;
        assert!(
            matches!(verdict, pirn_sim::Verdict::Pass),
            "{name} fails in the simulator with seed {seed}: {verdict:?}"
        );
    }
    #[cfg(not(feature = "sim"))]
    let _ = name;
}

/// Runs a test's future on each live backend, on one worker, then on three.
pub(crate) fn on_workers<F: AsyncFn() -> io::Result<()>>(test: F) {
    for backend in crate::process::backends() {
        for workers in [1, 3] {
            let runtime = pirn::Builder::new().workers(workers).backend(backend).build().expect("a runtime");
            runtime.block_on(test()).expect("no I/O error");
        }
    }
}

/// Runs a test on a simulated host, which has no descriptor more than before a little later.
#[cfg(feature = "sim")]
async fn leaves_nothing<F: AsyncFn() -> io::Result<()>>(test: F) -> io::Result<()> {
    let before = pirn_sim::open_descriptors();
    test().await?;
    pirn::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(pirn_sim::open_descriptors(), before, "descriptors are left");
    Ok(())
}

/// Runs a future on a runtime of its own.
fn run<T>(workers: usize, future: impl Future<Output = T>) -> T {
    pirn::Builder::new().workers(workers).build().expect("a runtime").block_on(future)
}

/// A connected pair: the connecting side, the accepted side.
pub(crate) async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(any()).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// A pair whose kernel buffers hold little.
pub(crate) async fn narrow_pair() -> io::Result<(TcpStream, TcpStream)> {
    let (client, server) = pair().await?;
    for stream in [&client, &server] {
        stream.set_send_buffer_size(16 << 10)?;
        stream.set_recv_buffer_size(16 << 10)?;
    }
    Ok((client, server))
}

/// Bytes that say where in the stream they stand.
pub(crate) fn pattern(from: usize, count: usize) -> Vec<u8> {
    crate::os::pattern(from, count)
}
