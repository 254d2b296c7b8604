//! Cases about files: what they hold, how they are opened.

use std::io::{IoSlice, IoSliceMut};

use pirn::os::file::{Advice, FileKind, FilePath, OpenHow, Target};
use pirn::os::{FileOp, Op};

use crate::os::files::{making, opened, reading};
use crate::os::world::{World, bytes_of, errno, number, pattern};

pub(crate) fn bytes_come_back(world: &World) {
    let mut files = world.files();
    let bytes = pattern(0, 20_000);
    let fd = files.make("a", &bytes);
    assert!(files.read(&fd, 30_000, 0) == bytes);
    assert!(files.read(&fd, 5_000, 12_345) == bytes[12_345..17_345]);
    assert_eq!(files.read_some(&fd, 10, 20_000), b"");
    assert_eq!(files.read_some(&fd, 10, 1 << 40), b"");
    drop(fd);
    let fd = files.open("a", reading());
    assert!(files.read(&fd, 30_000, 0) == bytes);
}

pub(crate) fn read_appends_to_what_the_buffer_holds(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"0123456789");
    let mut buffer = Vec::with_capacity(8);
    buffer.extend_from_slice(b"ab");
    let completion = files.run(FileOp::Read { fd: fd.clone(), buffer, max: 100, offset: 3 });
    let room = number(&completion);
    assert!((1..=10).contains(&room));
    let got = bytes_of(completion);
    assert_eq!(got.len(), 2 + room);
    assert_eq!(&got[..3], b"ab3");
    // On an error the buffer comes back as well.
    let folder = files.open(".", reading());
    let completion = files.run(FileOp::Read { fd: folder, buffer: Vec::with_capacity(9), max: 9, offset: 0 });
    assert_eq!(errno(&completion), Some(libc::EISDIR));
    assert!(bytes_of(completion).capacity() >= 9);
}

pub(crate) fn nothing_is_read_or_written_of_length_zero(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"abc");
    assert_eq!(files.read_some(&fd, 0, 0), b"");
    let op = FileOp::Write { fd: fd.clone(), bytes: b"xyz".to_vec(), from: 3, offset: 1 << 50 };
    assert_eq!(number(&files.run(op)), 0);
    assert_eq!(files.stat(&fd).length, 3);
    assert_eq!(world.os.try_read_at(&fd, &mut [], 0).expect("nothing to read").unwrap_or(0), 0);
    assert_eq!(world.os.try_write_at(&fd, &[], 0).expect("nothing to write").unwrap_or(0), 0);
}

pub(crate) fn a_hole_reads_as_zeros(world: &World) {
    let mut files = world.files();
    let fd = files.open("a", making());
    files.write(&fd, b"end", 1 << 33);
    let stat = files.stat(&fd);
    assert_eq!(stat.length, (1 << 33) + 3);
    assert!(stat.blocks < 1_000, "a hole takes {} blocks", stat.blocks);
    assert_eq!(files.read(&fd, 6, (1 << 33) - 3), b"\0\0\0end");
    assert_eq!(files.read(&fd, 3, 1 << 20), [0; 3]);
}

pub(crate) fn huge_offsets(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"abc");
    for offset in [1 << 63, u64::MAX - 1, u64::MAX] {
        let buffer = Vec::with_capacity(4);
        let op = FileOp::Read { fd: fd.clone(), buffer, max: 4, offset };
        assert_eq!(files.fails(op), libc::EINVAL, "read at {offset}");
        let op = FileOp::Write { fd: fd.clone(), bytes: b"x".to_vec(), from: 0, offset };
        assert_eq!(files.fails(op), libc::EINVAL, "write at {offset}");
        assert_eq!(files.fails(FileOp::SetLen { fd: fd.clone(), length: offset }), libc::EINVAL);
    }
    let offset = i64::MAX as u64;
    let op = FileOp::Write { fd: fd.clone(), bytes: b"x".to_vec(), from: 0, offset };
    assert_eq!(files.fails(op), libc::EINVAL);
    let op = FileOp::Write { fd: fd.clone(), bytes: b"x".to_vec(), from: 0, offset: 1 << 62 };
    assert_eq!(files.fails(op), libc::EFBIG);
    assert_eq!(files.fails(FileOp::SetLen { fd: fd.clone(), length: offset }), libc::EFBIG);
    assert_eq!(files.read_some(&fd, 4, offset - 10), b"");
}

