//! Bad input and bad luck on sockets: the right error, never a panic, never a future that is stuck.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream, UdpSocket, UnixAddress, UnixListener, UnixStream, pipe};
use pirn::time::sleep;

use super::resources::limit_descriptors;
use super::{any, everywhere, narrow_pair, on_workers, pair};
use crate::alone::{alone, descriptors};

#[test]
fn empty_buffers_move_nothing_and_never_wait() {
    everywhere("empty_buffers_move_nothing_and_never_wait", async || {
        let (client, server) = pair().await?;
        // Nothing is there to be read, and nothing is asked for.
        assert_eq!(server.read(&mut []).await?, 0);
        assert_eq!(server.peek(&mut []).await?, 0);
        assert_eq!(server.read_vectored(&mut []).await?, 0);
        assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])]).await?, 0);
        assert_eq!(server.read_owned(Vec::new()).await.0?, 0);
        server.read_exact(&mut []).await?;
        assert_eq!(client.write(&[]).await?, 0);
        assert_eq!(client.write_vectored(&[]).await?, 0);
        assert_eq!(client.write_vectored(&[IoSlice::new(&[])]).await?, 0);
        client.write_owned(Vec::new()).await.0?;
        client.write_all(&[]).await?;
        client.flush().await?;
        // And nothing was taken for the end of the stream.
        client.write_all(b"x").await?;
        let mut byte = [0];
        assert_eq!(
            server.read_vectored(&mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut byte)]).await?,
            1
        );
        assert_eq!(&byte, b"x");
        Ok(())
    });
}

#[test]
fn an_empty_datagram_is_one() {
    everywhere("an_empty_datagram_is_one", async || {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        assert_eq!(one.send_to(&[], to).await?, 0);
        one.send_to(b"next", to).await?;
        let mut buffer = [0; 8];
        let (count, from) = other.recv_from(&mut buffer).await?;
        assert_eq!((count, from), (0, one.local_addr()?));
        // A receive without room takes a datagram all the same.
        assert_eq!(other.recv_from(&mut []).await?.0, 0);
        one.send_to(b"last", to).await?;
        assert_eq!(other.recv_from(&mut buffer).await?.0, 4);
        assert_eq!(&buffer[..4], b"last");
        Ok(())
    });
}

#[test]
fn a_pipe_whose_reader_is_gone_breaks() {
    everywhere("a_pipe_whose_reader_is_gone_breaks", async || {
        let (reader, writer) = pipe()?;
        drop(reader);
        // A descriptor closes in the ring.
        sleep(Duration::from_millis(1)).await;
        let error = writer.write(b"x").await.expect_err("nobody can read it");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        Ok(())
    });
}

#[test]
fn a_pipe_whose_writer_is_gone_has_ended() {
    everywhere("a_pipe_whose_writer_is_gone_has_ended", async || {
        let (reader, writer) = pipe()?;
        writer.write_all(b"last").await?;
        drop(writer);
        let mut all = Vec::new();
        assert_eq!(reader.read_to_end(&mut all).await?, 4);
        // Again and again.
        for _ in 0..3 {
            assert_eq!(reader.read(&mut [0]).await?, 0);
        }
        Ok(())
    });
}

#[test]
fn writes_to_a_closed_peer_end_in_an_error() {
    everywhere("writes_to_a_closed_peer_end_in_an_error", async || {
        let (client, server) = pair().await?;
        drop(server);
        let error = loop {
            match client.write(&[0; 100]).await {
                Ok(_) => sleep(Duration::from_micros(500)).await,
                Err(error) => break error,
            }
        };
        assert!(
            [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()),
            "the first error: {error}"
        );
        // It stays broken; a write that is staged says so with the next flush.
        if client.write(&[0; 100]).await.is_ok() {
            client.flush().await.expect_err("it stays broken");
        }
        Ok(())
    });
}

