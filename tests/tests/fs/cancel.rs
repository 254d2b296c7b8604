//! Each future of `fs`, dropped at its k-th poll for every k: nothing leaks, nothing is stuck, buffers stay valid.

use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use pirn::fs::{self, Advice, File, OpenOptions, Permissions};
use pirn::time::timeout;

use super::{in_folder, pattern, runtimes};
use crate::alone::alone;

type Boxed = Pin<Box<dyn Future<Output = io::Result<()>>>>;
type Make = fn(PathBuf) -> Boxed;

/// What is tried, by name. Each makes its future anew; what it needs stands in the folder.
const FUTURES: &[(&str, Make)] = &[
    ("open", |at| Box::pin(async move { File::open(at.join("a")).await.map(drop) })),
    ("create", |at| Box::pin(async move { File::create(at.join("new")).await.map(drop) })),
    ("read", |at| Box::pin(async move { fs::read(at.join("a")).await.map(drop) })),
    ("read_to_string", |at| Box::pin(async move { fs::read_to_string(at.join("text")).await.map(drop) })),
    ("write", |at| Box::pin(async move { fs::write(at.join("new"), pattern(0, 5_000)).await })),
    ("copy", |at| Box::pin(async move { fs::copy(at.join("a"), at.join("new")).await.map(drop) })),
    ("metadata", |at| Box::pin(async move { fs::metadata(at.join("a")).await.map(drop) })),
    ("symlink_metadata", |at| Box::pin(async move { fs::symlink_metadata(at.join("s")).await.map(drop) })),
    ("set_permissions", |at| {
        Box::pin(async move { fs::set_permissions(at.join("a"), Permissions::from_mode(0o644)).await })
    }),
    ("read_dir", |at| {
        Box::pin(async move {
            let mut entries = fs::read_dir(at).await?;
            while entries.next().await?.is_some() {}
            Ok(())
        })
    }),
    ("create_dir_all", |at| Box::pin(async move { fs::create_dir_all(at.join("d/e/f")).await })),
    ("remove_dir_all", |at| {
        Box::pin(async move {
            fs::create_dir_all(at.join("d/e/f")).await?;
            fs::remove_dir_all(at.join("d")).await
        })
    }),
    ("names", |at| {
        Box::pin(async move {
            let (one, two) = (at.join("one"), at.join("two"));
            drop(fs::hard_link(at.join("a"), &one).await);
            drop(fs::rename(&one, &two).await);
            drop(fs::symlink("two", &one).await);
            drop(fs::read_link(&one).await);
            drop(fs::canonicalize(&one).await);
            drop(fs::remove_file(&one).await);
            drop(fs::remove_file(&two).await);
            Ok(())
        })
    }),
    ("at places", |at| {
        Box::pin(async move {
            let file = OpenOptions::new().read(true).write(true).create(true).open(at.join("b")).await?;
            file.write_all_at(&pattern(0, 3_000), 0).await?;
            file.write_owned_at(pattern(3_000, 3_000), 3_000).await.0?;
            file.sync_data().await?;
            file.advise(.., Advice::DontNeed).await?;
            file.readahead(..100).await?;
            let mut some = [0; 1_000];
            file.read_at(&mut some, 100).await?;
            file.read_owned_at(Vec::with_capacity(500), 10).await.0?;
            file.set_len(6_000).await?;
            file.sync_all().await?;
            file.close().await
        })
    }),
    ("at the cursor", |at| {
        Box::pin(async move {
            let mut file = OpenOptions::new().read(true).write(true).create(true).open(at.join("c")).await?;
            file.write_all(&pattern(0, 3_000)).await?;
            file.sync_data().await?;
            file.advise(.., Advice::DontNeed).await?;
            file.seek(io::SeekFrom::End(-2_000)).await?;
            let mut some = [0; 1_000];
            file.read_exact(&mut some).await?;
            file.flush().await
        })
    }),
    ("timeout", |at| {
        Box::pin(async move {
            match timeout(Duration::from_micros(30), fs::read(at.join("a"))).await {
                Ok(result) => result.map(drop),
                Err(_) => Ok(()),
            }
        })
    }),
];