pub(crate) fn length_is_cut_and_extended(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", &pattern(0, 10_000));
    files.does(FileOp::SetLen { fd: fd.clone(), length: 5_000 });
    assert_eq!(files.stat(&fd).length, 5_000);
    files.does(FileOp::SetLen { fd: fd.clone(), length: 6_000 });
    let mut expected = pattern(0, 5_000);
    expected.resize(6_000, 0);
    assert!(files.read(&fd, 10_000, 0) == expected, "what was cut off does not come back");
    let read_only = files.open("a", reading());
    assert_eq!(files.fails(FileOp::SetLen { fd: read_only, length: 1 }), libc::EINVAL);
}

pub(crate) fn a_file_shrinks_under_its_reader(world: &World) {
    let mut files = world.files();
    let writer = files.make("a", &pattern(0, 9_000));
    let reader = files.open("a", reading());
    assert_eq!(files.read(&reader, 4_096, 0).len(), 4_096);
    files.does(FileOp::SetLen { fd: writer.clone(), length: 4_100 });
    assert_eq!(files.read(&reader, 4_096, 4_096), pattern(4_096, 4));
    files.does(FileOp::SetLen { fd: writer, length: 0 });
    assert_eq!(files.read_some(&reader, 4_096, 4_100), b"");
    assert_eq!(files.read_some(&reader, 4_096, 0), b"");
}

pub(crate) fn direct_calls_and_ops_agree(world: &World) {
    let mut files = world.files();
    let bytes = pattern(0, 10_000);
    let fd = files.make("a", &bytes);
    let mut hot = 0;
    for round in 0..50 {
        let offset = round * 190;
        let (mut one, mut two) = ([0; 40], [0; 60]);
        let into = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        match world.os.try_read_at(&fd, into, offset as u64).expect("a read") {
            None => assert!(files.read(&fd, 100, offset as u64) == bytes[offset..offset + 100]),
            Some(count) => {
                hot += 1;
                let got = [&one[..], &two[..]].concat();
                assert_eq!(got[..count], bytes[offset..offset + count]);
            }
        }
        let text = [IoSlice::new(b"<"), IoSlice::new(b">")];
        let count = world.os.try_write_at(&fd, &text, 20_000).expect("a write").unwrap_or(0);
        assert_eq!(files.read(&fd, 2, 20_000), b"<>"[..count]);
        files.does(FileOp::SetLen { fd: fd.clone(), length: 10_000 });
    }
    assert!(hot > 0, "what was just written is in memory");
    assert_eq!(
        world.os.try_read_at(&fd, &mut [IoSliceMut::new(&mut [0; 4])], 10_000).ok().flatten(),
        Some(0)
    );
}

pub(crate) fn what_is_not_open_for_it_is_refused(world: &World) {
    let mut files = world.files();
    files.make("a", b"abc");
    let reader = files.open("a", reading());
    let op = FileOp::Write { fd: reader, bytes: b"x".to_vec(), from: 0, offset: 0 };
    assert_eq!(files.fails(op), libc::EBADF);
    let writer = files.open("a", OpenHow { write: true, ..OpenHow::default() });
    let op = FileOp::Read { fd: writer, buffer: Vec::with_capacity(1), max: 1, offset: 0 };
    assert_eq!(files.fails(op), libc::EBADF);
}

pub(crate) fn appends_go_to_the_end(world: &World) {
    let mut files = world.files();
    files.make("a", b"abc");
    let one = files.open("a", OpenHow { append: true, ..making() });
    let two = files.open("a", OpenHow { append: true, ..making() });
    files.write(&one, b"1", 0);
    files.write(&two, b"2", 0);
    files.write(&one, b"3", 77);
    assert_eq!(files.read(&one, 100, 0), b"abc123");
}

