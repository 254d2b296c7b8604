//! UDP: single datagrams, batches, segments, options, errors.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{RecvBatch, UdpOptions, UdpSocket};

use super::{any, everywhere, on_workers, pattern, run};

async fn two() -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?))
}

#[test]
fn datagrams_keep_their_bounds_and_say_who_sent_them() {
    everywhere("datagrams_keep_their_bounds_and_say_who_sent_them", async || {
        let (one, other) = two().await?;
        let (from, to) = (one.local_addr()?, other.local_addr()?);
        for size in [0, 1, 100, 1_400] {
            assert_eq!(one.send_to(&pattern(size, size), to).await?, size);
            let mut buffer = [0; 2_000];
            assert_eq!(other.peek_from(&mut buffer[..1]).await?, (size.min(1), from));
            assert_eq!(other.recv_from(&mut buffer).await?, (size, from));
            assert_eq!(buffer[..size], pattern(size, size));
        }
        assert_eq!(other.try_recv_from(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_lost() {
    everywhere("what_does_not_fit_is_lost", async || {
        let (one, other) = two().await?;
        one.send_to(b"abcdef", other.local_addr()?).await?;
        one.send_to(b"next", other.local_addr()?).await?;
        let mut buffer = [0; 3];
        assert_eq!(other.recv_from(&mut buffer).await?.0, 3);
        assert_eq!(&buffer, b"abc");
        let mut batch = RecvBatch::new(4, 3);
        assert_eq!(other.recv_batch(&mut batch).await?, 1);
        let datagram = batch.iter().next().expect("one datagram");
        assert!(datagram.truncated && datagram.bytes == b"nex");
        Ok(())
    });
}

#[test]
fn receive_waits_until_something_comes() {
    everywhere("receive_waits_until_something_comes", async || {
        let (one, other) = two().await?;
        let to = other.local_addr()?;
        let other = Arc::new(other);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let socket = Arc::clone(&other);
                pirn::spawn(async move {
                    let mut buffer = [0; 16];
                    let (count, _) = socket.recv_from(&mut buffer).await?;
                    io::Result::Ok(buffer[..count].to_vec())
                })
            })
            .collect();
        pirn::time::sleep(Duration::from_millis(2)).await;
        for text in [b"a", b"b", b"c"] {
            one.send_to(text, to).await?;
        }
        let mut all = Vec::new();
        for receiver in receivers {
            all.extend(receiver.await.expect("no panic")?);
        }
        all.sort_unstable();
        assert_eq!(all, b"abc");
        Ok(())
    });
}

#[test]
fn connected_sockets_hear_one_another_only() {
    everywhere("connected_sockets_hear_one_another_only", async || {
        let (one, other) = two().await?;
        let stranger = UdpSocket::bind(any()).await?;
        one.connect(other.local_addr()?).await?;
        other.connect(one.local_addr()?).await?;
        assert_eq!(one.peer_addr()?, other.local_addr()?);
        stranger.send_to(b"noise", other.local_addr()?).await?;
        one.send(b"signal").await?;
        let mut buffer = [0; 16];
        assert_eq!(other.recv(&mut buffer).await?, 6);
        assert_eq!(&buffer[..6], b"signal");
        let error = stranger.send(b"x").await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        Ok(())
    });
}

#[test]
fn a_datagram_to_nobody_is_an_error_of_the_next_receive() {
    everywhere("a_datagram_to_nobody_is_an_error_of_the_next_receive", async || {
        let (one, other) = two().await?;
        let nobody = other.local_addr()?;
        drop(other);
        one.connect(nobody).await?;
        one.send(b"hello?").await?;
        let mut buffer = [0; 16];
        let error = pirn::time::timeout(Duration::from_secs(5), one.recv(&mut buffer)).await;
        assert_eq!(error.expect("in time").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn batches_bring_all_in_order() {
    everywhere("batches_bring_all_in_order", async || {
        const COUNT: usize = 100;
        let (one, other) = two().await?;
        let to = other.local_addr()?;
        let bytes: Vec<Vec<u8>> = (0..COUNT).map(|at| pattern(at, at + 1)).collect();
        let datagrams: Vec<(&[u8], SocketAddr)> = bytes.iter().map(|bytes| (&bytes[..], to)).collect();
        let sending = async {
            for part in datagrams.chunks(40) {
                assert_eq!(one.send_batch(part).await?, part.len());
                pirn::time::sleep(Duration::from_millis(1)).await;
            }
            io::Result::Ok(())
        };
        let receiving = async {
            let (mut batch, mut seen) = (RecvBatch::new(32, 200), Vec::new());
            while seen.len() < COUNT {
                let count = other.recv_batch(&mut batch).await?;
                assert!(count > 0 && count == batch.len());
                seen.extend(batch.iter().map(|datagram| datagram.bytes.to_vec()));
            }
            io::Result::Ok(seen)
        };
        sending.await?;
        assert_eq!(receiving.await?, bytes);
        Ok(())
    });
}

#[test]
fn segments_leave_as_datagrams_of_their_size() {
    everywhere("segments_leave_as_datagrams_of_their_size", async || {
        let (one, other) = two().await?;
        let whole = pattern(0, 10_050);
        assert_eq!(one.send_segmented(&whole, 1_000, Some(other.local_addr()?)).await?, whole.len());
        let mut buffer = [0; 2_000];
        let mut sizes = Vec::new();
        let mut all = Vec::new();
        while all.len() < whole.len() {
            let (count, _) = other.recv_from(&mut buffer).await?;
            sizes.push(count);
            all.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(sizes, [vec![1_000; 10], vec![50]].concat());
        assert!(all == whole);
        let error = one.send_segmented(&whole, 0, None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn joined_datagrams_are_taken_apart() {
    on_workers(async || {
        let (one, other) = two().await?;
        other.set_gro(true)?;
        assert!(other.gro()?);
        let whole = pattern(0, 30 * 500 + 7);
        one.send_segmented(&whole, 500, Some(other.local_addr()?)).await?;
        let mut batch = RecvBatch::new(8, 64 << 10);
        let (mut all, mut datagrams, mut messages) = (Vec::new(), 0, 0);
        while all.len() < whole.len() {
            messages += other.recv_batch(&mut batch).await?;
            for datagram in batch.iter() {
                assert!(datagram.bytes.len() <= 500 && !datagram.truncated);
                datagrams += 1;
                all.extend_from_slice(datagram.bytes);
            }
        }
        assert!(all == whole);
        assert_eq!(datagrams, 31);
        assert!(messages < 31, "the loopback device joins datagrams: {messages} messages");
        Ok(())
    });
}

#[test]
fn options_come_back_and_groups_are_joined() {
    on_workers(async || {
        let (one, _other) = two().await?;
        one.set_broadcast(true)?;
        one.set_ttl(9)?;
        one.set_multicast_ttl_v4(3)?;
        one.set_multicast_loop_v4(false)?;
        let options = (one.broadcast()?, one.ttl()?, one.multicast_ttl_v4()?, one.multicast_loop_v4()?);
        assert_eq!(options, (true, 9, 3, false));
        one.set_recv_buffer_size(50_000)?;
        assert!(one.recv_buffer_size()? >= 50_000);
        let (group, here) = ([239, 1, 2, 3].into(), [127, 0, 0, 1].into());
        one.join_multicast_v4(group, here)?;
        one.leave_multicast_v4(group, here)?;
        assert!(one.leave_multicast_v4(group, here).is_err(), "it is in no group");
        Ok(())
    });
}

#[test]
fn sockets_share_a_port_if_all_say_so() {
    everywhere("sockets_share_a_port_if_all_say_so", async || {
        let shared = UdpOptions::new().reuse_port(true);
        let sockets = {
            let first = shared.bind(any()).await?;
            let second = shared.bind(first.local_addr()?).await?;
            [first, second]
        };
        let to = sockets[0].local_addr()?;
        assert_eq!(UdpSocket::bind(to).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Each datagram comes to one of them.
        for number in 0..8u8 {
            UdpSocket::bind(any()).await?.send_to(&[number], to).await?;
        }
        let mut seen = Vec::new();
        while seen.len() < 8 {
            for socket in &sockets {
                let mut byte = [0];
                let short = Duration::from_millis(50);
                if let Ok(received) = pirn::time::timeout(short, socket.recv(&mut byte)).await {
                    assert_eq!(received?, 1);
                    seen.push(byte[0]);
                }
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<u8>>());
        Ok(())
    });
}

#[test]
fn too_long_a_datagram_is_refused() {
    everywhere("too_long_a_datagram_is_refused", async || {
        let (one, other) = two().await?;
        let error = one.send_to(&vec![0; 70_000], other.local_addr()?).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        Ok(())
    });
}

#[test]
fn std_sockets_are_taken_over_and_given_back() {
    run(1, async {
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        let ours = UdpSocket::from_std(theirs).expect("from_std");
        let address = ours.local_addr().expect("address");
        let waiting = pirn::spawn(async move {
            let mut buffer = [0; 8];
            let count = ours.recv(&mut buffer).await.expect("recv");
            (count, ours)
        });
        pirn::time::sleep(Duration::from_millis(2)).await;
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        sender.send_to(b"abc", address).expect("send");
        let (count, ours) = waiting.await.expect("no panic");
        assert_eq!(count, 3);
        let theirs = ours.into_std().expect("into_std");
        assert_eq!(theirs.local_addr().expect("address"), address);
    });
}
