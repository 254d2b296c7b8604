//! Direct-style I/O: std's traits over Pirn's streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use pirn::coro::{self, Direct};
use pirn::net::{TcpListener, TcpStream};

use crate::support::runtime;

#[test]
fn lines_go_through_stds_reader_and_writer() {
    let runtime = runtime(2);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = coro::spawn(move || {
            for _ in 0..8 {
                let (stream, _) = coro::wait(listener.accept()).unwrap();
                coro::spawn(move || {
                    let mut out = Direct(&stream);
                    for line in BufReader::new(Direct(&stream)).lines() {
                        writeln!(out, "{}", line.unwrap().to_uppercase()).unwrap();
                    }
                    out.flush().unwrap();
                })
                .detach();
            }
        });
        let clients: Vec<_> = (0..8)
            .map(|n| {
                coro::spawn(move || {
                    let stream = coro::wait(TcpStream::connect(address)).unwrap();
                    let mut lines = BufReader::new(Direct(&stream)).lines();
                    for round in 0..20 {
                        writeln!(Direct(&stream), "client {n} in round {round}").unwrap();
                        let line = lines.next().unwrap().unwrap();
                        assert_eq!(line, format!("CLIENT {n} IN ROUND {round}"));
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

#[test]
fn a_megabyte_goes_both_ways() {
    let runtime = runtime(2);
    let sent: Arc<[u8]> = (0..1_000_000_u32).map(|n| (n * 31) as u8).collect();
    let back = runtime.block_on(async {
        let (one, other) = pirn::net::UnixStream::pair().unwrap();
        let echo = coro::spawn(move || std::io::copy(&mut Direct(&other), &mut Direct(&other)).unwrap());
        let (one, bytes) = (Arc::new(one), sent.clone());
        let writer = one.clone();
        let write = coro::spawn(move || {
            Direct(&*writer).write_all(&bytes).unwrap();
            coro::wait(writer.shutdown(std::net::Shutdown::Write)).unwrap();
        });
        let read = coro::spawn(move || {
            let mut bytes = Vec::new();
            Direct(&*one).read_to_end(&mut bytes).unwrap();
            bytes
        });
        write.await.unwrap();
        assert_eq!(echo.await.unwrap(), 1_000_000);
        read.await.unwrap()
    });
    assert!(back == *sent, "{} bytes came back", back.len());
}

#[test]
fn an_aborted_reader_leaves_its_stream_in_order() {
    let runtime = runtime(1);
    runtime.block_on(async {
        let (one, other) = pirn::net::UnixStream::pair().unwrap();
        let one = Arc::new(one);
        let reads = one.clone();
        let task = coro::spawn(move || {
            let mut bytes = [0; 4];
            Direct(&*reads).read_exact(&mut bytes).unwrap();
        });
        pirn::time::sleep(Duration::from_millis(5)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        other.write_all(b"later").await.unwrap();
        let mut bytes = [0; 5];
        one.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"later");
    });
}
