//! Faults: what each one does, that a swarm of them replays and finds no fault in a program that expects them, and that one that
//! never gets on again is reported.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use pirn::net::{TcpListener, TcpStream};
use pirn::time::{Instant, sleep, timeout};
use pirn_sim::{Explore, Faults, Network, Simulation, Strategy, Verdict, host_addr};

const MS: Duration = Duration::from_millis(1);

fn explore(simulation: &Simulation, seeds: u64) -> pirn_sim::Report {
    simulation.explore(Explore { seeds, ..Explore::default() })
}

#[track_caller]
fn clean(simulation: &Simulation, seeds: u64) -> pirn_sim::Report {
    let report = explore(simulation, seeds);
    if let Some(failure) = &report.failure {
        let outcome = &failure.outcome;
        panic!(
            "seed {}: {}\n{}\n{}",
            outcome.seed,
            outcome.verdict,
            outcome.threads,
            outcome.trace.options()
        );
    }
    report
}

/// A fixed latency, so that times can be told.
fn network(latency: Duration) -> Network {
    Network { latency: latency..=latency, ..Network::default() }
}

fn address(host: &str) -> SocketAddr {
    SocketAddr::from((host_addr(host), 7))
}

/// One request, one answer, of one byte.
async fn ask(host: &str) -> io::Result<u8> {
    let stream = TcpStream::connect(address(host)).await?;
    stream.write_all(&[41]).await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    Ok(answer[0])
}

/// Answers each byte with the next, until 0. Waits for a byte no longer than `patience`.
async fn serve(patience: Duration) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            // No descriptor now: there will be.
            Err(_) => {
                sleep(MS).await;
                continue;
            }
        };
        let mut byte = [0];
        // The connection may be half-open: then nothing comes, ever.
        let read = timeout(patience, stream.read_exact(&mut byte)).await;
        if read.is_ok_and(|read| read.is_ok()) {
            if byte[0] == 0 {
                return Ok(());
            }
            let _ = stream.write_all(&[byte[0] + 1]).await;
        }
    }
}

/// A service and a client that both expect everything: they try again, with limits of time.
fn robust() -> Simulation {
    Simulation::new("robust")
        .host("server", || async {
            let end = Instant::now() + Duration::from_secs(120);
            while Instant::now() < end {
                if timeout(Duration::from_secs(120), serve(Duration::from_secs(5)))
                    .await
                    .is_ok_and(|served| served.is_ok())
                {
                    return;
                }
                sleep(MS).await;
            }
        })
        .host("client", || async {
            // One that crashed after its last word finds nobody when it starts again.
            let end = Instant::now() + Duration::from_secs(200);
            let mut answers = 0;
            while answers < 3 && Instant::now() < end {
                match timeout(Duration::from_secs(5), ask("server")).await {
                    Ok(Ok(answer)) => {
                        assert_eq!(answer, 42);
                        answers += 1;
                    }
                    Ok(Err(_)) | Err(_) => sleep(20 * MS).await,
                }
            }
            let bye = async {
                let stream = TcpStream::connect(address("server")).await?;
                stream.write_all(&[0]).await?;
                stream.shutdown(std::net::Shutdown::Write).await
            };
            let _ = timeout(Duration::from_secs(60), bye).await;
        })
}

#[test]
fn a_program_that_expects_everything_passes_a_swarm() {
    let report = clean(&robust().faults(Faults::swarm()), 1500);
    let never = report.summary.choices_never_taken();
    for kind in ["strike", "span", "loss", "refuse", "reset", "partition", "delay"] {
        assert!(!never.contains(&kind), "no execution had {kind}: {never:?}");
    }
}

#[test]
fn a_swarm_replays_to_the_bit() {
    let simulation = robust().faults(Faults::swarm()).tso(true);
    for seed in 0..60 {
        let outcome = simulation.run(seed);
        assert!(outcome.verdict.is_pass(), "seed {seed}: {}\n{}", outcome.verdict, outcome.threads);
        let again = simulation.replay(&outcome.trace).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.trace, outcome.trace);
    }
}

#[test]
fn a_client_that_waits_for_ever_passes_a_mild_swarm() {
    let simulation = Simulation::new("patient")
        .faults(Faults::mild())
        .host("server", || async { serve(Duration::MAX).await.unwrap() })
        .host("client", || async {
            let mut answers = 0;
            while answers < 3 {
                match ask("server").await {
                    Ok(answer) => answers += u32::from(answer == 42),
                    // It does not listen yet.
                    Err(_) => sleep(MS).await,
                }
            }
            TcpStream::connect(address("server")).await.unwrap().write_all(&[0]).await.unwrap();
        });
    clean(&simulation, 1500);
}

