//! The live machine: how cases run on it, and what only a live kernel has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pirn::os::file::Advice;
use pirn::os::{FileOp, Op, Os, Token, Wait};

use super::cases::Case;
use super::files::reading;
use super::world::{World, received};
use crate::alone::alone;

/// A live machine on the loopback address.
fn on(os: Arc<dyn Os>) -> World {
    World { os, here: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

/// The epoll machine.
pub(crate) fn world() -> World {
    on(pirn::os::epoll().expect("this kernel has epoll"))
}

/// The io_uring machine, where the kernel allows it.
pub(crate) fn uring() -> Option<World> {
    match pirn::os::uring() {
        Ok(os) => Some(on(os)),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

/// All live machines.
pub(crate) fn worlds() -> impl Iterator<Item = World> {
    [Some(world()), uring()].into_iter().flatten()
}

/// Runs a case on epoll.
pub(crate) fn on_epoll(case: Case) {
    case(&world());
}

/// Runs a case on io_uring.
pub(crate) fn on_uring(case: Case) {
    if let Some(world) = uring() {
        case(&world);
    }
}

/// A connected pair of std: the peer, and the side to be taken over.
fn std_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    (peer, listener.accept().expect("accept").0)
}

/// A registration whose open file lives on behind another descriptor must not reach the socket that gets its place.
#[test]
fn taken_over_descriptor_leaves_no_registration() {
    worlds().for_each(|world| taken_over_descriptor_leaves_no_registration_on(&world));
}

fn taken_over_descriptor_leaves_no_registration_on(world: &World) {
    let mut bench = world.bench(1, 16);
    let (mut peer, side) = std_pair();
    let kept = side.try_clone().expect("a second descriptor");
    let fd = world.os.adopt(OwnedFd::from(side)).expect("adopt");
    let op = bench.submit(Op::Recv { fd: fd.clone(), max: 8 });
    peer.write_all(b"one").expect("write");
    assert_eq!(received(bench.wait(op), 8), b"one");
    drop(fd);
    // Takes the place of the old one in the set, and sees none of its events.
    let (client, server) = bench.pair();
    let op = bench.submit(Op::Recv { fd: server.clone(), max: 8 });
    bench.settle();
    // A wait may end early, by an alarm that an earlier wait left; an event of the socket that has gone would end every one.
    let lasted = (0..5).any(|_| {
        let quiet = Instant::now();
        peer.write_all(b"two").expect("write");
        let until = Wait::Until(world.os.now() + Duration::from_millis(30));
        bench.drivers[0].reap.poll(until, &mut Vec::new()).expect("poll");
        quiet.elapsed() >= Duration::from_millis(30)
    });
    assert!(lasted, "an event of a socket that has gone ends waits");
    bench.still_waits(op);
    bench.send(&client, b"three");
    assert_eq!(received(bench.wait(op), 8), b"three");
    let mut bytes = [0; 3];
    (&kept).read_exact(&mut bytes).expect("it is still open");
}

#[test]
fn duplicate_is_the_same_socket() {
    worlds().for_each(|world| duplicate_is_the_same_socket_on(&world));
}

fn duplicate_is_the_same_socket_on(world: &World) {
    let mut bench = world.bench(1, 16);
    let (client, server) = bench.pair();
    let mut outside = TcpStream::from(server.duplicate().expect("a duplicate"));
    bench.send(&client, b"x");
    bench.settle();
    let mut byte = [0];
    outside.read_exact(&mut byte).expect("non-blocking, and a byte is there");
    assert_eq!(&byte, b"x");
    drop(server);
    outside.write_all(b"y").expect("still open");
    assert_eq!(bench.recv(&client, 1), b"y");
}

/// Urgent data ends a receive early without the queue being empty: a short count proves nothing then.
#[test]
fn urgent_data_hides_no_bytes() {
    worlds().for_each(|world| urgent_data_hides_no_bytes_on(&world));
}

fn urgent_data_hides_no_bytes_on(world: &World) {
    use std::os::fd::AsRawFd;
    let mut bench = world.bench(1, 16);
    for early in [false, true] {
        let (mut peer, side) = std_pair();
        let fd = world.os.adopt(OwnedFd::from(side)).expect("adopt");
        if early {
            let op = bench.submit(Op::Recv { fd: fd.clone(), max: 100 });
            peer.write_all(b"-").expect("write");
            assert_eq!(received(bench.wait(op), 100), b"-");
        }
        peer.write_all(b"before").expect("write");
        // SAFETY: one readable byte.
        let sent = unsafe { libc::send(peer.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        peer.write_all(b"after").expect("write");
        bench.settle();
        assert_eq!(bench.recv(&fd, 11), b"beforeafter");
    }
}

#[test]
fn signal_ends_no_wait_with_an_error() {
    alone("os::live::signal_ends_no_wait_with_an_error", || {
        extern "C" fn nothing(_: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        // SAFETY: no preconditions.
        let target = unsafe { libc::pthread_self() } as usize;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let theirs = stop.clone();
        let sender = std::thread::spawn(move || {
            while !theirs.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: the test's thread outlives this one, which it joins.
                unsafe { libc::pthread_kill(target as libc::pthread_t, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        for (name, case) in super::cases::CASES {
            println!("{name}");
            worlds().for_each(|world| case(&world));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        sender.join().expect("no panic");
    });
}

/// File ops that a driver has in flight when it goes: their buffers stay until the kernel is done, what they open is closed.
#[test]
fn a_driver_goes_with_file_ops_in_flight() {
    alone("os::live::a_driver_goes_with_file_ops_in_flight", || {
        for world in worlds() {
            let before = crate::alone::descriptors();
            for round in 0..20 {
                let mut files = world.files();
                let fd = files.make("a", &super::pattern(0, 500_000));
                let pipe = files.at("pipe");
                // SAFETY: a string with its end.
                assert_eq!(unsafe { libc::mkfifo(pipe.path.as_ptr(), 0o600) }, 0);
                files.does(FileOp::Sync { fd: fd.clone(), data_only: false });
                files.does(FileOp::Advise { fd: fd.clone(), offset: 0, length: 0, advice: Advice::DontNeed });
                let mut ops = Vec::new();
                for at in 0..30 {
                    let buffer = Vec::with_capacity(16_000);
                    ops.push(FileOp::Read { fd: fd.clone(), buffer, max: 16_000, offset: at * 16_000 });
                    ops.push(FileOp::Open { path: files.at("a"), how: reading() });
                }
                if world.os.name() == "uring" {
                    // A side thread would wait in it for ever.
                    ops.push(FileOp::Open { path: pipe, how: reading() });
                }
                for (slot, op) in ops.into_iter().enumerate() {
                    // Past the bench, which would wait for them.
                    let token = Token::new(0, 1_000 + slot as u32, 0);
                    files.bench.drivers[0].submit.submit(token, Op::File(op));
                }
                if round % 2 == 0 {
                    files.bench.drivers[0].reap.poll(Wait::No, &mut Vec::new()).expect("a look");
                }
            }
            crate::support::eventually(&format!("all is closed on {}", world.os.name()), || {
                crate::alone::descriptors() <= before
            });
        }
    });
}
