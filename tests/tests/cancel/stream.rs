//! Streams whose reads and writes are dropped.

use super::uses;

uses! { All:
    tcp_read
    tcp_peek
    tcp_read_owned
    tcp_receive
    tcp_read_exact
    tcp_read_to_end
    tcp_write
    tcp_write_all
    tcp_write_owned
    tcp_flush_and_shutdown
    tcp_halves
    unix_read
    pipe_read
    pipe_write
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
    use std::io;
    use std::net::Shutdown;

    use pirn::net::{TcpStream, UnixStream, pipe};
    use pirn::task::JoinHandle;

    use super::super::{Cut, pause};
    use crate::net::{narrow_pair, pair, pattern, scale};

    /// Writes 50 bytes, a pause after each ten.
    fn in_five_parts(client: TcpStream) -> JoinHandle<io::Result<()>> {
        pirn::spawn(async move {
            for at in 0..5 {
                pause().await;
                client.write_all(&pattern(at * 10, 10)).await?;
            }
            Ok(())
        })
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

    pub(super) async fn tcp_peek(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = in_five_parts(client);
        let mut buffer = [0; 50];
        let count = cut.at(server.peek(&mut buffer)).await.transpose()?;
        let seen = count.unwrap_or(0);
        assert_eq!(buffer[..seen], pattern(0, seen));
        assert_eq!(rest_of!(server, 0), 50, "a peek takes nothing");
        writing.await.expect("no panic")?;
        Ok(count.is_some())
    }

    pub(super) async fn tcp_read_owned(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = in_five_parts(client);
        let read = cut.at(server.read_owned(Vec::with_capacity(30))).await;
        let (count, buffer) = match read {
            Some((count, buffer)) => (Some(count?), buffer),
            None => (None, Vec::new()),
        };
        assert_eq!(count.unwrap_or(0), buffer.len());
        assert_eq!(buffer, pattern(0, buffer.len()));
        assert_eq!(buffer.len() + rest_of!(server, buffer.len()), 50);
        writing.await.expect("no panic")?;
        Ok(count.is_some())
    }

    pub(super) async fn tcp_receive(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = in_five_parts(client);
        let received = cut.at(server.receive()).await.transpose()?;
        let ended = received.is_some();
        let received = received.unwrap_or_default();
        assert_eq!(received[..], pattern(0, received.len()));
        assert_eq!(received.len() + rest_of!(server, received.len()), 50);
        writing.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn tcp_read_exact(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = in_five_parts(client);
        let mut buffer = [0; 50];
        let ended = cut.at(server.read_exact(&mut buffer)).await.transpose()?.is_some();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await?;
        // What is not there any more is in the buffer.
        let taken = 50 - rest.len();
        assert_eq!(rest, pattern(taken, rest.len()));
        assert_eq!(buffer[..taken], pattern(0, taken));
        assert!(!ended || taken == 50);
        writing.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn tcp_read_to_end(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let writing = in_five_parts(client);
        let mut all = Vec::new();
        let ended = cut.at(server.read_to_end(&mut all)).await.transpose()?.is_some();
        assert_eq!(all, pattern(0, all.len()), "what came is in the vector, and nothing else");
        assert_eq!(all.len() + rest_of!(server, all.len()), 50);
        writing.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn tcp_write_all(cut: Cut) -> io::Result<bool> {
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            pause().await;
            io::Result::Ok(rest_of!(server, 0))
        });
        let whole = scale(400_000, 60_000);
        let ended = cut.at(client.write_all(&pattern(0, whole))).await.transpose()?.is_some();
        drop(client);
        let came = reading.await.expect("no panic")?;
        assert!(came == whole || !ended, "{came} of {whole} bytes came");
        Ok(ended)
    }

    pub(super) async fn tcp_write_owned(cut: Cut) -> io::Result<bool> {
        let (client, server) = narrow_pair().await?;
        let reading = pirn::spawn(async move {
            pause().await;
            io::Result::Ok(rest_of!(server, 0))
        });
        let whole = scale(400_000, 60_000);
        let ended = match cut.at(client.write_owned(pattern(0, whole))).await {
            Some((result, buffer)) => {
                result?;
                assert!(buffer == pattern(0, whole), "the buffer has changed");
                true
            }
            None => false,
        };
        // The stream has the buffer of a write that was dropped; the next one waits for it.
        client.flush().await?;
        drop(client);
        let came = reading.await.expect("no panic")?;
        assert!(came == whole || !ended, "{came} of {whole} bytes came");
        Ok(ended)
    }

    pub(super) async fn tcp_halves(cut: Cut) -> io::Result<bool> {
        let (client, server) = pair().await?;
        let (reader, writer) = client.into_split();
        let (echo_in, echo_out) = server.into_split();
        let echoing = pirn::spawn(async move {
            let mut buffer = [0; 16];
            loop {
                match echo_in.read(&mut buffer).await? {
                    0 => return echo_out.shutdown().await,
                    count => echo_out.write_all(&buffer[..count]).await?,
                }
            }
        });
        let written = cut.at(writer.write(&pattern(0, 50))).await.transpose()?.unwrap_or(0);
        let shut = cut.at(writer.shutdown()).await.transpose()?.is_some();
        drop(writer);
        let mut buffer = [0; 50];
        let read = cut.at(reader.read(&mut buffer)).await.transpose()?;
        let taken = read.unwrap_or(0);
        assert_eq!(buffer[..taken], pattern(0, taken));
        if !shut {
            // The write half is gone and the read half holds the connection: its end is this side's.
            return Ok(false);
        }
        assert_eq!(taken + rest_of!(reader, taken), written);
        echoing.await.expect("no panic")?;
        Ok(read.is_some() && written > 0)
    }

    pub(super) async fn unix_read(cut: Cut) -> io::Result<bool> {
        let (one, other) = UnixStream::pair()?;
        let writing = pirn::spawn(async move {
            for at in 0..5 {
                pause().await;
                one.write_all(&pattern(at * 10, 10)).await?;
            }
            io::Result::Ok(())
        });
        let mut buffer = [0; 50];
        let count = cut.at(other.read(&mut buffer)).await.transpose()?;
        let taken = count.unwrap_or(0);
        assert_eq!(buffer[..taken], pattern(0, taken));
        assert_eq!(taken + rest_of!(other, taken), 50);
        writing.await.expect("no panic")?;
        Ok(count.is_some())
    }
}
