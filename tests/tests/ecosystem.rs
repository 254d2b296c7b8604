//! The example of docs/ecosystem.md, word for word, on a live runtime and in the simulator.

use std::sync::Arc;
use std::time::Duration;

use async_lock::Semaphore;
use futures_lite::FutureExt;
use pirn::task::JoinSet;

async fn jobs() -> u64 {
    let (give, take) = async_channel::bounded::<u64>(8);
    let permits = Arc::new(Semaphore::new(2));
    let worker = pirn::spawn(async move {
        let mut running = JoinSet::new();
        while let Ok(job) = take.recv().await {
            let permit = permits.acquire_arc().await;
            running.spawn(async move {
                let _permit = permit;
                pirn::time::sleep(Duration::from_millis(1)).await;
                job * job
            });
        }
        running.join_all().await.into_iter().sum()
    });
    for job in 1..=10 {
        give.send(job).await.expect("the worker takes all");
    }
    give.close();
    // Whatever comes first: the sum, or ten seconds.
    let late = async {
        pirn::time::sleep(Duration::from_secs(10)).await;
        0
    };
    let sum = async { worker.await.expect("no panic") };
    sum.or(late).await
}

#[test]
fn the_documents_example_runs() {
    assert_eq!(pirn::Runtime::new().expect("a runtime").block_on(jobs()), 385);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ecosystem.md");
    let text = std::fs::read_to_string(path).expect("docs/ecosystem.md exists");
    let example = text.split("```").nth(1).and_then(|block| block.split_once('\n')).expect("an example").1;
    assert!(include_str!("ecosystem.rs").contains(example.trim()), "the document's example is another one");
}

#[cfg(feature = "sim")]
#[test]
fn the_documents_example_runs_in_the_simulator() {
    let simulation = pirn_sim::Simulation::new("ecosystem").host("host", || async {
        assert_eq!(jobs().await, 385);
    });
    for seed in 0..20 {
        let verdict = simulation.run(seed).verdict;
        assert!(matches!(verdict, pirn_sim::Verdict::Pass), "seed {seed}: {verdict:?}");
    }
}
