//! Descriptors and tasks: none is left behind, and running out of them is survived.

use std::io;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};

use super::{ANY, run};
use crate::alone::{alone, descriptors};

/// Waits until the process has no more than `count` descriptors open.
async fn back_to(count: usize) {
    for _ in 0..500 {
        if descriptors() <= count {
            return;
        }
        pirn::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} descriptors are open, {count} were before", descriptors());
}

/// Echoes to so many connections.
async fn serve(listener: TcpListener, connections: usize) -> io::Result<()> {
    for _ in 0..connections {
        let (stream, _) = listener.accept().await?;
        pirn::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        })
        .detach();
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_leave_nothing() {
    const BATCHES: usize = 50;
    const BATCH: usize = 200;
    alone("net::resources::ten_thousand_connections_leave_nothing", || {
        let runtime = pirn::Builder::new().workers(2).build().expect("a runtime");
        runtime.block_on(async {
            let idle = descriptors();
            let listener = TcpListener::bind(ANY).await.expect("bind");
            let address = listener.local_addr().expect("address");
            let server = pirn::spawn(serve(listener, BATCHES * BATCH));
            for _ in 0..BATCHES {
                let clients: Vec<_> = (0..BATCH)
                    .map(|number| {
                        pirn::spawn(async move {
                            let stream = TcpStream::connect(address).await?;
                            // No linger: 10,000 sockets in TIME_WAIT would use up the ports.
                            stream.set_linger(Some(Duration::ZERO))?;
                            let bytes = [number as u8; 64];
                            stream.write_all(&bytes).await?;
                            let mut back = [0; 64];
                            stream.read_exact(&mut back).await?;
                            assert_eq!(back, bytes);
                            io::Result::Ok(())
                        })
                    })
                    .collect();
                for client in clients {
                    client.await.expect("no panic").expect("a round trip");
                }
            }
            server.await.expect("no panic").expect("no error");
            back_to(idle).await;
        });
        let metrics = runtime.handle().metrics();
        let spawned: u64 = metrics.workers.iter().map(|worker| worker.tasks_spawned).sum();
        let finished: u64 = metrics.workers.iter().map(|worker| worker.tasks_finished).sum();
        assert_eq!(spawned, finished, "tasks are left");
        assert!(spawned > (2 * BATCHES * BATCH) as u64);
        let in_flight: usize = metrics.workers.iter().map(|worker| worker.ops_in_flight).sum();
        assert_eq!(in_flight, 0, "ops are left");
    });
}

#[test]
fn dropped_runtime_leaves_no_descriptor() {
    alone("net::resources::dropped_runtime_leaves_no_descriptor", || {
        let before = descriptors();
        for _ in 0..3 {
            let runtime = pirn::Builder::new().workers(2).build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(ANY).await.expect("bind");
                let address = listener.local_addr().expect("address");
                pirn::spawn(serve(listener, usize::MAX)).detach();
                for _ in 0..20 {
                    let stream = TcpStream::connect(address).await.expect("connect");
                    // Reads that wait when the runtime goes.
                    pirn::spawn(async move { stream.read(&mut [0; 8]).await.map(drop) }).detach();
                }
                pirn::time::sleep(Duration::from_millis(10)).await;
            });
            drop(runtime);
            assert_eq!(descriptors(), before, "descriptors are left");
        }
    });
}

/// Sets the limit of descriptors, and returns the one before.
pub(super) fn limit_descriptors(limit: u64) -> u64 {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is valid for writing.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) }, 0);
    let before = std::mem::replace(&mut now.rlim_cur, limit);
    // SAFETY: `now` is valid for reading.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &now) }, 0);
    before
}

#[test]
fn listener_survives_exhausted_descriptors() {
    alone("net::resources::listener_survives_exhausted_descriptors", || {
        run(2, async {
            let listener = TcpListener::bind(ANY).await.expect("bind");
            let address = listener.local_addr().expect("address");
            let waiting = std::net::TcpStream::connect(address).expect("a connection in the backlog");
            let limit = descriptors() as u64 + 4;
            limit_descriptors(limit);
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            for _ in 0..3 {
                let error = listener.accept().await.expect_err("no descriptor is left");
                let message = error.to_string();
                assert!(
                    message.contains(&address.to_string()) && message.contains("stays open"),
                    "{message}"
                );
                let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
                assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EMFILE));
            }
            let error = TcpStream::connect(address).await.expect_err("no descriptor is left");
            assert!(error.to_string().contains("Too many open files"), "{error}");
            hoard.truncate(hoard.len() - 2);
            // The connection in the backlog was not lost.
            let (stream, peer) = listener.accept().await.expect("a descriptor is free");
            assert_eq!(peer, waiting.local_addr().expect("address"));
            drop(stream);
            // An accept that waits when the last descriptor goes ends with the error, and loses nothing either.
            let listener = std::sync::Arc::new(listener);
            let accept_next = || {
                let listener = listener.clone();
                pirn::spawn(async move { listener.accept().await.map(|(_, peer)| peer) })
            };
            let accept = accept_next();
            pirn::time::sleep(Duration::from_millis(2)).await;
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            hoard.pop();
            let late = std::net::TcpStream::connect(address).expect("the last descriptor");
            accept.await.expect("no panic").expect_err("no descriptor is left");
            hoard.truncate(hoard.len() - 2);
            let accept = accept_next();
            let peer = accept.await.expect("no panic").expect("a descriptor is free");
            assert_eq!(peer, late.local_addr().expect("address"));
            let accept = accept_next();
            pirn::time::sleep(Duration::from_millis(2)).await;
            TcpStream::connect(address).await.expect("connect");
            accept.await.expect("no panic").expect("accept");
        });
    });
}

#[test]
fn runtime_without_descriptors_says_what_to_do() {
    alone("net::resources::runtime_without_descriptors_says_what_to_do", || {
        limit_descriptors(descriptors() as u64 + 3);
        let error = pirn::Builder::new().workers(4).build().expect_err("too few descriptors");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    });
}
