//! Writes staged until the end of a turn: one call for all of them, in order, once, and never forgotten.

use std::io::{self, IoSlice, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pirn::net::{PipeWriter, TcpStream};
use pirn::{Backend, Builder};

use super::cancel::once;
use super::{everywhere, narrow_pair, pair, pattern, scale};
use crate::process::backends;
use crate::support::{PATIENCE, isolated};

/// A pipe in which each write is a packet: reading shows how many calls there were.
fn packets() -> (std::fs::File, PipeWriter) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_DIRECT | libc::O_NONBLOCK | libc::O_CLOEXEC) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: just opened, and nobody else's.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    (reader.into(), PipeWriter::from_fd(writer).expect("from_fd"))
}

/// The sizes of the packets that have been written.
fn sizes(reader: &mut std::fs::File) -> Vec<usize> {
    let mut bytes = [0; 4096];
    let mut sizes = Vec::new();
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        sizes.push(count);
    }
    sizes
}

/// Lets the turn of the only worker end.
async fn turn() {
    pirn::drained().await;
}

fn on_one_worker(test: impl AsyncFn()) {
    for backend in backends() {
        Builder::new().workers(1).backend(backend).build().expect("a runtime").block_on(test());
    }
}

async fn write_five(writer: &PipeWriter) {
    for size in 1..=5 {
        writer.write_all(&pattern(0, size)).await.expect("write");
    }
}

#[test]
fn writes_of_a_turn_leave_in_one_call() {
    on_one_worker(async || {
        let (mut reader, writer) = packets();
        write_five(&writer).await;
        assert_eq!(sizes(&mut reader), [1], "the first write of a turn does not wait");
        turn().await;
        assert_eq!(sizes(&mut reader), [14], "the others leave together");
        write_five(&writer).await;
        assert_eq!(sizes(&mut reader), [0; 0], "a stream that writes often waits with all");
        turn().await;
        assert_eq!(sizes(&mut reader), [15]);
        writer.write_all(b"x").await.expect("write");
        turn().await;
        writer.write_all(b"x").await.expect("write");
        assert_eq!(sizes(&mut reader), [1, 1], "one that does not any more waits with none");
        turn().await;
    });
}

#[test]
fn a_cork_is_put_in_and_pulled() {
    on_one_worker(async || {
        let (mut reader, writer) = packets();
        writer.set_cork(true);
        writer.write_all(b"x").await.expect("write");
        write_five(&writer).await;
        assert_eq!(sizes(&mut reader), [0; 0]);
        turn().await;
        assert_eq!(sizes(&mut reader), [16]);
        writer.write_all(b"xy").await.expect("write");
        writer.set_cork(false);
        assert_eq!(sizes(&mut reader), [2], "what was staged leaves with the cork");
        write_five(&writer).await;
        assert_eq!(sizes(&mut reader), [1, 2, 3, 4, 5]);
    });
}

#[test]
fn what_is_staged_leaves_earlier_if_asked() {
    on_one_worker(async || {
        let (mut reader, writer) = packets();
        writer.set_cork(true);
        write_five(&writer).await;
        writer.flush().await.expect("flush");
        assert_eq!(sizes(&mut reader), [15], "a flush");
        write_five(&writer).await;
        let large = vec![7; 20_000];
        writer.write_all(&large).await.expect("write");
        let all: usize = sizes(&mut reader).iter().sum();
        assert_eq!(all, 20_015, "a write that is too large to be staged takes the others along");
        write_five(&writer).await;
        drop(writer);
        assert_eq!(sizes(&mut reader), [15], "a drop");
    });
}

#[test]
fn many_streams_leave_at_the_end_of_one_turn() {
    on_one_worker(async || {
        let mut pipes: Vec<_> = (0..20).map(|_| packets()).collect();
        for _ in 0..3 {
            let tasks: Vec<_> = pipes
                .drain(..)
                .map(|(reader, writer)| {
                    pirn::spawn(async move {
                        writer.set_cork(true);
                        write_five(&writer).await;
                        (reader, writer)
                    })
                })
                .collect();
            let mut written = Vec::new();
            for task in tasks {
                written.push(task.await.expect("no panic"));
            }
            turn().await;
            for (mut reader, writer) in written {
                assert_eq!(sizes(&mut reader), [15]);
                pipes.push((reader, writer));
            }
        }
    });
}

/// A turn that becomes long is cut short: the next poll starts after the commit.
#[test]
fn long_polls_do_not_pile_up_before_a_commit() {
    on_one_worker(async || {
        let (mut reader, writer) = packets();
        writer.set_cork(true);
        let writing = pirn::spawn(async move {
            writer.write_all(b"abc").await.expect("write");
            writer
        });
        let long = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(3) {
                std::hint::spin_loop();
            }
        };
        let hogs: Vec<_> = (0..4).map(|_| pirn::spawn(async move { long() })).collect();
        let seen = pirn::spawn(async move { sizes(&mut reader) });
        assert_eq!(seen.await.expect("no panic"), [3], "the bytes waited for polls of others");
        for hog in hogs {
            hog.await.expect("no panic");
        }
        drop(writing.await);
    });
}

/// A worker that is inside one poll for long has its staged writes sent by a peer.
#[test]
fn peers_commit_for_a_stuck_worker() {
    for backend in backends() {
        let runtime = Builder::new().workers(2).backend(backend).build().expect("a runtime");
        let stuck = runtime.spawn(async {
            let (mut reader, writer) = packets();
            writer.set_cork(true);
            writer.write_all(b"staged").await.expect("write");
            let start = Instant::now();
            loop {
                let sizes = sizes(&mut reader);
                if !sizes.is_empty() || start.elapsed() > PATIENCE {
                    return sizes;
                }
            }
        });
        assert_eq!(runtime.block_on(stuck).expect("no panic"), [6]);
    }
}

