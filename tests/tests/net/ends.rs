//! How streams and listeners end, and what several tasks do with one stream: what users of other runtimes rely on (the test suites of
//! tokio, smol and compio ask for it).

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream, UnixStream};
use pirn::time::{sleep, timeout};

use super::{any, everywhere, narrow_pair, on_workers, pair, pattern, scale};

/// Long enough for what was sent on this machine to have arrived.
const ARRIVES: Duration = Duration::from_millis(5);

#[test]
fn a_reset_is_no_end_of_the_stream() {
    on_workers(async || {
        for waits in [false, true] {
            let (client, server) = pair().await?;
            client.set_linger(Some(Duration::ZERO))?;
            let reading = pirn::spawn(async move {
                if !waits {
                    sleep(2 * ARRIVES).await;
                }
                let mut all = Vec::new();
                let result = server.read_to_end(&mut all).await;
                (result, all)
            });
            client.write_all(b"before").await?;
            sleep(ARRIVES).await;
            drop(client);
            let (result, all) = reading.await.expect("no panic");
            assert_eq!(result.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
            assert!(b"before".starts_with(&all[..]), "{all:?}");
        }
        Ok(())
    });
}

/// Unread bytes are lost when their reader goes, and the writer hears of it, whether they were taken from the kernel or not.
#[test]
fn a_close_with_unread_bytes_is_a_reset() {
    on_workers(async || {
        for waited in [false, true] {
            let (client, server) = pair().await?;
            if waited {
                assert!(timeout(Duration::from_millis(1), client.read(&mut [0; 4])).await.is_err());
            }
            server.write_all(b"never read").await?;
            sleep(ARRIVES).await;
            drop(client);
            let error = server.read(&mut [0]).await.expect_err("nobody read it");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "waited: {waited}");
        }
        Ok(())
    });
}

#[test]
fn a_peek_waits_takes_nothing_and_sees_the_end() {
    everywhere("a_peek_waits_takes_nothing_and_sees_the_end", async || {
        let (client, server) = pair().await?;
        let server = Arc::new(server);
        for round in 0..3_u8 {
            let peeker = server.clone();
            let peek = pirn::spawn(async move {
                let mut bytes = [0; 8];
                let count = peeker.peek(&mut bytes).await?;
                io::Result::Ok(bytes[..count].to_vec())
            });
            sleep(ARRIVES).await;
            assert!(!peek.is_finished(), "there is nothing to be seen yet");
            client.write_all(&[round]).await?;
            assert_eq!(peek.await.expect("no panic")?, [round]);
            // What another task saw is still there for this one.
            let mut byte = [9];
            server.read_exact(&mut byte).await?;
            assert_eq!(byte, [round]);
        }
        client.shutdown(Shutdown::Write).await?;
        let mut bytes = [0; 8];
        for _ in 0..3 {
            assert_eq!(server.peek(&mut bytes).await?, 0);
        }
        assert_eq!(server.read(&mut bytes).await?, 0);
        Ok(())
    });
}

#[test]
fn the_end_can_be_said_twice() {
    everywhere("the_end_can_be_said_twice", async || {
        let (client, server) = pair().await?;
        client.shutdown(Shutdown::Write).await?;
        client.shutdown(Shutdown::Write).await?;
        assert_eq!(server.read(&mut [0]).await?, 0);
        server.shutdown(Shutdown::Write).await?;
        assert_eq!(client.read(&mut [0]).await?, 0);
        // Both are closed by now; what is to be said of a third time is the system's choice, but not a panic or a wait.
        drop(client.shutdown(Shutdown::Both).await);
        Ok(())
    });
}

#[test]
fn one_half_outlives_the_other() {
    everywhere("one_half_outlives_the_other", async || {
        let (client, server) = pair().await?;
        let (reader, writer) = client.into_split();
        drop(reader);
        writer.write_all(b"still").await?;
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"still");
        // With the second half the connection goes.
        drop(writer);
        assert_eq!(server.read(&mut bytes).await?, 0);
        // The other one first: that is no end for the peer, and the reader goes on.
        let (client, server) = pair().await?;
        let (reader, writer) = client.into_split();
        drop(writer);
        assert!(timeout(ARRIVES, server.read(&mut bytes)).await.is_err(), "no end was said");
        server.write_all(b"there").await?;
        reader.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"there");
        Ok(())
    });
}

/// A write that waits for room goes on when the reader of the same stream, in another task, is dropped.
#[test]
fn a_waiting_write_outlives_the_reading_half() {
    everywhere("a_waiting_write_outlives_the_reading_half", async || {
        let (client, server) = narrow_pair().await?;
        let (reader, writer) = client.into_split();
        let waiting = pirn::spawn(async move {
            let _ = timeout(Duration::from_millis(20), reader.read(&mut [0; 8])).await;
        });
        let whole = scale(600_000, 40_000);
        let writing = pirn::spawn(async move { writer.write_all(&pattern(0, whole)).await });
        waiting.await.expect("no panic");
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        assert!(all == pattern(0, whole));
        writing.await.expect("no panic")
    });
}

