//! Reads and writes at places, with the caller's buffers and with owned ones; sync, advice, mappings.

use std::io::{ErrorKind, IoSlice, IoSliceMut};

use pirn::fs::{Advice, File, OpenOptions, Residency};

use super::{everywhere, kind, live, pattern};

async fn update(path: std::path::PathBuf) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).open(path).await
}

#[test]
fn reads_and_writes_at_places() {
    everywhere("reads_and_writes_at_places", async |folder| {
        let file = update(folder.join("a")).await?;
        let bytes = pattern(0, 50_000);
        file.write_all_at(&bytes[20_000..], 20_000).await?;
        file.write_all_at(&bytes[..20_000], 0).await?;
        let mut all = vec![0; 60_000];
        assert_eq!(file.read_at(&mut all, 0).await?, 50_000, "a read is short at the end only");
        assert!(all[..50_000] == bytes);
        let mut some = [0; 100];
        file.read_exact_at(&mut some, 12_345).await?;
        assert_eq!(some[..], bytes[12_345..12_445]);
        assert_eq!(file.read_at(&mut some, 49_990).await?, 10);
        assert_eq!(file.read_at(&mut some, 50_000).await?, 0);
        assert_eq!(kind(file.read_exact_at(&mut some, 49_990).await), ErrorKind::UnexpectedEof);
        Ok(())
    });
}

#[test]
fn owned_buffers_come_back() {
    everywhere("owned_buffers_come_back", async |folder| {
        let file = update(folder.join("a")).await?;
        let bytes = pattern(3, 30_000);
        let (result, back) = file.write_owned_at(bytes.clone(), 5).await;
        result?;
        assert!(back == bytes);
        let mut buffer = Vec::with_capacity(40_000);
        buffer.extend_from_slice(b"start");
        let room = buffer.as_ptr();
        let mut offset = 5;
        loop {
            let (result, back) = file.read_owned_at(buffer, offset).await;
            buffer = back;
            match result? {
                0 => break,
                count => offset += count as u64,
            }
        }
        assert_eq!(buffer.as_ptr(), room, "the buffer is the same one");
        assert!(buffer[..5] == *b"start" && buffer[5..] == bytes);
        // A buffer without room reads nothing, and an error gives it back.
        let (result, full) = file.read_owned_at(Vec::new(), 0).await;
        assert_eq!((result?, full.len()), (0, 0));
        let (result, back) = file.read_owned_at(buffer, u64::MAX).await;
        assert_eq!((kind(result), back.len()), (ErrorKind::InvalidInput, 30_005));
        Ok(())
    });
}

#[test]
fn several_buffers_at_once() {
    everywhere("several_buffers_at_once", async |folder| {
        let file = update(folder.join("a")).await?;
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        let mut count = file.write_vectored_at(&parts, 0).await?;
        while count < 6 {
            count += file.write_at(&b"abcdef"[count..], count as u64).await?;
        }
        let (mut one, mut two, mut three) = ([0; 3], [0; 0], [0; 5]);
        let into = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two), IoSliceMut::new(&mut three)];
        assert_eq!(file.read_vectored_at(into, 0).await?, 6);
        assert_eq!((&one, &three), (b"abc", b"def\0\0"));
        Ok(())
    });
}

