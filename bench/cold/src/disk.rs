//! The files that are served: made once, thrown out of memory on purpose, and looked at whether they are.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes that a hot request reads, and of the file it reads them from.
pub(crate) const HOT: usize = 4 << 10;
pub(crate) const HOT_FILE: usize = 4 << 20;
/// Bytes of a cold file, and how many there are: as many as may be asked for at a time.
pub(crate) const COLD: usize = 16 << 20;
pub(crate) const COLDS: usize = 16;

pub(crate) fn hot(folder: &Path) -> PathBuf {
    folder.join("hot")
}

pub(crate) fn cold(folder: &Path, file: usize) -> PathBuf {
    folder.join(format!("cold-{file}"))
}

/// Makes the files that are not there, and says the first bytes of each.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let make = |path: PathBuf, bytes: usize, seed: u64| -> io::Result<()> {
        if std::fs::metadata(&path).is_ok_and(|facts| facts.len() == bytes as u64) {
            return Ok(());
        }
        let (mut file, mut state) = (File::create(&path)?, seed | 1);
        let mut block = vec![0; 1 << 20];
        for _ in 0..bytes / block.len() {
            // Nothing that a disk could shorten.
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block)?;
        }
        file.sync_all()
    };
    make(hot(folder), HOT_FILE, 7)?;
    (0..COLDS).try_for_each(|file| make(cold(folder, file), COLD, 1_000 + file as u64))
}

/// Has a clean file leave the page cache.
pub(crate) fn evict(file: &File) {
    // SAFETY: no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Whether no one of some bytes in it is in memory: what RWF_NOWAIT says.
pub(crate) fn is_cold(file: &File) -> bool {
    (0..COLD).step_by(COLD / 16).all(|place| {
        let mut byte = 0_u8;
        let slice = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: `slice` describes one byte that lives through the call, which never waits.
        let count =
            unsafe { libc::preadv2(file.as_raw_fd(), &slice, 1, place as libc::off_t, libc::RWF_NOWAIT) };
        count == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
    })
}

/// Prints what one plain reader gets of the folder's disk, in MiB/s, of files that are not in memory.
pub(crate) fn speed(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    prepare(folder).map_err(failed)?;
    let (mut buffer, mut seconds, mut cold_files) = (vec![0; COLD], 0.0, 0);
    for number in 0..COLDS {
        let file = File::open(cold(folder, number)).map_err(failed)?;
        evict(&file);
        cold_files += usize::from(is_cold(&file));
        let start = Instant::now();
        file.read_exact_at(&mut buffer, 0).map_err(failed)?;
        seconds += start.elapsed().as_secs_f64();
        evict(&file);
    }
    println!("mib_s {}", (COLDS * COLD) as f64 / f64::from(1 << 20) / seconds);
    println!("cold_files {cold_files}");
    Ok(())
}
