//! Listeners.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{ListenOptions, TcpListener, TcpStream};

use super::{ANY, any, everywhere, on_workers};

#[test]
fn port_in_use_is_named() {
    everywhere("port_in_use_is_named", async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let error = TcpListener::bind(address).await.expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
        Ok(())
    });
}

#[test]
fn refused_address_is_named() {
    everywhere("refused_address_is_named", async || {
        let address = TcpListener::bind(any()).await?.local_addr()?;
        let error = TcpStream::connect(address).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&format!("cannot connect to {address}")), "{error}");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ECONNREFUSED));
        Ok(())
    });
}

#[test]
fn addresses_in_all_forms() {
    on_workers(async || {
        for listener in [
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind(("127.0.0.1", 0)).await?,
            TcpListener::bind("localhost:0").await?,
            TcpListener::bind(String::from("127.0.0.1:0")).await?,
            TcpListener::bind(&[ANY][..]).await?,
        ] {
            let address = listener.local_addr()?;
            assert!(address.ip().is_loopback());
            TcpStream::connect((address.ip(), address.port())).await?;
            TcpStream::connect(address.to_string()).await?;
        }
        let error = TcpListener::bind("127.0.0.1").await.expect_err("no port");
        assert!(error.to_string().contains("\"127.0.0.1\""), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let none: &[SocketAddr] = &[];
        assert!(TcpStream::connect(none).await.expect_err("no address").to_string().contains("empty"));
        Ok(())
    });
}

#[test]
fn ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6 loopback address: nothing to test");
        return;
    }
    on_workers(async || {
        let listener = TcpListener::bind("[::1]:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, peer) = listener.accept().await?;
        assert_eq!(peer, client.local_addr()?);
        server.write_all(b"six").await?;
        let mut bytes = [0; 3];
        client.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"six");
        Ok(())
    });
}

#[test]
fn second_address_is_tried() {
    everywhere("second_address_is_tried", async || {
        let deaf = TcpListener::bind(any()).await?.local_addr()?;
        let listener = TcpListener::bind(any()).await?;
        let client = TcpStream::connect(&[deaf, listener.local_addr()?][..]).await?;
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        Ok(())
    });
}

#[test]
fn incoming_yields_connections() {
    everywhere("incoming_yields_connections", async || {
        let listener = TcpListener::bind(any()).await?;
        let address = listener.local_addr()?;
        let clients = pirn::spawn(async move {
            for _ in 0..20 {
                TcpStream::connect(address).await?.write_all(b"x").await?;
            }
            io::Result::Ok(())
        });
        let mut incoming = listener.incoming();
        for _ in 0..20 {
            let stream = incoming.next().await?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
        }
        clients.await.expect("no panic")
    });
}

#[test]
fn many_tasks_accept_at_once() {
    const TASKS: usize = 8;
    everywhere("many_tasks_accept_at_once", async || {
        let listener = Arc::new(TcpListener::bind(any()).await?);
        let address = listener.local_addr()?;
        let accepting: Vec<_> = (0..TASKS)
            .map(|_| {
                let listener = listener.clone();
                pirn::spawn(async move { listener.accept().await.map(|_| ()) })
            })
            .collect();
        pirn::time::sleep(Duration::from_millis(5)).await;
        // Each connection alone has to find an acceptor.
        for _ in 0..TASKS {
            TcpStream::connect(address).await?;
            pirn::time::sleep(Duration::from_millis(1)).await;
        }
        for accept in accepting {
            accept.await.expect("no panic")?;
        }
        Ok(())
    });
}

#[test]
fn listeners_share_a_port() {
    on_workers(async || {
        let options = ListenOptions::new().reuse_port(true).backlog(16);
        let first = options.bind(ANY).await?;
        let second = options.bind(first.local_addr()?).await?;
        assert_eq!(first.local_addr()?, second.local_addr()?);
        Ok(())
    });
}

#[test]
fn adopted_from_std() {
    on_workers(async || {
        let listener = TcpListener::from_std(std::net::TcpListener::bind(ANY)?)?;
        listener.set_ttl(40)?;
        let address = listener.local_addr()?;
        let accepting = pirn::spawn(async move { listener.accept().await.map(|(stream, _)| stream) });
        let client = TcpStream::connect(address).await?;
        let server = accepting.await.expect("no panic")?;
        assert_eq!(server.peer_addr()?, client.local_addr()?);
        Ok(())
    });
}