pub(crate) fn ways_to_open(world: &World) {
    let mut files = world.files();
    assert_eq!(files.open_fails("a", reading()), libc::ENOENT);
    assert_eq!(files.open_fails("", OpenHow { create_new: true, ..making() }), libc::EISDIR);
    assert_eq!(files.open_fails("./", OpenHow { create_new: true, ..making() }), libc::EEXIST);
    files.make("a", b"abc");
    assert_eq!(files.open_fails("a", OpenHow { create_new: true, ..making() }), libc::EEXIST);
    assert_eq!(files.open_fails("a/", reading()), libc::ENOTDIR);
    assert_eq!(files.open_fails("a/b", making()), libc::ENOTDIR);
    assert_eq!(files.open_fails("b/", making()), libc::EISDIR);
    assert_eq!(files.open_fails("b/c", making()), libc::ENOENT);
    assert_eq!(files.open_fails(".", making()), libc::EISDIR);
    assert_eq!(files.open_fails(".", OpenHow { write: true, ..OpenHow::default() }), libc::EISDIR);
    assert_eq!(files.open_fails("a", OpenHow { directory: true, ..reading() }), libc::ENOTDIR);
    assert_eq!(files.open_fails(&"n".repeat(256), making()), libc::ENAMETOOLONG);
    assert_eq!(files.open_fails(&"n/".repeat(3_000), making()), libc::ENAMETOOLONG);
    let none = FilePath::from(c"".to_owned());
    assert_eq!(files.fails(FileOp::Open { path: none, how: making() }), libc::ENOENT);
    let fd = files.open("a", OpenHow { truncate: true, write: true, ..OpenHow::default() });
    assert_eq!(files.stat(&fd).length, 0);
    let new = files.open("new", OpenHow { create_new: true, mode: 0o600, ..making() });
    assert_eq!(files.stat(&new).mode, 0o600);
}

pub(crate) fn facts(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"abc");
    let stat = files.stat(&fd);
    assert_eq!((stat.kind, stat.length, stat.links), (FileKind::File, 3, 1));
    let now = world.os.wall();
    let age = now.duration_since(stat.modified).unwrap_or_default();
    assert!(age.as_secs() < 60, "written {age:?} ago");
    assert_eq!(files.stat_at("a", true).inode, stat.inode);
    let folder = files.stat_at("", true);
    assert_eq!((folder.kind, folder.links), (FileKind::Directory, 2));
    for target in [Target::Fd(fd.clone()), Target::Path { path: files.at("a"), follow: true }] {
        files.does(FileOp::SetMode { target, mode: 0o640 });
        assert_eq!(files.stat(&fd).mode, 0o640);
        files.does(FileOp::SetMode { target: Target::Fd(fd.clone()), mode: 0o4755 });
        assert_eq!(files.stat(&fd).mode, 0o4755);
    }
    let missing = Target::Path { path: files.at("missing"), follow: true };
    assert_eq!(files.fails(FileOp::Stat { target: missing.clone() }), libc::ENOENT);
    assert_eq!(files.fails(FileOp::SetMode { target: missing, mode: 0 }), libc::ENOENT);
}

pub(crate) fn sync_and_advice(world: &World) {
    let mut files = world.files();
    let bytes = pattern(0, 300_000);
    let fd = files.make("a", &bytes);
    let folder = files.open(".", reading());
    for fd in [&fd, &folder] {
        for data_only in [false, true] {
            files.does(FileOp::Sync { fd: fd.clone(), data_only });
        }
    }
    for advice in [Advice::DontNeed, Advice::WillNeed, Advice::Random, Advice::Sequential, Advice::Normal] {
        for (offset, length) in [(0, 0), (4_096, 8_192), (1_000_000, 5)] {
            files.does(FileOp::Advise { fd: fd.clone(), offset, length, advice });
        }
        assert!(files.read(&fd, bytes.len(), 0) == bytes, "advice changed the file");
    }
    let op = FileOp::Advise { fd, offset: u64::MAX, length: 0, advice: Advice::Normal };
    assert_eq!(files.fails(op), libc::EINVAL);
}

