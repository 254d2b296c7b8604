//! Large and cold reads delay nobody else: the worker goes on between their parts.

use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use pirn::fs::{self, Advice, File};

use super::{live, once, pattern};

const LARGE: usize = 16 << 20;
/// The parts that a read of so much has at least: one copy moves 256 KiB at most.
const PARTS: usize = LARGE / (256 << 10);

/// How often a future was polled until it was ready, and what it came to.
async fn polls<T>(future: impl Future<Output = T>) -> (usize, T) {
    let (mut future, mut count) = (pin!(future), 0);
    let output = poll_fn(|context| {
        count += 1;
        future.as_mut().poll(context)
    });
    let output = output.await;
    (count, output)
}

/// A large file, in memory or thrown out of it as far as the kernel does so.
async fn large(folder: &Path, cold: bool) -> io::Result<File> {
    let path = folder.join("large");
    if !fs::try_exists(&path).await? {
        fs::write(&path, pattern(0, LARGE)).await?;
    }
    let file = File::open(&path).await?;
    file.sync_all().await?;
    if cold {
        file.advise(.., Advice::DontNeed).await?;
    }
    Ok(file)
}

#[test]
fn a_large_read_makes_breaks() {
    live("a_large_read_makes_breaks", async |folder| {
        let mut bytes = vec![0; LARGE];
        for cold in [false, true] {
            let file = large(folder, cold).await?;
            bytes.fill(0);
            let (count, read) = polls(file.read_at(&mut bytes, 0)).await;
            assert_eq!(read?, LARGE);
            assert!(bytes == pattern(0, LARGE));
            assert!(count > PARTS / 2, "{count} polls for {LARGE} bytes, cold: {cold}");
        }
        // One op, and no copy by the worker at all.
        let file = large(folder, true).await?;
        let (read, owned) = file.read_owned_at(Vec::with_capacity(LARGE), 0).await;
        assert!(read? > 0 && owned == pattern(0, owned.len()));
        Ok(())
    });
}

#[test]
fn a_large_write_makes_breaks() {
    live("a_large_write_makes_breaks", async |folder| {
        let file = File::create(folder.join("written")).await?;
        let bytes = pattern(0, LARGE);
        let (count, result) = polls(file.write_all_at(&bytes, 0)).await;
        result?;
        assert!(count > PARTS / 2, "{count} polls for {LARGE} bytes");
        assert!(fs::read(folder.join("written")).await? == bytes);
        Ok(())
    });
}

/// On one worker and on three: while files are read that are not in memory, what is in memory is read at once, often.
#[test]
fn hot_reads_beside_cold_ones() {
    live("hot_reads_beside_cold_ones", async |folder| {
        fs::write(folder.join("hot"), pattern(0, 4_096)).await?;
        let hot = File::open(folder.join("hot")).await?;
        let mut bytes = [0; 4_096];
        hot.read_exact_at(&mut bytes, 0).await?;
        let asks_memory = once(hot.read_at(&mut bytes, 0)).await.is_some();
        let file = Arc::new(large(folder, true).await?);
        let (stop, mut cold) = (Arc::new(AtomicBool::new(false)), Vec::new());
        for _ in 0..2 {
            let (file, stop) = (file.clone(), stop.clone());
            cold.push(pirn::spawn(async move {
                let (mut bytes, mut rounds) = (vec![0; LARGE], 0);
                while !stop.load(Ordering::Relaxed) {
                    file.advise(.., Advice::DontNeed).await?;
                    file.read_exact_at(&mut bytes, 0).await?;
                    rounds += 1;
                }
                io::Result::Ok(rounds)
            }));
        }
        let mut beside = 0;
        while beside < 300 || cold.iter().any(|task| task.is_finished()) {
            let mut read = pin!(hot.read_at(&mut bytes, 0));
            let polled = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await;
            match polled {
                Poll::Ready(count) => assert_eq!(count?, 4_096),
                Poll::Pending => {
                    assert!(!asks_memory, "what is in memory is read at once");
                    assert_eq!(read.await?, 4_096);
                }
            }
            beside += 1;
            pirn::yield_now().await;
            assert!(beside < 100_000, "a cold reader has failed");
        }
        stop.store(true, Ordering::Relaxed);
        for task in cold {
            let rounds: usize = task.await.expect("no panic")?;
            // A reader that went through its file without breaks would have let the hot ones on once a file.
            let alone = pirn::Handle::current().metrics().workers.len() == 1;
            assert!(!alone || rounds * PARTS / 4 <= beside, "{rounds} files beside {beside} hot reads");
        }
        Ok(())
    });
}
