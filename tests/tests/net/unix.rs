//! Unix sockets: streams, listeners, datagrams, names, credentials.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{UnixAddress, UnixDatagram, UnixListener, UnixStream};

use super::{everywhere, on_workers, pattern, run, scale};

/// An abstract name of this process and test.
fn name(test: &str) -> UnixAddress {
    UnixAddress::from_abstract_name(format!("pirn-{test}-{}", unique())).expect("a short name")
}

/// A number that no other call gets.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn echo_over_a_unix_stream() {
    everywhere("echo_over_a_unix_stream", async || {
        let listener = UnixListener::bind(name("echo"))?;
        let address = listener.local_addr()?;
        let server = pirn::spawn(async move {
            let (stream, peer) = listener.accept().await?;
            assert!(peer.is_unnamed());
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return io::Result::Ok(()),
                    count => stream.write_all(&buffer[..count]).await?,
                }
            }
        });
        let client = UnixStream::connect(&address).await?;
        assert_eq!(client.peer_addr()?, address);
        let mut buffer = [0; 64];
        for round in 0..scale(200, 20) {
            client.write_all(&pattern(round, 64)).await?;
            client.read_exact(&mut buffer).await?;
            assert_eq!(buffer[..], pattern(round, 64));
        }
        client.shutdown(std::net::Shutdown::Write).await?;
        assert_eq!(client.read(&mut buffer).await?, 0);
        server.await.expect("no panic")
    });
}

#[test]
fn a_pair_moves_much_both_ways() {
    everywhere("a_pair_moves_much_both_ways", async || {
        let whole = scale(2 << 20, 100_000);
        let (one, other) = UnixStream::pair()?;
        let both = [one, other].map(|stream| {
            let (reader, writer) = stream.into_split();
            let writing = pirn::spawn(async move {
                writer.write_all(&pattern(0, whole)).await?;
                writer.shutdown().await
            });
            let reading = pirn::spawn(async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await?;
                io::Result::Ok(all)
            });
            (writing, reading)
        });
        for (writing, reading) in both {
            writing.await.expect("no panic")?;
            assert!(reading.await.expect("no panic")? == pattern(0, whole));
        }
        Ok(())
    });
}

#[test]
fn nobody_listens_there() {
    everywhere("nobody_listens_there", async || {
        let address = name("nobody");
        let error = UnixStream::connect(&address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        let listener = UnixListener::bind(&address)?;
        let error = UnixListener::bind(&address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        // An abstract name goes with its socket.
        UnixListener::bind(&address).map(drop)
    });
}

#[test]
fn dropping_one_end_ends_the_other() {
    everywhere("dropping_one_end_ends_the_other", async || {
        let (one, other) = UnixStream::pair()?;
        one.write_all(b"last").await?;
        drop(one);
        let mut all = Vec::new();
        other.read_to_end(&mut all).await?;
        assert_eq!(all, b"last");
        assert_eq!(other.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn a_full_backlog_is_waited_out() {
    on_workers(async || {
        let listener =
            std::os::unix::net::UnixListener::bind(std::env::temp_dir().join(format!("pirn-{}", unique())))?;
        // A second listen makes the backlog small.
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 1) }, 0);
        let path = listener.local_addr()?.as_pathname().expect("a path").to_owned();
        let listener = UnixListener::from_std(listener)?;
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                pirn::spawn(async move { UnixStream::connect(path).await })
            })
            .collect();
        pirn::time::sleep(Duration::from_millis(5)).await;
        let mut accepted = Vec::new();
        for _ in 0..8 {
            accepted.push(listener.accept().await?);
        }
        for client in clients {
            client.await.expect("no panic")?;
        }
        std::fs::remove_file(path)
    });
}

#[test]
fn the_peer_is_this_process() {
    on_workers(async || {
        let (one, _other) = UnixStream::pair()?;
        let peer = one.peer_cred()?;
        assert_eq!(peer.pid, Some(std::process::id() as i32));
        // SAFETY: no preconditions.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        assert_eq!((peer.uid, peer.gid), (uid, gid));
        Ok(())
    });
}

#[test]
fn paths_that_can_be_no_address() {
    run(1, async {
        let long = "x".repeat(108);
        for path in ["", "a\0b", long.as_str()] {
            let error = UnixListener::bind(path).expect_err("no address");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        let missing = std::env::temp_dir().join("no such directory").join("socket");
        assert_eq!(UnixListener::bind(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(UnixStream::connect(&missing).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn unix_datagrams_keep_bounds_and_order() {
    everywhere("unix_datagrams_keep_bounds_and_order", async || {
        let server = UnixDatagram::bind(name("datagrams"))?;
        let client = UnixDatagram::bind(name("datagrams"))?;
        let (to, from) = (server.local_addr()?, client.local_addr()?);
        for size in [0, 1, 50] {
            client.send_to(&pattern(0, size), &to).await?;
        }
        let mut buffer = [0; 100];
        for size in [0, 1, 50] {
            assert_eq!(server.recv_from(&mut buffer).await?, (size, from.clone()));
        }
        let anonymous = UnixDatagram::unbound()?;
        anonymous.connect(&to).await?;
        anonymous.send(b"hello").await?;
        let (count, from) = server.recv_from(&mut buffer).await?;
        assert!(count == 5 && from.is_unnamed());
        Ok(())
    });
}

#[test]
fn a_sender_waits_for_a_full_receiver() {
    everywhere("a_sender_waits_for_a_full_receiver", async || {
        let count = scale(2_000, 300);
        let (one, other) = UnixDatagram::pair()?;
        let sending = pirn::spawn(async move {
            for at in 0..count {
                one.send(&(at as u32).to_le_bytes()).await?;
            }
            io::Result::Ok(())
        });
        pirn::time::sleep(Duration::from_millis(5)).await;
        assert!(!sending.is_finished(), "{count} datagrams fitted the queue");
        let mut buffer = [0; 8];
        for at in 0..count {
            assert_eq!(other.recv(&mut buffer).await?, 4);
            assert_eq!(buffer[..4], (at as u32).to_le_bytes());
        }
        sending.await.expect("no panic")
    });
}

#[test]
fn std_streams_are_taken_over_and_given_back() {
    use std::io::{Read, Write};
    run(2, async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let ours = UnixStream::from_std(ours).expect("from_std");
        theirs.write_all(b"hello").expect("write");
        let mut bytes = [0; 5];
        ours.read_exact(&mut bytes).await.expect("read");
        let ours = Arc::new(ours);
        let mut back = Arc::into_inner(ours).expect("one").into_std().await.expect("into_std");
        back.write_all(b"again").expect("write");
        theirs.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"again");
    });
}