#[test]
fn side_by_side() {
    everywhere("side_by_side", async |folder| {
        let file = std::sync::Arc::new(update(folder.join("a")).await?);
        let tasks: Vec<_> = (0..8)
            .map(|at| {
                let file = file.clone();
                pirn::spawn(async move {
                    let place = at * 5_000;
                    file.write_all_at(&pattern(place, 5_000), place as u64).await?;
                    let mut back = vec![0; 5_000];
                    file.read_exact_at(&mut back, place as u64).await?;
                    std::io::Result::Ok(back == pattern(place, 5_000))
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.expect("no panic")?);
        }
        assert!(pirn::fs::read(folder.join("a")).await? == pattern(0, 40_000));
        Ok(())
    });
}

#[test]
fn cold_reads_and_readahead() {
    everywhere("cold_reads_and_readahead", async |folder| {
        let file = update(folder.join("a")).await?;
        let bytes = pattern(1, 100_000);
        file.write_all_at(&bytes, 0).await?;
        file.sync_all().await?;
        for round in 0..4 {
            file.advise(.., Advice::DontNeed).await?;
            if round % 2 == 0 {
                file.readahead(10_000..=60_000).await?;
            }
            let mut some = vec![0; 60_000];
            file.read_exact_at(&mut some, 20_000).await?;
            assert!(some == bytes[20_000..80_000]);
        }
        file.advise(5..5, Advice::Random).await?;
        file.sync_data().await
    });
}

#[test]
fn length_and_holes() {
    everywhere("length_and_holes", async |folder| {
        let file = update(folder.join("a")).await?;
        file.write_all_at(b"end", 1 << 32).await?;
        assert_eq!(file.metadata().await?.len(), (1 << 32) + 3);
        let mut some = [1; 8];
        file.read_exact_at(&mut some, 1 << 20).await?;
        assert_eq!(some, [0; 8]);
        file.set_len(4).await?;
        assert_eq!(pirn::fs::read(folder.join("a")).await?, [0; 4]);
        Ok(())
    });
}

#[test]
fn files_are_closed() {
    everywhere("files_are_closed", async |folder| {
        let mut file = update(folder.join("a")).await?;
        file.write_all(b"abc").await?;
        let other = file.try_clone();
        file.close().await?;
        let mut all = [0; 3];
        other.read_exact_at(&mut all, 0).await?;
        assert_eq!(&all, b"abc", "another handle keeps it open");
        // A write that was begun and left is waited for; one that had no turn is none.
        let mut other = other;
        drop(super::once(other.write(b"de")).await);
        other.close().await?;
        let held = pirn::fs::read(folder.join("a")).await?;
        assert!(held.len() >= 3 && b"abcde".starts_with(&held), "{held:?}");
        let folder = File::open(folder).await?;
        folder.close().await
    });
}

#[test]
fn files_of_std() {
    live("files_of_std", async |folder| {
        let path = folder.join("a");
        std::fs::write(&path, "abc")?;
        let file = File::from_std(std::fs::File::open(&path)?)?;
        let mut all = [0; 3];
        file.read_exact_at(&mut all, 0).await?;
        assert_eq!(&all, b"abc");
        let theirs = file.to_std()?;
        drop(file);
        assert_eq!(theirs.metadata()?.len(), 3);
        Ok(())
    });
}

#[test]
fn mapped_files_say_whether_they_are_in_memory() {
    live("mapped_files_say_whether_they_are_in_memory", async |folder| {
        const SIZE: usize = 1 << 20;
        let file = update(folder.join("a")).await?;
        file.write_all_at(&pattern(0, SIZE), 0).await?;
        file.sync_all().await?;
        let raw = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: a fresh shared mapping of an open file, read only; nobody cuts the file while it lives.
        let mapped = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), SIZE, libc::PROT_READ, libc::MAP_SHARED, raw, 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::slice::from_raw_parts(at.cast::<u8>(), SIZE)
        };
        assert_eq!(file.is_resident(mapped), Residency::Resident, "just written");
        assert_eq!(file.is_resident(&mapped[5_000..5_001]), Residency::Resident);
        assert_eq!(file.is_resident(&[]), Residency::Resident);
        // Whether the kernel drops the pages is its own affair; if it does, it says so.
        file.advise(.., Advice::DontNeed).await?;
        let dropped = file.is_resident(mapped);
        assert_ne!(dropped, Residency::Unknown);
        assert!(mapped[..] == pattern(0, SIZE));
        assert_eq!(file.is_resident(&mapped[..4_096]), Residency::Resident, "just read");
        // SAFETY: the mapping made above, used no more.
        unsafe { libc::munmap(mapped.as_ptr().cast_mut().cast(), SIZE) };
        Ok(())
    });
}
