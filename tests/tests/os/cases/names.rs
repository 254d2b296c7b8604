//! Cases about names: folders, links, rename, remove.

use std::ffi::CString;

use pirn::os::file::{FileKind, FilePath, OpenHow, Target};
use pirn::os::{FileOp, Op};

use crate::os::files::{Files, making, opened, path, reading};
use crate::os::world::{World, bytes_of, number};

fn make_folder(files: &mut Files, name: &str) {
    files.does(FileOp::MakeDir { path: files.at(name), mode: 0o777 });
}

fn names(files: &mut Files, folder: &str) -> Vec<String> {
    let entries = files.list(folder);
    entries.into_iter().map(|entry| String::from_utf8(entry.name).expect("text")).collect()
}

fn rename(files: &Files, from: &str, to: &str) -> FileOp {
    FileOp::Rename { from: files.at(from), to: files.at(to) }
}

fn remove(files: &Files, name: &str, directory: bool) -> FileOp {
    FileOp::Remove { path: files.at(name), directory }
}

fn symlink(files: &Files, says: &str, name: &str) -> FileOp {
    FileOp::Symlink { target: CString::new(says).expect("no zero byte"), path: files.at(name) }
}

pub(crate) fn folders(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "d");
    make_folder(&mut files, "d/e/");
    let stat = files.stat_at("d", true);
    assert_eq!((stat.kind, stat.mode, stat.links), (FileKind::Directory, 0o755, 3));
    for name in ["d", "d/", "d/.", "d/..", "."] {
        assert_eq!(
            files.fails(FileOp::MakeDir { path: files.at(name), mode: 0o777 }),
            libc::EEXIST,
            "{name}"
        );
    }
    files.make("f", b"");
    assert_eq!(files.fails(FileOp::MakeDir { path: files.at("f"), mode: 0o777 }), libc::EEXIST);
    assert_eq!(files.fails(FileOp::MakeDir { path: files.at("f/x"), mode: 0o777 }), libc::ENOTDIR);
    assert_eq!(files.fails(FileOp::MakeDir { path: files.at("x/y"), mode: 0o777 }), libc::ENOENT);
    assert_eq!(names(&mut files, "."), ["d", "f"]);
    assert_eq!(names(&mut files, "d/e"), [""; 0]);
    let fd = files.open("f", reading());
    assert_eq!(files.fails(FileOp::List { fd }), libc::ENOTDIR);
}

pub(crate) fn removal(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "d");
    files.make("d/f", b"");
    let expect = [
        ("missing", false, libc::ENOENT),
        ("missing", true, libc::ENOENT),
        ("d", false, libc::EISDIR),
        ("d/", false, libc::EISDIR),
        ("d", true, libc::ENOTEMPTY),
        ("d/.", true, libc::EINVAL),
        ("d/..", true, libc::ENOTEMPTY),
        ("d/.", false, libc::EISDIR),
        ("d/f", true, libc::ENOTDIR),
        ("d/f/", false, libc::ENOTDIR),
        ("d/f/x", false, libc::ENOTDIR),
    ];
    for (name, directory, errno) in expect {
        let op = remove(&files, name, directory);
        assert_eq!(files.fails(op), errno, "{name} {directory}");
    }
    files.does(remove(&files, "d/f", false));
    let held = files.open("d", reading());
    files.does(remove(&files, "d/", true));
    let inside = FilePath { base: Some(held), path: c"x".to_owned() };
    assert_eq!(files.fails(FileOp::Open { path: inside, how: making() }), libc::ENOENT);
    assert_eq!(names(&mut files, "."), [""; 0]);
}

pub(crate) fn renames(world: &World) {
    let mut files = world.files();
    files.make("a", b"a");
    files.make("b", b"b");
    make_folder(&mut files, "d");
    make_folder(&mut files, "d/e");
    make_folder(&mut files, "empty");
    let expect = [
        ("missing", "x", libc::ENOENT),
        ("a", "d", libc::EISDIR),
        ("d", "a", libc::ENOTDIR),
        ("empty", "d", libc::ENOTEMPTY),
        ("d", "d/e/x", libc::EINVAL),
        ("d/e", "d", libc::ENOTEMPTY),
        ("a", "x/", libc::ENOTDIR),
        ("a", "x/y", libc::ENOENT),
        ("a", "b/y", libc::ENOTDIR),
        ("d/.", "x", libc::EBUSY),
        ("d", "empty/..", libc::EBUSY),
    ];
    for (from, to, errno) in expect {
        let op = rename(&files, from, to);
        assert_eq!(files.fails(op), errno, "{from} to {to}");
    }
    files.does(rename(&files, "a", "a"));
    let held = files.open("b", reading());
    files.does(rename(&files, "a", "b"));
    let fd = files.open("b", reading());
    assert_eq!(files.read(&fd, 9, 0), b"a");
    assert_eq!(files.read(&held, 9, 0), b"b");
    files.does(rename(&files, "d", "empty/"));
    assert_eq!(names(&mut files, "."), ["b", "empty"]);
    files.does(rename(&files, "b", "empty/e/b"));
    files.does(rename(&files, "empty/e", "e"));
    assert_eq!(names(&mut files, "e"), ["b"]);
    let up = files.stat_at("e/..", true).inode;
    assert_eq!(up, files.stat_at(".", true).inode, "a folder that moved has another parent");
}

