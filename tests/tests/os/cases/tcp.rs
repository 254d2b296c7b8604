//! Cases about connections and the bytes on them.

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;

use pirn::os::{Op, SocketKind, SocketOption, Token};

use crate::os::world::{World, accepted, bytes_of, errno, number, pattern, received};

pub(crate) fn connect_then_accept(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address: address.into() });
    assert_eq!(number(&bench.wait(connect)), 0);
    let accept = bench.submit(Op::Accept { fd: listener });
    let (_server, peer) = accepted(bench.wait(accept));
    assert_eq!(peer, world.os.local_addr(&fd).expect("local address"));
}

pub(crate) fn accept_then_connect(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let accept = bench.submit(Op::Accept { fd: listener.clone() });
    bench.still_waits(accept);
    assert!(world.os.try_accept(&listener).expect("try_accept").is_none());
    let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address: address.into() });
    let (server, _) = accepted(bench.wait(accept));
    assert_eq!(number(&bench.wait(connect)), 0);
    bench.send(&server, b"welcome");
    assert_eq!(bench.recv(&fd, 7), b"welcome");
}

pub(crate) fn connect_is_refused(world: &World) {
    let mut bench = world.bench(1, 16);
    let address = world.deaf();
    let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
    let connect = bench.submit(Op::Connect { fd, address: address.into() });
    assert_eq!(errno(&bench.wait(connect)), Some(libc::ECONNREFUSED));
}

pub(crate) fn address_in_use(world: &World) {
    let (_listener, address) = world.listener();
    let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
    let result = world.os.bind(&fd, &address.into()).and_then(|()| world.os.listen(&fd, 1));
    assert_eq!(result.expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
}

pub(crate) fn names_match_crosswise(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let os = &world.os;
    assert_eq!(os.local_addr(&client).expect("local"), os.peer_addr(&server).expect("peer"));
    assert_eq!(os.peer_addr(&client).expect("peer"), os.local_addr(&server).expect("local"));
}

pub(crate) fn bytes_arrive_in_order(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let mut at = 0;
    for size in [1, 2, 3, 64, 1_000, 5, 20_000, 1] {
        bench.send(&client, &pattern(at, size));
        at += size;
    }
    assert!(bench.recv(&server, at) == pattern(0, at), "bytes out of order");
    bench.send(&server, b"back");
    assert_eq!(bench.recv(&client, 4), b"back");
}

pub(crate) fn large_send_is_one_completion(world: &World) {
    const SIZE: usize = 1 << 20;
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.narrow_pair();
    let mut bytes = pattern(0, SIZE);
    bytes.splice(..0, [7; 100]);
    let send = bench.submit(Op::Send { fd: client.clone(), bytes, from: 100 });
    bench.still_waits(send);
    assert!(bench.recv(&server, SIZE) == pattern(0, SIZE), "bytes out of order");
    let completion = bench.wait(send);
    assert_eq!(number(&completion), SIZE, "the bytes before `from` do not count");
    assert_eq!(bytes_of(completion).len(), SIZE + 100);
}

pub(crate) fn receive_takes_at_most_max(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 4 });
    bench.send(&client, b"0123456789");
    let mut all = received(bench.wait(op), 4);
    while all.len() < 10 {
        all.extend(bench.recv_some(&server, 3));
    }
    assert_eq!(all, b"0123456789");
}

pub(crate) fn receive_waits_for_bytes(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    for round in 0..20 {
        let op = bench.submit(Op::Recv { fd: server.clone(), max: 100 });
        if round % 5 == 0 {
            bench.still_waits(op);
        }
        bench.send(&client, &pattern(round, 10));
        let mut got = received(bench.wait(op), 100);
        got.extend(bench.recv(&server, 10 - got.len()));
        assert_eq!(got, pattern(round, 10));
    }
}

pub(crate) fn end_of_stream_after_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 100 });
    world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
    assert_eq!(received(bench.wait(op), 100), b"", "a waiting receive sees the end");
    for _ in 0..3 {
        assert_eq!(bench.recv_some(&server, 100), b"", "the end stays");
    }
}

pub(crate) fn half_closed_still_receives(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
    assert_eq!(bench.recv_some(&server, 1), b"");
    bench.send(&server, b"late news");
    assert_eq!(bench.recv(&client, 9), b"late news");
    drop(server);
    assert_eq!(bench.recv_some(&client, 1), b"");
}

/// A short receive proves that the queue is empty, but not that the end of the stream did not come with it.
pub(crate) fn data_and_end_together(world: &World) {
    let mut bench = world.bench(1, 16);
    for armed in [false, true] {
        let (client, server) = bench.pair();
        if armed {
            let op = bench.submit(Op::Recv { fd: server.clone(), max: 100 });
            bench.send(&client, b"x");
            assert_eq!(received(bench.wait(op), 100), b"x");
        }
        bench.send(&client, b"last words");
        world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
        bench.settle();
        let mut got = Vec::new();
        while got.len() < 10 {
            got.extend(bench.recv_some(&server, 100));
        }
        assert_eq!(got, b"last words");
        assert_eq!(bench.recv_some(&server, 100), b"");
    }
}

pub(crate) fn send_after_own_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, _server) = bench.pair();
    world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
    let op = bench.submit(Op::Send { fd: client, bytes: vec![1], from: 0 });
    let completion = bench.wait(op);
    assert_eq!(errno(&completion), Some(libc::EPIPE));
    assert_eq!(bytes_of(completion), [1], "a failed send hands its buffer back");
}

