//! Cases about Unix streams and pipes.

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};

use pirn::os::{Address, Fd, Interest, Op, SocketKind, UnixAddress};

use crate::os::world::{World, errno, number, pattern};

/// An abstract name that no other call gets.
fn name() -> Address {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = (u64::from(std::process::id()) << 32) | NEXT.fetch_add(1, Ordering::Relaxed);
    UnixAddress::from_abstract_name(format!("pirn-case-{number}")).expect("a short name").into()
}

fn unix_listener(world: &World, name: &Address, backlog: u32) -> Fd {
    let listener = world.os.socket(SocketKind::UnixStream).expect("socket");
    world.os.bind(&listener, name).expect("bind");
    world.os.listen(&listener, backlog).expect("listen");
    listener
}

pub(crate) fn unix_connections_have_names(world: &World) {
    let mut bench = world.bench(1, 16);
    let name = name();
    let listener = unix_listener(world, &name, 16);
    assert_eq!(world.os.local_addr(&listener).expect("local"), name);
    let client = world.os.socket(SocketKind::UnixStream).expect("socket");
    let accept = bench.submit(Op::Accept { fd: listener.clone() });
    let connect = bench.submit(Op::Connect { fd: client.clone(), address: name.clone() });
    assert_eq!(number(&bench.wait(connect)), 0);
    assert_eq!(number(&bench.wait(accept)), 0);
    let again = bench.submit(Op::Accept { fd: listener });
    bench.still_waits(again);
    bench.cancelled(again);
    assert_eq!(world.os.peer_addr(&client).expect("peer"), name);
    assert_eq!(world.os.local_addr(&client).expect("local"), UnixAddress::Unnamed.into());
}

pub(crate) fn unix_bytes_cross(world: &World) {
    let mut bench = world.bench(1, 16);
    let name = name();
    let listener = unix_listener(world, &name, 16);
    let client = world.os.socket(SocketKind::UnixStream).expect("socket");
    let connect = bench.submit(Op::Connect { fd: client.clone(), address: name });
    assert_eq!(number(&bench.wait(connect)), 0);
    let accept = bench.submit(Op::Accept { fd: listener });
    let completion = bench.wait(accept);
    let pirn::os::Yielded::Accepted(accepted) = completion.yielded else {
        panic!("a connection was expected")
    };
    let (server, peer) = *accepted;
    assert_eq!(peer, UnixAddress::Unnamed.into());
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 64 });
    bench.still_waits(op);
    bench.send(&client, b"question");
    assert_eq!(crate::os::world::received(bench.wait(op), 64), b"question");
    bench.send(&server, &pattern(0, 5_000));
    assert_eq!(bench.recv(&client, 5_000), pattern(0, 5_000));
    drop(server);
    assert_eq!(bench.recv_some(&client, 8), b"");
    let error = world.os.try_send(&client, &[IoSlice::new(b"x")]).expect_err("nobody reads");
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
}

pub(crate) fn unix_names_are_refused(world: &World) {
    let mut bench = world.bench(1, 16);
    let name = name();
    let mut attempt = |address: Address| {
        let fd = world.os.socket(SocketKind::UnixStream).expect("socket");
        let op = bench.submit(Op::Connect { fd, address });
        errno(&bench.wait(op))
    };
    assert_eq!(attempt(name.clone()), Some(libc::ECONNREFUSED));
    let missing = UnixAddress::from_path("no such directory/socket").expect("a short path");
    assert_eq!(attempt(missing.into()), Some(libc::ENOENT));
    let _listener = unix_listener(world, &name, 1);
    let second = world.os.socket(SocketKind::UnixStream).expect("socket");
    assert_eq!(world.os.bind(&second, &name).expect_err("taken").raw_os_error(), Some(libc::EADDRINUSE));
    // Nobody accepts: the backlog fills, and a connect then has nothing to wait for.
    let answers: Vec<_> = (0..4).map(|_| attempt(name.clone())).collect();
    assert_eq!(answers, [None, None, Some(libc::EAGAIN), Some(libc::EAGAIN)]);
}

pub(crate) fn unix_pairs_half_close(world: &World) {
    let mut bench = world.bench(1, 16);
    let (one, other) = world.os.socket_pair(SocketKind::UnixStream).expect("a pair");
    bench.send(&one, b"last words");
    world.os.shutdown(&one, Shutdown::Write).expect("shutdown");
    assert_eq!(bench.recv(&other, 10), b"last words");
    assert_eq!(bench.recv_some(&other, 8), b"");
    bench.send(&other, b"answer");
    assert_eq!(bench.recv(&one, 6), b"answer");
    let error = world.os.try_send(&one, &[IoSlice::new(b"x")]).expect_err("shut down");
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
}

pub(crate) fn pipes_carry_bytes_one_way(world: &World) {
    const SIZE: usize = 300_000;
    let mut bench = world.bench(1, 16);
    let (reader, writer) = world.os.pipe().expect("a pipe");
    let mut byte = [0];
    let empty = world.os.try_recv(&reader, &mut [IoSliceMut::new(&mut byte)], false);
    assert_eq!(empty.expect("no error"), None);
    // More than it holds: the send goes on while the reader reads.
    let send = bench.submit(Op::Send { fd: writer.clone(), bytes: pattern(0, SIZE), from: 0 });
    assert!(bench.recv(&reader, SIZE) == pattern(0, SIZE), "bytes out of order");
    assert_eq!(number(&bench.wait(send)), SIZE);
    let op = bench.submit(Op::Recv { fd: reader.clone(), max: 8 });
    bench.still_waits(op);
    drop(writer);
    assert_eq!(crate::os::world::received(bench.wait(op), 8), b"");
}

pub(crate) fn a_broken_pipe_is_told(world: &World) {
    let mut bench = world.bench(1, 16);
    let (reader, writer) = world.os.pipe().expect("a pipe");
    while world.os.try_send(&writer, &[IoSlice::new(&[0; 4_096])]).expect("send").is_some() {}
    let op = bench.submit(Op::Ready { fd: writer.clone(), interest: Interest::Write });
    bench.settle();
    drop(reader);
    bench.wait(op);
    let error = loop {
        if let Err(error) = world.os.try_send(&writer, &[IoSlice::new(b"x")]) {
            break error;
        }
        bench.settle();
    };
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
}

pub(crate) fn a_pipe_is_no_socket(world: &World) {
    let (reader, _writer) = world.os.pipe().expect("a pipe");
    let not = Some(libc::ENOTSOCK);
    assert_eq!(world.os.local_addr(&reader).expect_err("no name").raw_os_error(), not);
    assert_eq!(world.os.peer_addr(&reader).expect_err("no name").raw_os_error(), not);
    assert_eq!(world.os.shutdown(&reader, Shutdown::Both).expect_err("no way").raw_os_error(), not);
    let option = pirn::os::SocketOption::Broadcast(true);
    assert_eq!(world.os.set_option(&reader, option).expect_err("no option").raw_os_error(), not);
}