/// What a client sent before it left is there for an accept that comes later.
#[test]
fn a_client_may_leave_before_it_is_accepted() {
    everywhere("a_client_may_leave_before_it_is_accepted", async || {
        let listener = TcpListener::bind(any()).await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let name = client.local_addr()?;
        client.write_all(b"sent and left").await?;
        client.flush().await?;
        drop(client);
        sleep(ARRIVES).await;
        let (server, peer) = listener.accept().await?;
        assert_eq!(peer, name);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        assert_eq!(all, b"sent and left");
        Ok(())
    });
}

#[test]
fn nobody_connects_to_a_listener_that_is_gone() {
    on_workers(async || {
        for waited in [false, true] {
            let listener = TcpListener::bind(any()).await?;
            let address = listener.local_addr()?;
            if waited {
                assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
            }
            let early = TcpStream::connect(address).await?;
            drop(listener);
            // Who was in its backlog, or accepted for nobody, is sent away.
            match timeout(Duration::from_secs(5), early.read(&mut [0])).await.expect("an answer") {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
            }
            let late = TcpStream::connect(address).await.expect_err("nobody listens");
            assert_eq!(late.kind(), ErrorKind::ConnectionRefused, "{late}");
            let again = TcpListener::bind(address).await?;
            drop(again);
        }
        Ok(())
    });
}

/// The kernel takes 1,024 slices in one call; who has more is served by some of them.
#[test]
fn more_slices_than_one_call_takes() {
    on_workers(async || {
        const COUNT: usize = 2_500;
        let (client, server) = pair().await?;
        let bytes = pattern(0, COUNT);
        let mut sent = 0;
        while sent < COUNT {
            let slices: Vec<_> = bytes[sent..].chunks(1).map(IoSlice::new).collect();
            let count = client.write_vectored(&slices).await?;
            assert!(count > 0);
            sent += count;
        }
        client.flush().await?;
        let mut back = vec![0; COUNT];
        let mut read = 0;
        while read < COUNT {
            let mut slices: Vec<_> = back[read..].chunks_mut(1).map(IoSliceMut::new).collect();
            let count = server.read_vectored(&mut slices).await?;
            assert!(count > 0);
            read += count;
        }
        assert!(back == bytes);
        // Empty ones in front are no end.
        let mut slices = vec![IoSlice::new(b""); 1_500];
        slices.push(IoSlice::new(b"x"));
        assert_eq!(client.write_vectored(&slices).await?, 1);
        let mut byte = [0];
        let mut slices: Vec<_> = (0..1_500).map(|_| IoSliceMut::new(&mut [])).collect();
        slices.push(IoSliceMut::new(&mut byte));
        assert_eq!(server.read_vectored(&mut slices).await?, 1);
        assert_eq!(&byte, b"x");
        Ok(())
    });
}

#[test]
fn an_exact_read_says_when_too_little_comes() {
    everywhere("an_exact_read_says_when_too_little_comes", async || {
        let (one, other) = UnixStream::pair()?;
        one.write_all(b"half").await?;
        one.shutdown(Shutdown::Write).await?;
        let error = other.read_exact(&mut [0; 8]).await.expect_err("four bytes came");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        Ok(())
    });
}

/// Connects while their listener goes: they come about or fail, and none waits for ever.
#[test]
fn connects_race_with_the_end_of_their_listener() {
    on_workers(async || {
        for round in 0..20 {
            let listener = TcpListener::bind(any()).await?;
            let address = listener.local_addr()?;
            let clients: Vec<_> = (0..8).map(|_| pirn::spawn(TcpStream::connect(address))).collect();
            for _ in 0..round % 4 {
                pirn::yield_now().await;
            }
            drop(listener);
            for client in clients {
                let ended = timeout(Duration::from_secs(20), client).await.expect("it ends");
                if let Err(error) = ended.expect("no panic") {
                    let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
        Ok(())
    });
}

/// A connect that nobody answers ends when its future goes, and takes nothing along.
#[test]
fn connects_that_nobody_answers_can_be_given_up() {
    use std::os::fd::AsRawFd;
    on_workers(async || {
        let listener = std::net::TcpListener::bind(any())?;
        let address = listener.local_addr()?;
        // SAFETY: no pointers. A backlog of none: the first connections fill it, and later ones are not answered.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let mut connected = Vec::new();
        let mut given_up = 0;
        while given_up < 3 {
            match timeout(Duration::from_millis(20), TcpStream::connect(address)).await {
                Ok(stream) => connected.push(stream?),
                Err(_) => given_up += 1,
            }
            assert!(connected.len() < 1_000, "a backlog of none takes all");
        }
        // Whoever listens there is well, and so are those who came before.
        let (mut first, _) = listener.accept()?;
        io::Write::write_all(&mut first, b"x")?;
        connected[0].read_exact(&mut [0]).await
    });
}