pub(crate) fn hard_links(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"abc");
    let link = |files: &Files, from: &str, to: &str| FileOp::Link { from: files.at(from), to: files.at(to) };
    files.does(link(&files, "a", "b"));
    assert_eq!(files.stat(&fd).links, 2);
    assert_eq!(files.stat_at("b", true).inode, files.stat(&fd).inode);
    make_folder(&mut files, "d");
    let expect = [
        ("a", "b", libc::EEXIST),
        ("missing", "x", libc::ENOENT),
        ("d", "x", libc::EPERM),
        ("d", "a", libc::EEXIST),
        ("a", "x/y", libc::ENOENT),
    ];
    for (from, to, errno) in expect {
        let op = link(&files, from, to);
        assert_eq!(files.fails(op), errno, "{from} to {to}");
    }
    files.does(rename(&files, "a", "b"));
    assert_eq!(names(&mut files, "."), ["a", "b", "d"], "two names of one file: nothing is renamed");
    files.does(remove(&files, "a", false));
    assert_eq!(files.stat(&fd).links, 1);
    // A link to a symbolic link is one more name of that link.
    files.does(symlink(&files, "b", "s"));
    files.does(link(&files, "s", "t"));
    assert_eq!(files.stat_at("t", false).kind, FileKind::Symlink);
}

pub(crate) fn symbolic_links(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "d");
    files.make("d/f", b"abc");
    files.does(symlink(&files, "d/f", "to_file"));
    files.does(symlink(&files, "d", "to_folder"));
    files.does(symlink(&files, "nowhere", "dangling"));
    files.does(symlink(&files, "loop", "loop"));
    assert_eq!(files.fails(symlink(&files, "x", "loop")), libc::EEXIST);
    assert_eq!(files.fails(symlink(&files, "", "x")), libc::ENOENT);
    let says = files.run(FileOp::ReadLink { path: files.at("to_file") });
    assert_eq!((number(&says), bytes_of(says)), (3, b"d/f".to_vec()));
    assert_eq!(files.fails(FileOp::ReadLink { path: files.at("d") }), libc::EINVAL);
    assert_eq!(files.fails(FileOp::ReadLink { path: files.at("x") }), libc::ENOENT);
    assert_eq!(files.stat_at("to_file", true).length, 3);
    let link = files.stat_at("to_file", false);
    assert_eq!((link.kind, link.length), (FileKind::Symlink, 3));
    assert_eq!(files.stat_at("to_folder/f", false).length, 3);
    assert_eq!(files.stat_at("to_folder/", false).kind, FileKind::Directory);
    assert_eq!(files.open_fails("loop", reading()), libc::ELOOP);
    assert_eq!(files.open_fails("loop/x", reading()), libc::ELOOP);
    assert_eq!(files.open_fails("dangling", reading()), libc::ENOENT);
    assert_eq!(files.open_fails("to_file", OpenHow { no_follow: true, ..reading() }), libc::ELOOP);
    assert_eq!(files.open_fails("dangling", OpenHow { create_new: true, ..making() }), libc::EEXIST);
    // An open that makes a file makes it where the link leads.
    files.make("dangling", b"x");
    assert_eq!(files.stat_at("nowhere", false).kind, FileKind::File);
    // Removing or renaming a link means the link.
    files.does(rename(&files, "to_file", "moved"));
    files.does(remove(&files, "moved", false));
    assert_eq!(files.fails(remove(&files, "to_folder", true)), libc::ENOTDIR);
    files.does(remove(&files, "to_folder", false));
    assert_eq!(names(&mut files, "d"), ["f"]);
}

pub(crate) fn many_entries(world: &World) {
    let mut files = world.files();
    let mut expected = Vec::new();
    for at in 0..150 {
        let name = format!("{at:03}{}", "x".repeat(at));
        files.make(&name, b"");
        expected.push(name);
    }
    make_folder(&mut files, "d");
    files.does(symlink(&files, "d", "e"));
    expected.extend(["d".to_owned(), "e".to_owned()]);
    assert_eq!(names(&mut files, "."), expected);
    let kinds: Vec<FileKind> = files.list(".").iter().rev().take(2).map(|entry| entry.kind).collect();
    assert_eq!(kinds, [FileKind::Symlink, FileKind::Directory]);
}

