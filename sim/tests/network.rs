//! The network of the world, by raw drivers and by the runtime's own streams.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::os::{
    Completion, DriverConfig, DriverParts, Fd, Op, Os, SocketKind, Submitted, Token, Wait, Yielded,
};
use pirn_sim::{Explore, Faults, Network, Preempt, Simulation, host_addr};

fn explore(simulation: &Simulation, seeds: u64) {
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    if let Some(failure) = report.failure {
        panic!(
            "seed {}: {}\n{}confirmed: {:?}",
            failure.outcome.seed, failure.outcome.verdict, failure.outcome.threads, failure.confirmed
        );
    }
}

/// A driver used by hand.
struct Raw {
    os: Arc<dyn Os>,
    driver: DriverParts,
    ops: u32,
}

impl Raw {
    fn new() -> Self {
        let os = pirn_sim::os();
        let mut driver = os.driver(&DriverConfig { worker: 0, batch: 8, near: 0 }).unwrap();
        driver.reap.attach().unwrap();
        Self { os, driver, ops: 0 }
    }

    fn socket(&self) -> Fd {
        self.os.socket(SocketKind::TcpV4).unwrap()
    }

    fn listener(&self, port: u16) -> Fd {
        let fd = self.socket();
        self.os.bind(&fd, &SocketAddr::from(([0, 0, 0, 0], port)).into()).unwrap();
        self.os.listen(&fd, 16).unwrap();
        fd
    }

    /// Submits an op and waits for its completion.
    fn run(&mut self, mut op: Op) -> Completion {
        self.ops += 1;
        let token = Token::new(0, 0, self.ops);
        let mut found = Vec::new();
        loop {
            match self.driver.submit.submit(token, op) {
                Submitted::Done(completion) => return completion,
                Submitted::Pending => break,
                Submitted::Full(back) => {
                    op = back;
                    self.driver.reap.poll(Wait::No, &mut found).unwrap();
                }
            }
        }
        while found.is_empty() {
            self.driver.reap.poll(Wait::Forever, &mut found).unwrap();
        }
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].token, token);
        found.remove(0)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Fd> {
        let fd = self.socket();
        self.run(Op::Connect { fd: Arc::clone(&fd), address: address.into() }).result?;
        Ok(fd)
    }

    fn accept(&mut self, fd: &Fd) -> io::Result<(Fd, SocketAddr)> {
        let completion = self.run(Op::Accept { fd: Arc::clone(fd) });
        completion.result?;
        match completion.yielded {
            Yielded::Accepted(accepted) => Ok((accepted.0, accepted.1.ip()?)),
            other => panic!("{other:?}"),
        }
    }

    fn recv(&mut self, fd: &Fd, max: usize) -> io::Result<Vec<u8>> {
        let completion = self.run(Op::Recv { fd: Arc::clone(fd), max });
        let count = completion.result?;
        match completion.yielded {
            Yielded::Bytes(bytes) => {
                assert_eq!(bytes.len(), count);
                Ok(bytes)
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
        self.run(Op::Send { fd: Arc::clone(fd), bytes: bytes.to_vec(), from: 0 }).result
    }

    fn recv_to_end(&mut self, fd: &Fd) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let part = self.recv(fd, 1000)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }
}

fn server() -> SocketAddr {
    SocketAddr::new(host_addr("server"), 80)
}