/// A reset wakes who waits in either direction.
#[test]
fn a_reset_ends_waits() {
    on_workers(async || {
        let (client, server) = narrow_pair().await?;
        server.set_linger(Some(Duration::ZERO))?;
        let (reader, writer) = client.into_split();
        let reading = pirn::spawn(async move { reader.read(&mut [0; 8]).await });
        let writing = pirn::spawn(async move {
            loop {
                if let Err(error) = writer.write_all(&[7; 20_000]).await {
                    return error;
                }
            }
        });
        sleep(Duration::from_millis(5)).await;
        drop(server);
        let read = reading.await.expect("no panic");
        let error = writing.await.expect("no panic");
        assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()), "{error}");
        // The kernel tells a reset once, to whoever asks first; then it is the end.
        match read {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        Ok(())
    });
}

#[test]
fn one_direction_can_end_before_the_other() {
    everywhere("one_direction_can_end_before_the_other", async || {
        let (client, server) = pair().await?;
        client.shutdown(Shutdown::Write).await?;
        assert_eq!(server.read(&mut [0]).await?, 0);
        server.write_all(b"still").await?;
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"still");
        let error = client.write(b"x").await.expect_err("it was shut down for writing");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        Ok(())
    });
}

#[test]
fn names_in_use_are_refused() {
    everywhere("names_in_use_are_refused", async || {
        let socket = UdpSocket::bind(any()).await?;
        let error = UdpSocket::bind(socket.local_addr()?).await.expect_err("the port is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        let name = UnixAddress::from_abstract_name(format!("pirn-in-use-{}", std::process::id()))?;
        let listener = UnixListener::bind(&name)?;
        let error = UnixListener::bind(&name).expect_err("the name is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        drop(listener);
        let nobody = UnixAddress::from_abstract_name(format!("pirn-nobody-{}", std::process::id()))?;
        let error = UnixStream::connect(&nobody).await.expect_err("nobody listens there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        Ok(())
    });
}

/// Who connects and resets before the accept is no trouble of those behind.
#[test]
fn a_connection_that_broke_in_the_backlog_hurts_no_other() {
    on_workers(async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        for _ in 0..3 {
            let hasty = TcpStream::connect(address).await?;
            hasty.set_linger(Some(Duration::ZERO))?;
        }
        let patient = TcpStream::connect(address).await?;
        patient.write_all(b"x").await?;
        loop {
            let (stream, _) = listener.accept().await?;
            match stream.read(&mut [0]).await {
                Ok(1) => return Ok(()),
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
            }
        }
    });
}

#[test]
fn without_descriptors_every_call_says_so_and_works_again_later() {
    alone("net::bad::without_descriptors_every_call_says_so_and_works_again_later", || {
        on_workers(async || {
            let (client, server) = pair().await?;
            // What this start-up and the pair's listener still have to close is closed.
            let (mut open, mut quiet) = (descriptors(), 0);
            while quiet < 5 {
                sleep(Duration::from_millis(2)).await;
                quiet = if descriptors() == open { quiet + 1 } else { 0 };
                open = descriptors();
            }
            let before = limit_descriptors(open as u64 + 8);
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            let errors: [(&str, io::Error); 5] = [
                ("bind", TcpListener::bind(any()).await.expect_err("bind")),
                ("connect", TcpStream::connect(client.local_addr()?).await.expect_err("connect")),
                ("UDP", UdpSocket::bind(any()).await.expect_err("UDP")),
                ("pipe", pipe().map(drop).expect_err("pipe")),
                ("pair", UnixStream::pair().map(drop).expect_err("pair")),
            ];
            for (what, error) in errors {
                assert!(error.to_string().contains("Too many open files"), "{what}: {error}");
            }
            // What is open goes on.
            client.write_all(b"x").await?;
            server.read_exact(&mut [0]).await?;
            hoard.clear();
            // The next runtime may need more than this one has.
            limit_descriptors(before);
            let (one, other) = UnixStream::pair()?;
            one.write_all(b"y").await?;
            other.read_exact(&mut [0]).await
        });
    });
}
