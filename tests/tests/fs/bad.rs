//! Bad input: the right error, never a panic, never a future that is stuck.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pirn::fs::{self, Advice, File, OpenOptions};

use super::{everywhere, kind, live, pattern};

#[test]
fn paths_that_are_none() {
    everywhere("paths_that_are_none", async |folder| {
        let zero = Path::new("a\0b");
        let both = [kind(fs::rename(zero, folder).await), kind(fs::rename(folder, zero).await)];
        let one = [
            kind(File::open(zero).await),
            kind(fs::write(zero, "").await),
            kind(fs::metadata(zero).await),
            kind(fs::create_dir_all(zero).await),
            kind(fs::remove_dir_all(zero).await),
            kind(fs::symlink(zero, folder.join("s")).await),
            kind(fs::canonicalize(zero).await),
        ];
        assert!(both.iter().chain(&one).all(|kind| *kind == ErrorKind::InvalidInput), "{both:?} {one:?}");
        assert_eq!(kind(File::open("").await), ErrorKind::NotFound);
        assert_eq!(kind(fs::create_dir("").await), ErrorKind::NotFound);
        fs::create_dir_all("").await?;
        let long = folder.join("n".repeat(300));
        assert_eq!(kind(File::create(&long).await), ErrorKind::InvalidFilename);
        Ok(())
    });
}

#[test]
fn paths_that_are_too_long() {
    live("paths_that_are_too_long", async |folder| {
        fs::write(folder.join("a"), "abc").await?;
        // A name of more than 255 bytes, and a path of more than 4,095.
        for long in [folder.join("n".repeat(300)), folder.join("d/".repeat(2_100))] {
            let kinds = [
                kind(File::open(&long).await),
                kind(fs::write(&long, "").await),
                kind(fs::metadata(&long).await),
                kind(fs::create_dir(&long).await),
                kind(fs::remove_file(&long).await),
                kind(fs::remove_dir(&long).await),
                kind(fs::rename(folder.join("a"), &long).await),
                kind(fs::rename(&long, folder.join("b")).await),
                kind(fs::hard_link(folder.join("a"), &long).await),
                kind(fs::symlink("a", &long).await),
                kind(fs::read_link(&long).await),
            ];
            assert!(kinds.iter().all(|kind| *kind == ErrorKind::InvalidFilename), "{kinds:?}");
        }
        assert_eq!(fs::read(folder.join("a")).await?, b"abc");
        Ok(())
    });
}

#[test]
fn names_that_are_no_text() {
    live("names_that_are_no_text", async |folder| {
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe name\n");
        let path = folder.join(name);
        fs::write(&path, "abc").await?;
        assert_eq!(fs::read(&path).await?, b"abc");
        assert_eq!(fs::metadata(&path).await?.len(), 3);
        let mut entries = fs::read_dir(folder).await?;
        let entry = entries.next().await?.expect("one entry");
        assert_eq!(entry.file_name(), name);
        let missing = folder.join(std::ffi::OsStr::from_bytes(b"\xc3"));
        let error = File::open(&missing).await.expect_err("it is not there");
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("open"), "{error}");
        fs::rename(&path, &missing).await?;
        assert_eq!(kind(fs::read_to_string(&path).await), ErrorKind::NotFound);
        fs::write(&missing, b"\xff").await?;
        assert_eq!(kind(fs::read_to_string(&missing).await), ErrorKind::InvalidData);
        Ok(())
    });
}

#[test]
fn folders_are_no_files() {
    everywhere("folders_are_no_files", async |folder| {
        assert_eq!(kind(fs::read(folder).await), ErrorKind::IsADirectory);
        assert_eq!(kind(fs::write(folder, "").await), ErrorKind::IsADirectory);
        assert_eq!(kind(File::create(folder).await), ErrorKind::IsADirectory);
        let opened = File::open(folder).await?;
        assert_eq!(kind(opened.read_at(&mut [0; 4], 0).await), ErrorKind::IsADirectory);
        opened.sync_all().await?;
        fs::write(folder.join("a"), "").await?;
        assert_eq!(kind(File::open(folder.join("a/b")).await), ErrorKind::NotADirectory);
        Ok(())
    });
}

#[test]
fn zero_lengths_and_huge_offsets() {
    everywhere("zero_lengths_and_huge_offsets", async |folder| {
        let mut file = OpenOptions::new().read(true).write(true).create(true).open(folder.join("a")).await?;
        assert_eq!(file.read_at(&mut [], 0).await?, 0);
        assert_eq!(file.read_vectored_at(&mut [], 0).await?, 0);
        assert_eq!(file.write_at(&[], 0).await?, 0);
        assert_eq!(file.write_vectored_at(&[], 0).await?, 0);
        assert_eq!(file.read(&mut []).await?, 0);
        assert_eq!(file.write(&[]).await?, 0);
        file.write_all(&[]).await?;
        let (read, bytes) = file.read_owned_at(Vec::new(), 0).await;
        assert_eq!((read?, bytes.capacity()), (0, 0));
        let (written, bytes) = file.write_owned_at(Vec::new(), 0).await;
        written?;
        assert_eq!(bytes, b"");
        file.advise(5..5, Advice::WillNeed).await?;
        file.readahead(1 << 40..).await?;
        assert_eq!(file.metadata().await?.len(), 0);
        for offset in [1 << 63, u64::MAX - 3, u64::MAX] {
            assert_eq!(kind(file.read_at(&mut [0; 8], offset).await), ErrorKind::InvalidInput, "{offset}");
            assert_eq!(kind(file.write_at(&[0; 8], offset).await), ErrorKind::InvalidInput, "{offset}");
            assert_eq!(kind(file.set_len(offset).await), ErrorKind::InvalidInput, "{offset}");
            assert_eq!(
                kind(file.advise(offset.., Advice::Random).await),
                ErrorKind::InvalidInput,
                "{offset}"
            );
        }
        assert_eq!(kind(file.write_all_at(b"x", 1 << 62).await), ErrorKind::FileTooLarge);
        assert_eq!(file.read_at(&mut [0; 8], 1 << 62).await?, 0);
        Ok(())
    });
}

