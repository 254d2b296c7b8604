//! File ops of a worker that is stuck in a task, or that has lost its thread: the others see them through, on either backend.

use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use pirn::fs::{self, Advice, File, OpenOptions};
use pirn::time::Instant;
use pirn::{Backend, Builder, Runtime};

use super::{in_folder, pattern};
use crate::support::PATIENCE;

type Boxed = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The ops: reads of what is not in memory, writes, questions, names.
async fn ops(folder: &Path, round: usize) -> io::Result<Vec<Boxed>> {
    let path = folder.join("a");
    let file = OpenOptions::new().read(true).write(true).create(true).open(&path).await?;
    let file = Arc::new(file);
    file.write_all_at(&pattern(0, 300_000), 0).await?;
    file.sync_all().await?;
    file.advise(.., Advice::DontNeed).await?;
    let mut all: Vec<Boxed> = Vec::new();
    for at in [0, 100_000, 250_000] {
        let file = file.clone();
        all.push(Box::pin(async move {
            let (result, bytes) = file.read_owned_at(Vec::with_capacity(5_000), at).await;
            assert_eq!(result?, bytes.len());
            assert!(!bytes.is_empty() && bytes == pattern(at as usize, bytes.len()));
            Ok(())
        }));
    }
    let writer = file.clone();
    all.push(Box::pin(async move { writer.write_all_at(b"end", 400_000).await }));
    all.push(Box::pin(async move { file.sync_data().await }));
    let asked = path.clone();
    all.push(Box::pin(async move { fs::metadata(asked).await.map(drop) }));
    all.push(Box::pin(async move { File::open(path).await.map(drop) }));
    let made: PathBuf = folder.join(format!("made-{round}"));
    all.push(Box::pin(async move { fs::create_dir(made).await }));
    Ok(all)
}

/// Polls each once: the op is submitted here. Those that are done at once have nothing to wait for.
async fn begun(all: Vec<Boxed>) -> io::Result<Vec<Boxed>> {
    let mut waiting = Vec::new();
    for mut future in all {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(result) => result?,
            Poll::Pending => waiting.push(future),
        }
    }
    Ok(waiting)
}

/// Submits ops on this worker, leaves the rest of them to tasks, and computes until they are done or `busy` is over. Whether they were done.
async fn hog(folder: &Path, round: usize, busy: Duration) -> io::Result<bool> {
    let waiting = begun(ops(folder, round).await?).await?;
    let (count, done) = (waiting.len(), Arc::new(AtomicUsize::new(0)));
    assert!(count > 0, "all was done at once: this tests nothing");
    let tasks: Vec<_> = waiting
        .into_iter()
        .map(|future| {
            let done = done.clone();
            pirn::spawn(async move {
                let result = future.await;
                done.fetch_add(1, Ordering::Release);
                result
            })
        })
        .collect();
    let until = Instant::now() + busy;
    let all_done = loop {
        let all_done = done.load(Ordering::Acquire) == count;
        if all_done || Instant::now() >= until {
            break all_done;
        }
        std::hint::spin_loop();
    };
    for task in tasks {
        task.await.expect("no panic")?;
    }
    Ok(all_done)
}

fn runtimes() -> impl Iterator<Item = (Backend, Runtime)> {
    [Backend::Epoll, Backend::Uring].into_iter().filter_map(|backend| {
        match Builder::new().workers(2).backend(backend).build() {
            Ok(runtime) => Some((backend, runtime)),
            Err(error) => {
                println!("not on {backend:?}: {error}");
                None
            }
        }
    })
}

/// Without a takeover none of these would end before the hog gives up.
#[test]
fn a_stuck_worker_holds_up_no_file_op() {
    for (backend, runtime) in runtimes() {
        let result = runtime.block_on(in_folder(async |folder| {
            for round in 0..10 {
                // On the caller's own seat, and on a worker.
                let here = hog(folder, 2 * round, PATIENCE).await?;
                let (theirs, at) = (folder.to_owned(), 2 * round + 1);
                let there = pirn::spawn(async move { hog(&theirs, at, PATIENCE).await });
                let there = there.await.expect("no panic")?;
                assert!(here && there, "round {round}: {here} {there}");
            }
            Ok(())
        }));
        result.unwrap_or_else(|error| panic!("{backend:?}: {error}"));
        let takeovers: u64 = runtime.handle().metrics().workers.iter().map(|worker| worker.takeovers).sum();
        assert!(takeovers > 0, "nobody was overdue on {backend:?}: this tested nothing");
    }
}

/// Held for 20 ms of every 40: most rounds are over while the worker is held, and not by its own doing.
#[test]
fn a_worker_that_is_held_half_of_the_time() {
    const ROUNDS: usize = 20;
    for (backend, runtime) in runtimes() {
        let result = runtime.block_on(in_folder(async |folder| {
            let mut in_time = 0;
            for round in 0..ROUNDS {
                in_time += usize::from(hog(folder, round, Duration::from_millis(20)).await?);
                pirn::time::sleep(Duration::from_millis(20)).await;
            }
            // Syncs wait for the medium, and other programs run on the machine: some may take longer.
            assert!(in_time >= ROUNDS / 4, "{in_time} of {ROUNDS} rounds were over within 20 ms");
            Ok(())
        }));
        result.unwrap_or_else(|error| panic!("{backend:?}: {error}"));
    }
}

/// A thread that leaves block_on and ends takes what it has submitted to the kernel with it; the ops are made again.
#[test]
fn a_thread_that_ends_takes_no_op_along() {
    for (backend, workers) in [(Backend::Epoll, 1), (Backend::Uring, 1), (Backend::Uring, 2)] {
        let Ok(runtime) = Builder::new().workers(workers).backend(backend).build() else { continue };
        runtime
            .block_on(in_folder(async |folder| fs::write(folder.join("probe"), "").await))
            .expect("no error");
        for round in 0..20 {
            let result = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    runtime.block_on(async {
                        let folder = super::fresh();
                        fs::create_dir(&folder).await?;
                        let waiting = begun(ops(&folder, round).await?).await?;
                        let tasks: Vec<_> = waiting.into_iter().map(pirn::spawn).collect();
                        if round % 2 == 0 {
                            // What was staged leaves with this look.
                            pirn::time::sleep(Duration::from_micros(10)).await;
                        }
                        io::Result::Ok((folder, tasks))
                    })
                });
                thread.join().expect("no panic")
            });
            let (folder, tasks) = result.expect("no error");
            runtime.block_on(async {
                for task in tasks {
                    let result = task.await.expect("no panic");
                    result.unwrap_or_else(|error| panic!("round {round} on {backend:?}: {error}"));
                }
                fs::remove_dir_all(&folder).await.expect("removed");
            });
        }
    }
}
