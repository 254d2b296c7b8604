//! Names of hosts.

use std::io;

use pirn::net::{TcpListener, TcpStream, UdpSocket, lookup_host};

use super::{any, on_workers};

#[test]
fn localhost_is_this_machine() {
    on_workers(async || {
        for name in ["localhost:80", "127.0.0.1:80", "[::1]:80"] {
            let found = lookup_host(name).await?;
            assert!(!found.is_empty() && found.iter().all(|at| at.ip().is_loopback() && at.port() == 80));
        }
        Ok(())
    });
}

/// Each address of a name is tried: localhost is ::1 as well, where nobody listens.
#[test]
fn connect_tries_each_address() {
    on_workers(async || {
        let listener = TcpListener::bind(any()).await?;
        let port = listener.local_addr()?.port();
        let client = TcpStream::connect(("localhost", port)).await?;
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        let socket = UdpSocket::bind("localhost:0").await?;
        assert!(socket.local_addr()?.ip().is_loopback());
        Ok(())
    });
}

#[test]
fn a_name_that_nobody_has_is_in_the_error() {
    on_workers(async || {
        // RFC 2606 keeps it free; without a resolver the look-up fails just as well.
        let error = TcpStream::connect("nobody.invalid:80").await.unwrap_err();
        assert!(error.to_string().contains("nobody.invalid"), "{error}");
        for wrong in ["", "no port", "a b:80", "host:port", ":80", "host:99999"] {
            let error = lookup_host(wrong).await.expect_err("no address");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}: {error}");
        }
        Ok(())
    });
}

/// In the simulator a name is a host's.
#[cfg(feature = "sim")]
#[test]
fn hosts_of_a_simulation_find_one_another() {
    let simulation = pirn_sim::Simulation::new("hosts_of_a_simulation_find_one_another")
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:7").await?;
            let (stream, peer) = listener.accept().await?;
            assert_eq!(peer.ip(), pirn_sim::host_addr("client"));
            stream.write_all(b"hello").await
        })
        .host("client", || async {
            let found = lookup_host("server:7").await?;
            assert_eq!(found, [(pirn_sim::host_addr("server"), 7).into()]);
            assert!(lookup_host("nobody:7").await.unwrap_err().to_string().contains("nobody"));
            let stream = loop {
                // The server may not listen yet.
                match TcpStream::connect("server:7").await {
                    Ok(stream) => break stream,
                    Err(_) => pirn::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            };
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await?;
            assert_eq!(&bytes, b"hello");
            io::Result::Ok(())
        })
        .faults(pirn_sim::Faults::none());
    for seed in 0..20 {
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
