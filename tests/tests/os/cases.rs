//! The listed cases. Each uses the machine's traits only, so it runs in a live process and in a simulated thread.

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pirn::os::{Op, SocketOption, ThreadSpec, Token, Wait};

use super::world::{World, accepted, bytes_of, errno, number, pattern, received};

/// A case.
pub(crate) type Case = fn(&World);

macro_rules! cases {
    ($($name:ident)*) => {
        /// All of them, by name.
        #[allow(dead_code, reason = "run one by one on epoll, as a list in the simulator")]
        pub(crate) const CASES: &[(&str, Case)] = &[$((stringify!($name), $name)),*];

        mod on_epoll {
            $(
                #[test]
                fn $name() {
                    super::super::live::run(super::$name);
                }
            )*
        }
    };
}

cases! {
    clock_moves_on
    wait_lasts_until_its_deadline
    unpark_is_sticky
    unpark_ends_a_wait
    threads_start_and_end
    connect_then_accept
    accept_then_connect
    connect_is_refused
    address_in_use
    names_match_crosswise
    bytes_arrive_in_order
    large_send_is_one_completion
    receive_takes_at_most_max
    receive_waits_for_bytes
    end_of_stream_after_shutdown
    half_closed_still_receives
    data_and_end_together
    send_after_own_shutdown
    receive_after_own_shutdown
    close_with_unread_bytes_resets
    unconnected_socket_refuses
    cancelled_receive_loses_nothing
    cancelled_accept_loses_nothing
    cancelled_send_gives_the_buffer_back
    cancel_of_the_past_does_nothing
    cancelled_op_comes_without_a_wait
    cancel_in_a_queue_of_ops
    ops_of_one_side_keep_their_order
    look_collects_at_most_a_batch
    op_from_another_driver
    descriptor_outlives_its_op
    dropped_connection_closes
    dropped_driver_lets_go
    peek_leaves_the_bytes
    vectored_calls
    direct_and_waiting_calls_mix
    options_come_back
    many_connections_at_once
}

fn clock_moves_on(world: &World) {
    let mut last = world.os.now();
    for _ in 0..100 {
        let now = world.os.now();
        assert!(now >= last);
        last = now;
    }
    assert!(world.os.parallelism() >= 1);
    let draws: std::collections::HashSet<u64> = (0..8).map(|_| world.os.entropy()).collect();
    assert!(draws.len() > 1, "eight equal random numbers");
    assert!(world.os.wall() > std::time::UNIX_EPOCH);
}

fn wait_lasts_until_its_deadline(world: &World) {
    let mut bench = world.bench(1, 16);
    for micros in [0, 1, 300, 1_500, 10_000] {
        let deadline = world.os.now() + Duration::from_micros(micros);
        let mut looks = 0;
        while world.os.now() < deadline {
            assert_eq!(bench.poll(Wait::Until(deadline)), 0);
            looks += 1;
            assert!(looks < 1_000, "a wait of {micros} µs does not block");
        }
    }
    bench.poll(Wait::No);
}

fn unpark_is_sticky(world: &World) {
    let mut bench = world.bench(1, 16);
    for count in [1, 2, 5] {
        for _ in 0..count {
            bench.drivers[0].unpark.unpark();
        }
        // Blocks for ever if the unpark is lost.
        bench.poll(Wait::Forever);
    }
}

fn unpark_ends_a_wait(world: &World) {
    const ROUNDS: u64 = 50;
    let mut bench = world.bench(1, 16);
    let unpark = Arc::clone(&bench.drivers[0].unpark);
    let turn = Arc::new(AtomicU64::new(0));
    let (theirs, os) = (Arc::clone(&turn), Arc::clone(&world.os));
    let spec = ThreadSpec { name: "unparker".to_owned(), stack: None };
    let thread = world.os.spawn_thread(
        spec,
        Box::new(move || {
            let mut pause = os.driver(&pirn::os::DriverConfig { worker: 1, batch: 1 }).expect("a driver");
            pause.reap.attach().expect("attach");
            for round in 1..=ROUNDS {
                pause
                    .reap
                    .poll(Wait::Until(os.now() + Duration::from_micros(200)), &mut Vec::new())
                    .expect("poll");
                theirs.store(round, Ordering::SeqCst);
                unpark.unpark();
            }
        }),
    );
    while turn.load(Ordering::SeqCst) < ROUNDS {
        bench.poll(Wait::Forever);
    }
    thread.expect("a thread").join();
}

