//! Streams: reads, writes, halves, options, ends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use pirn::net::{TcpListener, TcpStream};

use super::{ANY, any, everywhere, narrow_pair, on_workers, pair, pattern, run, scale};

#[test]
fn echo() {
    everywhere("echo", async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let server = pirn::spawn(async move {
            let (stream, peer) = listener.accept().await?;
            assert_eq!(stream.peer_addr()?, peer);
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return io::Result::Ok(()),
                    count => stream.write_all(&buffer[..count]).await?,
                }
            }
        });
        let client = TcpStream::connect(address).await?;
        let mut buffer = [0; 64];
        for round in 0..scale(200, 20) {
            client.write_all(&pattern(round, 64)).await?;
            client.read_exact(&mut buffer).await?;
            assert_eq!(buffer[..], pattern(round, 64));
        }
        client.shutdown(Shutdown::Write).await?;
        assert_eq!(client.read(&mut buffer).await?, 0);
        server.await.expect("no panic")
    });
}

/// A poll that asks twice is registered once; who asked last is woken, whoever asked in between.
#[test]
fn reads_asked_for_again_in_one_poll() {
    everywhere("reads_asked_for_again_in_one_poll", async || {
        for between in [false, true] {
            let (client, server) = pair().await?;
            let asked = Arc::new(AtomicBool::new(false));
            let told = asked.clone();
            let reading = pirn::spawn(async move {
                let mut buffer = [0; 8];
                std::future::poll_fn(|context| {
                    let mut stream = &server;
                    if told.load(Ordering::Acquire) {
                        return Pin::new(&mut stream).poll_read(context, &mut buffer);
                    }
                    assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_pending());
                    if between {
                        let mut other = Context::from_waker(Waker::noop());
                        assert!(Pin::new(&mut stream).poll_read(&mut other, &mut buffer).is_pending());
                    }
                    for _ in 0..if between { 1 } else { 3 } {
                        assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_pending());
                    }
                    told.store(true, Ordering::Release);
                    Poll::Pending
                })
                .await
            });
            while !asked.load(Ordering::Acquire) {
                pirn::time::sleep(Duration::from_micros(100)).await;
            }
            client.write_all(b"here").await?;
            assert!(reading.await.expect("no panic")? > 0);
        }
        Ok(())
    });
}

#[test]
fn large_transfers_both_ways_at_once() {
    everywhere("large_transfers_both_ways_at_once", async || {
        let whole = scale(4 << 20, 200_000);
        let (client, server) = narrow_pair().await?;
        let both = [client, server].map(|stream| {
            let (reader, writer) = stream.into_split();
            let writing = pirn::spawn(async move {
                writer.write_all(&pattern(0, whole)).await?;
                writer.shutdown().await
            });
            let reading = pirn::spawn(async move {
                let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
                loop {
                    match reader.read(&mut buffer).await? {
                        0 => return io::Result::Ok(all),
                        count => all.extend_from_slice(&buffer[..count]),
                    }
                }
            });
            (writing, reading)
        });
        for (writing, reading) in both {
            writing.await.expect("no panic")?;
            assert!(reading.await.expect("no panic")? == pattern(0, whole), "bytes out of order");
        }
        Ok(())
    });
}

