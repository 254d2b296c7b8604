//! Cases about datagrams, and about waiting until a descriptor is ready.

use std::time::Duration;

use pirn::os::{Address, Fd, Interest, Op, RecvMessage, SendMessage, SocketKind, Wait};

use crate::os::world::{Bench, World, errno, number, pattern};

/// A bound UDP socket and its address.
fn bound(world: &World) -> (Fd, Address) {
    let fd = world.os.socket(SocketKind::udp(world.here)).expect("socket");
    world.os.bind(&fd, &world.here.into()).expect("bind");
    let address = world.os.local_addr(&fd).expect("local address");
    (fd, address)
}

fn send(world: &World, fd: &Fd, bytes: &[u8], to: Option<&Address>) {
    let message = SendMessage { bytes, to: to.cloned(), segment: 0 };
    assert_eq!(world.os.try_send_batch(fd, &[message]).expect("send"), Some(1));
}

/// Waits for a datagram and receives it.
fn recv(bench: &mut Bench, fd: &Fd, room: usize) -> (Vec<u8>, Address, bool) {
    loop {
        let mut buffer = vec![0; room];
        let mut batch = [RecvMessage::new(&mut buffer)];
        let came = bench.world.os.try_recv_batch(fd, &mut batch, false).expect("receive");
        let [RecvMessage { count, from, truncated, .. }] = batch;
        if came.is_some() {
            buffer.truncate(count);
            return (buffer, from, truncated);
        }
        let op = bench.submit(Op::Ready { fd: fd.clone(), interest: Interest::Read });
        assert_eq!(number(&bench.wait(op)), 0);
    }
}

pub(crate) fn datagrams_have_bounds_and_senders(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, from), (other, to)) = (bound(world), bound(world));
    for size in [0, 1, 1_000] {
        send(world, &one, &pattern(size, size), Some(&to));
        assert_eq!(recv(&mut bench, &other, 2_000), (pattern(size, size), from.clone(), false));
    }
    send(world, &one, b"long", Some(&to));
    assert_eq!(recv(&mut bench, &other, 3), (b"lon".to_vec(), from, true));
}

pub(crate) fn batches_of_datagrams(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, _), (other, to)) = (bound(world), bound(world));
    let texts: Vec<Vec<u8>> = (0..20).map(|at| pattern(at, at)).collect();
    let mut sent = 0;
    while sent < texts.len() {
        let rest = texts[sent..].iter();
        let rest: Vec<_> =
            rest.map(|bytes| SendMessage { bytes, to: Some(to.clone()), segment: 0 }).collect();
        sent += world.os.try_send_batch(&one, &rest).expect("send").expect("there is room");
    }
    let mut seen = Vec::new();
    while seen.len() < texts.len() {
        let mut buffers = vec![[0; 32]; 8];
        let mut batch: Vec<_> = buffers.iter_mut().map(|buffer| RecvMessage::new(buffer)).collect();
        match world.os.try_recv_batch(&other, &mut batch, false).expect("receive") {
            Some(count) => {
                seen.extend(batch[..count].iter().map(|message| message.into[..message.count].to_vec()));
            }
            None => {
                let op = bench.submit(Op::Ready { fd: other.clone(), interest: Interest::Read });
                assert_eq!(number(&bench.wait(op)), 0);
            }
        }
    }
    assert_eq!(seen, texts);
}

pub(crate) fn a_peeked_datagram_stays(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, _), (other, to)) = (bound(world), bound(world));
    send(world, &one, b"here", Some(&to));
    let op = bench.submit(Op::Ready { fd: other.clone(), interest: Interest::Read });
    bench.wait(op);
    bench.settle();
    for _ in 0..2 {
        let mut buffer = [0; 8];
        let mut batch = [RecvMessage::new(&mut buffer)];
        assert_eq!(world.os.try_recv_batch(&other, &mut batch, true).expect("peek"), Some(1));
        assert_eq!(batch[0].count, 4);
    }
    assert_eq!(recv(&mut bench, &other, 8).0, b"here");
}

