//! Accepts, connects and look-ups that are dropped.

use super::uses;

uses! { All:
    tcp_accept
    tcp_accept_as_a_stream_of_connections
    tcp_connect
    tcp_connect_by_name
    tcp_connect_that_is_refused
    unix_accept
    unix_connect
    udp_connect
    lookup
}

uses! { Live:
    unix_connect_to_a_full_backlog
}

mod cuts {
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;

    use pirn::net::{TcpListener, TcpStream, UdpSocket, UnixAddress, UnixListener, UnixStream, lookup_host};

    use super::super::{Cut, name, number, pause};
    use crate::net::any;

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

    pub(super) async fn tcp_accept_as_a_stream_of_connections(cut: Cut) -> io::Result<bool> {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let clients = pirn::spawn(async move {
            for number in 0..3 {
                pause().await;
                TcpStream::connect(address).await?.write_all(&[number]).await?;
            }
            io::Result::Ok(())
        });
        let (mut incoming, mut seen, mut ended) = (listener.incoming(), Vec::new(), true);
        while seen.len() < 3 {
            let Some(stream) = cut.at(incoming.next()).await.transpose()? else {
                ended = false;
                pause().await;
                continue;
            };
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            seen.push(byte[0]);
        }
        clients.await.expect("no panic")?;
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2], "a connection is lost or came twice");
        Ok(ended)
    }

    pub(super) async fn tcp_connect_by_name(cut: Cut) -> io::Result<bool> {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        // In the simulator a look-up, live two addresses, one of which is tried.
        let name = if address.ip().is_loopback() { "localhost" } else { "host" };
        let client = cut.at(TcpStream::connect((name, address.port()))).await.transpose()?;
        let Some(client) = client else { return Ok(false) };
        client.write_all(b"x").await?;
        let (server, _) = listener.accept().await?;
        server.read_exact(&mut [0]).await?;
        Ok(true)
    }

    pub(super) async fn tcp_connect_that_is_refused(cut: Cut) -> io::Result<bool> {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        drop(listener);
        // It closes in the ring: until then somebody listens.
        pause().await;
        match cut.at(TcpStream::connect(address)).await {
            Some(Ok(_)) | None => Ok(false),
            Some(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
                Ok(true)
            }
        }
    }

    pub(super) async fn unix_connect_to_a_full_backlog(cut: Cut) -> io::Result<bool> {
        let path = format!("pirn-harness-full-{}-{}", std::process::id(), number());
        let there = std::os::unix::net::SocketAddr::from_abstract_name(&path)?;
        let listener = std::os::unix::net::UnixListener::bind_addr(&there)?;
        // SAFETY: no preconditions; a second listen changes the backlog.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let (listener, address) =
            (UnixListener::from_std(listener)?, UnixAddress::from_abstract_name(&path)?);
        let first = UnixStream::connect(&address).await?;
        assert!(Cut::FIRST.at(UnixStream::connect(&address)).await.is_none(), "the backlog is full");
        let accepting = pirn::spawn(async move {
            pause().await;
            loop {
                if listener.accept().await?.0.read(&mut [0]).await? == 1 {
                    return io::Result::Ok(());
                }
            }
        });
        let stream = cut.at(UnixStream::connect(&address)).await.transpose()?;
        let ended = stream.is_some();
        drop(first);
        let stream = match stream {
            Some(stream) => stream,
            None => UnixStream::connect(&address).await?,
        };
        stream.write_all(b"x").await?;
        accepting.await.expect("no panic")?;
        Ok(ended)
    }

    pub(super) async fn udp_connect(cut: Cut) -> io::Result<bool> {
        let (one, other) = (UdpSocket::bind(any()).await?, UdpSocket::bind(any()).await?);
        let to = other.local_addr()?;
        let ended = cut.at(one.connect(to)).await.transpose()?.is_some();
        if !ended {
            one.connect(to).await?;
        }
        assert_eq!(one.peer_addr()?, to);
        one.send(b"x").await?;
        assert_eq!(other.recv(&mut [0; 4]).await?, 1);
        Ok(ended)
    }

    pub(super) async fn lookup(cut: Cut) -> io::Result<bool> {
        // Live nobody has the name (RFC 2606), and the resolver's thread says so.
        let found = cut.at(lookup_host(("nobody.invalid", 80))).await;
        assert!(!matches!(found, Some(Ok(_))), "{found:?}");
        Ok(found.is_some())
    }
}
