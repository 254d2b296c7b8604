//! How fast the simulator is, on one core. Run it with `cargo run --release -p pirn-sim --example speed`.

use std::sync::Arc;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::os::ThreadSpec;
use pirn::sync::{AtomicUsize, Ordering};
use pirn_sim::{Explore, Faults, Network, Preempt, Report, Simulation, Sizes, Strategy};

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let want = |name: &str| only.is_empty() || name.starts_with(&only);
    if want("points") {
        points("every point switches", Strategy::Uniform, 64);
        points("stay with 0.95 or 0.7", Strategy::Stay, 4);
    }
    if want("executions") {
        executions("mix", Strategy::Mix);
        executions("mix, store buffers", Strategy::Mix);
        executions("stay", Strategy::Stay);
        executions("pct", Strategy::Pct);
    }
    if want("echo") {
        echo("everywhere", Preempt::Everywhere, 2_000);
        echo("OS calls only", Preempt::OsCalls, 20_000);
    }
}

/// Explores on this thread; the report and the CPU time it took, which does not depend on what else the machine does.
fn measure(simulation: &Simulation, seeds: u64) -> (Report, f64) {
    let before = cpu_seconds();
    let report = simulation.explore(Explore { seeds, ..Explore::default() });
    (report, cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn points(name: &str, strategy: Strategy, threads: usize) {
    let simulation =
        Simulation::new("points").strategy(strategy).faults(Faults::none()).bare_host("a", move || {
            let count = Arc::new(AtomicUsize::new(0));
            let started: Vec<_> = (0..threads)
                .map(|_| {
                    let count = Arc::clone(&count);
                    let body = move || {
                        for _ in 0..200_000 / threads {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    };
                    pirn_sim::os()
                        .spawn_thread(ThreadSpec { name: "t".into(), stack: None }, Box::new(body))
                        .expect("a thread")
                })
                .collect();
            started.into_iter().for_each(|thread| thread.join());
        });
    let (report, seconds) = measure(&simulation, 20);
    println!(
        "points, {name}, {threads} threads: {:.1} M points/s, {:.1} M switches/s",
        report.points as f64 / seconds / 1e6,
        report.switches as f64 / seconds / 1e6
    );
}

/// Twenty tasks in a circle: each waits for a wake, wakes the next and yields.
async fn circle() {
    use std::future::poll_fn;
    use std::task::{Poll, Waker};
    type Seat = std::sync::Mutex<(bool, Option<Waker>)>;
    let seats: Arc<Vec<Seat>> = Arc::new((0..20).map(|_| Seat::default()).collect());
    let tasks: Vec<_> = (0..20)
        .map(|me: usize| {
            let seats = Arc::clone(&seats);
            pirn::spawn(async move {
                for _ in 0..2 {
                    poll_fn(|cx| {
                        let mut seat = seats[me].lock().expect("a lock");
                        if std::mem::take(&mut seat.0) {
                            return Poll::Ready(());
                        }
                        seat.1 = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                    let mut next = seats[(me + 1) % 20].lock().expect("a lock");
                    next.0 = true;
                    let waker = next.1.take();
                    drop(next);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            })
        })
        .collect();
    seats[0].lock().expect("a lock").0 = true;
    if let Some(waker) = { seats[0].lock().expect("a lock").1.take() } {
        waker.wake();
    }
    for task in tasks {
        task.await.expect("no task panics");
    }
}

fn executions(name: &str, strategy: Strategy) {
    let tso = name.contains("buffers");
    let simulation = Simulation::new("circle").workers(3..=3).strategy(strategy).tso(tso).host("a", circle);
    simulation.explore(Explore { seeds: 100, ..Explore::default() });
    let (report, seconds) = measure(&simulation, 5_000);
    println!(
        "executions, 3 workers, 20 tasks, {name}: {:.0} executions/s of {:.0} points, {:.1} M points/s",
        report.executions as f64 / seconds,
        report.points as f64 / report.executions as f64,
        report.points as f64 / seconds / 1e6
    );
    if let Some(failure) = report.failure {
        println!(
            "  seed {} failed: {}\n{}",
            failure.outcome.seed, failure.outcome.verdict, failure.outcome.threads
        );
    }
}

fn echo(name: &str, preempt: Preempt, rounds: usize) {
    let simulation = Simulation::new("echo")
        .workers(1..=2)
        .sizes(Sizes::Default)
        .preempt(preempt)
        .faults(Faults::none())
        .network(Network {
            latency: Duration::from_micros(100)..=Duration::from_micros(100),
            ..Network::default()
        })
        .host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("a free port");
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = [0; 64];
            loop {
                let count = stream.read(&mut buffer).await.expect("a read");
                if count == 0 {
                    break;
                }
                stream.write_all(&buffer[..count]).await.expect("a write");
            }
        })
        .host("client", move || async move {
            let address = (pirn_sim::host_addr("server"), 80);
            let stream = loop {
                match TcpStream::connect(std::net::SocketAddr::from(address)).await {
                    Ok(stream) => break stream,
                    Err(_) => pirn::time::sleep(Duration::from_millis(1)).await,
                }
            };
            let mut buffer = [7; 64];
            for _ in 0..rounds {
                stream.write_all(&buffer).await.expect("a write");
                stream.read_exact(&mut buffer).await.expect("a read");
            }
        });
    let (report, seconds) = measure(&simulation, 10);
    println!(
        "echo between two hosts, {name}: {:.0} round trips/s, {:.0} points each",
        (report.executions * rounds as u64) as f64 / seconds,
        report.points as f64 / (report.executions * rounds as u64) as f64
    );
    if let Some(failure) = report.failure {
        println!(
            "  seed {} failed: {}\n{}",
            failure.outcome.seed, failure.outcome.verdict, failure.outcome.threads
        );
    }
}
