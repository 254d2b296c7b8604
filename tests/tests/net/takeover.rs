//! A worker that computes keeps no connection waiting: the others serve what is at home with it, on either backend.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Plain};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use pirn::net::{TcpListener, TcpStream};
use pirn::{Backend, Builder, Runtime};

use super::ANY;
use crate::support::{PATIENCE, within};

/// Echoes to everybody.
async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        pirn::spawn(async move {
            let mut bytes = vec![0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
        })
        .detach();
    }
}

fn connect(address: SocketAddr) -> Plain {
    let stream = Plain::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends bytes and waits until all have come back.
fn trip(stream: &Plain, count: usize) {
    let bytes: Vec<u8> = (0..count).map(|at| (at ^ (at >> 8)) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| (&mut &*stream).write_all(&bytes).expect("write"));
        let mut back = vec![0; count];
        (&mut &*stream).read_exact(&mut back).expect("what was sent comes back");
        assert!(back == bytes, "bytes out of order");
    });
}

/// Keeps the worker that polls it busy until `stop`.
fn compute(stop: &AtomicBool, began: &AtomicBool) {
    began.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while !stop.load(Ordering::SeqCst) && start.elapsed() < 2 * PATIENCE {
        std::hint::spin_loop();
    }
}

fn clients(address: SocketAddr, runtime: &pirn::Handle) {
    let streams: Vec<Plain> = (0..12).map(|_| connect(address)).collect();
    for _ in 0..3 {
        streams.iter().for_each(|stream| trip(stream, 100));
    }
    for round in 0..6 {
        let (stop, began) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (theirs, started) = (stop.clone(), began.clone());
        let hog = runtime.spawn(async move { compute(&theirs, &started) });
        while !began.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        // Each of these would wait for the hog if its home were the hog's worker and nobody else looked.
        for stream in &streams {
            trip(stream, 100);
            trip(stream, 10_000);
        }
        if round % 3 == 2 {
            trip(&streams[round], 1 << 20);
        }
        let late = connect(address);
        trip(&late, 100);
        drop(late);
        assert!(!hog.is_finished(), "the hog gave up before its victims were served");
        stop.store(true, Ordering::SeqCst);
        streams.iter().for_each(|stream| trip(stream, 100));
    }
}

fn run(runtime: Runtime) {
    let handle = runtime.handle();
    let takeovers = runtime.block_on(async {
        let listener = TcpListener::bind(ANY).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let server = pirn::spawn(serve(listener));
        let clients = pirn::spawn_blocking({
            let handle = handle.clone();
            move || clients(address, &handle)
        });
        clients.await.expect("every trip ends");
        server.abort();
        handle.metrics().workers.iter().map(|worker| worker.takeovers).sum::<u64>()
    });
    assert!(takeovers > 0, "nobody was overdue: this tested nothing");
    runtime.shutdown_timeout(Duration::from_secs(10)).expect("it ends");
}

/// Begins a write, a close, a connect and a rename, and computes in the same poll.
async fn begin_and_compute(listener: SocketAddr, from: PathBuf, to: PathBuf, stop: Arc<AtomicBool>) {
    let writer = TcpStream::connect(listener).await.expect("connected");
    let goes = TcpStream::connect(listener).await.expect("connected");
    let mut connect = pin!(TcpStream::connect(listener));
    let mut rename = pin!(pirn::fs::rename(from, to));
    writer.write_all(b"1").await.expect("sent");
    writer.write_all(b"2").await.expect("accepted");
    drop(goes);
    let mut begin =
        |context: &mut Context<'_>| (connect.as_mut().poll(context), rename.as_mut().poll(context));
    let (connected, renamed) = poll_fn(|context| Poll::Ready(begin(context))).await;
    compute(&stop, &AtomicBool::new(false));
    match connected {
        Poll::Ready(connected) => connected,
        Poll::Pending => connect.await,
    }
    .expect("connected");
    match renamed {
        Poll::Ready(renamed) => renamed,
        Poll::Pending => rename.await,
    }
    .expect("renamed");
}

