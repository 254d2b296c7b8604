//! Cases about clock, threads, waits and drivers.

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::os::{Op, SocketKind, Submitted, ThreadSpec, Token, Wait};

use crate::os::world::{World, errno, pattern, received};

pub(crate) fn clock_moves_on(world: &World) {
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

pub(crate) fn wait_lasts_until_its_deadline(world: &World) {
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

pub(crate) fn unpark_is_sticky(world: &World) {
    let mut bench = world.bench(1, 16);
    for count in [1, 2, 5] {
        for _ in 0..count {
            bench.drivers[0].unpark.unpark();
        }
        // Blocks for ever if the unpark is lost.
        bench.poll(Wait::Forever);
    }
}

pub(crate) fn unpark_ends_a_wait(world: &World) {
    const ROUNDS: u64 = 50;
    let mut bench = world.bench(1, 16);
    let unpark = Arc::clone(&bench.drivers[0].unpark);
    let turn = Arc::new(AtomicU64::new(0));
    let (theirs, os) = (Arc::clone(&turn), Arc::clone(&world.os));
    let spec = ThreadSpec { name: "unparker".to_owned(), stack: None };
    let thread = world.os.spawn_thread(
        spec,
        Box::new(move || {
            let mut pause =
                os.driver(&pirn::os::DriverConfig { worker: 1, batch: 1, near: 0 }).expect("a driver");
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

pub(crate) fn threads_start_and_end(world: &World) {
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

pub(crate) fn look_collects_at_most_a_batch(world: &World) {
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

/// A worker that always has something to do never waits in its driver.
pub(crate) fn looks_that_do_not_wait_suffice(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    for round in 0..3 {
        let op = bench.submit(Op::Recv { fd: server.clone(), max: 8 });
        bench.poll(Wait::No);
        let sent = world.os.try_send(&client, &[IoSlice::new(b"x")]).expect("try_send");
        assert_eq!(sent, Some(1), "a fresh connection takes a byte");
        let start = world.os.now();
        while !bench.resolved(op) {
            assert!(world.os.now() - start < Duration::from_secs(10), "nothing came in round {round}");
            bench.poll(Wait::No);
        }
        assert_eq!(received(bench.wait(op), 8), b"x");
    }
}

pub(crate) fn op_from_another_driver(world: &World) {
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

pub(crate) fn dropped_driver_lets_go(world: &World) {
    let mut bench = world.bench(1, 16);
    // No connection of a listener, which may make its home with that one.
    let (client, server) = world.os.socket_pair(SocketKind::UnixStream).expect("a pair");
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

pub(crate) fn many_connections_at_once(world: &World) {
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

/// Takeover: another thread holds the reaping half while the owner goes on submitting and cancelling.
pub(crate) fn peer_reaps(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let mut parts = bench.drivers.remove(0);
    let mut reap = parts.reap;
    for round in 0..20u8 {
        let token = Token::new(0, 100, round.into());
        let op = Op::Recv { fd: server.clone(), max: 8 };
        assert!(matches!(parts.submit.submit(token, op), Submitted::Pending), "nothing is there yet");
        let found = Arc::new(Mutex::new(Vec::new()));
        let (theirs, os) = (Arc::clone(&found), Arc::clone(&world.os));
        let (give, back) = std::sync::mpsc::channel();
        let body = move || {
            let mut out = Vec::new();
            while out.is_empty() {
                reap.poll(Wait::Until(os.now() + Duration::from_millis(100)), &mut out).expect("poll");
            }
            theirs.lock().expect("no panic").extend(out);
            give.send(reap).expect("the owner waits");
        };
        let spec = ThreadSpec { name: "peer".to_owned(), stack: None };
        let thread = world.os.spawn_thread(spec, Box::new(body)).expect("a thread");
        if round % 3 == 2 {
            parts.submit.cancel(token);
        } else {
            let sent = world.os.try_send(&client, &[IoSlice::new(&[round])]).expect("send");
            assert_eq!(sent, Some(1));
        }
        reap = back.recv().expect("the peer gives it back");
        thread.join();
        let completion = found.lock().expect("no panic").pop().expect("a completion");
        assert_eq!(completion.token, token);
        if round % 3 == 2 {
            assert_eq!(errno(&completion), Some(libc::ECANCELED));
        } else {
            assert_eq!(received(completion, 8), [round]);
        }
    }
}
