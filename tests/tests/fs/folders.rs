//! Folders, links, renames.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use pirn::fs::{self, FileKind};

use super::{everywhere, kind};

async fn names(folder: &Path) -> io::Result<BTreeMap<PathBuf, FileKind>> {
    let mut entries = fs::read_dir(folder).await?;
    let mut found = BTreeMap::new();
    while let Some(entry) = entries.next().await? {
        assert_eq!(entry.path(), folder.join(entry.file_name()));
        assert_eq!(entry.metadata().await?.kind(), entry.kind());
        let twice = found.insert(PathBuf::from(entry.file_name()), entry.kind());
        assert!(twice.is_none(), "{entry:?} is listed twice");
    }
    assert!(entries.next().await?.is_none(), "the end stays the end");
    Ok(found)
}

#[test]
fn a_folder_lists_what_is_in_it() {
    everywhere("a_folder_lists_what_is_in_it", async |folder| {
        assert!(names(folder).await?.is_empty());
        let mut expected = BTreeMap::new();
        for at in 0..40 {
            let name = PathBuf::from(format!("file-{at}"));
            fs::write(folder.join(&name), "").await?;
            expected.insert(name, FileKind::File);
        }
        fs::create_dir(folder.join("d")).await?;
        fs::symlink("nowhere", folder.join("s")).await?;
        expected.insert("d".into(), FileKind::Directory);
        expected.insert("s".into(), FileKind::Symlink);
        assert_eq!(names(folder).await?, expected);
        assert_eq!(kind(fs::read_dir(folder.join("file-1")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(fs::read_dir(folder.join("none")).await), ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn folders_are_made_and_removed_with_all_in_them() {
    everywhere("folders_are_made_and_removed_with_all_in_them", async |folder| {
        let deep = folder.join("a/b/c/d/e/f");
        fs::create_dir_all(&deep).await?;
        fs::create_dir_all(&deep).await?;
        fs::create_dir_all(folder.join("a/b/../x")).await?;
        fs::write(deep.join("file"), "").await?;
        assert_eq!(kind(fs::create_dir_all(deep.join("file")).await), ErrorKind::AlreadyExists);
        assert_eq!(kind(fs::create_dir_all(deep.join("file/g")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(fs::create_dir(&deep).await), ErrorKind::AlreadyExists);
        assert_eq!(kind(fs::remove_dir(&deep).await), ErrorKind::DirectoryNotEmpty);
        // What a link leads to stays.
        fs::create_dir(folder.join("kept")).await?;
        fs::write(folder.join("kept/file"), "here").await?;
        fs::symlink(folder.join("kept"), deep.join("link")).await?;
        fs::remove_dir_all(folder.join("a")).await?;
        assert!(!fs::try_exists(folder.join("a")).await?);
        fs::symlink("kept", folder.join("link")).await?;
        fs::remove_dir_all(folder.join("link")).await?;
        assert_eq!(fs::read(folder.join("kept/file")).await?, b"here");
        assert_eq!(kind(fs::remove_dir_all(folder.join("none")).await), ErrorKind::NotFound);
        assert_eq!(kind(fs::remove_dir_all(folder.join("kept/file")).await), ErrorKind::NotADirectory);
        Ok(())
    });
}

#[test]
fn names_are_changed_and_linked() {
    everywhere("names_are_changed_and_linked", async |folder| {
        let at = |name: &str| folder.join(name);
        fs::write(at("a"), "a").await?;
        fs::write(at("b"), "b").await?;
        fs::rename(at("a"), at("b")).await?;
        assert_eq!(fs::read(at("b")).await?, b"a");
        assert_eq!(kind(fs::rename(at("a"), at("b")).await), ErrorKind::NotFound);
        fs::hard_link(at("b"), at("c")).await?;
        assert_eq!(fs::metadata(at("c")).await?.stat().links, 2);
        assert_eq!(kind(fs::hard_link(at("b"), at("c")).await), ErrorKind::AlreadyExists);
        fs::symlink("b", at("s")).await?;
        assert_eq!(fs::read_link(at("s")).await?, Path::new("b"));
        assert_eq!(kind(fs::read_link(at("b")).await), ErrorKind::InvalidInput);
        let whole = fs::canonicalize(at("s")).await?;
        assert_eq!(whole, fs::canonicalize(folder).await?.join("b"));
        fs::remove_file(at("b")).await?;
        assert_eq!(kind(fs::canonicalize(at("s")).await), ErrorKind::NotFound);
        assert_eq!(fs::read(at("c")).await?, b"a");
        assert_eq!(kind(fs::remove_file(folder).await), ErrorKind::IsADirectory);
        Ok(())
    });
}