/// Polls a future at most `polls` times, and then drops it. Whether it ended.
async fn polled(mut future: Boxed, polls: usize) -> io::Result<bool> {
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
        Poll::Pending if left == 0 => Poll::Ready(Ok(false)),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Makes each future and drops it at each poll until it ends.
async fn each_at_each_poll(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("a"), pattern(0, 20_000)).await?;
    fs::write(folder.join("text"), "text").await?;
    fs::symlink("a", folder.join("s")).await?;
    for (name, make) in FUTURES {
        let mut polls = 0;
        loop {
            // What an earlier one has still under way does its work elsewhere.
            let own = folder.join(format!("{name}-{polls}"));
            fs::create_dir(&own).await?;
            for file in ["a", "text", "s"] {
                fs::hard_link(folder.join(file), own.join(file)).await?;
            }
            let ended = polled(make(own), polls).await;
            if ended.map_err(|error| io::Error::other(format!("{name} at poll {polls}: {error}")))? {
                break;
            }
            polls += 1;
            assert!(polls < 1_000, "{name} never ends");
        }
        assert!(fs::read(folder.join("a")).await? == pattern(0, 20_000), "{name} changed what it reads");
    }
    // What was under way when its future went may make a name yet.
    let pause =
        if cfg!(feature = "sim") && pirn::Handle::current().os().name() == "sim" { 10_000 } else { 20 };
    pirn::time::sleep(Duration::from_millis(pause)).await;
    Ok(())
}

/// Files of these tests that this process has open.
fn open_files() -> usize {
    let mine = std::env::temp_dir().join("pirn-fs-");
    let mine = mine.to_str().expect("text").to_owned();
    let links = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    let names = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(&mine))).count()
}

#[test]
fn live() {
    alone("fs::cancel::live", || {
        for (backend, runtime) in runtimes() {
            for _ in 0..5 {
                runtime.block_on(in_folder(each_at_each_poll)).expect("no error");
            }
            // What was under way when its future went closes a little later.
            crate::support::eventually(&format!("all files are closed on {backend:?}"), || {
                runtime.block_on(async { pirn::time::sleep(Duration::from_millis(1)).await });
                open_files() == 0
            });
        }
    });
}

/// A named pipe that nobody has open at its other end keeps an open waiting on a side thread, which can't be called back. Nobody
/// else waits for it, and it ends when the other end comes.
#[test]
fn an_open_that_would_wait_for_ever() {
    alone("fs::cancel::an_open_that_would_wait_for_ever", || {
        for (_, runtime) in runtimes() {
            let result = runtime.block_on(in_folder(async |folder| {
                let path = folder.join("pipe");
                let name = std::ffi::CString::new(path.to_str().expect("text"))?;
                // SAFETY: a string with its end.
                assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
                for _ in 0..3 {
                    let opened = timeout(Duration::from_millis(5), File::open(&path)).await;
                    assert!(opened.is_err(), "{opened:?}");
                }
                fs::write(folder.join("other"), "abc").await?;
                let writer = timeout(Duration::from_millis(5), fs::write(&path, "abc")).await;
                // It may find the ends to read that wait; bytes have no places in a pipe.
                assert!(!matches!(writer, Ok(Ok(()))), "{writer:?}");
                // Lets the side threads go.
                drop(OpenOptions::new().read(true).write(true).open(&path).await?);
                Ok(())
            }));
            result.expect("no error");
            runtime.shutdown_timeout(Duration::from_secs(10)).expect("it ends");
        }
        crate::support::eventually("all files are closed", || open_files() == 0);
    });
}

#[cfg(feature = "sim")]
#[test]
fn simulated() {
    super::simulated("cancelled files", each_at_each_poll, pirn_sim::Faults::default());
}

#[cfg(feature = "sim")]
#[test]
fn simulated_in_tso_mode() {
    for seed in 0..20 {
        let program = || async { in_folder(each_at_each_poll).await.expect("no error") };
        let simulation = pirn_sim::Simulation::new("cancelled files").host("host", program).tso(true);
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