/// What was staged right before a worker got stuck is begun by who takes over: a connect, a file op, a write, a close.
#[test]
fn what_a_stuck_worker_staged_is_begun() {
    within(PATIENCE, || {
        for backend in crate::process::backends() {
            // Nobody sits on seat 0, so two workers remain.
            let runtime = Builder::new().workers(3).backend(backend).build().expect("a runtime");
            let listener = std::net::TcpListener::bind(ANY).expect("bind");
            let path = std::env::temp_dir().join(format!("pirn-stuck-{}-{backend:?}", std::process::id()));
            let (from, to) = (path.with_extension("from"), path.with_extension("to"));
            std::fs::write(&from, "x").expect("written");
            let stop = Arc::new(AtomicBool::new(false));
            let address = listener.local_addr().expect("address");
            let stuck = runtime.spawn(begin_and_compute(address, from, to.clone(), stop.clone()));
            let [mut writes, mut ends, connects] =
                [(); 3].map(|()| listener.accept().expect("accepted while the worker computes").0);
            let mut bytes = [0; 2];
            writes.read_exact(&mut bytes).expect("received");
            assert_eq!(&bytes, b"12");
            assert_eq!(ends.read(&mut bytes).expect("an end"), 0);
            while !to.exists() {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(!stuck.is_finished());
            stop.store(true, Ordering::SeqCst);
            runtime.block_on(stuck).expect("no panic");
            drop(connects);
            std::fs::remove_file(&to).expect("removed");
        }
    });
}

#[test]
fn of_a_stuck_worker_on_epoll() {
    run(Builder::new().workers(2).backend(Backend::Epoll).build().expect("epoll"));
}

#[test]
fn of_a_stuck_worker_on_io_uring() {
    match Builder::new().workers(2).backend(Backend::Uring).build() {
        Ok(runtime) => run(runtime),
        Err(error) => println!("not run: {error}"),
    }
}

/// The home of a connection is seat 0, whose thread has gone; its task waits on another worker.
fn vacant(runtime: Runtime) {
    let (stream, client) = runtime.block_on(async {
        let listener = TcpListener::bind(ANY).await.expect("bind");
        let client = connect(listener.local_addr().expect("address"));
        let (stream, _) = listener.accept().await.expect("accept");
        // The first wait is here, and ends here.
        let mut writer = client.try_clone().expect("another descriptor");
        let writing = pirn::spawn_blocking(move || {
            thread::sleep(Duration::from_millis(20));
            writer.write_all(b"1").expect("write");
        });
        stream.read_exact(&mut [0]).await.expect("the first byte");
        writing.await.expect("written");
        (stream, client)
    });
    let echo = runtime.spawn(async move {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("a byte");
        stream.write_all(&byte).await.expect("write");
    });
    // All workers are asleep by now, and look at the seat every few milliseconds.
    thread::sleep(Duration::from_millis(200));
    let looks = || runtime.handle().metrics().workers.iter().map(|worker| worker.looks).sum::<u64>();
    let before = looks();
    thread::sleep(Duration::from_millis(200));
    let made = looks() - before;
    assert!(made < 300, "{made} looks in 200 ms in which nothing happened");
    trip(&client, 1);
    within(PATIENCE, move || runtime.block_on(echo)).expect("the task ends");
}

#[test]
fn of_a_vacant_seat_on_epoll() {
    vacant(Builder::new().workers(2).backend(Backend::Epoll).build().expect("epoll"));
}

#[test]
fn of_a_vacant_seat_on_io_uring() {
    match Builder::new().workers(2).backend(Backend::Uring).build() {
        Ok(runtime) => vacant(runtime),
        Err(error) => println!("not run: {error}"),
    }
}

/// A peer that runs now and then, and sleeps in between, is looked after all the time: its next poll may be a long one.
#[test]
fn the_idle_watch_a_peer_that_comes_and_goes() {
    let runtime = Builder::new().workers(2).build().expect("a runtime");
    let looks = |worker: usize| runtime.handle().metrics().workers[worker].looks;
    let (idle, own) = runtime.block_on(async {
        pirn::time::sleep(Duration::from_millis(50)).await;
        let before = (looks(1), looks(0));
        for _ in 0..10 {
            // The idle one has something to do, and begins anew to wait for longer and longer.
            let task = pirn::spawn(async {});
            let start = Instant::now();
            while !task.is_finished() && start.elapsed() < PATIENCE {
                std::hint::spin_loop();
            }
            for _ in 0..25 {
                pirn::time::sleep(Duration::from_millis(1)).await;
            }
        }
        (looks(1) - before.0, looks(0) - before.1)
    });
    assert!(own >= 100, "the main future slept in its own worker: {own} looks");
    assert!(idle >= own / 4, "{idle} looks of the idle worker beside {own} of the one that ran");
}

/// Ends on the seat of the main future: it is woken in one of that future's polls.
async fn on_the_main_seat(main: thread::ThreadId, bell: async_channel::Receiver<()>) {
    while thread::current().id() != main {
        bell.recv().await.expect("the main future rings");
    }
}

/// A task with long polls leaves the worker at which descriptors are at home.
#[test]
fn long_tasks_run_where_fewer_descriptors_wait() {
    for backend in crate::process::backends() {
        let runtime = Builder::new().workers(2).backend(backend).build().expect("a runtime");
        let left_after = runtime.block_on(async {
            let main = thread::current().id();
            let (ring, bell) = async_channel::bounded(1);
            let (moved, news) = async_channel::bounded::<u32>(1);
            let task = pirn::spawn(async move {
                on_the_main_seat(main, bell).await;
                for round in 0.. {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(5) {
                        std::hint::spin_loop();
                    }
                    pirn::time::sleep(Duration::from_millis(5)).await;
                    if thread::current().id() != main {
                        let _ = moved.send(round).await;
                    }
                }
            });
            // It waits on this seat, and nothing comes.
            let socket = pirn::net::UdpSocket::bind(ANY).await.expect("bind");
            let mut nothing = [0];
            let mut quiet = std::pin::pin!(socket.recv(&mut nothing));
            let mut heard = std::pin::pin!(news.recv());
            let left_after = pirn::time::timeout(
                PATIENCE,
                std::future::poll_fn(|cx| {
                    assert!(quiet.as_mut().poll(cx).is_pending(), "nobody sends");
                    // Once the task is here, the main future is asleep.
                    if ring.try_send(()).is_ok() {
                        cx.waker().wake_by_ref();
                    }
                    heard.as_mut().poll(cx)
                }),
            )
            .await;
            task.abort();
            left_after
        });
        assert!(left_after.is_ok(), "{backend:?}: it stayed with the descriptor");
    }
}