#[test]
fn the_end_of_a_block_on_is_the_end_of_a_turn() {
    for backend in backends() {
        let runtime = Builder::new().workers(1).backend(backend).build().expect("a runtime");
        let (mut reader, writer) = runtime.block_on(async { packets() });
        runtime.block_on(async {
            writer.set_cork(true);
            write_five(&writer).await;
        });
        assert_eq!(sizes(&mut reader), [15]);
        // Outside of the workers there are no turns.
        drop(runtime);
        let other = Builder::new().workers(1).backend(Backend::Epoll).build().expect("a runtime");
        other.block_on(async {
            writer.write_all(b"xy").await.expect("write");
            assert_eq!(sizes(&mut reader), [2], "another runtime's worker stages nothing for this stream");
        });
    }
}

/// Everything that can come between staged writes: flushes, large writes, full kernels, dropped futures, corks, other workers.
#[test]
fn staged_writes_keep_their_order() {
    everywhere("staged_writes_keep_their_order", async || {
        let whole = scale(2_000_000, 60_000);
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await?;
            io::Result::Ok(all)
        });
        let writing = pirn::spawn(async move {
            let (mut at, mut round) = (0, 0_usize);
            while at < whole {
                round += 1;
                let size = match round % 11 {
                    0 => 20_000,
                    3 => 9_000,
                    _ => 1 + round % 400,
                };
                let bytes = pattern(at, size.min(whole - at));
                let (one, other) = bytes.split_at(bytes.len() / 3);
                match once(client.write_vectored(&[IoSlice::new(one), IoSlice::new(other)])).await {
                    Some(count) => at += count?,
                    None => client.flush().await?,
                }
                match round % 97 {
                    13 => client.set_cork(true),
                    40 => client.set_cork(false),
                    77 => drop(once(client.flush()).await.transpose()?),
                    _ if round % 5 == 0 => pirn::yield_now().await,
                    _ => {}
                }
            }
            drop(client);
            io::Result::Ok(())
        });
        writing.await.expect("no panic")?;
        let all = reading.await.expect("no panic")?;
        assert!(all == pattern(0, whole), "{} of {whole} bytes, or out of order", all.len());
        Ok(())
    });
}

/// Workers take turns with a stream: what was staged on one goes out before what another writes.
#[test]
fn workers_take_turns_with_a_stream() {
    everywhere("workers_take_turns_with_a_stream", async || {
        const TASKS: usize = 3;
        let whole = scale(20_000, 700);
        let (client, server) = pair().await?;
        let turns = Arc::new(async_lock::Mutex::new((client, 0)));
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let turns = turns.clone();
                pirn::spawn(async move {
                    for round in number.. {
                        let mut turn = turns.lock().await;
                        let (client, at) = &mut *turn;
                        if *at >= whole {
                            break;
                        }
                        for size in [1, 1 + round % 5, 2] {
                            client.write_all(&pattern(*at, size)).await?;
                            *at += size;
                        }
                        drop(turn);
                        if round % 3 == 0 {
                            pirn::yield_now().await;
                        }
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic")?;
        }
        drop(turns);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        assert!(all.len() >= whole && all == pattern(0, all.len()), "{} bytes, or out of order", all.len());
        Ok(())
    });
}

#[test]
fn what_can_not_be_sent_is_told_by_later_calls() {
    everywhere("what_can_not_be_sent_is_told_by_later_calls", async || {
        let (client, server) = pair().await?;
        client.set_cork(true);
        client.write_all(b"nobody reads this").await?;
        client.flush().await?;
        let mut byte = [0];
        server.peek(&mut byte).await?;
        // Closed with unread bytes: a reset.
        drop(server);
        let start = pirn::time::Instant::now();
        while client.write_all(b"more").await.is_ok() {
            pirn::time::sleep(Duration::from_millis(1)).await;
            assert!(pirn::time::Instant::now() - start < PATIENCE, "no write fails");
        }
        for _ in 0..2 {
            assert!(client.flush().await.is_err(), "the error stays");
            assert!(client.write(b"x").await.is_err());
        }
        assert!(client.shutdown(std::net::Shutdown::Write).await.is_err());
        Ok(())
    });
}

/// The shutdown of a runtime sends what was staged on streams that outlive it.
#[test]
fn nothing_staged_is_left_behind() {
    everywhere("nothing_staged_is_left_behind", async || {
        let (client, server) = pair().await?;
        let client: Arc<TcpStream> = Arc::new(client);
        let kept = client.clone();
        client.set_cork(true);
        pirn::spawn(async move {
            kept.write_all(b"staged and forgotten").await.expect("write");
        })
        .await
        .expect("no panic");
        let mut bytes = [0; 20];
        server.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"staged and forgotten");
        // Split, and given away: both flush.
        client.write_all(b"then").await?;
        client.shutdown(std::net::Shutdown::Write).await?;
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await?;
        assert_eq!(rest, b"then");
        Ok(())
    });
}

#[test]
fn a_descriptor_that_is_given_away_was_flushed() {
    isolated("net::cork::a_descriptor_that_is_given_away_was_flushed", || {
        on_one_worker(async || {
            let (mut reader, writer) = packets();
            writer.set_cork(true);
            writer.write_all(b"abc").await.expect("write");
            let fd = writer.into_fd().await.expect("into_fd");
            assert_eq!(sizes(&mut reader), [3]);
            assert!(fd.as_raw_fd() >= 0);
        });
    });
}