#[test]
fn vectored() {
    everywhere("vectored", async || {
        let (client, server) = pair().await?;
        // A write may take a part of what it is given.
        let mut parts: &mut [IoSlice<'_>] = &mut [IoSlice::new(b"ab"), IoSlice::new(b"cdef")];
        while !parts.is_empty() {
            let count = client.write_vectored(parts).await?;
            IoSlice::advance_slices(&mut parts, count);
        }
        let (mut first, mut second) = ([0; 4], [0; 4]);
        let mut got = 0;
        while got < 6 {
            let (left, right) = (&mut first[got.min(4)..], &mut second[got.saturating_sub(4)..]);
            got += server.read_vectored(&mut [IoSliceMut::new(left), IoSliceMut::new(right)]).await?;
        }
        assert_eq!((&first, &second[..2]), (b"abcd", &b"ef"[..]));
        assert_eq!(server.read(&mut []).await?, 0, "no room is no end");
        Ok(())
    });
}

#[test]
fn peek_then_read() {
    everywhere("peek_then_read", async || {
        let (other, server) = pair().await?;
        let mut buffer = [0; 8];
        let waiting = async {
            let count = server.peek(&mut buffer).await?;
            io::Result::Ok(buffer[..count].to_vec())
        };
        let sending = pirn::spawn(async move {
            pirn::time::sleep(Duration::from_millis(5)).await;
            other.write_all(b"abcdef").await?;
            io::Result::Ok(other)
        });
        let seen = waiting.await?;
        assert!(!seen.is_empty() && b"abcdef".starts_with(&seen), "{seen:?}");
        let _other = sending.await.expect("no panic")?;
        for _ in 0..3 {
            let count = server.peek(&mut buffer[..2]).await?;
            assert!(count > 0 && b"ab".starts_with(&buffer[..count]), "{buffer:?}");
        }
        server.read_exact(&mut buffer[..6]).await?;
        assert_eq!(&buffer[..6], b"abcdef");
        Ok(())
    });
}

#[test]
fn half_close_and_ends() {
    everywhere("half_close_and_ends", async || {
        let (client, server) = pair().await?;
        client.shutdown(Shutdown::Write).await?;
        let mut byte = [0];
        assert_eq!(server.read(&mut byte).await?, 0);
        server.write_all(b"x").await?;
        client.read_exact(&mut byte).await?;
        let error = client.write(b"more").await.expect_err("shut down");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(server);
        let error = client.read_exact(&mut byte).await.expect_err("the end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        Ok(())
    });
}

#[test]
fn read_ends_when_shut_down_from_another_task() {
    everywhere("read_ends_when_shut_down_from_another_task", async || {
        let (client, _server) = pair().await?;
        let client = std::sync::Arc::new(client);
        let reader = client.clone();
        let reading = pirn::spawn(async move { reader.read(&mut [0; 8]).await });
        pirn::time::sleep(Duration::from_millis(5)).await;
        client.shutdown(Shutdown::Read).await?;
        assert_eq!(reading.await.expect("no panic")?, 0);
        Ok(())
    });
}

#[test]
fn dropped_stream_sends_what_was_accepted() {
    everywhere("dropped_stream_sends_what_was_accepted", async || {
        let (client, server) = narrow_pair().await?;
        let mut accepted = 0;
        while let Some(count) = super::cancel::once(client.write(&pattern(accepted, 50_000))).await {
            accepted += count?;
        }
        drop(client);
        let (mut all, mut buffer) = (Vec::new(), vec![0; 5_000]);
        loop {
            match server.read(&mut buffer).await? {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(all.len(), accepted, "of what the writes accepted");
        assert!(all == pattern(0, accepted), "bytes out of order");
        Ok(())
    });
}

#[test]
fn failed_send_is_reported_again_and_again() {
    everywhere("failed_send_is_reported_again_and_again", async || {
        let (client, server) = narrow_pair().await?;
        // Until a send is in flight that what the way still held makes no room for: the reset will fail it.
        loop {
            while let Some(count) = super::cancel::once(client.write(&[7; 50_000])).await {
                count?;
            }
            pirn::time::sleep(Duration::from_millis(50)).await;
            if super::cancel::once(client.flush()).await.is_none() {
                break;
            }
        }
        drop(server);
        let failed = |error: io::Error| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset};
            assert!(matches!(error.kind(), BrokenPipe | ConnectionReset), "{error}");
        };
        failed(client.flush().await.expect_err("the peer is gone"));
        failed(client.flush().await.expect_err("still"));
        failed(client.write(b"x").await.expect_err("still"));
        failed(client.shutdown(Shutdown::Write).await.expect_err("still"));
        Ok(())
    });
}

#[test]
fn split_and_reunite() {
    everywhere("split_and_reunite", async || {
        let (mut client, server) = pair().await?;
        {
            let (_reader, writer) = client.split();
            writer.write_all(b"1").await?;
        }
        let (reader, writer) = client.into_split();
        writer.write_all(b"2").await?;
        let (_, other) = pair().await?.0.into_split();
        let error = reader.reunite(other).expect_err("two streams");
        assert!(error.to_string().contains("two streams"), "{error}");
        let client = error.0.reunite(writer).expect("one stream");
        client.write_all(b"3").await?;
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"123");
        Ok(())
    });
}

#[test]
fn futures_io_traits() {
    everywhere("futures_io_traits", async || {
        let (mut client, server) = pair().await?;
        let mut sent = 0;
        while sent < 3 {
            sent += std::future::poll_fn(|cx| Pin::new(&mut client).poll_write(cx, &b"abc"[sent..])).await?;
        }
        std::future::poll_fn(|cx| Pin::new(&mut client).poll_flush(cx)).await?;
        std::future::poll_fn(|cx| Pin::new(&mut client).poll_close(cx)).await?;
        let mut all = Vec::new();
        let mut buffer = [0; 2];
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut &server).poll_read(cx, &mut buffer)).await? {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(all, b"abc");
        let (_, mut writer) = server.into_split();
        std::future::poll_fn(|cx| Pin::new(&mut writer).poll_close(cx)).await?;
        // Closed already is no error.
        std::future::poll_fn(|cx| Pin::new(&mut client).poll_close(cx)).await?;
        Ok(())
    });
}

