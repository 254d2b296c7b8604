//! A worker that has more to do than it can gets help from its peers, however short each task is. By the cost model: what takes time is
//! what a live run takes time for, and the same costs give the same run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::time::Instant;
use pirn::{Builder, Topology};
use pirn_sim::cost::{Costs, Model};
use pirn_sim::{Faults, Kernel, Network, Simulation, Sizes, Strategy};

const REQUESTS: u32 = 200;
const WORK: Duration = Duration::from_micros(10);
const LATENCY: Duration = Duration::from_nanos(1);

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    rate: f64,
    /// Wakes of a worker by another thread, for each request.
    wakes: f64,
}

async fn serve(stream: TcpStream) {
    let mut byte = [0];
    while stream.read(&mut byte).await.expect("received") == 1 {
        pirn_sim::busy(WORK);
        stream.write_all(&byte).await.expect("sent");
    }
}

/// Asks again as soon as there is an answer; or, with a `tick`, at its next multiple from `begin` on, as all others do.
async fn ask(begin: Instant, tick: Duration) {
    let stream = TcpStream::connect((pirn_sim::host_addr("server"), 7)).await.expect("connected");
    stream.set_nodelay(true).expect("an option");
    let mut byte = [0];
    for round in 0..REQUESTS {
        pirn::time::sleep_until(begin + tick * round).await;
        stream.write_all(&[7]).await.expect("sent");
        stream.read_exact(&mut byte).await.expect("answered");
    }
}

/// Short requests over so many connections, on so many workers.
fn run(kernel: Kernel, workers: usize, connections: u32, tick: Duration) -> Came {
    let came = Arc::new(Mutex::new(Came::default()));
    let result = came.clone();
    let runtime = |workers| {
        Builder::new().os(pirn_sim::os()).topology(Topology::stealing(workers)).build().expect("a runtime")
    };
    let simulation = Simulation::new("sharing")
        .kernel(kernel)
        .strategy(Strategy::Stay)
        .sizes(Sizes::Default)
        .faults(Faults::none())
        .network(Network { latency: LATENCY..=LATENCY, buffer: 65_536..=65_536, ..Network::default() })
        .max_points(u64::MAX)
        .cost(Model { costs: Costs::default(), cpus: None, free_hosts: vec!["client".to_owned()] })
        .bare_host("server", move || {
            let result = result.clone();
            let runtime = runtime(workers);
            runtime.block_on(async move {
                let listener = TcpListener::bind("0.0.0.0:7").await.expect("a listener");
                let mut tasks = Vec::new();
                for _ in 0..connections {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    tasks.push(pirn::spawn(serve(stream)));
                }
                let started = Instant::now();
                for task in tasks {
                    task.await.expect("served");
                }
                let seconds = (Instant::now() - started).as_secs_f64();
                let requests = f64::from(connections * REQUESTS);
                let wakes: u64 =
                    pirn::Handle::current().metrics().workers.iter().map(|worker| worker.wakes).sum();
                *result.lock().unwrap() = Came { rate: requests / seconds, wakes: wakes as f64 / requests };
            });
        })
        .bare_host("client", move || {
            runtime(1).block_on(async move {
                // The server listens by then.
                pirn::time::sleep(Duration::from_millis(1)).await;
                let begin = Instant::now() + Duration::from_millis(1);
                let all: Vec<_> = (0..connections).map(|_| pirn::spawn(ask(begin, tick))).collect();
                for one in all {
                    one.await.expect("answered");
                }
            });
        });
    let outcome = simulation.run(0);
    assert!(outcome.verdict.is_pass(), "{}", outcome.verdict);
    let came = *came.lock().unwrap();
    eprintln!("{kernel:?}, {workers} worker(s), {connections} connections, {tick:?}: {came:?}");
    came
}

#[test]
fn a_busy_worker_shares_short_requests() {
    for kernel in [Kernel::Epoll, Kernel::Uring] {
        // 16 connections are a backlog of a fifth of a millisecond at most: no look's tasks are ever enough by themselves.
        for connections in [16, 32] {
            let one = run(kernel, 1, connections, Duration::ZERO);
            let two = run(kernel, 2, connections, Duration::ZERO);
            assert!(
                two.rate > 1.5 * one.rate,
                "{kernel:?}, {connections} connections: {:.0} a second on one worker, {:.0} on two",
                one.rate,
                two.rate
            );
        }
    }
}

#[test]
fn connections_of_one_listener_are_served_by_the_drivers_of_all_workers() {
    for kernel in [Kernel::Epoll, Kernel::Uring] {
        let one = run(kernel, 1, 16, Duration::ZERO);
        let many = run(kernel, 8, 128, Duration::ZERO);
        assert!(
            many.rate > 5.0 * one.rate,
            "{kernel:?}: {:.0} a second on one worker, {:.0} on eight",
            one.rate,
            many.rate
        );
    }
}

#[test]
fn a_worker_with_time_to_spare_wakes_nobody() {
    for kernel in [Kernel::Epoll, Kernel::Uring] {
        // All come at once, and are a third of a millisecond of work in every 1.5: one worker does it. A worker that forgot its
        // sleep would take itself for busy, and what each look brings for worth sharing.
        let came = run(kernel, 2, 24, Duration::from_micros(1500));
        assert!(came.wakes < 0.01, "{kernel:?}: {:.3} wakes a request", came.wakes);
    }
}
