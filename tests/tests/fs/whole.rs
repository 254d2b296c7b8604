//! Whole files and what is known of them.

use std::io::ErrorKind;
use std::time::Duration;

use pirn::fs::{self, File, FileKind, OpenOptions, Permissions};

use super::{everywhere, kind, pattern};

#[test]
fn what_is_written_is_read() {
    everywhere("what_is_written_is_read", async |folder| {
        for size in [0, 1, 4_095, 4_096, 4_097, 70_000] {
            let bytes = pattern(size, size);
            fs::write(folder.join("a"), &bytes).await?;
            assert!(fs::read(folder.join("a")).await? == bytes, "{size} bytes");
        }
        fs::write(folder.join("a"), "grüße").await?;
        assert_eq!(fs::read_to_string(folder.join("a")).await?, "grüße");
        Ok(())
    });
}

#[test]
fn text_that_is_none() {
    everywhere("text_that_is_none", async |folder| {
        fs::write(folder.join("a"), b"ab\xff").await?;
        let error = fs::read_to_string(folder.join("a")).await.expect_err("no text");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("from byte 2 on"), "{error}");
        Ok(())
    });
}

#[test]
fn copies() {
    everywhere("copies", async |folder| {
        let (a, b) = (folder.join("a"), folder.join("b"));
        let bytes = pattern(0, 300_000);
        fs::write(&a, &bytes).await?;
        fs::set_permissions(&a, Permissions::from_mode(0o640)).await?;
        fs::write(&b, pattern(7, 400_000)).await?;
        assert_eq!(fs::copy(&a, &b).await?, 300_000);
        assert!(fs::read(&b).await? == bytes);
        assert_eq!(fs::metadata(&b).await?.permissions().mode(), 0o640);
        assert_eq!(kind(fs::copy(&a, &a).await), ErrorKind::InvalidInput);
        assert!(fs::read(&a).await? == bytes, "a copy onto itself leaves it");
        assert_eq!(kind(fs::copy(folder, &b).await), ErrorKind::InvalidInput);
        assert_eq!(kind(fs::copy(folder.join("none"), &b).await), ErrorKind::NotFound);
        assert_eq!(kind(fs::copy(&a, folder).await), ErrorKind::IsADirectory);
        Ok(())
    });
}

#[test]
fn facts() {
    everywhere("facts", async |folder| {
        let a = folder.join("a");
        let file = File::create(&a).await?;
        file.write_all_at(b"abc", 0).await?;
        let facts = file.metadata().await?;
        assert_eq!((facts.kind(), facts.len(), facts.stat().links), (FileKind::File, 3, 1));
        assert_eq!(facts, fs::metadata(&a).await?);
        let age = pirn::Handle::current().os().wall().duration_since(facts.modified()).unwrap_or_default();
        assert!(age < Duration::from_secs(60), "written {age:?} ago");
        file.set_permissions(Permissions::from_mode(0o400)).await?;
        assert!(fs::metadata(&a).await?.permissions().is_readonly());
        fs::symlink("a", folder.join("s")).await?;
        assert!(fs::symlink_metadata(folder.join("s")).await?.is_symlink());
        assert!(fs::metadata(folder.join("s")).await?.is_file());
        assert!(fs::metadata(folder).await?.is_dir());
        assert!(fs::try_exists(&a).await?);
        assert!(!fs::try_exists(folder.join("b")).await?);
        assert_eq!(kind(fs::try_exists(a.join("b")).await), ErrorKind::NotADirectory);
        Ok(())
    });
}

#[test]
fn ways_to_open() {
    everywhere("ways_to_open", async |folder| {
        let a = folder.join("a");
        for options in [
            OpenOptions::new(),
            OpenOptions::new().read(true).create(true).clone(),
            OpenOptions::new().read(true).truncate(true).clone(),
            OpenOptions::new().append(true).truncate(true).clone(),
        ] {
            assert_eq!(kind(options.open(&a).await), ErrorKind::InvalidInput, "{options:?}");
        }
        assert_eq!(kind(OpenOptions::new().write(true).open(&a).await), ErrorKind::NotFound);
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600);
        let file = new.open(&a).await?;
        assert_eq!(file.metadata().await?.permissions().mode(), 0o600);
        assert_eq!(kind(new.open(&a).await), ErrorKind::AlreadyExists);
        file.write_all_at(b"abc", 0).await?;
        let append = OpenOptions::new().append(true).open(&a).await?;
        append.write_all_at(b"d", 0).await?;
        append.write_all_at(b"e", 0).await?;
        assert_eq!(fs::read(&a).await?, b"abcde");
        let mut update = OpenOptions::new().read(true).write(true).open(&a).await?;
        update.write_all(b"AB").await?;
        let mut rest = Vec::new();
        assert_eq!(update.read_to_end(&mut rest).await?, 3);
        assert_eq!(rest, b"cde");
        Ok(())
    });
}

#[test]
fn an_error_names_the_path_and_keeps_its_source() {
    everywhere("an_error_names_the_path_and_keeps_its_source", async |folder| {
        let missing = folder.join("missing");
        let error = fs::read(&missing).await.expect_err("nothing there");
        assert!(error.to_string().starts_with("cannot open "), "{error}");
        assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
        let source =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(libc::ENOENT));
        Ok(())
    });
}