fn threads_start_and_end(world: &World) {
    let (ran, id) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (their_ran, their_id, os) = (Arc::clone(&ran), Arc::clone(&id), Arc::clone(&world.os));
    let spec = ThreadSpec { name: "a name longer than fifteen bytes".to_owned(), stack: Some(256 << 10) };
    let body = Box::new(move || {
        their_id.store(os.thread_id(), Ordering::SeqCst);
        assert_eq!(os.thread_id(), their_id.load(Ordering::SeqCst), "a thread keeps its number");
        their_ran.store(true, Ordering::SeqCst);
    });
    world.os.spawn_thread(spec, body).expect("a thread").join();
    assert!(ran.load(Ordering::SeqCst), "join waits for the body's end");
    assert_ne!(id.load(Ordering::SeqCst), world.os.thread_id(), "two threads, one number");
}

fn connect_then_accept(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let fd = world.os.socket(address).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address });
    assert_eq!(number(&bench.wait(connect)), 0);
    let accept = bench.submit(Op::Accept { fd: listener });
    let (_server, peer) = accepted(bench.wait(accept));
    assert_eq!(peer, world.os.local_addr(&fd).expect("local address"));
}

fn accept_then_connect(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let accept = bench.submit(Op::Accept { fd: listener.clone() });
    bench.still_waits(accept);
    assert!(world.os.try_accept(&listener).expect("try_accept").is_none());
    let fd = world.os.socket(address).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address });
    let (server, _) = accepted(bench.wait(accept));
    assert_eq!(number(&bench.wait(connect)), 0);
    bench.send(&server, b"welcome");
    assert_eq!(bench.recv(&fd, 7), b"welcome");
}

fn connect_is_refused(world: &World) {
    let mut bench = world.bench(1, 16);
    let address = world.deaf();
    let fd = world.os.socket(address).expect("socket");
    let connect = bench.submit(Op::Connect { fd, address });
    assert_eq!(errno(&bench.wait(connect)), Some(libc::ECONNREFUSED));
}

fn address_in_use(world: &World) {
    let (_listener, address) = world.listener();
    let fd = world.os.socket(address).expect("socket");
    let result = world.os.bind(&fd, address).and_then(|()| world.os.listen(&fd, 1));
    assert_eq!(result.expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
}

fn names_match_crosswise(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let os = &world.os;
    assert_eq!(os.local_addr(&client).expect("local"), os.peer_addr(&server).expect("peer"));
    assert_eq!(os.peer_addr(&client).expect("peer"), os.local_addr(&server).expect("local"));
}

fn bytes_arrive_in_order(world: &World) {
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

fn large_send_is_one_completion(world: &World) {
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

fn receive_takes_at_most_max(world: &World) {
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

fn receive_waits_for_bytes(world: &World) {
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

fn end_of_stream_after_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 100 });
    world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
    assert_eq!(received(bench.wait(op), 100), b"", "a waiting receive sees the end");
    for _ in 0..3 {
        assert_eq!(bench.recv_some(&server, 100), b"", "the end stays");
    }
}

fn half_closed_still_receives(world: &World) {
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
fn data_and_end_together(world: &World) {
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
        assert_eq!(bench.recv(&server, 10), b"last words");
        assert_eq!(bench.recv_some(&server, 100), b"");
    }
}

fn send_after_own_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, _server) = bench.pair();
    world.os.shutdown(&client, Shutdown::Write).expect("shutdown");
    let op = bench.submit(Op::Send { fd: client, bytes: vec![1], from: 0 });
    let completion = bench.wait(op);
    assert_eq!(errno(&completion), Some(libc::EPIPE));
    assert_eq!(bytes_of(completion), [1], "a failed send hands its buffer back");
}

fn receive_after_own_shutdown(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, _server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: client.clone(), max: 10 });
    world.os.shutdown(&client, Shutdown::Read).expect("shutdown");
    assert_eq!(received(bench.wait(op), 10), b"", "a waiting receive ends");
    assert_eq!(bench.recv_some(&client, 10), b"");
}

fn close_with_unread_bytes_resets(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    bench.send(&client, b"nobody reads this");
    bench.settle();
    let op = bench.submit(Op::Recv { fd: client.clone(), max: 10 });
    drop(server);
    assert_eq!(errno(&bench.wait(op)), Some(libc::ECONNRESET));
}

fn unconnected_socket_refuses(world: &World) {
    let mut bench = world.bench(1, 16);
    let fd = world.os.socket(world.here).expect("socket");
    assert_eq!(bench.recv_error(&fd), Some(libc::ENOTCONN));
    assert_eq!(world.os.peer_addr(&fd).expect_err("no peer").raw_os_error(), Some(libc::ENOTCONN));
}

