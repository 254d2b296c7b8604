//! Cases about cancelled ops.

use pirn::os::{Op, SocketKind, Token, Wait};

use crate::os::world::{World, accepted, bytes_of, errno, number, pattern, received};

pub(crate) fn cancelled_receive_loses_nothing(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let mut at = 0;
    for round in 0..30 {
        let op = bench.submit(Op::Recv { fd: server.clone(), max: 64 });
        if round % 3 != 0 {
            bench.send(&client, &pattern(at, 10));
        }
        if round % 3 == 2 {
            bench.poll(Wait::No);
        }
        bench.cancel(op);
        let completion = bench.wait(op);
        let mut got = match errno(&completion) {
            Some(libc::ECANCELED) => Vec::new(),
            _ => received(completion, 64),
        };
        if round % 3 != 0 {
            got.extend(bench.recv(&server, 10 - got.len()));
            assert_eq!(got, pattern(at, 10), "round {round}");
            at += 10;
        }
        assert!(round % 3 != 0 || got.is_empty());
    }
}

pub(crate) fn cancelled_accept_loses_nothing(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let op = bench.submit(Op::Accept { fd: listener.clone() });
    bench.still_waits(op);
    bench.cancelled(op);
    let (client, server) = bench.pair_at(&listener, address);
    bench.send(&client, b"hello");
    assert_eq!(bench.recv(&server, 5), b"hello");
}

pub(crate) fn cancelled_connect_hurts_no_other(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let connect = |bench: &mut crate::os::world::Bench| {
        let fd = world.os.socket(SocketKind::tcp(address)).expect("socket");
        let op = bench.submit(Op::Connect { fd: fd.clone(), address: address.into() });
        (fd, op)
    };
    for round in 0..6 {
        let (fd, op) = connect(&mut bench);
        if round % 2 == 1 {
            bench.poll(Wait::No);
        }
        bench.cancel(op);
        if round % 3 == 0 {
            // Before its completion is taken.
            drop(fd);
        }
        assert!(matches!(errno(&bench.wait(op)), None | Some(libc::ECANCELED)), "round {round}");
    }
    let (fd, op) = connect(&mut bench);
    assert_eq!(number(&bench.wait(op)), 0);
    let name = world.os.local_addr(&fd).expect("local address");
    // Those that came about all the same are closed.
    let server = loop {
        let accept = bench.submit(Op::Accept { fd: listener.clone() });
        let (server, peer) = accepted(bench.wait(accept));
        if peer == name {
            break server;
        }
        assert!(matches!(bench.recv_error(&server), None | Some(libc::ECONNRESET)));
    };
    bench.send(&fd, b"hello");
    assert_eq!(bench.recv(&server, 5), b"hello");
}

pub(crate) fn cancelled_send_gives_the_buffer_back(world: &World) {
    const SIZE: usize = 1 << 20;
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.narrow_pair();
    let op = bench.submit(Op::Send { fd: client.clone(), bytes: pattern(0, SIZE), from: 0 });
    bench.still_waits(op);
    assert_eq!(bytes_of(bench.cancelled(op)).len(), SIZE);
    // What had left by then arrives, in order and without a gap.
    drop(client);
    let mut got = Vec::new();
    loop {
        let more = bench.recv_some(&server, 1 << 20);
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    assert!(!got.is_empty() && got.len() < SIZE, "{} of {SIZE} bytes arrived", got.len());
    assert!(got == pattern(0, got.len()), "bytes out of order");
}

pub(crate) fn cancel_of_the_past_does_nothing(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 4 });
    bench.send(&client, b"abcd");
    let done = op;
    assert_eq!(received(bench.wait(op), 4).len(), 4);
    let op = bench.submit(Op::Recv { fd: server, max: 4 });
    bench.cancel(done);
    bench.cancel(Token::new(0, op.slot(), op.generation() + 1));
    bench.cancel(Token::new(0, 9_999, 0));
    bench.still_waits(op);
    bench.send(&client, b"efgh");
    assert_eq!(received(bench.wait(op), 4), b"efgh");
    bench.cancel(op);
    assert_eq!(bench.settle(), 0);
}

pub(crate) fn cancelled_op_comes_without_a_wait(world: &World) {
    let mut bench = world.bench(1, 16);
    let (_client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server, max: 4 });
    bench.still_waits(op);
    bench.cancel(op);
    bench.cancel(op);
    while !bench.resolved(op) {
        // Blocks for ever if the cancel staged nothing.
        bench.poll(Wait::Forever);
    }
    assert_eq!(errno(&bench.wait(op)), Some(libc::ECANCELED));
    assert_eq!(bench.settle(), 0, "a cancelled op resolves once");
}

pub(crate) fn cancel_in_a_queue_of_ops(world: &World) {
    let mut bench = world.bench(1, 16);
    for victim in 0..3 {
        let (client, server) = bench.pair();
        let ops: Vec<Token> = (0..3).map(|_| bench.submit(Op::Recv { fd: server.clone(), max: 1 })).collect();
        bench.cancelled(ops[victim]);
        bench.send(&client, b"ab");
        let mut got = Vec::new();
        for op in ops.into_iter().enumerate().filter(|(index, _)| *index != victim).map(|(_, op)| op) {
            got.extend(received(bench.wait(op), 1));
        }
        assert_eq!(got, b"ab", "the others keep their order");
    }
}