#[test]
fn who_never_gets_on_after_the_faults_is_reported() {
    let faults = Faults { progress: Some(Duration::from_secs(30)), ..Faults::parse("none,resets").unwrap() };
    // Gives up at the first error, and then waits for something that never comes.
    let simulation = Simulation::new("hangs")
        .faults(faults)
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                let _ = stream.write_all(&byte).await;
            }
        })
        .host("client", || async {
            sleep(MS).await;
            let stream = TcpStream::connect(address("server")).await.unwrap();
            for _ in 0..20 {
                let mut byte = [1];
                let lost =
                    stream.write_all(&byte).await.is_err() || stream.read_exact(&mut byte).await.is_err();
                if lost {
                    loop {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
    let failure = explore(&simulation, 2000).failure.expect("no reset was met");
    assert_eq!(failure.confirmed, Ok(()));
    let Verdict::Violation(violation) = &failure.outcome.verdict else {
        panic!("{}", failure.outcome.verdict);
    };
    assert_eq!(violation.invariant, "progress");
    assert!(violation.message.contains("still not returned: client"), "{}", violation.message);
    assert!(failure.outcome.time_ns < 41_000_000_000, "{}", failure.outcome.time_ns);
}

#[test]
fn a_crashed_host_starts_again_and_its_peers_learn_when_they_send() {
    let starts = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&starts);
    let simulation = Simulation::new("crash")
        .faults(Faults::none())
        .network(network(MS))
        .workers(1..=3)
        .host("server", move || {
            let starts = Arc::clone(&starts);
            async move {
                let start = starts.fetch_add(1, Relaxed) % 2;
                let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                stream.write_all(&[start as u8]).await.unwrap();
                if start == 0 {
                    // Answers no more: its memory and threads are gone in a moment.
                    std::future::pending::<()>().await;
                }
            }
        })
        .host("client", || async {
            sleep(MS).await;
            let stream = TcpStream::connect(address("server")).await.unwrap();
            stream.write_all(&[1]).await.unwrap();
            let mut byte = [9];
            stream.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [0]);
            pirn_sim::crash("server", 50 * MS);
            // Nobody tells.
            assert!(timeout(20 * MS, stream.read(&mut byte)).await.is_err());
            // What is sent to a host that is down is sent again, and answered with a reset when it is up.
            stream.write_all(&[2]).await.unwrap();
            let error = stream.read(&mut byte).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let stream = TcpStream::connect(address("server")).await.unwrap();
            stream.write_all(&[1]).await.unwrap();
            stream.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [1]);
        });
    clean(&simulation, 100);
    assert_eq!(seen.load(Relaxed) % 2, 0);
}

#[test]
fn a_host_that_crashes_itself_goes_no_further() {
    let runs = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&runs);
    let simulation = Simulation::new("suicide")
        .strategy(Strategy::Uniform)
        .faults(Faults::none())
        .workers(1..=3)
        .host("a", move || {
            let runs = Arc::clone(&runs);
            async move {
                let task = pirn::spawn(async { sleep(Duration::from_secs(3600)).await });
                if runs.fetch_add(1, Relaxed).is_multiple_of(3) || runs.load(Relaxed) % 3 == 2 {
                    pirn_sim::crash("a", MS);
                    unreachable!("the host is gone");
                }
                task.abort();
            }
        });
    let outcome = simulation.run(3);
    assert!(outcome.verdict.is_pass(), "{}", outcome.verdict);
    assert_eq!(seen.load(Relaxed), 3);
    assert!(outcome.time_ns < 100_000_000);
}

#[test]
fn a_paused_host_stands_still_while_others_run() {
    let simulation = Simulation::new("pause")
        .faults(Faults::none())
        .host("a", || async {
            let start = Instant::now();
            for _ in 0..10 {
                sleep(MS).await;
            }
            let took = start.elapsed();
            assert!(took >= Duration::from_secs(2), "it ran on for {took:?} while it stood still");
        })
        .host("b", || async {
            sleep(MS / 2).await;
            pirn_sim::pause("a", Duration::from_secs(2));
            let start = Instant::now();
            sleep(5 * MS).await;
            assert!(start.elapsed() < Duration::from_secs(1), "b stood still as well");
        });
    clean(&simulation, 200);
}

#[test]
fn a_partition_may_be_one_way() {
    let simulation = Simulation::new("one-way")
        .faults(Faults::none())
        .network(network(MS))
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            pirn_sim::partition_one_way("client", "server");
            stream.write_all(&[1]).await.unwrap();
            let mut byte = [0];
            assert!(timeout(Duration::from_secs(9), stream.read_exact(&mut byte)).await.is_err());
            pirn_sim::heal_one_way("client", "server");
            stream.read_exact(&mut byte).await.unwrap();
        })
        .host("client", || async {
            sleep(MS).await;
            let stream = TcpStream::connect(address("server")).await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            assert!(Instant::now().as_nanos() < 1_000_000_000, "the other way was cut as well");
            stream.write_all(&byte).await.unwrap();
        });
    clean(&simulation, 100);
}