pub(crate) fn cold_pages_become_hot(world: &World) {
    let mut files = world.files();
    let bytes = pattern(0, 100_000);
    let fd = files.make("a", &bytes);
    files.does(FileOp::Sync { fd: fd.clone(), data_only: false });
    files.does(FileOp::Advise { fd: fd.clone(), offset: 0, length: 0, advice: Advice::DontNeed });
    // Whoever answers at once answers right; the op brings it in any case.
    let mut byte = [0];
    if let Some(count) = world.os.try_read_at(&fd, &mut [IoSliceMut::new(&mut byte)], 50_000).expect("a read")
    {
        assert_eq!((count, byte[0]), (1, bytes[50_000]));
    }
    assert!(files.read(&fd, 100, 50_000) == bytes[50_000..50_100]);
}

pub(crate) fn an_open_file_outlives_its_name(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", b"abc");
    files.does(FileOp::Remove { path: files.at("a"), directory: false });
    assert_eq!(files.open_fails("a", reading()), libc::ENOENT);
    assert_eq!(files.read(&fd, 10, 0), b"abc");
    assert_eq!(files.stat(&fd).links, 0);
    files.make("a", b"new");
    assert_eq!(files.read(&fd, 10, 0), b"abc");
}

pub(crate) fn a_file_outlives_its_op(world: &World) {
    let mut files = world.files();
    let fd = files.make("a", &pattern(0, 50_000));
    let mut ops = Vec::new();
    for at in 0..20 {
        let buffer = Vec::with_capacity(500);
        let op = FileOp::Read { fd: fd.clone(), buffer, max: 500, offset: at * 500 };
        ops.push(files.bench.submit(Op::File(op)));
    }
    drop(fd);
    for (at, op) in ops.into_iter().enumerate() {
        let got = bytes_of(files.bench.wait(op));
        assert_eq!(got, pattern(at * 500, got.len()));
        assert!(!got.is_empty());
    }
}

pub(crate) fn cancelled_file_ops_resolve_once(world: &World) {
    let mut files = world.files();
    files.make("a", b"abc");
    for round in 0..40 {
        let op = match round % 4 {
            0 => FileOp::Open { path: files.at("a"), how: reading() },
            1 => FileOp::Stat { target: Target::Path { path: files.at("a"), follow: true } },
            2 => FileOp::MakeDir { path: files.at("d"), mode: 0o755 },
            _ => FileOp::Write { fd: files.open("a", making()), bytes: b"abc".to_vec(), from: 0, offset: 0 },
        };
        let op = files.bench.submit(Op::File(op));
        files.bench.cancel(op);
        files.bench.cancel(op);
        let completion = files.bench.wait(op);
        match (errno(&completion), round % 4) {
            (Some(libc::ECANCELED), 3) => assert_eq!(bytes_of(completion), b"abc"),
            (Some(libc::ECANCELED), _) => {}
            (None, 0) => drop(opened(completion)),
            (None, 2) => files.does(FileOp::Remove { path: files.at("d"), directory: true }),
            (None, _) => {}
            (Some(errno), _) => panic!("errno {errno}"),
        }
        files.bench.cancel(op);
    }
    assert_eq!(files.bench.settle(), 0, "a cancelled op resolves once");
    assert_eq!(files.list(".").len(), 1);
}

pub(crate) fn a_socket_is_no_file(world: &World) {
    let mut files = world.files();
    let (client, _server) = files.bench.pair();
    let buffer = Vec::with_capacity(4);
    let op = FileOp::Read { fd: client.clone(), buffer, max: 4, offset: 0 };
    let refused = files.run(op);
    assert!(refused.result.is_err(), "{refused:?}");
    assert!(world.os.try_read_at(&client, &mut [IoSliceMut::new(&mut [0])], 0).is_err());
    let file = files.make("a", b"abc");
    let refused = files.bench.submit(Op::Recv { fd: file.clone(), max: 4 });
    assert!(files.bench.wait(refused).result.is_err());
    assert!(world.os.try_recv(&file, &mut [IoSliceMut::new(&mut [0])], false).is_err());
}
