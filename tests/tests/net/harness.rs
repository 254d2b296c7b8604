//! Every future of the API is dropped at its k-th poll, for every k until it ends by itself: no descriptor is left, no byte is lost
//! or comes twice, and the next call goes on where the dropped one was.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use pirn::net::{
    RecvBatch, TcpListener, TcpStream, UdpSocket, UnixAddress, UnixDatagram, UnixListener, UnixStream, pipe,
};
use pirn::time::{sleep, timeout};

use super::{any, everywhere, narrow_pair, pair, pattern, scale};
use crate::alone::{alone, descriptors};

/// When a future is dropped.
#[derive(Clone, Copy)]
struct Cut {
    /// After so many polls.
    polls: usize,
    /// With a timeout around it, which never comes.
    timed: bool,
}

impl Cut {
    /// Polls a future at most so often, then drops it.
    async fn at<F: Future>(self, future: F) -> Option<F::Output> {
        if self.timed {
            let timed = self.at_plainly(timeout(Duration::from_secs(3_600), future)).await;
            return timed.map(|answer| answer.expect("the limit is far away"));
        }
        self.at_plainly(future).await
    }

    async fn at_plainly<F: Future>(self, future: F) -> Option<F::Output> {
        let (mut future, mut left) = (Box::pin(future), self.polls);
        poll_fn(move |context| {
            left -= 1;
            match future.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// A use of the API whose future is cut. Whether the future ended by itself.
type Use = fn(Cut) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send>>;

macro_rules! uses {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), |cut| Box::pin(cuts::$name(cut)));
            }
        )*
    };
}

uses! {
    tcp_accept
    tcp_connect
    tcp_read
    tcp_write
    tcp_flush_and_shutdown
    udp_receive
    udp_receive_of_a_batch
    unix_accept
    unix_connect
    unix_datagram_send
    unix_datagram_receive
    pipe_read
    pipe_write
}

/// Runs a use for every k, live on all backends in a process of its own, and in the simulator.
fn check(name: &'static str, usage: Use) {
    let every = async move || {
        for timed in [false, true] {
            // It ends by itself after a few polls, or something wakes it without a reason for ever.
            let mut polls = 1;
            while !usage(Cut { polls, timed }).await? {
                polls += 1;
                assert!(polls < 200, "{name} has not ended after {polls} polls");
            }
        }
        io::Result::Ok(())
    };
    alone(&format!("net::harness::{name}"), || {
        everywhere(name, async move || {
            every().await?;
            #[cfg(feature = "sim")]
            if pirn_sim::is_simulated() {
                return Ok(());
            }
            // The first run opens what stays open: the driver's own.
            let before = descriptors();
            every().await?;
            for _ in 0..1_000 {
                if descriptors() <= before {
                    return Ok(());
                }
                sleep(Duration::from_millis(2)).await;
            }
            panic!("{name}: {before} descriptors before, {} after", descriptors());
        });
    });
}

/// A name of the abstract namespace that no other call gets.
fn name() -> UnixAddress {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed);
    UnixAddress::from_abstract_name(format!("pirn-harness-{number}")).expect("a short name")
}

/// Time for others.
async fn pause() {
    sleep(Duration::from_micros(200)).await;
}

/// Reads to the end, and checks that it is the pattern from `from` on; how much came.
macro_rules! rest_of {
    ($reader:expr, $from:expr) => {{
        let mut rest = Vec::new();
        $reader.read_to_end(&mut rest).await?;
        assert!(rest == pattern($from, rest.len()), "bytes are lost, doubled or out of order");
        rest.len()
    }};
}

mod cuts {
    use super::*;

