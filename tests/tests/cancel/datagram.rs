//! Datagrams whose receives and sends are dropped.

use super::uses;

uses! { All:
    udp_receive
    udp_receive_of_a_batch
    udp_readiness
    udp_send_of_a_batch
    unix_datagram_send
    unix_datagram_send_to_a_name
    unix_datagram_receive
}

mod cuts {
    use std::io;
    use std::time::Duration;

    use pirn::net::{RecvBatch, UdpSocket, UnixDatagram};
    use pirn::time::timeout;

    use super::super::{Cut, name, pause};
    use crate::net::any;

    pub(super) async fn udp_receive(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        let sending = pirn::spawn(async move {
            pause().await;
            one.send_to(b"first", to).await?;
            one.send_to(b"second", to).await.map(drop)
        });
        let mut buffer = [0; 16];
        // A peek takes nothing either.
        cut.at(other.peek_from(&mut buffer)).await.transpose()?;
        let first = cut.at(other.recv_from(&mut buffer)).await.transpose()?;
        if first.is_none() {
            other.recv_from(&mut buffer).await?;
        }
        assert_eq!(&buffer[..5], b"first");
        let (count, _) = other.recv_from(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"second");
        sending.await.expect("no panic")?;
        Ok(first.is_some())
    }

    pub(super) async fn udp_receive_of_a_batch(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        let sending = pirn::spawn(async move {
            for number in 0..10u8 {
                if number % 3 == 0 {
                    pause().await;
                }
                one.send_to(&[number], to).await?;
            }
            io::Result::Ok(())
        });
        let (mut batch, mut seen) = (RecvBatch::new(4, 16), Vec::new());
        let mut ended = true;
        while seen.len() < 10 {
            match cut.at(other.recv_batch(&mut batch)).await.transpose()? {
                Some(_) => seen.extend(batch.iter().map(|datagram| datagram.bytes[0])),
                None => {
                    ended = false;
                    pause().await;
                }
            }
        }
        assert_eq!(seen, (0..10).collect::<Vec<u8>>());
        sending.await.expect("no panic")?;
        Ok(ended)
    }

    /// The numbers that come: at least `least` of them, and then all until none comes for `patience`.
    async fn numbers(socket: UnixDatagram, least: u32, patience: Duration) -> io::Result<Vec<u32>> {
        pause().await;
        let (mut seen, mut buffer) = (Vec::new(), [0; 4]);
        while seen.len() < least as usize || timeout(patience, socket.peek(&mut buffer)).await.is_ok() {
            socket.recv(&mut buffer).await?;
            seen.push(u32::from_le_bytes(buffer));
        }
        Ok(seen)
    }

    pub(super) async fn unix_datagram_send(cut: Cut) -> io::Result<bool> {
        let (one, other) = UnixDatagram::pair()?;
        let mut sent = 0u32;
        // The queue is full when a first try has to wait.
        while (Cut { polls: 1, timed: false }).at(one.send(&sent.to_le_bytes())).await.transpose()?.is_some()
        {
            sent += 1;
        }
        let receiving = pirn::spawn(numbers(other, sent, Duration::from_millis(20)));
        let ended = cut.at(one.send(&sent.to_le_bytes())).await.transpose()?.is_some();
        sent += u32::from(ended);
        assert_eq!(receiving.await.expect("no panic")?, (0..sent).collect::<Vec<_>>());
        Ok(ended)
    }

    pub(super) async fn unix_datagram_receive(cut: Cut) -> io::Result<bool> {
        let (one, other) = UnixDatagram::pair()?;
        let sending = pirn::spawn(async move {
            pause().await;
            one.send(b"only").await.map(|_| one)
        });
        let mut buffer = [0; 8];
        let first = cut.at(other.recv(&mut buffer)).await.transpose()?;
        if first.is_none() {
            other.recv(&mut buffer).await?;
        }
        assert_eq!(&buffer[..4], b"only");
        sending.await.expect("no panic")?;
        Ok(first.is_some())
    }

    pub(super) async fn udp_readiness(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        let writable = cut.at(one.writable()).await.transpose()?.is_some();
        let sending = pirn::spawn(async move {
            pause().await;
            one.send_to(b"only", to).await
        });
        let ended = cut.at(other.readable()).await.transpose()?.is_some();
        if !ended {
            other.readable().await?;
        }
        let mut buffer = [0; 8];
        let (count, _) = other.recv_from(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"only");
        sending.await.expect("no panic")?;
        Ok(ended && writable)
    }

    pub(super) async fn udp_send_of_a_batch(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        let bytes: Vec<u8> = (0..40).collect();
        let batch: Vec<_> = bytes.chunks(1).map(|byte| (byte, to)).collect();
        let sent = cut.at(one.send_batch(&batch)).await.transpose()?;
        // What was sent before the cut is a beginning of the batch.
        one.send_to(&[255], to).await?;
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while byte[0] != 255 {
            other.recv_from(&mut byte).await?;
            seen.push(byte[0]);
        }
        seen.pop();
        assert_eq!(seen, bytes[..seen.len()], "lost, doubled or out of order");
        assert!(sent.is_none_or(|sent| sent == seen.len()));
        Ok(sent == Some(bytes.len()))
    }

    pub(super) async fn unix_datagram_send_to_a_name(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UnixDatagram::bind(name())?, UnixDatagram::bind(name())?);
        let to = other.local_addr()?;
        let mut sent = 0u32;
        while Cut::FIRST.at(one.send_to(&sent.to_le_bytes(), &to)).await.transpose()?.is_some() {
            sent += 1;
        }
        let receiving = pirn::spawn(numbers(other, sent, Duration::from_millis(200)));
        // The receiver has no room, and nothing to wait for: it is asked again after pauses.
        let ended = cut.at(one.send_to(&sent.to_le_bytes(), &to)).await.transpose()?.is_some();
        sent += u32::from(ended);
        assert_eq!(receiving.await.expect("no panic")?, (0..sent).collect::<Vec<_>>());
        Ok(ended)
    }
}