pub(crate) fn whole_paths(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "d");
    files.make("d/f", b"");
    files.does(symlink(&files, "d", "s"));
    let root = files.run(FileOp::Canonicalize { path: path(&files.folder.clone()) });
    let root = String::from_utf8(bytes_of(root)).expect("text");
    for (name, whole) in [("d/f", "/d/f"), ("s/f", "/d/f"), ("s/../d/./f", "/d/f"), (".", ""), ("s/", "/d")] {
        let got = files.run(FileOp::Canonicalize { path: files.at(name) });
        assert_eq!(String::from_utf8(bytes_of(got)).expect("text"), format!("{root}{whole}"), "{name}");
    }
    assert_eq!(files.fails(FileOp::Canonicalize { path: files.at("x") }), libc::ENOENT);
    assert_eq!(files.fails(FileOp::Canonicalize { path: files.at("d/f/x") }), libc::ENOTDIR);
}

pub(crate) fn paths_from_an_open_folder(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "d");
    let folder = files.open("d", OpenHow { directory: true, ..reading() });
    let from =
        |name: &str| FilePath { base: Some(folder.clone()), path: CString::new(name).expect("no zero byte") };
    let fd = opened(files.run(FileOp::Open { path: from("f"), how: making() }));
    files.write(&fd, b"abc", 0);
    // The folder is the same under another name.
    files.does(rename(&files, "d", "e"));
    files.does(FileOp::MakeDir { path: from("g"), mode: 0o755 });
    files.does(FileOp::Rename { from: from("f"), to: from("g/f") });
    let target = Target::Path { path: from("g/f"), follow: true };
    assert_eq!(number(&files.run(FileOp::Stat { target })), 0);
    assert_eq!(names(&mut files, "e"), ["g"]);
    files.does(FileOp::Remove { path: from("g/f"), directory: false });
    files.does(FileOp::Remove { path: from("g"), directory: true });
    assert_eq!(files.fails(FileOp::Open { path: from("g"), how: reading() }), libc::ENOENT);
    let file = files.make("file", b"");
    let path = FilePath { base: Some(file), path: c"x".to_owned() };
    assert_eq!(files.fails(FileOp::Open { path, how: reading() }), libc::ENOTDIR);
}

pub(crate) fn many_file_ops_at_once(world: &World) {
    let mut files = world.files();
    let ops: Vec<_> = (0..100)
        .map(|at| {
            let op = FileOp::MakeDir { path: files.at(&format!("{at:03}")), mode: 0o755 };
            files.bench.submit(Op::File(op))
        })
        .collect();
    for op in ops {
        assert_eq!(number(&files.bench.wait(op)), 0);
    }
    assert_eq!(files.list(".").len(), 100);
}

pub(crate) fn beneath_a_folder(world: &World) {
    let mut files = world.files();
    make_folder(&mut files, "in");
    make_folder(&mut files, "in/d");
    files.make("in/d/f", b"abc");
    files.make("out", b"secret");
    for (says, name) in [
        ("d/f", "in/stays"),
        ("../in/d/f", "in/leaves_and_returns"),
        ("../out", "in/leaves"),
        ("d/../../out", "in/leaves_later"),
        ("/", "in/root"),
    ] {
        files.does(symlink(&files, says, name));
    }
    let base = files.open("in", OpenHow { directory: true, ..reading() });
    let open = |files: &mut Files, name: &str, how: OpenHow| {
        let path = FilePath { base: Some(base.clone()), path: CString::new(name).expect("no zero byte") };
        let done = files.run(FileOp::Open { path, how: OpenHow { beneath: true, ..how } });
        done.result.map_err(|error| error.raw_os_error().expect("the system's error"))
    };
    for stays in ["d/f", "./d/../d/f", "stays", "d//f", "d/.", "."] {
        assert_eq!(open(&mut files, stays, reading()), Ok(0), "{stays}");
    }
    let leaves = [
        "..",
        "../in/d/f",
        "d/../../out",
        "/",
        "leaves_and_returns",
        "leaves",
        "leaves_later",
        "root",
        "root/x",
    ];
    for leaves in leaves {
        assert_eq!(open(&mut files, leaves, reading()), Err(libc::EXDEV), "{leaves}");
    }
    assert_eq!(open(&mut files, "d/x/../../..", reading()), Err(libc::ENOENT));
    assert_eq!(open(&mut files, "d/new", making()), Ok(0));
    assert_eq!(open(&mut files, "../new", making()), Err(libc::EXDEV));
    assert_eq!(names(&mut files, "in/d"), ["f", "new"]);
}