/// Connects as soon as somebody listens.
fn patient(raw: &mut Raw) -> Fd {
    loop {
        match raw.connect(server()) {
            Ok(fd) => return fd,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                pirn_sim::busy(Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn bytes_arrive_once_and_in_order_then_the_end() {
    let simulation = Simulation::new("bytes")
        .bare_host("server", || {
            let mut raw = Raw::new();
            let listener = raw.listener(80);
            let (stream, peer) = raw.accept(&listener).unwrap();
            assert_eq!(peer.ip(), host_addr("client"));
            assert_eq!(raw.os.peer_addr(&stream).unwrap(), peer.into());
            let all = raw.recv_to_end(&stream).unwrap();
            assert_eq!(all, (0..5000u32).map(|n| n as u8).collect::<Vec<_>>());
            // Half closed: this direction goes on.
            assert_eq!(raw.send(&stream, b"thanks").unwrap(), 6);
        })
        .bare_host("client", || {
            let mut raw = Raw::new();
            let stream = patient(&mut raw);
            let bytes: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
            assert_eq!(raw.send(&stream, &bytes).unwrap(), bytes.len());
            raw.os.shutdown(&stream, Shutdown::Write).unwrap();
            assert_eq!(raw.send(&stream, b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
            assert_eq!(raw.recv_to_end(&stream).unwrap(), b"thanks");
        });
    explore(&simulation, 300);
}

#[test]
fn direct_calls_say_not_now() {
    let simulation = Simulation::new("direct").faults(Faults::none()).bare_host("server", || {
        let mut raw = Raw::new();
        let listener = raw.listener(80);
        let os = Arc::clone(&raw.os);
        assert!(os.try_accept(&listener).unwrap().is_none());
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let client = raw.connect(here).unwrap();
        let (stream, _) = os.try_accept(&listener).unwrap().expect("it is connected");
        let mut buffer = [0; 4];
        assert!(os.try_recv(&stream, &mut [IoSliceMut::new(&mut buffer)], false).unwrap().is_none());
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(os.try_send(&client, &parts).unwrap(), Some(5));
        pirn_sim::busy(Duration::from_secs(1));
        assert_eq!(os.try_recv(&stream, &mut [IoSliceMut::new(&mut buffer)], true).unwrap(), Some(4));
        let (mut one, mut rest) = ([0; 1], [0; 9]);
        let count = os.try_recv(&stream, &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut rest)], false);
        assert_eq!((count.unwrap(), &one, &rest[..4]), (Some(5), b"a", &b"bcde"[..]));
        let mut sent = 0;
        while let Some(count) = os.try_send(&client, &[IoSlice::new(&[0; 1000])]).unwrap() {
            sent += count;
        }
        assert!(sent >= 512, "{sent}");
    });
    explore(&simulation, 50);
}

#[test]
fn addresses_and_descriptors_run_out_as_on_linux() {
    let network = Network { descriptors: 6, ..Network::default() };
    let simulation = Simulation::new("limits").network(network).bare_host("server", || {
        let raw = Raw::new();
        let os = &raw.os;
        let listener = raw.listener(80);
        assert_eq!(listener.raw(), 3);
        let taken = raw.socket();
        let error = os.bind(&taken, &SocketAddr::from(([0, 0, 0, 0], 80)).into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        let error = os.bind(&taken, &SocketAddr::from(([10, 9, 9, 9], 80)).into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
        let third = raw.socket();
        assert_eq!(third.raw(), 5);
        let error = os.socket(SocketKind::TcpV4).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        drop(taken);
        assert_eq!(raw.socket().raw(), 4);
        os.bind(&third, &SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
        assert!(os.local_addr(&third).unwrap().ip().unwrap().port() >= 49152);
        assert_eq!(pirn_sim::open_descriptors(), 2);
    });
    explore(&simulation, 20);
}

#[test]
fn closing_with_unread_bytes_resets_the_other_side() {
    let simulation = Simulation::new("reset")
        .faults(Faults::none())
        .bare_host("server", || {
            let mut raw = Raw::new();
            let listener = raw.listener(80);
            let (stream, _) = raw.accept(&listener).unwrap();
            pirn_sim::busy(Duration::from_secs(1));
            drop(stream);
        })
        .bare_host("client", || {
            let mut raw = Raw::new();
            let stream = patient(&mut raw);
            raw.send(&stream, b"never read").unwrap();
            assert_eq!(raw.recv(&stream, 10).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
            assert!(raw.recv(&stream, 10).unwrap().is_empty());
            assert_eq!(raw.send(&stream, b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
        });
    explore(&simulation, 100);
}

#[test]
fn a_cancelled_op_completes_once_and_an_unpark_sticks() {
    let simulation = Simulation::new("cancel").bare_host("server", || {
        let mut raw = Raw::new();
        let listener = raw.listener(80);
        let token = Token::new(0, 1, 1);
        let mut op = Op::Accept { fd: listener };
        let mut found = Vec::new();
        while let Submitted::Full(back) = raw.driver.submit.submit(token, op) {
            op = back;
            raw.driver.reap.poll(Wait::No, &mut found).unwrap();
        }
        raw.driver.unpark.unpark();
        raw.driver.reap.poll(Wait::Forever, &mut found).unwrap();
        assert!(found.is_empty());
        raw.driver.submit.cancel(token);
        while found.is_empty() {
            raw.driver.reap.poll(Wait::Forever, &mut found).unwrap();
        }
        assert_eq!(found[0].result.as_ref().unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        let before = raw.os.now();
        let until = before + Duration::from_millis(3);
        while raw.os.now() < until {
            raw.driver.reap.poll(Wait::Until(until), &mut found).unwrap();
        }
        assert_eq!(found.len(), 1);
    });
    explore(&simulation, 200);
}

#[test]
fn a_partition_delays_and_heals() {
    let simulation = Simulation::new("partition")
        .bare_host("server", || {
            let mut raw = Raw::new();
            let listener = raw.listener(80);
            let (stream, _) = raw.accept(&listener).unwrap();
            let mut all = raw.recv(&stream, 5).unwrap();
            assert!(raw.os.now().as_nanos() >= 3_000_000_000);
            while all.len() < 5 {
                all.extend(raw.recv(&stream, 5 - all.len()).unwrap());
            }
            assert_eq!(all, b"hello");
        })
        .bare_host("client", || {
            let mut raw = Raw::new();
            let stream = patient(&mut raw);
            pirn_sim::partition("server", "client");
            raw.send(&stream, b"hello").unwrap();
            pirn_sim::busy(Duration::from_secs(3));
            pirn_sim::heal("client", "server");
            while !raw.recv(&stream, 1).unwrap().is_empty() {}
        });
    explore(&simulation, 100);
}

/// Echo over the runtime's streams: the server on one host, clients on another.
fn echo(bytes: usize, clients: u32, tolerant: bool) -> Simulation {
    let done = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&done);
    Simulation::new("echo")
        .host("server", move || {
            let done = Arc::clone(&counted);
            async move {
                let _ = done;
                let listener = TcpListener::bind("0.0.0.0:80").await.expect("a free port");
                let mut tasks = Vec::new();
                for _ in 0..clients {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    tasks.push(pirn::spawn(async move {
                        let mut buffer = [0; 100];
                        loop {
                            match stream.read(&mut buffer).await {
                                Ok(0) => break,
                                Ok(count) => {
                                    if let Err(error) = stream.write_all(&buffer[..count]).await {
                                        assert!(tolerant, "{error}");
                                        break;
                                    }
                                }
                                Err(error) => {
                                    assert!(tolerant, "{error}");
                                    break;
                                }
                            }
                        }
                    }));
                }
                for task in tasks {
                    task.await.expect("no panic");
                }
            }
        })
        .host("client", move || async move {
            let tasks: Vec<_> = (0..clients)
                .map(|_| {
                    pirn::spawn(async move {
                        let stream = loop {
                            match TcpStream::connect(server()).await {
                                Ok(stream) => break stream,
                                // It was connected, and the server counts it.
                                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                                Err(_) => pirn::time::sleep(Duration::from_millis(1)).await,
                            }
                        };
                        for round in 0..4u8 {
                            let sent = vec![round; bytes];
                            let mut back = vec![0; bytes];
                            let result = async {
                                stream.write_all(&sent).await?;
                                stream.read_exact(&mut back).await
                            };
                            match result.await {
                                Ok(()) => assert_eq!(sent, back),
                                Err(error) => {
                                    assert!(tolerant, "{error}");
                                    return;
                                }
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        })
}

#[test]
fn echo_runs_on_the_real_runtime() {
    explore(&echo(300, 3, false), 200);
    explore(&echo(300, 3, false).tso(true), 200);
    explore(&echo(50, 2, false).preempt(Preempt::OsCalls), 200);
}

#[test]
fn echo_survives_what_a_network_does() {
    explore(&echo(100, 2, true).faults(Faults::parse("resets").unwrap()), 200);
    explore(&echo(100, 2, false).faults(Faults::parse("partitions").unwrap()), 200);
}

#[test]
fn hosts_have_names_and_addresses() {
    let simulation = Simulation::new("names")
        .bare_host("one", || {
            assert_eq!(pirn_sim::host_name(), "one");
            assert_eq!(host_addr("two"), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
            assert_eq!(pirn_sim::lookup("three"), None);
            assert_ne!(pirn_sim::random(), pirn_sim::random());
        })
        .bare_host("two", || assert_eq!(pirn_sim::host_name(), "two"));
    explore(&simulation, 1);
}
