//! Reads into, and writes from, buffers that travel with them.

use std::io;
use std::net::Shutdown;

use pirn::net::{UnixStream, pipe};

use super::{everywhere, narrow_pair, on_workers, pair, pattern, scale};

#[test]
fn buffers_come_back_with_all_bytes_in_order() {
    everywhere("buffers_come_back_with_all_bytes_in_order", async || {
        let whole = scale(2 << 20, 60_000);
        let (client, server) = pair().await?;
        let writing = pirn::spawn(async move {
            let mut at = 0;
            while at < whole {
                // Small messages and large ones: those a ring copies out of its buffers, and those that take a buffer along.
                let size = [100, 30_000, 5_000, 1][at % 4].min(whole - at);
                client.write_all(&pattern(at, size)).await?;
                at += size;
                if at % 5 == 0 {
                    pirn::yield_now().await;
                }
            }
            client.shutdown(Shutdown::Write).await
        });
        let mut at = 0;
        for round in 0.. {
            let capacity = [64, 4 << 10, 16 << 10, 40_000][round % 4];
            let (count, buffer) = server.read_owned(Vec::with_capacity(capacity)).await;
            let count = count?;
            assert_eq!(count, buffer.len());
            assert!(buffer.capacity() >= capacity, "{} of {capacity}", buffer.capacity());
            assert!(buffer == pattern(at, count), "bytes are lost, doubled or out of order");
            at += count;
            if count == 0 {
                break;
            }
        }
        assert_eq!(at, whole);
        writing.await.expect("no panic")
    });
}

#[test]
fn received_bytes_come_in_order_in_buffers_that_follow_them() {
    everywhere("received_bytes_come_in_order_in_buffers_that_follow_them", async || {
        let (client, server) = pair().await?;
        let whole = scale(2 << 20, 60_000);
        let writing = pirn::spawn(async move {
            client.write_all(&pattern(0, whole)).await?;
            // Small messages, one at a time.
            for round in 0..20 {
                let mut answer = [0];
                client.read_exact(&mut answer).await?;
                client.write_all(&pattern(whole + round * 10, 10)).await?;
            }
            client.shutdown(Shutdown::Write).await
        });
        let mut at = 0;
        while at < whole {
            let received = server.receive().await?;
            assert!(received[..] == pattern(at, received.len()), "bytes are lost, doubled or out of order");
            assert!((1..=64 << 10).contains(&received.len()));
            at += received.len();
        }
        let mut room = 0;
        for _ in 0..20 {
            server.write_all(&[1]).await?;
            let mut left = 10;
            while left > 0 {
                let received = server.receive().await?;
                assert!(received.as_ref() == pattern(at, received.len()));
                (left, at) = (left - received.len(), at + received.len());
                room = received.into_vec().capacity();
            }
        }
        assert!(room <= 4 << 10, "a small message comes in {room} bytes");
        assert!(server.receive().await?.is_empty(), "the end");
        writing.await.expect("no panic")
    });
}

#[test]
fn what_the_buffer_holds_stays() {
    everywhere("what_the_buffer_holds_stays", async || {
        let (client, server) = pair().await?;
        client.write_all(b"world and more").await?;
        let mut buffer = Vec::with_capacity(12);
        buffer.extend_from_slice(b"hello ");
        while buffer.len() < 12 {
            let (count, back) = server.read_owned(buffer).await;
            assert!(count? > 0);
            buffer = back;
        }
        assert_eq!(buffer, b"hello world ", "appended, as far as the capacity went");
        // No room, no read; borrowed reads go on where owned ones were.
        let (count, buffer) = server.read_owned(buffer).await;
        assert_eq!((count?, buffer.len()), (0, 12));
        let mut rest = [0; 8];
        server.read_exact(&mut rest).await?;
        assert_eq!(&rest, b"and more");
        Ok(())
    });
}

#[test]
fn errors_bring_the_buffer_back() {
    on_workers(async || {
        let (client, server) = pair().await?;
        server.write_all(b"unread").await?;
        // No linger: a reset.
        server.set_linger(Some(std::time::Duration::ZERO))?;
        drop(server);
        let mut buffer = Vec::with_capacity(100);
        loop {
            let (count, back) = client.read_owned(buffer).await;
            buffer = back;
            match count {
                Ok(0) => panic!("the stream was reset, not closed"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                    break;
                }
            }
        }
        assert!(buffer.capacity() >= 100);
        Ok(())
    });
}

#[test]
fn written_buffers_come_back_as_they_were() {
    everywhere("written_buffers_come_back_as_they_were", async || {
        let whole = scale(1 << 20, 60_000);
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.map(|_| all)
        });
        let mut at = 0;
        // Borrowed writes between owned ones, which may be staged: the order is that of the calls.
        while at < whole {
            client.write_all(&pattern(at, 3)).await?;
            client.write_all(&pattern(at + 3, 4)).await?;
            let size = [50_000, 0, 1, 200_000][at % 4].min(whole);
            let (result, buffer) = client.write_owned(pattern(at + 7, size)).await;
            result?;
            assert!(buffer == pattern(at + 7, size), "the buffer has changed");
            at += 7 + size;
        }
        client.shutdown(Shutdown::Write).await?;
        assert!(
            reading.await.expect("no panic")? == pattern(0, at),
            "bytes are lost, doubled or out of order"
        );
        let (result, buffer) = client.write_owned(vec![7]).await;
        let error = result.expect_err("it was shut down for writing");
        assert_eq!((error.kind(), &buffer[..]), (io::ErrorKind::BrokenPipe, &[7][..]), "{error}");
        Ok(())
    });
}

#[test]
fn a_write_that_breaks_brings_the_buffer_back() {
    everywhere("a_write_that_breaks_brings_the_buffer_back", async || {
        let (client, server) = narrow_pair().await?;
        let closing = pirn::spawn(async move {
            pirn::time::sleep(std::time::Duration::from_millis(1)).await;
            drop(server);
        });
        let size = scale(8 << 20, 300_000);
        let (result, buffer) = client.write_owned(vec![7; size]).await;
        let error = result.expect_err("nobody reads it");
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert_eq!(buffer.len(), size);
        closing.await.expect("no panic");
        // Said again to whoever writes next.
        client.write(b"x").await.expect_err("it is broken");
        Ok(())
    });
}

#[test]
fn unix_streams_and_pipes_as_well() {
    everywhere("unix_streams_and_pipes_as_well", async || {
        let (one, other) = UnixStream::pair()?;
        one.write_all(b"unix").await?;
        let (count, buffer) = other.read_owned(Vec::with_capacity(10)).await;
        assert!(count? > 0 && b"unix".starts_with(&buffer));
        let (reader, writer) = pipe()?;
        let waiting = pirn::spawn(async move { reader.read_owned(Vec::with_capacity(10)).await });
        pirn::yield_now().await;
        writer.write_all(b"pipe").await?;
        let (count, buffer) = waiting.await.expect("no panic");
        assert!(count? > 0 && b"pipe".starts_with(&buffer));
        Ok(())
    });
}