    pub(super) async fn tcp_accept(cut: Cut) -> io::Result<bool> {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let client = pirn::spawn(async move {
            pause().await;
            let client = TcpStream::connect(address).await?;
            client.write_all(b"x").await?;
            io::Result::Ok(client)
        });
        let first = cut.at(listener.accept()).await.transpose()?;
        let ended = first.is_some();
        let (server, _) = match first {
            Some(accepted) => accepted,
            None => listener.accept().await?,
        };
        server.read_exact(&mut [0]).await?;
        client.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn tcp_connect(cut: Cut) -> io::Result<bool> {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let client = cut.at(TcpStream::connect(address)).await.transpose()?;
        let ended = client.is_some();
        let client = match client {
            Some(client) => client,
            None => TcpStream::connect(address).await?,
        };
        client.write_all(b"x").await?;
        // A connection that was cut may have come about: it is closed.
        loop {
            let mut byte = [0];
            match listener.accept().await?.0.read(&mut byte).await {
                Ok(1) => return Ok(ended),
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            }
        }
    }

    pub(super) async fn tcp_read(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = pirn::spawn(async move {
            for at in 0..5 {
                client.write_all(&pattern(at * 10, 10)).await?;
                pause().await;
            }
            io::Result::Ok(())
        });
        let mut buffer = [0; 50];
        let count = cut.at(server.read(&mut buffer)).await.transpose()?;
        let taken = count.unwrap_or(0);
        assert_eq!(buffer[..taken], pattern(0, taken));
        assert_eq!(taken + rest_of!(server, taken), 50);
        writing.await.expect("no panic")?;
        Ok(count.is_some())
    }

    pub(super) async fn tcp_write(cut: Cut) -> io::Result<bool> {
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            pause().await;
            io::Result::Ok(rest_of!(server, 0))
        });
        // So much that it has to wait.
        let (mut accepted, mut ended) = (0, true);
        for _ in 0..scale(20, 6) {
            match cut.at(client.write(&pattern(accepted, 40_000))).await.transpose()? {
                Some(count) => accepted += count,
                None => ended = false,
            }
        }
        drop(client);
        assert_eq!(reading.await.expect("no panic")?, accepted);
        Ok(ended)
    }

    pub(super) async fn tcp_flush_and_shutdown(cut: Cut) -> io::Result<bool> {
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            pause().await;
            io::Result::Ok(rest_of!(server, 0))
        });
        let whole = scale(400_000, 60_000);
        client.write_all(&pattern(0, whole)).await?;
        let flushed = cut.at(client.flush()).await.transpose()?.is_some();
        let shut = cut.at(client.shutdown(Shutdown::Write)).await.transpose()?.is_some();
        if !shut {
            client.shutdown(Shutdown::Write).await?;
        }
        assert_eq!(reading.await.expect("no panic")?, whole);
        Ok(flushed && shut)
    }

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

    pub(super) async fn unix_accept(cut: Cut) -> io::Result<bool> {
        let listener = UnixListener::bind(name())?;
        let address = listener.local_addr()?;
        let client = pirn::spawn(async move {
            pause().await;
            let client = UnixStream::connect(address).await?;
            client.write_all(b"x").await?;
            io::Result::Ok(client)
        });
        let first = cut.at(listener.accept()).await.transpose()?;
        let ended = first.is_some();
        let (server, _) = match first {
            Some(accepted) => accepted,
            None => listener.accept().await?,
        };
        server.read_exact(&mut [0]).await?;
        client.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn unix_connect(cut: Cut) -> io::Result<bool> {
        let listener = UnixListener::bind(name())?;
        let address = listener.local_addr()?;
        let client = cut.at(UnixStream::connect(&address)).await.transpose()?;
        let ended = client.is_some();
        let client = match client {
            Some(client) => client,
            None => UnixStream::connect(&address).await?,
        };
        client.write_all(b"x").await?;
        loop {
            if listener.accept().await?.0.read(&mut [0]).await? == 1 {
                return Ok(ended);
            }
        }
    }

    pub(super) async fn unix_datagram_send(cut: Cut) -> io::Result<bool> {
        let (one, other) = UnixDatagram::pair()?;
        let mut sent = 0u32;
        // The queue is full when a first try has to wait.
        while (Cut { polls: 1, timed: false }).at(one.send(&sent.to_le_bytes())).await.transpose()?.is_some()
        {
            sent += 1;
        }
        let full = sent;
        let receiving = pirn::spawn(async move {
            pause().await;
            let (mut seen, mut buffer) = (Vec::new(), [0; 4]);
            while seen.len() < full as usize
                || timeout(Duration::from_millis(20), other.peek(&mut buffer)).await.is_ok()
            {
                other.recv(&mut buffer).await?;
                seen.push(u32::from_le_bytes(buffer));
            }
            io::Result::Ok(seen)
        });
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

    pub(super) async fn pipe_read(cut: Cut) -> io::Result<bool> {
        let (reader, writer) = pipe()?;
        let writing = pirn::spawn(async move {
            for at in 0..5 {
                pause().await;
                writer.write_all(&pattern(at * 10, 10)).await?;
            }
            io::Result::Ok(())
        });
        let mut buffer = [0; 50];
        let count = cut.at(reader.read(&mut buffer)).await.transpose()?;
        let taken = count.unwrap_or(0);
        assert_eq!(buffer[..taken], pattern(0, taken));
        assert_eq!(taken + rest_of!(reader, taken), 50);
        writing.await.expect("no panic")?;
        Ok(count.is_some())
    }

    pub(super) async fn pipe_write(cut: Cut) -> io::Result<bool> {
        let (reader, writer) = pipe()?;
        let reading = pirn::spawn(async move {
            pause().await;
            io::Result::Ok(rest_of!(reader, 0))
        });
        let (mut accepted, mut ended) = (0, true);
        for _ in 0..6 {
            match cut.at(writer.write(&pattern(accepted, 40_000))).await.transpose()? {
                Some(count) => accepted += count,
                None => ended = false,
            }
        }
        drop(writer);
        assert_eq!(reading.await.expect("no panic")?, accepted);
        Ok(ended)
    }
}