#[test]
fn options() {
    on_workers(async || {
        let (client, _server) = pair().await?;
        assert!(!client.nodelay()?, "the kernel's default");
        client.set_nodelay(true)?;
        assert!(client.nodelay()?);
        client.set_ttl(33)?;
        assert_eq!(client.ttl()?, 33);
        assert_eq!(client.linger()?, None);
        client.set_linger(Some(Duration::from_millis(1_500)))?;
        assert_eq!(client.linger()?, Some(Duration::from_secs(2)), "whole seconds, rounded up");
        client.set_linger(None)?;
        client.set_send_buffer_size(50_000)?;
        assert!(client.send_buffer_size()? >= 50_000);
        client.set_recv_buffer_size(50_000)?;
        assert!(client.recv_buffer_size()? >= 50_000);
        assert!(client.take_error()?.is_none());
        Ok(())
    });
}

#[test]
fn to_and_from_std() {
    on_workers(async || {
        let listener = std::net::TcpListener::bind(ANY)?;
        let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (mut plain, _) = listener.accept()?;
        let stream = TcpStream::from_std(theirs)?;
        plain.write_all(b"from std")?;
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"from std");
        // A read that is dropped in flight takes nothing, so what comes goes along.
        assert!(super::cancel::once(stream.read(&mut bytes)).await.is_none());
        plain.write_all(b"ahead, ")?;
        let mut peeked = [0; 5];
        stream.peek(&mut peeked).await?;
        assert_eq!(&peeked, b"ahead");
        let mut back = stream.into_std().await.map_err(|(_, error)| error)?;
        back.set_nonblocking(false)?;
        plain.write_all(b"to std")?;
        let mut bytes = [0; 13];
        back.read_exact(&mut bytes)?;
        assert_eq!(&bytes, b"ahead, to std");
        Ok(())
    });
}

