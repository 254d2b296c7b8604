//! S14, S18, S20, S21, S30, L12 as the world itself sees them: programs that break them on purpose.

use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::Arc;

use pirn::net::{TcpListener, TcpStream};
use pirn::os::{DriverConfig, DriverParts, Fd, Op, SocketKind, Submitted, Token, Wait};
use pirn::sync::{AtomicU64, Ordering};
use pirn_sim::{Faults, Kernel, Simulation, Verdict};

/// Runs `program` once on each kernel; its verdict names `invariant`, or is a pass for none.
#[track_caller]
fn ends<Fut: Future<Output = ()> + 'static>(
    invariant: Option<&str>,
    program: impl Fn() -> Fut + Send + Sync + 'static,
) {
    ends_on(&[Kernel::Ops, Kernel::Epoll, Kernel::Uring], invariant, program);
}

/// The same on some.
#[track_caller]
fn ends_on<Fut: Future<Output = ()> + 'static>(
    kernels: &[Kernel],
    invariant: Option<&str>,
    program: impl Fn() -> Fut + Send + Sync + 'static,
) {
    let simulation = Simulation::new("laws").workers(1..=1).faults(Faults::none()).host("a", program);
    for kernel in kernels {
        let outcome = simulation.clone().kernel(*kernel).run(1);
        match (&outcome.verdict, invariant) {
            (Verdict::Pass, None) => {}
            (Verdict::Violation(violation), Some(wanted)) => {
                assert_eq!(violation.invariant, wanted, "{kernel:?}: {violation}")
            }
            (other, wanted) => panic!("{wanted:?} was expected on {kernel:?}, but the verdict is {other}"),
        }
    }
}

fn driver(worker: u32) -> DriverParts {
    pirn_sim::os().driver(&DriverConfig { worker, batch: 16, near: 0 }).expect("a driver")
}

/// A listener on no connection: an accept stays in flight.
fn listener() -> Fd {
    let os = pirn_sim::os();
    let address = SocketAddr::from(([10, 0, 0, 1], 900));
    let fd = os.socket(SocketKind::tcp(address)).expect("a socket");
    os.bind(&fd, &address.into()).expect("a free port");
    os.listen(&fd, 4).expect("it listens");
    fd
}

fn accept(parts: &mut DriverParts, token: Token, fd: &Fd) {
    let submitted = parts.submit.submit(token, Op::Accept { fd: Arc::clone(fd) });
    assert!(matches!(submitted, Submitted::Pending), "{submitted:?}");
}

#[test]
fn s14_free_memory_is_touched_by_nobody() {
    #[repr(align(64))]
    struct Block(AtomicU64);
    let touch = |free: bool| {
        let block = Box::new(Block(AtomicU64::new(7)));
        pirn::sync::freed(NonNull::from(&*block).cast(), 64, true);
        if !free {
            pirn::sync::freed(NonNull::from(&*block).cast(), 64, false);
        }
        block.0.load(Ordering::Relaxed);
    };
    ends(None, move || async move { touch(false) });
    ends(Some("S14"), move || async move { touch(true) });
}

#[test]
fn s18_a_descriptor_outlives_its_ops() {
    // A ring closes descriptors at a later look.
    ends_on(&[Kernel::Ops, Kernel::Epoll], Some("S18"), || async {
        let fd = listener();
        let mut parts = driver(40);
        accept(&mut parts, Token::new(40, 0, 0), &fd);
        let op_owns = Arc::into_raw(fd);
        // SAFETY: none, and that is the point: the op's reference is given away too. The run ends right there, and a
        // run that failed is never unwound, so nothing uses or drops the descriptor again.
        unsafe {
            Arc::decrement_strong_count(op_owns);
            Arc::decrement_strong_count(op_owns);
        }
    });
}

#[test]
fn s20_descriptors_open_are_owned() {
    ends(None, || async { drop(listener()) });
    ends(Some("S20"), || async { std::mem::forget(listener()) });
}

#[test]
fn s21_a_cancel_goes_to_the_driver_of_its_op() {
    let cancel = |to: u32| {
        let (mut home, mut other) = (driver(40), driver(41));
        let fd = listener();
        let token = Token::new(40, 0, 0);
        accept(&mut home, token, &fd);
        if to == 40 { home.submit.cancel(token) } else { other.submit.cancel(token) }
    };
    ends(None, move || async move { cancel(40) });
    ends(Some("S21"), move || async move { cancel(41) });
}

#[test]
fn l12_a_cancel_comes_after_its_op() {
    ends(Some("L12"), || async {
        let mut parts = driver(40);
        let token = Token::new(40, 0, 0);
        parts.submit.cancel(token);
        accept(&mut parts, token, &listener());
    });
}

#[test]
fn s30_a_send_is_not_cancelled_while_the_runtime_goes_on() {
    ends(Some("S30"), || async {
        let listener = TcpListener::bind("10.0.0.1:901").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = pirn::spawn(async move { TcpStream::connect(address).await });
        let (_server, _) = listener.accept().await.expect("a connection");
        let _client = client.await.expect("it ends").expect("it connects");
        // A connection of the test's own driver: its descriptor is at hand.
        let os = pirn_sim::os();
        let fd = os.socket(SocketKind::tcp(address)).expect("a socket");
        let mut parts = driver(40);
        let submitted = parts
            .submit
            .submit(Token::new(40, 0, 0), Op::Connect { fd: Arc::clone(&fd), address: address.into() });
        assert!(!matches!(submitted, Submitted::Full(_)), "{submitted:?}");
        // A ring begins what was submitted at a look.
        parts.reap.attach().expect("it is this thread's");
        parts.reap.poll(Wait::No, &mut Vec::new()).expect("a look");
        let (_accepted, _) = listener.accept().await.expect("a second connection");
        pirn::time::sleep(std::time::Duration::from_secs(1)).await;
        let bytes = vec![0; 1 << 22];
        let token = Token::new(40, 1, 0);
        let submitted = parts.submit.submit(token, Op::Send { fd, bytes, from: 0 });
        assert!(matches!(submitted, Submitted::Pending), "{submitted:?}");
        parts.submit.cancel(token);
    });
}