#[test]
fn what_was_under_way_when_a_link_was_cut_arrives_before_what_was_sent_later() {
    let simulation = Simulation::new("order")
        .faults(Faults::none())
        .network(network(MS))
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 3];
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, [1, 2, 3]);
        })
        .host("client", || async {
            sleep(MS).await;
            let stream = TcpStream::connect(address("server")).await.unwrap();
            stream.write_all(&[1]).await.unwrap();
            stream.flush().await.unwrap();
            pirn_sim::partition_one_way("client", "server");
            stream.write_all(&[2]).await.unwrap();
            stream.flush().await.unwrap();
            sleep(20 * MS).await;
            stream.write_all(&[3]).await.unwrap();
            stream.flush().await.unwrap();
            pirn_sim::heal_one_way("client", "server");
        });
    clean(&simulation, 100);
}

#[test]
fn a_stream_keeps_its_order_whatever_happens_to_links() {
    let faults = Faults::parse("none,partitions,delays,clogs,pauses").unwrap();
    let simulation = Simulation::new("stream-order")
        .faults(faults)
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            for expected in 0..100 {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                assert_eq!(byte[0], expected, "bytes out of order");
            }
        })
        .host("client", || async {
            let stream = loop {
                match TcpStream::connect(address("server")).await {
                    Ok(stream) => break stream,
                    Err(_) => sleep(MS).await,
                }
            };
            for byte in 0..100 {
                stream.write_all(&[byte]).await.unwrap();
                stream.flush().await.unwrap();
                sleep(Duration::from_micros(100)).await;
            }
        });
    clean(&simulation, 500);
}

#[test]
fn a_clogged_link_is_slow() {
    let simulation = Simulation::new("clog")
        .faults(Faults::none())
        .network(network(MS))
        .host("server", || async { serve(Duration::MAX).await.unwrap() })
        .host("client", || async {
            sleep(MS).await;
            let time = async || {
                let start = Instant::now();
                assert_eq!(ask("server").await.unwrap(), 42);
                start.elapsed()
            };
            let before = time().await;
            pirn_sim::clog("client", "server");
            let clogged = time().await;
            pirn_sim::unclog("client", "server");
            let after = time().await;
            assert!(
                before < 20 * MS && after < 20 * MS && clogged > 25 * MS,
                "{before:?} {clogged:?} {after:?}"
            );
            TcpStream::connect(address("server")).await.unwrap().write_all(&[0]).await.unwrap();
        });
    clean(&simulation, 50);
}

#[test]
fn wall_clocks_jump_and_the_others_do_not() {
    let simulation = Simulation::new("jump").faults(Faults::none()).host("a", || async {
        let (wall, start) = (SystemTime::now(), std::time::Instant::now());
        pirn_sim::jump_clock("a", -60_000_000_000);
        assert!(SystemTime::now() < wall - Duration::from_secs(59));
        pirn_sim::jump_clock("a", 120_000_000_000);
        assert!(SystemTime::now() > wall + Duration::from_secs(59));
        assert!(start.elapsed() < Duration::from_secs(1));
    });
    clean(&simulation, 10);
}

#[test]
fn descriptors_run_out_under_limits() {
    let simulation =
        Simulation::new("limits").faults(Faults::parse("none,limits").unwrap()).host("a", || async {
            let mut sockets = Vec::new();
            for _ in 0..100 {
                match TcpListener::bind("127.0.0.1:0").await {
                    Ok(socket) => sockets.push(socket),
                    Err(error) => panic!("refused: {error}"),
                }
            }
        });
    let mut said: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for seed in 0..100 {
        if let Verdict::Panic(text) = simulation.run(seed).verdict {
            said.extend(
                ["os error 24", "os error 23", "os error 105", "os error 12"]
                    .iter()
                    .filter(|e| text.contains(*e)),
            );
        }
    }
    assert_eq!(said.len(), 4, "EMFILE, ENFILE, ENOBUFS and ENOMEM: {said:?}");
}

/// However many ticks and strikes are due in between, a thread that could run is not passed over for long.
#[test]
fn a_slow_thread_is_slow_by_little_at_a_time() {
    let faults = Faults::parse("none,slow,clocks").unwrap();
    let simulation = Simulation::new("slow").faults(faults).host("a", || async {
        let mut last = Instant::now();
        for _ in 0..1_000 {
            pirn::yield_now().await;
            let now = Instant::now();
            let passed = now - last;
            assert!(passed < 5 * MS, "{passed:?} passed between two looks at the clock");
            last = now;
        }
    });
    clean(&simulation, 400);
}