pub(crate) fn connected_datagram_sockets(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, from), (other, to)) = (bound(world), bound(world));
    for (fd, address) in [(&one, &to), (&other, &from)] {
        assert_eq!(world.os.peer_addr(fd).expect_err("not yet").kind(), std::io::ErrorKind::NotConnected);
        let op = bench.submit(Op::Connect { fd: fd.clone(), address: address.clone() });
        assert_eq!(number(&bench.wait(op)), 0);
        assert_eq!(&world.os.peer_addr(fd).expect("peer"), address);
    }
    send(world, &one, b"hello", None);
    assert_eq!(recv(&mut bench, &other, 8).0, b"hello");
    // Nobody there: the next call says so.
    drop(other);
    send(world, &one, b"hello?", None);
    let op = bench.submit(Op::Ready { fd: one.clone(), interest: Interest::Read });
    bench.wait(op);
    bench.settle();
    let mut buffer = [0; 8];
    let error = world.os.try_recv_batch(&one, &mut [RecvMessage::new(&mut buffer)], false);
    assert_eq!(error.expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
}

pub(crate) fn ready_comes_with_its_reason(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, _), (other, to)) = (bound(world), bound(world));
    let write = bench.submit(Op::Ready { fd: other.clone(), interest: Interest::Write });
    assert_eq!(number(&bench.wait(write)), 0, "a UDP socket can always be written to");
    for round in 0..20 {
        let ops = [0, 1].map(|_| bench.submit(Op::Ready { fd: other.clone(), interest: Interest::Read }));
        send(world, &one, &[round], Some(&to));
        for op in ops {
            assert_eq!(number(&bench.wait(op)), 0);
        }
        assert_eq!(recv(&mut bench, &other, 8).0, [round]);
    }
}

pub(crate) fn cancelled_ready_loses_nothing(world: &World) {
    let mut bench = world.bench(1, 16);
    let ((one, _), (other, to)) = (bound(world), bound(world));
    for round in 0..20u8 {
        let op = bench.submit(Op::Ready { fd: other.clone(), interest: Interest::Read });
        if round % 2 == 1 {
            send(world, &one, &[round], Some(&to));
        }
        if round % 3 == 0 {
            bench.poll(Wait::No);
        }
        bench.cancel(op);
        let completion = bench.wait(op);
        assert!(completion.result.is_ok() || errno(&completion) == Some(libc::ECANCELED), "{completion:?}");
        if round % 2 == 1 {
            assert_eq!(recv(&mut bench, &other, 8).0, [round]);
        }
    }
}

pub(crate) fn datagram_calls_that_are_refused(world: &World) {
    let (one, to) = bound(world);
    let error = |message: SendMessage<'_>| {
        world.os.try_send_batch(&one, &[message]).expect_err("refused").raw_os_error()
    };
    let long = vec![0; 70_000];
    assert_eq!(error(SendMessage { bytes: &long, to: Some(to), segment: 0 }), Some(libc::EMSGSIZE));
    assert_eq!(error(SendMessage { bytes: b"x", to: None, segment: 0 }), Some(libc::EDESTADDRREQ));
    assert_eq!(world.os.listen(&one, 1).expect_err("no stream").raw_os_error(), Some(libc::EOPNOTSUPP));
    let taken = world.os.socket(SocketKind::udp(world.here)).expect("socket");
    let address = world.os.local_addr(&one).expect("local address");
    let error = world.os.bind(&taken, &address).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    // TCP has ports of its own. On a live machine a stranger may hold the one port, hardly all of them.
    let free = (0..16).any(|_| {
        let (_one, address) = bound(world);
        let tcp = world.os.socket(SocketKind::tcp(world.here)).expect("socket");
        world.os.bind(&tcp, &address).is_ok()
    });
    assert!(free, "another port space");
}

pub(crate) fn unix_datagrams_wait_for_room(world: &World) {
    let mut bench = world.bench(1, 16);
    let (one, other) = world.os.socket_pair(SocketKind::UnixDatagram).expect("a pair");
    let mut sent = 0u32;
    while world
        .os
        .try_send_batch(&one, &[SendMessage { bytes: &sent.to_le_bytes(), to: None, segment: 0 }])
        .expect("send")
        .is_some()
    {
        sent += 1;
        assert!(sent < 100_000, "a queue without an end");
    }
    let write = bench.submit(Op::Ready { fd: one, interest: Interest::Write });
    for at in 0..sent {
        let (bytes, from, _) = recv(&mut bench, &other, 8);
        assert_eq!(bytes, at.to_le_bytes(), "none is lost, and they keep their order");
        assert!(from.unix().expect("a Unix address").is_unnamed());
    }
    assert_eq!(number(&bench.wait(write)), 0);
    bench.poll(Wait::Until(world.os.now() + Duration::from_millis(1)));
}
