//! Files, on each live backend and on simulated disks.

mod bad;
mod cancel;
mod cold;
mod cursor;
mod folders;
mod limits;
mod policies;
mod positions;
mod takeover;
mod whole;

use std::io;
use std::path::{Path, PathBuf};

use pirn::{Backend, Builder, Runtime};

/// A test: it gets an empty folder of its own.
trait Test: AsyncFn(&Path) -> io::Result<()> + Copy + Send + Sync + 'static {}

impl<F: AsyncFn(&Path) -> io::Result<()> + Copy + Send + Sync + 'static> Test for F {}

/// Runs a test on each live backend, with one worker and with three, and on a simulated host for some seeds.
fn everywhere(name: &str, test: impl Test) {
    live(name, test);
    #[cfg(feature = "sim")]
    simulated(name, test, pirn_sim::Faults::default());
}

/// Runs a test on each live backend.
fn live(name: &str, test: impl Test) {
    for (backend, runtime) in runtimes() {
        let result = runtime.block_on(in_folder(test));
        result.unwrap_or_else(|error| panic!("{name} on {backend:?}: {error}"));
    }
}

/// A runtime of each backend that this machine has, with one worker and with three.
fn runtimes() -> impl Iterator<Item = (Backend, Runtime)> {
    let all = [(Backend::Epoll, 1), (Backend::Epoll, 3), (Backend::Uring, 1), (Backend::Uring, 3)];
    all.into_iter().filter_map(|(backend, workers)| {
        match Builder::new().workers(workers).backend(backend).build() {
            Ok(runtime) => Some((backend, runtime)),
            Err(error) if backend == Backend::Uring => {
                println!("not on io_uring: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    })
}

/// Runs a test on a simulated host for some seeds.
#[cfg(feature = "sim")]
fn simulated(name: &str, test: impl Test, faults: pirn_sim::Faults) {
    for seed in 0..40 {
        let program = move || async move {
            let before = pirn_sim::open_descriptors();
            in_folder(test).await.expect("no error");
            pirn::time::sleep(std::time::Duration::from_secs(5)).await;
            assert_eq!(pirn_sim::open_descriptors(), before, "descriptors are left");
        };
        let simulation = pirn_sim::Simulation::new(name).host("host", program).faults(faults.clone());
        let verdict = simulation.run(seed).verdict;
        assert!(
            matches!(verdict, pirn_sim::Verdict::Pass),
            "{name} fails in the simulator with seed {seed}: {verdict:?}"
        );
    }
}

/// A path where nothing is.
fn fresh() -> PathBuf {
    let entropy = pirn::Handle::current().os().entropy();
    std::env::temp_dir().join(format!("pirn-fs-{entropy:016x}"))
}

/// Runs a test in a folder that is gone afterwards.
async fn in_folder(test: impl Test) -> io::Result<()> {
    let folder = fresh();
    pirn::fs::create_dir_all(&folder).await?;
    let result = test(&folder).await;
    pirn::fs::remove_dir_all(&folder).await?;
    assert!(!pirn::fs::try_exists(&folder).await?);
    result
}

/// Bytes that say where in the file they stand.
fn pattern(from: usize, count: usize) -> Vec<u8> {
    crate::os::pattern(from, count)
}

/// The kind and the system's number of an error, with or without words around it.
fn kind(result: io::Result<impl std::fmt::Debug>) -> io::ErrorKind {
    result.expect_err("should have failed").kind()
}

/// Polls once, and drops the future if it has to wait.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