/// The kernel takes 1,024 slices in one call.
#[test]
fn more_slices_than_one_call_takes() {
    everywhere("more_slices_than_one_call_takes", async |folder| {
        const COUNT: usize = 2_500;
        let file = OpenOptions::new().read(true).write(true).create(true).open(folder.join("a")).await?;
        let bytes = pattern(0, COUNT);
        let mut written = 0;
        while written < COUNT {
            let slices: Vec<_> = bytes[written..].chunks(1).map(IoSlice::new).collect();
            let count = file.write_vectored_at(&slices, written as u64).await?;
            assert!(count > 0);
            written += count;
        }
        let mut back = vec![0; COUNT];
        let mut slices: Vec<_> = back.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(file.read_vectored_at(&mut slices, 0).await?, COUNT, "less would be the end of the file");
        assert!(back == bytes);
        Ok(())
    });
}

#[test]
fn what_is_not_open_for_it() {
    everywhere("what_is_not_open_for_it", async |folder| {
        let writer = File::create(folder.join("a")).await?;
        let reader = File::open(folder.join("a")).await?;
        let errno = |result: std::io::Result<usize>| result.expect_err("should have failed").raw_os_error();
        assert_eq!(errno(writer.read_at(&mut [0; 4], 0).await), Some(libc::EBADF));
        assert_eq!(errno(reader.write_at(b"x", 0).await), Some(libc::EBADF));
        assert_eq!(kind(reader.set_len(1).await), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// Whether these bytes were in the file. The kernel clears the rest of a page that it cuts, and a read may see that.
fn was_there(read: &[u8], whole: &[u8]) -> bool {
    read.len() <= whole.len() && read.iter().zip(whole).all(|(read, was)| read == was || *read == 0)
}

#[test]
fn a_file_shrinks_while_it_is_read() {
    everywhere("a_file_shrinks_while_it_is_read", async |folder| {
        let path = folder.join("a");
        let whole = pattern(0, 60_000);
        fs::write(&path, &whole).await?;
        let cutter = OpenOptions::new().write(true).open(&path).await?;
        let cutting = pirn::spawn(async move {
            for length in [50_000, 20_000, 7_000, 0] {
                pirn::yield_now().await;
                cutter.set_len(length).await?;
            }
            std::io::Result::Ok(())
        });
        let mut reader = File::open(&path).await?;
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await?;
        assert!(was_there(&all, &whole), "what is read was there");
        cutting.await.expect("no panic")?;
        assert_eq!(reader.read(&mut [0; 10]).await?, 0);
        assert_eq!(fs::read(&path).await?, b"");
        Ok(())
    });
}

/// Reads by ops, of what is not in memory, while others cut and fill the file: each brings bytes that were there, or fewer.
#[test]
fn a_cold_file_shrinks_while_it_is_read() {
    live("a_cold_file_shrinks_while_it_is_read", async |folder| {
        let whole = pattern(0, 400_000);
        let file = OpenOptions::new().read(true).write(true).create(true).open(folder.join("a")).await?;
        let file = std::sync::Arc::new(file);
        for length in [390_000, 150_000, 4_097, 0] {
            file.write_all_at(&whole, 0).await?;
            file.sync_data().await?;
            file.advise(.., Advice::DontNeed).await?;
            let mut readers = Vec::new();
            for at in 0..8 {
                let (file, offset) = (file.clone(), at * 50_000);
                readers.push(pirn::spawn(async move {
                    file.read_owned_at(Vec::with_capacity(50_000), offset as u64).await
                }));
            }
            file.set_len(length).await?;
            for (at, reader) in readers.into_iter().enumerate() {
                let (count, bytes) = reader.await.expect("no panic");
                assert_eq!(count?, bytes.len());
                assert!(was_there(&bytes, &whole[at * 50_000..]), "what is read was there");
            }
            assert_eq!(file.read_at(&mut [0; 10], length).await?, 0);
        }
        Ok(())
    });
}

/// Files of the kernel that have no length, no places or no room.
#[test]
fn files_that_are_special() {
    live("files_that_are_special", async |_| {
        let status = fs::read_to_string("/proc/self/status").await?;
        assert!(status.contains("Pid:"), "a file whose length is 0 and that has content");
        let mut zeros = [1; 10];
        File::open("/dev/zero").await?.read_exact_at(&mut zeros, 77).await?;
        assert_eq!(zeros, [0; 10]);
        let full = OpenOptions::new().write(true).open("/dev/full").await?;
        assert_eq!(kind(full.write_all_at(b"x", 0).await), ErrorKind::StorageFull);
        assert_eq!(kind(fs::write("/dev/full", "x").await), ErrorKind::StorageFull);
        Ok(())
    });
}

#[test]
fn outside_of_a_runtime() {
    let mut future = std::pin::pin!(File::open("a"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => assert!(error.to_string().contains("runtime"), "{error}"),
        other => panic!("{other:?}"),
    }
}