fn cancelled_receive_loses_nothing(world: &World) {
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

fn cancelled_accept_loses_nothing(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let op = bench.submit(Op::Accept { fd: listener.clone() });
    bench.still_waits(op);
    bench.cancelled(op);
    let (client, server) = bench.pair_at(&listener, address);
    bench.send(&client, b"hello");
    assert_eq!(bench.recv(&server, 5), b"hello");
}

fn cancelled_send_gives_the_buffer_back(world: &World) {
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

fn cancel_of_the_past_does_nothing(world: &World) {
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

fn cancelled_op_comes_without_a_wait(world: &World) {
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

fn cancel_in_a_queue_of_ops(world: &World) {
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

fn ops_of_one_side_keep_their_order(world: &World) {
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

fn look_collects_at_most_a_batch(world: &World) {
    let mut bench = world.bench(1, 2);
    let pairs: Vec<_> = (0..7).map(|_| bench.pair()).collect();
    let ops: Vec<Token> =
        pairs.iter().map(|(_, server)| bench.submit(Op::Recv { fd: server.clone(), max: 8 })).collect();
    for (client, _) in &pairs {
        let sent = world.os.try_send(client, &[IoSlice::new(b"x")]).expect("try_send");
        assert_eq!(sent, Some(1), "a fresh connection takes a byte");
    }
    let start = world.os.now();
    while ops.iter().any(|op| !bench.resolved(*op)) {
        assert!(world.os.now() - start < Duration::from_secs(10), "completions beyond the batch were lost");
        let count = bench.poll(Wait::Until(world.os.now() + Duration::from_millis(100)));
        assert!(count <= 2, "a look with a batch of 2 brought {count}");
    }
    for op in ops {
        assert_eq!(received(bench.wait(op), 8), b"x");
    }
}

fn op_from_another_driver(world: &World) {
    let mut bench = world.bench(2, 16);
    let (client, server) = bench.pair();
    // At home with driver 0 from here on.
    let op = bench.submit_at(0, Op::Recv { fd: server.clone(), max: 8 });
    bench.send(&client, b"first");
    assert_eq!(received(bench.wait(op), 8), b"first");
    for _ in 0..5 {
        let op = bench.submit_at(1, Op::Recv { fd: server.clone(), max: 8 });
        bench.send(&client, b"second");
        assert_eq!(received(bench.wait(op), 8), b"second");
    }
    let op = bench.submit_at(1, Op::Recv { fd: server.clone(), max: 8 });
    bench.still_waits(op);
    bench.cancelled(op);
    bench.send(&client, b"third");
    assert_eq!(bench.recv(&server, 5), b"third");
}

fn descriptor_outlives_its_op(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server, max: 8 });
    bench.still_waits(op);
    // Nobody but the op holds the accepted side now (law 2).
    bench.send(&client, b"ping");
    assert_eq!(received(bench.wait(op), 8), b"ping");
    assert_eq!(bench.recv_some(&client, 1), b"", "closed with its last op");
}

fn dropped_connection_closes(world: &World) {
    let mut bench = world.bench(1, 16);
    let (listener, address) = world.listener();
    let accept = bench.submit(Op::Accept { fd: listener.clone() });
    let fd = world.os.socket(address).expect("socket");
    let connect = bench.submit(Op::Connect { fd: fd.clone(), address });
    drop(bench.wait(accept));
    assert_eq!(number(&bench.wait(connect)), 0);
    assert_eq!(bench.recv_some(&fd, 1), b"", "an adopted connection is closed");
}

fn dropped_driver_lets_go(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let held = Arc::downgrade(&server);
    {
        let mut other = world.bench(1, 16);
        let op = other.submit(Op::Recv { fd: server, max: 8 });
        other.still_waits(op);
        other.forget(op);
    }
    assert!(held.upgrade().is_none(), "a driver that is gone still holds a descriptor");
    assert_eq!(bench.recv_some(&client, 1), b"");
}

fn peek_leaves_the_bytes(world: &World) {
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

fn vectored_calls(world: &World) {
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

fn direct_and_waiting_calls_mix(world: &World) {
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

fn options_come_back(world: &World) {
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

fn many_connections_at_once(world: &World) {
    let mut bench = world.bench(1, 8);
    let (listener, address) = world.listener();
    let mut pairs = Vec::new();
    for _ in 0..100 {
        pairs.push(bench.pair_at(&listener, address));
    }
    for round in 0..3 {
        let ops: Vec<Token> =
            pairs.iter().map(|(_, server)| bench.submit(Op::Recv { fd: server.clone(), max: 32 })).collect();
        for (index, (client, _)) in pairs.iter().enumerate() {
            bench.send(client, &pattern(index + round, 32));
        }
        for (index, op) in ops.into_iter().enumerate() {
            let mut got = received(bench.wait(op), 32);
            got.extend(bench.recv(&pairs[index].1, 32 - got.len()));
            assert_eq!(got, pattern(index + round, 32));
        }
    }
}
