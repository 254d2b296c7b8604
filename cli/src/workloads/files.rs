//! Files: a shared file of which each task writes its own region and reads everybody's, hot and cold, while reads and writes
//! are dropped half-way and small files come and go. Each byte that is read must be of a version that was there.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pirn::fs::{self, Advice, File, OpenOptions};
use pirn::time::{Instant, timeout};

use super::{Host, Random, Report, Setting, Size, Workload, check, finished};

pub(crate) const WORKLOAD: Workload = Workload {
    name: "files",
    about: "one file written and read by all, hot and cold, dropped reads and writes, small files that come and go",
    unit: "operations",
    latency: "read",
    hosts: &[Host { name: "main", main: |setting| Box::pin(main(setting)) }],
    small: Size { width: 3, rounds: 4, bytes: 5_000 },
    large: Size { width: 16, rounds: 0, bytes: 64_000 },
};

/// A version's byte: a prime number of them, so that old ones are not taken for new ones.
const BYTES: u64 = 251;

/// What is known of a region: each byte of it is of a version from `settled` to `begun`.
#[derive(Debug, Default)]
struct Region {
    settled: AtomicU64,
    begun: AtomicU64,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    file: File,
    regions: Vec<Region>,
    size: usize,
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

async fn main(setting: Arc<Setting>) -> Result<Report, String> {
    let entropy = pirn::Handle::current().os().entropy();
    let folder = std::env::temp_dir().join(format!("pirn-files-{entropy:016x}"));
    fs::create_dir_all(&folder).await.map_err(failed("the workload's folder"))?;
    let (width, size) = (setting.size.width as usize, setting.size.bytes as usize);
    let path = folder.join("shared");
    fs::write(&path, vec![0; width * size]).await.map_err(failed("the shared file"))?;
    let file = open(&path).await?;
    let regions = (0..width).map(|_| Region::default()).collect();
    let shared = Arc::new(Shared { folder: folder.clone(), file, regions, size });
    let tasks: Vec<_> =
        (0..width).map(|number| pirn::spawn(user(setting.clone(), shared.clone(), number))).collect();
    let mut report = setting.report();
    for task in tasks {
        report.merge(finished(task).await??);
    }
    // Nobody writes any more: the file holds what its tasks left.
    let whole = fs::read(&path).await.map_err(failed("the shared file"))?;
    check(whole.len() == width * size, || format!("the shared file has {} bytes", whole.len()))?;
    for (number, region) in shared.regions.iter().enumerate() {
        let floor = region.settled.load(Ordering::Relaxed);
        region.holds(number, &whole[number * size..][..size], floor)?;
    }
    let mut entries = fs::read_dir(&folder).await.map_err(failed("the folder"))?;
    while let Some(entry) = entries.next().await.map_err(failed("the folder"))? {
        check(entry.file_name() == "shared", || format!("{:?} was left", entry.file_name()))?;
    }
    drop(shared);
    fs::remove_dir_all(&folder).await.map_err(failed("cleaning up"))?;
    Ok(report)
}

async fn open(path: &Path) -> Result<File, String> {
    OpenOptions::new().read(true).write(true).open(path).await.map_err(failed("the shared file"))
}

impl Region {
    /// Whether bytes that were read are of versions that were there. `floor` was settled before the read.
    fn holds(&self, number: usize, bytes: &[u8], floor: u64) -> Result<(), String> {
        let top = self.begun.load(Ordering::SeqCst);
        if top - floor >= BYTES {
            return Ok(());
        }
        for (at, byte) in bytes.iter().enumerate() {
            check((floor..=top).any(|version| (version % BYTES) as u8 == *byte), || {
                format!(
                    "byte {at} of region {number} is {byte}, and should be of a version from {floor} to {top}"
                )
            })?;
        }
        Ok(())
    }
}

impl Shared {
    /// Reads a part of a region and checks it.
    async fn read(&self, number: usize) -> Result<(), String> {
        let random = Random::new();
        let at = random.below(self.size as u32) as usize;
        let count = 1 + random.below((self.size - at) as u32) as usize;
        let place = (number * self.size + at) as u64;
        let region = &self.regions[number];
        let floor = region.settled.load(Ordering::SeqCst);
        let bytes = if random.below(2) == 0 {
            let mut bytes = vec![0; count];
            let got = self.file.read_at(&mut bytes, place).await.map_err(failed("a read"))?;
            check(got == count, || format!("{got} of {count} bytes were read at {place}"))?;
            bytes
        } else {
            let (result, mut bytes) = self.file.read_owned_at(Vec::with_capacity(count), place).await;
            let got = result.map_err(failed("an owned read"))?;
            check(got > 0, || format!("nothing was read at {place}"))?;
            bytes.truncate(count);
            bytes
        };
        region.holds(number, &bytes, floor)
    }

