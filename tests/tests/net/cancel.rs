//! Futures dropped at any point: nothing is lost, nothing is done twice.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};

use super::{any, everywhere, narrow_pair, on_workers, pair, pattern, scale};

/// Polls once, and drops the future if it has to wait.
pub(crate) async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Lets others go on: sometimes by a turn of the worker, sometimes by a pause.
async fn pause(round: usize) {
    match round % 7 {
        0 => pirn::time::sleep(Duration::from_micros(200)).await,
        _ => pirn::yield_now().await,
    }
}

#[test]
fn dropped_reads_lose_nothing() {
    everywhere("dropped_reads_lose_nothing", async || {
        let whole = scale(200_000, 20_000);
        let (client, server) = pair().await?;
        let writing = pirn::spawn(async move {
            let mut at = 0;
            while at < whole {
                let size = (1 + at % 3_000).min(whole - at);
                client.write_all(&pattern(at, size)).await?;
                at += size;
                pause(at).await;
            }
            io::Result::Ok(())
        });
        let mut all = Vec::new();
        let mut dropped = 0;
        let mut buffer = vec![0; 2_000];
        for round in 0.. {
            // Peeks are dropped as well; they take nothing anyway.
            if round % 5 == 0 {
                once(server.peek(&mut buffer)).await.transpose()?;
            }
            match once(server.read(&mut buffer)).await.transpose()? {
                Some(0) => break,
                Some(count) => all.extend_from_slice(&buffer[..count]),
                None => {
                    dropped += 1;
                    pause(round).await;
                }
            }
        }
        writing.await.expect("no panic")?;
        assert!(dropped >= scale(10, 0), "only {dropped} reads had to wait");
        assert!(all == pattern(0, whole), "{} of {whole} bytes, or out of order", all.len());
        Ok(())
    });
}

#[test]
fn dropped_writes_and_flushes_lose_nothing() {
    everywhere("dropped_writes_and_flushes_lose_nothing", async || {
        let whole = scale(1_000_000, 100_000);
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            let (mut all, mut buffer) = (Vec::new(), vec![0; 3_000]);
            loop {
                match server.read(&mut buffer).await? {
                    0 => return io::Result::Ok(all),
                    count => all.extend_from_slice(&buffer[..count]),
                }
                if all.len() % 5 == 0 {
                    pause(all.len()).await;
                }
            }
        });
        let (mut at, mut dropped) = (0, 0);
        for round in 0.. {
            if at == whole {
                break;
            }
            if round % 3 == 0 {
                once(client.flush()).await.transpose()?;
            }
            let size = (1 + round * 997 % (whole / 10)).min(whole - at);
            match once(client.write(&pattern(at, size))).await.transpose()? {
                Some(count) => at += count,
                None => {
                    dropped += 1;
                    pause(round).await;
                }
            }
        }
        // A shutdown that was dropped has shut down nothing.
        if once(client.shutdown(std::net::Shutdown::Write)).await.transpose()?.is_none() {
            client.shutdown(std::net::Shutdown::Write).await?;
        }
        assert!(dropped >= scale(10, 0), "only {dropped} writes had to wait");
        let all = reading.await.expect("no panic")?;
        assert!(all == pattern(0, whole), "{} of {whole} bytes, or out of order", all.len());
        Ok(())
    });
}

#[test]
fn dropped_accepts_lose_no_connection() {
    const CLIENTS: u8 = 20;
    everywhere("dropped_accepts_lose_no_connection", async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let clients = pirn::spawn(async move {
            for number in 0..CLIENTS {
                TcpStream::connect(address).await?.write_all(&[number]).await?;
                pause(number.into()).await;
            }
            io::Result::Ok(())
        });
        let mut seen = Vec::new();
        for round in 0.. {
            match once(listener.accept()).await.transpose()? {
                Some((stream, _)) => {
                    let mut number = [0];
                    stream.read_exact(&mut number).await?;
                    seen.push(number[0]);
                }
                None if seen.len() == usize::from(CLIENTS) => break,
                None => pause(round).await,
            }
        }
        clients.await.expect("no panic")?;
        seen.sort_unstable();
        assert_eq!(seen, (0..CLIENTS).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn dropped_accept_leaves_its_turn_to_another() {
    everywhere("dropped_accept_leaves_its_turn_to_another", async || {
        let listener = std::sync::Arc::new(TcpListener::bind(any()).await?);
        let address = listener.local_addr()?;
        let other = listener.clone();
        let patient = pirn::spawn(async move { other.accept().await.map(|_| ()) });
        pirn::time::sleep(Duration::from_millis(2)).await;
        // Two futures of one task: the first one's end must not take the second one's waker along.
        let mut first = Box::pin(listener.accept());
        let mut second = Box::pin(listener.accept());
        assert!(once(first.as_mut()).await.is_none());
        assert!(once(second.as_mut()).await.is_none());
        drop(first);
        let connecting = pirn::spawn(async move {
            TcpStream::connect(address).await?;
            pirn::time::sleep(Duration::from_millis(2)).await;
            TcpStream::connect(address).await.map(drop)
        });
        second.await?;
        patient.await.expect("no panic")?;
        connecting.await.expect("no panic")
    });
}

#[test]
fn dropped_connects_close() {
    everywhere("dropped_connects_close", async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        for _ in 0..20 {
            drop(once(TcpStream::connect(address)).await);
        }
        // The connections that came about all the same are closed: their readers see the end.
        let mut byte = [0];
        while let Ok(accepted) = pirn::time::timeout(Duration::from_millis(20), listener.accept()).await {
            match accepted?.0.read(&mut byte).await {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            }
        }
        // And the next one works.
        let (client, accepted) = (TcpStream::connect(address).await?, listener.accept().await?);
        client.write_all(b"x").await?;
        accepted.0.read_exact(&mut byte).await
    });
}

/// The cancel of a wait reaches its worker when the stream is long gone: the stream's end ended the wait.
#[test]
fn streams_dropped_on_other_threads_leave_no_op() {
    on_workers(async || {
        let in_flight = || {
            pirn::Handle::current().metrics().workers.iter().map(|worker| worker.ops_in_flight).sum::<usize>()
        };
        let before = in_flight();
        for _ in 0..50 {
            let (stream, peer) = pair().await?;
            assert!(once(stream.read(&mut [0; 8])).await.is_none());
            assert!(once(peer.peek(&mut [0; 8])).await.is_none());
            assert!(in_flight() > before, "a wait is in flight");
            std::thread::spawn(move || drop((stream, peer))).join().expect("no panic");
        }
        let deadline = pirn::time::Instant::now() + crate::support::PATIENCE;
        while in_flight() > before {
            assert!(pirn::time::Instant::now() < deadline, "{} ops are left of {before}", in_flight());
            pirn::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    });
}
