//! What runs out: descriptors, room, and a disk that fails.

use std::io::ErrorKind;

#[cfg(feature = "sim")]
use pirn::fs::OpenOptions;
use pirn::fs::{self, File};

use super::{in_folder, kind, pattern, runtimes};
use crate::alone::alone;

/// Sets a limit of this process.
fn limit(what: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: libc::RLIM_INFINITY };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both are valid for what the calls do with them.
    unsafe {
        libc::getrlimit(what, &mut old);
        let new = libc::rlimit { rlim_max: old.rlim_max, ..limit };
        assert_eq!(libc::setrlimit(what, &new), 0);
    }
}

#[test]
fn out_of_descriptors() {
    alone("fs::limits::out_of_descriptors", || {
        for (_, runtime) in runtimes() {
            let result = runtime.block_on(in_folder(async |folder| {
                fs::write(folder.join("a"), "abc").await?;
                limit(libc::RLIMIT_NOFILE, 64);
                let mut open = Vec::new();
                let error = loop {
                    match File::open(folder.join("a")).await {
                        Ok(file) => open.push(file),
                        Err(error) => break error,
                    }
                    assert!(open.len() < 64);
                };
                let source = std::error::Error::source(&error).expect("the system's");
                let errno = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
                assert_eq!(errno, Some(libc::EMFILE), "{error}");
                drop(open);
                limit(libc::RLIMIT_NOFILE, 1_024);
                assert_eq!(fs::read(folder.join("a")).await?, b"abc");
                Ok(())
            }));
            result.expect("no other error");
        }
    });
}

#[test]
fn larger_than_a_file_may_be() {
    alone("fs::limits::larger_than_a_file_may_be", || {
        // SAFETY: no handler, so nothing that could run at a bad time.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        for (_, runtime) in runtimes() {
            let result = runtime.block_on(in_folder(async |folder| {
                limit(libc::RLIMIT_FSIZE, 10_000);
                let file = File::create(folder.join("a")).await?;
                assert_eq!(kind(file.write_all_at(&pattern(0, 20_000), 0).await), ErrorKind::FileTooLarge);
                limit(libc::RLIMIT_FSIZE, libc::RLIM_INFINITY);
                let held = fs::read(folder.join("a")).await?;
                assert!(held == pattern(0, held.len()) && held.len() <= 10_000);
                Ok(())
            }));
            result.expect("no other error");
        }
    });
}

#[cfg(feature = "sim")]
mod simulated {
    use std::sync::Arc;
    use std::time::Duration;

    use pirn_sim::{Faults, Simulation, Storage, Verdict};

    use super::*;

    fn passes(simulation: &Simulation, seeds: std::ops::Range<u64>) {
        for seed in seeds {
            let verdict = simulation.run(seed).verdict;
            assert!(matches!(verdict, Verdict::Pass), "seed {seed}: {verdict:?}");
        }
    }

    #[test]
    fn no_room_left() {
        let program = || async {
            let folder = super::super::fresh();
            fs::create_dir(&folder).await.expect("a folder");
            let file = OpenOptions::new().read(true).write(true).create(true).open(folder.join("a")).await;
            let file = file.expect("a file takes no room");
            let bytes = pattern(0, 100_000);
            let error = file.write_all_at(&bytes, 0).await.expect_err("there is room for 64 KiB");
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            let held = fs::read(folder.join("a")).await.expect("it is readable");
            assert!(held == bytes[..65_536], "{} bytes were written", held.len());
            file.set_len(1).await.expect("a file can always be cut");
            file.write_all_at(&bytes[..60_000], 1).await.expect("room again");
            drop(file);
            fs::remove_file(folder.join("a")).await.expect("removed");
            fs::write(folder.join("b"), &bytes[..65_536]).await.expect("room again");
        };
        let storage = Storage { capacity: 65_536, ..Storage::default() };
        passes(&Simulation::new("no room").host("host", program).storage(storage), 0..40);
    }

    /// Descriptors run out at the simulated limit, and come back.
    #[test]
    fn out_of_descriptors() {
        let program = || async {
            let folder = super::super::fresh();
            fs::create_dir(&folder).await.expect("a folder");
            fs::write(folder.join("a"), "abc").await.expect("a file");
            let mut open = Vec::new();
            let error = loop {
                match File::open(folder.join("a")).await {
                    Ok(file) => open.push(file),
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("os error 24"), "{error}");
            assert_eq!(open.len(), 13);
            drop(open);
            assert_eq!(fs::read(folder.join("a")).await.expect("a descriptor is free"), b"abc");
        };
        let network = pirn_sim::Network { descriptors: 16, ..pirn_sim::Network::default() };
        passes(&Simulation::new("descriptors").host("host", program).network(network), 0..20);
    }

    /// A disk that fails: every call answers, an error is one of the disk's, and what is read was written.
    #[test]
    fn a_disk_that_fails() {
        let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let theirs = seen.clone();
        let program = move || {
            let seen = theirs.clone();
            async move {
                let folder = super::super::fresh();
                for round in 0..30 {
                    let result = async {
                        fs::create_dir_all(&folder).await?;
                        let path = folder.join(format!("{}", round % 3));
                        let file = OpenOptions::new().read(true).write(true).create(true).open(&path).await?;
                        file.write_all_at(&pattern(0, 9_000), 0).await?;
                        file.sync_all().await?;
                        drop(file);
                        let held = fs::read(&path).await?;
                        assert!(held == pattern(0, 9_000), "what was synced without an error is there");
                        fs::rename(&path, folder.join("x")).await
                    };
                    if let Err(error) = result.await {
                        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let text = error.to_string();
                        let known = text.contains("os error 5") || text.contains("os error 28");
                        assert!(known, "{error}");
                    }
                }
            }
        };
        let faults = Faults { disk: true, until: Duration::from_secs(1_000), ..Faults::default() };
        passes(&Simulation::new("a disk that fails").host("host", program).faults(faults), 0..60);
        assert!(seen.load(std::sync::atomic::Ordering::Relaxed) > 20, "the disk never failed");
    }
}