pub(crate) fn receive_after_own_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, _server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: client.clone(), max: 10 });
    world.os.shutdown(&client, Shutdown::Read).expect("shutdown");
    assert_eq!(received(bench.wait(op), 10), b"", "a waiting receive ends");
    assert_eq!(bench.recv_some(&client, 10), b"");
}

pub(crate) fn close_with_unread_bytes_resets(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    bench.send(&client, b"nobody reads this");
    bench.settle();
    let op = bench.submit(Op::Recv { fd: client.clone(), max: 10 });
    drop(server);
    assert_eq!(errno(&bench.wait(op)), Some(libc::ECONNRESET));
}

pub(crate) fn unconnected_socket_refuses(world: &World) {
    let mut bench = world.bench(1, 16);
    let fd = world.os.socket(SocketKind::tcp(world.here)).expect("socket");
    assert_eq!(bench.recv_error(&fd), Some(libc::ENOTCONN));
    assert_eq!(world.os.peer_addr(&fd).expect_err("no peer").raw_os_error(), Some(libc::ENOTCONN));
}

pub(crate) fn ops_of_one_side_keep_their_order(world: &World) {
    const SIZE: usize = 100_000;
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.narrow_pair();
    let sends: Vec<Token> = (0..8)
        .map(|part| {
            let bytes = pattern(part * SIZE, SIZE);
            bench.submit(Op::Send { fd: client.clone(), bytes, from: 0 })
        })
        .collect();
    assert!(bench.recv(&server, 8 * SIZE) == pattern(0, 8 * SIZE), "sends overtook one another");
    for send in sends {
        assert_eq!(number(&bench.wait(send)), SIZE);
    }
}

pub(crate) fn descriptor_outlives_its_op(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server, max: 8 });
    bench.still_waits(op);
    // Nobody but the op holds the accepted side now (law 2).
    bench.send(&client, b"ping");
    assert_eq!(received(bench.wait(op), 8), b"ping");
    assert_eq!(bench.recv_some(&client, 1), b"", "closed with its last op");
}

pub(crate) fn dropped_connection_closes(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let accept = bench.submit(Op::Accept { fd: listener.clone() });
    let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address: address.into() });
    drop(bench.wait(accept));
    assert_eq!(number(&bench.wait(connect)), 0);
    assert_eq!(bench.recv_some(&fd, 1), b"", "an adopted connection is closed");
}

pub(crate) fn peek_leaves_the_bytes(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    bench.send(&client, b"peekaboo");
    bench.settle();
    for _ in 0..3 {
        let mut bytes = [0; 4];
        let count = world.os.try_recv(&server, &mut [IoSliceMut::new(&mut bytes)], true).expect("peek");
        assert_eq!((count, &bytes), (Some(4), b"peek"));
    }
    assert_eq!(bench.recv(&server, 8), b"peekaboo");
}

pub(crate) fn vectored_calls(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef"), IoSlice::new(b"g")];
    assert_eq!(world.os.try_send(&client, &parts).expect("send"), Some(7));
    bench.settle();
    let (mut first, mut second) = ([0; 3], [0; 10]);
    let mut into = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(world.os.try_recv(&server, &mut into, false).expect("receive"), Some(7));
    assert_eq!((&first, &second[..4]), (b"abc", &b"defg"[..]));
    assert_eq!(world.os.try_recv(&server, &mut [], false).expect("no room"), Some(0));
    assert_eq!(world.os.try_send(&client, &[]).expect("nothing"), Some(0));
}

pub(crate) fn direct_and_waiting_calls_mix(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let mut bytes = [0; 64];
    let mut at = 0;
    for round in 0..50 {
        let none = world.os.try_recv(&server, &mut [IoSliceMut::new(&mut bytes)], false).expect("receive");
        assert_eq!(none, None, "nothing was sent");
        let op = bench.submit(Op::Recv { fd: server.clone(), max: 64 });
        bench.send(&client, &pattern(at, 20));
        let mut got = received(bench.wait(op), 64);
        if round % 2 == 0 {
            bench.send(&client, &pattern(at + 20, 20));
            bench.settle_until(|world| {
                let mut into = [IoSliceMut::new(&mut bytes)];
                if let Some(count) = world.os.try_recv(&server, &mut into, false).expect("receive") {
                    got.extend(&bytes[..count]);
                }
                got.len() == 40
            });
        } else {
            got.extend(bench.recv(&server, 20 - got.len()));
        }
        assert_eq!(got, pattern(at, got.len()));
        at += got.len();
    }
}

pub(crate) fn options_come_back(world: &World) {
    use SocketOption as O;
    let mut bench = world.bench(1, 16);
    let (client, _server) = bench.pair();
    let os = &world.os;
    let values = [
        O::NoDelay(true),
        O::NoDelay(false),
        O::KeepAlive(true),
        O::Ttl(17),
        O::Linger(Some(3)),
        O::Linger(None),
    ];
    for value in values {
        os.set_option(&client, value).expect("set");
        assert_eq!(os.option(&client, value).expect("get"), value);
    }
    assert_eq!(os.option(&client, O::Error(None)).expect("get"), O::Error(None));
    assert!(os.set_option(&client, O::Error(None)).is_err());
    for option in [O::ReceiveBuffer(100_000), O::SendBuffer(100_000)] {
        os.set_option(&client, option).expect("set");
        match os.option(&client, option).expect("get") {
            O::ReceiveBuffer(bytes) | O::SendBuffer(bytes) => {
                assert!(bytes >= 100_000, "{option:?}: {bytes}")
            }
            other => panic!("asked for {option:?}, got {other:?}"),
        }
    }
}
