//! Pirn's simulator: bare points, whole executions, echo between two hosts, a day in which little happens.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use pirn::net::{TcpListener, TcpStream};
use pirn::os::ThreadSpec;
use pirn::sync::{AtomicU64, Ordering};
use pirn_sim::{Faults, Preempt, Simulation, Sizes, Strategy, Verdict};

use crate::Figures;
use crate::serve::cpu;

/// Sums over executions.
#[derive(Default)]
struct Sums {
    executions: u64,
    points: u64,
    switches: u64,
    seconds: f64,
}

/// Runs seeds on this core until the time is over, once at least. The seconds are of CPU time: what else the machine does is no part of it.
fn run(simulation: &Simulation, span: Duration) -> Sums {
    let mut sums = Sums::default();
    let (started, before) = (Instant::now(), cpu());
    while sums.executions == 0 || started.elapsed() < span {
        let outcome = simulation.run(sums.executions);
        assert!(matches!(outcome.verdict, Verdict::Pass), "seed {}: {}", outcome.seed, outcome.verdict);
        sums.executions += 1;
        sums.points += outcome.points;
        sums.switches += outcome.switches;
    }
    sums.seconds = cpu() - before;
    sums
}

fn simulation(name: &str, workers: RangeInclusive<usize>) -> Simulation {
    Simulation::new(name).workers(workers).sizes(Sizes::Default)
}

/// Threads without a runtime that do nothing but atomic operations.
pub(crate) fn bare(span: Duration, strategy: Strategy, threads: u64) -> Figures {
    const OPERATIONS: u64 = 200_000;
    let simulation =
        Simulation::new("bare").strategy(strategy).faults(Faults::none()).bare_host("a", move || {
            let count = Arc::new(AtomicU64::new(0));
            let started: Vec<_> = (0..threads)
                .map(|_| {
                    let count = Arc::clone(&count);
                    let body = move || {
                        for _ in 0..OPERATIONS / threads {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    };
                    let spec = ThreadSpec { name: "t".into(), stack: None };
                    pirn_sim::os().spawn_thread(spec, Box::new(body)).expect("a thread")
                })
                .collect();
            started.into_iter().for_each(|thread| thread.join());
        });
    let sums = run(&simulation, span);
    vec![
        ("points_s", sums.points as f64 / sums.seconds),
        ("switched", sums.switches as f64 / sums.points as f64),
    ]
}

/// Tasks on three workers that do nothing but atomic operations; any thread at each point.
pub(crate) fn points(span: Duration) -> Figures {
    let simulation = simulation("points", 3..=3).strategy(Strategy::Uniform).host("main", || async {
        let shared = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let shared = shared.clone();
                pirn::spawn(async move {
                    for _ in 0..100_000 {
                        shared.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a counting task failed");
        }
        assert_eq!(shared.load(Ordering::Relaxed), 300_000);
    });
    let sums = run(&simulation, span);
    vec![
        ("points_s", sums.points as f64 / sums.seconds),
        ("switches_s", sums.switches as f64 / sums.seconds),
        ("switched", sums.switches as f64 / sums.points as f64),
    ]
}

/// Counts rings and wakes one listener.
#[derive(Default)]
struct Bell(Mutex<(u32, Option<Waker>)>);

impl Bell {
    fn ring(&self) {
        let mut state = self.0.lock().expect("no holder panics");
        state.0 += 1;
        let listener = state.1.take();
        drop(state);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    async fn rung(&self, times: u32) {
        poll_fn(|cx| {
            let mut state = self.0.lock().expect("no holder panics");
            if state.0 >= times {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// 20 tasks on three workers that wake one another, checkers on.
pub(crate) fn wakes(span: Duration) -> Figures {
    let simulation = simulation("wakes", 3..=3).host("main", || async {
        let bells: Arc<[Bell]> = (0..20).map(|_| Bell::default()).collect();
        let tasks: Vec<_> = (0..bells.len())
            .map(|number| {
                let bells = bells.clone();
                pirn::spawn(async move {
                    bells[(number + 1) % bells.len()].ring();
                    bells[number].rung(1).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a ringing task failed");
        }
    });
    let sums = run(&simulation, span);
    vec![
        ("executions_s", sums.executions as f64 / sums.seconds),
        ("points_each", sums.points as f64 / sums.executions as f64),
        ("points_s", sums.points as f64 / sums.seconds),
    ]
}

/// Two hosts, one connection, many round trips of 64 bytes.
pub(crate) fn echo(span: Duration, preempt: Preempt) -> Figures {
    const ROUNDS: u64 = 200;
    let simulation = simulation("echo", 1..=1)
        .preempt(preempt)
        .host("server", || async {
            let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 7))).await.expect("bind");
            let (stream, _) = listener.accept().await.expect("accept");
            let mut bytes = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..n]).await.expect("the client went away");
            }
        })
        .host("client", || async {
            let stream = loop {
                match TcpStream::connect(SocketAddr::from(([10, 0, 0, 1], 7))).await {
                    Ok(stream) => break stream,
                    Err(_) => pirn::time::sleep(Duration::from_millis(1)).await,
                }
            };
            let (message, mut answer) = ([7; 64], [0; 64]);
            for _ in 0..ROUNDS {
                stream.write_all(&message).await.expect("the server took no message");
                stream.read_exact(&mut answer).await.expect("the server sent no answer");
                assert_eq!(answer, message);
            }
        });
    let sums = run(&simulation, span);
    vec![
        ("trips_s", (sums.executions * ROUNDS) as f64 / sums.seconds),
        ("points_each", sums.points as f64 / (sums.executions * ROUNDS) as f64),
    ]
}

/// Two hosts that exchange a byte once a virtual second, for a virtual day.
pub(crate) fn day() -> Figures {
    const SECONDS: u64 = 24 * 3_600;
    let simulation = simulation("day", 1..=1)
        .faults(Faults::none())
        .max_time(Duration::from_secs(2 * SECONDS))
        .host("server", || async {
            let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 7))).await.expect("bind");
            let (stream, _) = listener.accept().await.expect("accept");
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte).await {
                stream.write_all(&byte).await.expect("the client went away");
            }
        })
        .host("client", || async {
            pirn::time::sleep(Duration::from_secs(1)).await;
            let server = SocketAddr::from(([10, 0, 0, 1], 7));
            let stream = TcpStream::connect(server).await.expect("it listens by then");
            let mut second = pirn::time::interval(Duration::from_secs(1));
            let mut byte = [7];
            for _ in 0..SECONDS {
                second.tick().await;
                stream.write_all(&byte).await.expect("the server took no byte");
                stream.read_exact(&mut byte).await.expect("the server sent no answer");
            }
        });
    let sums = run(&simulation, Duration::ZERO);
    vec![("day_s", sums.seconds), ("points_each", sums.points as f64 / SECONDS as f64)]
}