#[test]
fn stream_that_is_always_ready_lets_others_run() {
    run(1, async {
        let (client, server) = pair().await.expect("a pair");
        client.write_all(&[1; 100_000]).await.expect("it fits");
        let greedy = pirn::spawn(async move {
            let mut polls = 0;
            let mut byte = [0];
            for _ in 0..100_000 {
                server.read_exact(&mut byte).await.expect("bytes are there");
                polls += 1;
            }
            polls
        });
        let mut turns = 0;
        while !greedy.is_finished() {
            turns += 1;
            pirn::yield_now().await;
        }
        assert!(turns >= 100, "100,000 reads in one go let others run {turns} times");
        assert_eq!(greedy.await.expect("no panic"), 100_000);
    });
}

#[test]
fn stream_is_used_from_threads_outside() {
    let runtime = pirn::Builder::new().workers(2).build().expect("a runtime");
    let (client, server) = runtime.block_on(pair()).expect("a pair");
    let handle = runtime.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            handle.block_on(async {
                for round in 0..100 {
                    client.write_all(&pattern(round, 10)).await.expect("write");
                    client.read_exact(&mut [0; 10]).await.expect("read");
                }
                client.shutdown(Shutdown::Write).await.expect("shutdown");
            });
        });
        runtime.block_on(async {
            let mut buffer = [0; 100];
            loop {
                match server.read(&mut buffer).await.expect("read") {
                    0 => break,
                    count => server.write_all(&buffer[..count]).await.expect("write"),
                }
            }
        });
    });
}

#[test]
fn stream_that_outlives_its_runtime_says_so() {
    let runtime = pirn::Builder::new().workers(2).build().expect("a runtime");
    let (client, server) = runtime.block_on(pair()).expect("a pair");
    drop(runtime);
    let error = run(1, client.read(&mut [0; 1])).expect_err("no runtime");
    assert!(error.to_string().contains("shut down"), "{error}");
    drop(server);
}

#[test]
fn outside_of_a_runtime_is_an_error() {
    let mut connect = Box::pin(TcpStream::connect("127.0.0.1:1"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match connect.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => assert!(error.to_string().contains("outside"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dropped_runtime_sends_what_was_accepted() {
    const STREAMS: usize = 12;
    for workers in [1, 3] {
        let listener = std::net::TcpListener::bind(ANY).expect("bind");
        let address = listener.local_addr().expect("address");
        // Reads only when the runtime is on its way out.
        let (go, gone) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let streams: Vec<_> = (0..STREAMS).map(|_| listener.accept().expect("accept").0).collect();
            let accepted: Vec<usize> = gone.recv().expect("the counts");
            std::thread::sleep(Duration::from_millis(20));
            let mut seen = Vec::new();
            for mut stream in streams {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).expect("no reset");
                assert!(all == pattern(0, all.len()), "bytes out of order");
                seen.push(all.len());
            }
            seen.sort_unstable();
            assert_eq!(seen, accepted, "of what the writes accepted");
        });
        let runtime = pirn::Builder::new().workers(workers).build().expect("a runtime");
        let mut accepted = runtime.block_on(async {
            let writing: Vec<_> = (0..STREAMS)
                .map(|number| {
                    pirn::spawn(async move {
                        let stream = TcpStream::connect(address).await?;
                        stream.set_send_buffer_size(16 << 10)?;
                        // At home on this worker from here on; the send may start on another one.
                        assert!(super::cancel::once(stream.read(&mut [0])).await.is_none());
                        for _ in 0..20 {
                            std::thread::sleep(Duration::from_micros(50));
                            pirn::yield_now().await;
                        }
                        let mut accepted = 0;
                        let size = 40_000 + number;
                        while let Some(count) =
                            super::cancel::once(stream.write(&pattern(accepted, size))).await
                        {
                            accepted += count?;
                        }
                        io::Result::Ok(accepted)
                    })
                })
                .collect();
            let mut accepted = Vec::new();
            for stream in writing {
                accepted.push(stream.await.expect("no panic").expect("no error"));
            }
            accepted
        });
        accepted.sort_unstable();
        go.send(accepted).expect("the reader waits");
        drop(runtime);
        reader.join().expect("the reader is content");
    }
}
