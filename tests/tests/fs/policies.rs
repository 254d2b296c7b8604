//! What reads do about bytes that are not in memory: each policy on each backend and on simulated disks.

use std::io::{self, IoSliceMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pirn::fs::{self, Advice, ColdReads, File, OpenOptions};
use pirn::time::timeout;
use pirn::{Backend, Builder, Handle, Topology};

use super::{Test, in_folder, kind, once, pattern};

const ALL: [ColdReads; 3] = [ColdReads::Ring, ColdReads::SlowGroup, ColdReads::Readahead];
const LENGTH: usize = 300_000;

/// Runs a test as a task of runtimes with a slow group: on each live backend, and on a simulated host for some seeds.
fn with_slow(name: &str, test: impl Test) {
    for (backend, workers) in
        [(Backend::Epoll, 1), (Backend::Epoll, 2), (Backend::Uring, 1), (Backend::Uring, 2)]
    {
        let topology = Topology::stealing(workers).with_slow(1);
        let runtime = match Builder::new().topology(topology).backend(backend).build() {
            Ok(runtime) => runtime,
            Err(error) if backend == Backend::Uring => {
                println!("not on io_uring: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let result = runtime.block_on(in_folder(test));
        result.unwrap_or_else(|error| panic!("{name} on {backend:?}: {error}"));
    }
    #[cfg(feature = "sim")]
    for seed in 0..40 {
        let program = move || async move { in_folder(test).await.expect("no error") };
        let simulation = pirn_sim::Simulation::new(name)
            .host("host", program)
            .topology(pirn_sim::Layout::WithSlow)
            .faults(pirn_sim::Faults::default());
        let outcome = simulation.run(seed);
        assert!(
            matches!(outcome.verdict, pirn_sim::Verdict::Pass),
            "{name} fails in the simulator with seed {seed}: {:?}",
            outcome.verdict
        );
    }
}

/// A file with a policy, thrown out of memory as far as its file system does so.
async fn cold(folder: &Path, policy: ColdReads) -> io::Result<File> {
    let path = folder.join("cold");
    if !fs::try_exists(&path).await? {
        fs::write(&path, pattern(0, LENGTH)).await?;
    }
    let file = OpenOptions::new().read(true).cold_reads(policy).open(&path).await?;
    evict(&file).await?;
    Ok(file)
}

async fn evict(file: &File) -> io::Result<()> {
    file.sync_all().await?;
    file.advise(.., Advice::DontNeed).await
}

/// Polls of the slow group's worker.
fn slow_polls() -> u64 {
    let handle = Handle::current();
    let seat = handle.group("slow").expect("there is one").seats().start;
    handle.metrics().workers[seat].polls
}

/// All ways to read it, cold each time.
async fn read_all_ways(file: &mut File) -> io::Result<()> {
    let whole = pattern(0, LENGTH);
    let mut bytes = vec![0; LENGTH + 100];
    assert_eq!(file.read_at(&mut bytes, 0).await?, LENGTH);
    assert!(bytes[..LENGTH] == whole);
    evict(file).await?;
    let (mut one, mut two) = (vec![0; 70_000], vec![0; 5]);
    let slices = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut []), IoSliceMut::new(&mut two)];
    assert_eq!(file.read_vectored_at(slices, 99_999).await?, 70_005);
    assert!(one == pattern(99_999, 70_000) && two == pattern(169_999, 5));
    evict(file).await?;
    let (mut buffer, mut offset) = (b"kept".to_vec(), 0);
    buffer.reserve_exact(LENGTH + 10);
    while offset < LENGTH {
        let (result, back) = file.read_owned_at(buffer, offset as u64).await;
        buffer = back;
        let count = result?;
        assert!(count > 0 && buffer.len() == 4 + offset + count);
        offset += count;
    }
    assert!(&buffer[..4] == b"kept" && buffer[4..] == whole);
    let (end, buffer) = file.read_owned_at(buffer, LENGTH as u64).await;
    assert_eq!((end?, buffer.len()), (0, 4 + LENGTH));
    evict(file).await?;
    file.seek(io::SeekFrom::Start(1_000)).await?;
    let mut through = Vec::new();
    let mut part = vec![0; 33_000];
    loop {
        match file.read(&mut part).await? {
            0 => break,
            count => through.extend_from_slice(&part[..count]),
        }
    }
    assert!(through == whole[1_000..]);
    Ok(())
}

#[test]
fn every_policy_reads_the_same_bytes() {
    with_slow("every_policy_reads_the_same_bytes", async |folder| {
        for policy in ALL {
            let mut file = cold(folder, policy).await?;
            let before = slow_polls();
            let waits = cold_now(&file).await;
            let home = Handle::current().group("main").expect("the first group");
            let task = pirn::spawn(async move {
                read_all_ways(&mut file).await?;
                // It is back where it was.
                let mut way = std::pin::pin!(pirn::hop(&home));
                Ok::<_, io::Error>(once(way.as_mut()).await.is_some())
            });
            assert!(task.await.expect("no panic")?, "a cold read left its task in the slow group");
            if policy == ColdReads::SlowGroup {
                assert!(slow_polls() > before || !waits, "nothing was read in the slow group");
            } else {
                assert_eq!(slow_polls(), before, "{policy:?} used the slow group");
            }
        }
        Ok(())
    });
}

/// Whether a byte that was evicted has to be waited for. File systems in memory evict nothing.
async fn cold_now(file: &File) -> bool {
    let waits = once(file.read_at(&mut [0], 5_000)).await.is_none();
    evict(file).await.expect("advice");
    waits
}

/// The main future, tasks of `spawn_local` and coroutines read with the slow group's policy too: elsewhere.
#[test]
fn what_cannot_hop_reads_all_the_same() {
    with_slow("what_cannot_hop_reads_all_the_same", async |folder| {
        read_all_ways(&mut cold(folder, ColdReads::SlowGroup).await?).await?;
        let mut file = cold(folder, ColdReads::SlowGroup).await?;
        pirn::spawn_local(async move { read_all_ways(&mut file).await }).await.expect("no panic")?;
        let mut file = cold(folder, ColdReads::SlowGroup).await?;
        pirn::coro::spawn(move || pirn::coro::wait(read_all_ways(&mut file))).await.expect("no panic")
    });
}

#[test]
fn reads_that_are_dropped() {
    with_slow("reads_that_are_dropped", async |folder| {
        for policy in ALL {
            let file = cold(folder, policy).await?;
            let task = pirn::spawn(async move {
                let mut file = file;
                for round in 0..20_u64 {
                    evict(&file).await?;
                    let limit = Duration::from_micros(round * 40);
                    let mut bytes = vec![0; 50_000];
                    let place = round * 10_007;
                    if let Ok(read) = timeout(limit, file.read_at(&mut bytes, place)).await {
                        assert_eq!(read?, bytes.len());
                        assert!(bytes == pattern(place as usize, bytes.len()));
                    }
                    // At the cursor, which a dropped read leaves in its place.
                    file.seek(io::SeekFrom::Start(place)).await?;
                    let moved = match timeout(limit, file.read(&mut bytes)).await {
                        Ok(count) => count?,
                        Err(_) => 0,
                    };
                    let mut rest = vec![0; 100];
                    file.read_exact(&mut rest).await?;
                    assert!(rest == pattern(place as usize + moved, 100), "{policy:?}, round {round}");
                }
                Ok::<_, io::Error>(())
            });
            task.await.expect("no panic")?;
            // One that is aborted on its way.
            let file = cold(folder, policy).await?;
            let task = pirn::spawn(async move { file.read_at(&mut vec![0; LENGTH], 0).await.map(drop) });
            pirn::time::sleep(Duration::from_micros(50)).await;
            task.abort();
            let _ = task.await;
        }
        Ok(())
    });
}

/// After a load a read of the range is done in place; what can't be read can't be loaded.
#[test]
fn a_load_brings_a_range_into_memory() {
    super::live("a_load_brings_a_range_into_memory", async |folder| {
        let file = cold(folder, ColdReads::Ring).await?;
        let waits = cold_now(&file).await;
        let mut bytes = vec![0; 100_000];
        for range in [5_000..105_000, 0..u64::MAX] {
            evict(&file).await?;
            file.load(range).await?;
            let read = once(file.read_at(&mut bytes, 5_000)).await;
            // A file system that can't tell answers no question, warm or cold.
            assert!(read.is_some() || !waits || once(file.read_at(&mut bytes, 0)).await.is_none());
        }
        file.load(..).await?;
        file.load(7..7).await?;
        file.load(LENGTH as u64..).await?;
        file.read_exact_at(&mut bytes, 0).await?;
        assert!(bytes == pattern(0, bytes.len()));
        let writer = File::create(folder.join("written")).await?;
        writer.write_all_at(&bytes, 0).await?;
        assert!(writer.load(..).await.is_err(), "a file that is open to write only was read");
        Ok(())
    });
    #[cfg(feature = "sim")]
    super::simulated(
        "a_load",
        async |folder| {
            let file = cold(folder, ColdReads::Ring).await?;
            file.load(5_000..105_000).await?;
            let mut bytes = vec![0; 100_000];
            file.read_exact_at(&mut bytes, 5_000).await?;
            assert!(bytes == pattern(5_000, bytes.len()));
            let writer = File::create(folder.join("written")).await?;
            assert!(writer.load(0..5).await.is_err(), "a file that is open to write only was read");
            Ok(())
        },
        pirn_sim::Faults::default(),
    );
}

#[test]
fn a_runtime_without_a_slow_group_says_so() {
    super::everywhere("a_runtime_without_a_slow_group_says_so", async |folder| {
        fs::write(folder.join("a"), "text").await?;
        let opened =
            OpenOptions::new().read(true).cold_reads(ColdReads::SlowGroup).open(folder.join("a")).await;
        let error = opened.expect_err("there is no such group");
        assert!(error.to_string().contains("Topology::with_slow"), "{error}");
        assert_eq!(kind(Err::<(), _>(error)), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

/// With one worker besides the slow one: what is in memory is read in place while the slow one waits for the medium, again and again.
#[test]
fn hot_reads_do_not_wait_for_the_slow_group() {
    for backend in [Backend::Epoll, Backend::Uring] {
        let Ok(runtime) =
            Builder::new().topology(Topology::stealing(1).with_slow(1)).backend(backend).build()
        else {
            continue;
        };
        let result = runtime.block_on(in_folder(async |folder| {
            fs::write(folder.join("hot"), pattern(0, 4_096)).await?;
            let hot = File::open(folder.join("hot")).await?;
            let mut bytes = [0; 4_096];
            hot.read_exact_at(&mut bytes, 0).await?;
            let asks_memory = once(hot.read_at(&mut bytes, 0)).await.is_some();
            let file = cold(folder, ColdReads::SlowGroup).await?;
            let (stop, stops) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (asked, ended) = (stop.clone(), stops.clone());
            let reader = pirn::spawn(async move {
                let mut bytes = vec![0; LENGTH];
                while !asked.load(Ordering::Relaxed) {
                    evict(&file).await?;
                    file.read_exact_at(&mut bytes, 0).await?;
                }
                ended.store(true, Ordering::Relaxed);
                Ok::<_, io::Error>(())
            });
            let before = slow_polls();
            let mut beside = 0;
            while beside < 300 || slow_polls() < before + 3 {
                let read = once(hot.read_at(&mut bytes, 0)).await;
                assert!(read.is_some() || !asks_memory, "what is in memory is read at once");
                assert!(!stops.load(Ordering::Relaxed), "the cold reader has failed");
                beside += 1;
                pirn::yield_now().await;
                if !asks_memory && beside >= 300 {
                    break;
                }
                assert!(beside < 10_000_000, "nothing is read in the slow group");
            }
            stop.store(true, Ordering::Relaxed);
            reader.await.expect("no panic")
        }));
        result.unwrap_or_else(|error| panic!("on {backend:?}: {error}"));
    }
}
