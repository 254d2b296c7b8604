//! How often an idle worker looks after a busy one, by the cost model: what takes time is what a live run takes time for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::time::Instant;
use pirn::{Builder, Topology};
use pirn_sim::cost::{Costs, Model};
use pirn_sim::{Faults, Simulation, Sizes, Strategy, busy};

const INTERVAL: Duration = Duration::from_micros(250);

/// Short polls, one after the other, for so long.
async fn short_polls(span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        busy(Duration::from_micros(10));
        pirn::yield_now().await;
    }
}

/// Looks of the idle worker so far, each of which ends a park; and how often it took over.
fn looks() -> (u64, u64) {
    let idle = &pirn::Handle::current().metrics().workers[1];
    (idle.parks, idle.takeovers)
}

#[test]
fn calm_peers_are_looked_at_less_often_until_one_gets_stuck() {
    let counted = Arc::new(Mutex::new(Vec::new()));
    let result = counted.clone();
    let simulation = Simulation::new("looks")
        .strategy(Strategy::Stay)
        .sizes(Sizes::Default)
        .faults(Faults::none())
        .max_points(u64::MAX)
        .cost(Model { costs: Costs::default(), cpus: None, free_hosts: Vec::new() })
        .bare_host("host", move || {
            let runtime = Builder::new()
                .os(pirn_sim::os())
                .topology(Topology::stealing(2))
                .watch_interval(INTERVAL)
                .build()
                .expect("a runtime");
            let result = result.clone();
            runtime.block_on(async move {
                // Something that a stuck worker would keep waiting.
                let timer = pirn::spawn(pirn::time::sleep(Duration::from_secs(3600)));
                pirn::yield_now().await;
                let mut before = looks();
                let mut phase = || {
                    let now = looks();
                    result.lock().unwrap().push((now.0 - before.0, now.1 - before.1));
                    before = now;
                };
                short_polls(Duration::from_millis(50)).await;
                phase();
                short_polls(Duration::from_millis(30)).await;
                phase();
                short_polls(Duration::from_millis(50)).await;
                phase();
                busy(Duration::from_millis(5));
                phase();
                short_polls(Duration::from_millis(50)).await;
                phase();
                timer.abort();
            });
        });
    let outcome = simulation.run(0);
    assert!(outcome.verdict.is_pass(), "{}", outcome.verdict);
    let phases = counted.lock().unwrap().clone();
    eprintln!("looks and takeovers: {phases:?}");
    let [(first, none), _, (calm, _), (_, took), (again, _)] = phases[..] else { panic!("five phases") };
    assert_eq!(none, 0, "nobody was overdue");
    assert!((150..=210).contains(&first), "{first} looks in 50 ms, 250 µs apart");
    assert!((40..=60).contains(&calm), "{calm} looks in 50 ms after 256 that found nothing, 1 ms apart");
    assert!(took > 0, "the stuck worker's driver was not looked at");
    assert!((150..=210).contains(&again), "{again} looks in 50 ms after one that found a stuck worker");
}