    /// Writes the next version of a region, in odd pieces.
    async fn write(&self, number: usize) -> Result<(), String> {
        let random = Random::new();
        let region = &self.regions[number];
        let version = region.begun.load(Ordering::Relaxed) + 1;
        region.begun.store(version, Ordering::SeqCst);
        let bytes = vec![(version % BYTES) as u8; self.size];
        let place = (number * self.size) as u64;
        if random.below(2) == 0 {
            let (one, two) = bytes.split_at(random.below(self.size as u32) as usize);
            self.file.write_all_at(two, place + one.len() as u64).await.map_err(failed("a write"))?;
            self.file.write_all_at(one, place).await.map_err(failed("a write"))?;
        } else {
            self.file.write_owned_at(bytes, place).await.0.map_err(failed("an owned write"))?;
        }
        region.settled.store(version, Ordering::SeqCst);
        Ok(())
    }

    /// Begins to write the next version at a cursor of its own, and may give up. The flush waits for what was given up, so
    /// that it can't overtake a later write.
    async fn give_up_a_write(&self, number: usize) -> Result<(), String> {
        let random = Random::new();
        let region = &self.regions[number];
        let version = region.begun.load(Ordering::Relaxed) + 1;
        region.begun.store(version, Ordering::SeqCst);
        let mut file = self.file.try_clone();
        let place = (number * self.size) as u64;
        file.seek(SeekFrom::Start(place)).await.map_err(failed("a seek"))?;
        let limit = Duration::from_micros(u64::from(random.below(300)));
        let bytes = vec![(version % BYTES) as u8; self.size];
        let wrote = timeout(limit, file.write(&bytes)).await;
        file.flush().await.map_err(failed("a write that was given up"))?;
        let end = file.seek(SeekFrom::Current(0)).await.map_err(failed("a seek"))?;
        let moved = (end - place) as usize;
        match wrote {
            Ok(count) => {
                let count = count.map_err(failed("a write"))?;
                check(moved == count, || format!("a write of {count} bytes moved the cursor by {moved}"))?;
            }
            Err(_) => check(moved <= self.size, || format!("a dropped write moved the cursor by {moved}"))?,
        }
        // Nobody else writes here: the cursor stands behind what was written.
        let mut now = vec![0; self.size];
        self.file.read_exact_at(&mut now, place).await.map_err(failed("a read"))?;
        let fresh = now.iter().take_while(|byte| **byte == (version % BYTES) as u8).count();
        check(fresh == moved, || format!("a write of {fresh} bytes moved the cursor by {moved}"))?;
        if moved == self.size {
            region.settled.store(version, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Makes a small file under one name, and replaces it by another.
    async fn replace(&self, number: usize) -> Result<(), String> {
        let random = Random::new();
        let (old, new) = (self.folder.join(format!("{number}")), self.folder.join(format!("{number}.new")));
        let text = vec![b'a' + (number % 26) as u8; random.below(3_000) as usize];
        fs::write(&old, "old").await.map_err(failed("a small file"))?;
        fs::write(&new, &text).await.map_err(failed("a small file"))?;
        fs::rename(&new, &old).await.map_err(failed("a rename"))?;
        let back = fs::read(&old).await.map_err(failed("a small file"))?;
        check(back == text, || {
            format!("a small file holds {} bytes in place of {}", back.len(), text.len())
        })?;
        fs::remove_file(&old).await.map_err(failed("a removal"))
    }
}

async fn user(setting: Arc<Setting>, shared: Arc<Shared>, number: usize) -> Result<Report, String> {
    let random = Random::new();
    let mut report = setting.report();
    let mut clock = setting.clock();
    while clock.again() {
        let other = random.below(setting.size.width) as usize;
        match random.below(16) {
            0..=2 => shared.write(number).await?,
            3 => shared.give_up_a_write(number).await?,
            4 => {
                let limit = Duration::from_micros(u64::from(random.below(300)));
                // A read that is dropped leaves its buffer to the op.
                if let Ok(result) = timeout(limit, shared.read(other)).await {
                    result?;
                }
            }
            5 => shared.file.sync_data().await.map_err(failed("a sync"))?,
            6 => shared.file.advise(.., Advice::DontNeed).await.map_err(failed("advice"))?,
            7 => {
                let start = (other * shared.size) as u64;
                let range = start..start + shared.size as u64;
                shared.file.readahead(range).await.map_err(failed("readahead"))?;
            }
            8 => shared.replace(number).await?,
            9 => {
                let length = shared.file.metadata().await.map_err(failed("facts"))?.len();
                let whole = (shared.regions.len() * shared.size) as u64;
                check(length == whole, || format!("the file has {length} bytes, and should have {whole}"))?;
            }
            _ => {
                let start = Instant::now();
                shared.read(other).await?;
                report.record(start.elapsed());
                continue;
            }
        }
        report.count += 1;
    }
    Ok(report)
}
