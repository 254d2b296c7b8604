//! Task graphs: diamonds, fans, chains, failures, and random graphs against a plain topological model, simulated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pirn::graph::{self, Node, spawn_after};

use crate::support::{Guard, PATIENCE, runtime, within};

#[test]
fn a_diamond_runs_from_the_top_to_the_bottom() {
    let runtime = runtime(2);
    runtime.block_on(async {
        for _ in 0..200 {
            let step = Arc::new(AtomicUsize::new(0));
            let at = |from: usize, to: usize| {
                let step = step.clone();
                async move {
                    let now = step.fetch_add(1, Ordering::SeqCst);
                    assert!((from..=to).contains(&now), "at {now}, not {from} to {to}");
                    now
                }
            };
            let top = spawn_after(graph::NONE, at(0, 0));
            let (left, right) = (spawn_after([&top], at(1, 2)), spawn_after([&top], at(1, 2)));
            let bottom = spawn_after([&left, &right, &top], at(3, 3));
            assert_eq!(bottom.await.unwrap(), 3);
            assert_eq!(left.await.unwrap() + right.await.unwrap(), 3);
        }
    });
}

#[test]
fn a_fan_of_ten_thousand_and_a_chain_of_ten_thousand() {
    let runtime = runtime(2);
    within(PATIENCE, move || {
        runtime.block_on(async {
            let count = Arc::new(AtomicUsize::new(0));
            let start = spawn_after(graph::NONE, async {});
            let fan: Vec<Node<()>> = (0..10_000)
                .map(|_| {
                    let count = count.clone();
                    spawn_after([&start], async move {
                        count.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            let seen = count.clone();
            let end = spawn_after(&fan, async move { seen.load(Ordering::Relaxed) });
            assert_eq!(end.await.unwrap(), 10_000);

            let mut last = spawn_after(graph::NONE, async { 0_usize }).dependency();
            for _ in 0..10_000 {
                last = spawn_after([&last], async {}).dependency();
            }
            spawn_after([last], async {}).await.unwrap();
        });
    });
}

#[test]
fn a_failure_at_the_top_of_a_chain_names_itself_at_the_bottom() {
    let runtime = runtime(2);
    within(PATIENCE, move || {
        runtime.block_on(async {
            let live = Arc::new(AtomicUsize::new(0));
            let top: Node<()> = spawn_after(graph::NONE, async { panic!("no such record") });
            let cause = top.id();
            let mut last = top.dependency();
            for _ in 0..1_000 {
                let guard = Guard::new(&live);
                last = spawn_after([&last], async move { drop(guard) }).dependency();
            }
            let error = spawn_after([&last], async {}).await.unwrap_err();
            assert!(error.is_dependency() && !error.is_panic() && error.cause() == cause);
            let said = error.to_string();
            for part in ["was not run", &cause.to_string(), "graph.rs:", "panicked: no such record"] {
                assert!(said.contains(part), "{part:?} is missing in: {said}");
            }
            assert!(top.await.unwrap_err().is_panic());
            assert_eq!(live.load(Ordering::SeqCst), 0, "futures of nodes that are not run are dropped");
            // What comes later hears of it too.
            assert_eq!(spawn_after([&last], async {}).await.unwrap_err().cause(), cause);
        });
    });
}

#[test]
fn the_end_of_the_runtime_ends_what_waits() {
    let runtime = runtime(2);
    let live = Arc::new(AtomicUsize::new(0));
    let mut left = None;
    runtime.block_on(async {
        let never = spawn_after(graph::NONE, std::future::pending::<()>());
        let guard = Guard::new(&live);
        left = Some(spawn_after([&never], async move { drop(guard) }));
    });
    let node = left.expect("spawned");
    drop(runtime);
    assert_eq!(live.load(Ordering::SeqCst), 0);
    assert!(crate::support::runtime(1).block_on(node).is_err());
}

#[cfg(feature = "sim")]
mod simulated {
    use std::sync::Mutex;

    use pirn::task::Id;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Act {
        Fine,
        Yields,
        Panics,
        IsAborted,
    }

    /// How a node must end.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Ends {
        Fine,
        Panicked,
        Cancelled,
        /// Not run, because of one of these.
        Blamed(Vec<usize>),
    }

    /// The plain model: in the order of spawning, which is a topological one.
    fn model(nodes: &[(Vec<usize>, Act)]) -> Vec<Ends> {
        let mut ends: Vec<Ends> = Vec::new();
        for (after, act) in nodes {
            let mut blamed: Vec<usize> = Vec::new();
            for &node in after {
                match &ends[node] {
                    Ends::Fine => {}
                    Ends::Panicked | Ends::Cancelled => blamed.push(node),
                    Ends::Blamed(others) => blamed.extend(others),
                }
            }
            ends.push(match act {
                Act::IsAborted => Ends::Cancelled,
                _ if !blamed.is_empty() => Ends::Blamed(blamed),
                Act::Panics => Ends::Panicked,
                Act::Fine | Act::Yields => Ends::Fine,
            });
        }
        ends
    }

    /// A random graph whose nodes all wait for node 0, and that for `go`.
    fn draw() -> Vec<(Vec<usize>, Act)> {
        let os = pirn::Handle::current().os();
        let count = 3 + os.entropy() % 7;
        let mut nodes = vec![(Vec::new(), Act::Yields)];
        for node in 1..=count as usize {
            let bits = os.entropy();
            let mut after = vec![0];
            after.extend((1..node).filter(|other| bits >> (8 + other) & 3 == 3));
            let act = match bits & 15 {
                0 | 1 => Act::Panics,
                2 => Act::IsAborted,
                3..8 => Act::Yields,
                _ => Act::Fine,
            };
            nodes.push((after, act));
        }
        nodes
    }

    #[pirn_sim::test(seeds = 400, workers = 1..=3)]
    async fn random_graphs_run_as_the_plain_model_says() {
        let nodes = draw();
        let (open, go) = async_channel::bounded::<()>(1);
        let log: Arc<Mutex<Vec<usize>>> = Arc::default();
        let live = Arc::new(AtomicUsize::new(0));
        let mut spawned: Vec<Node<usize>> = Vec::new();
        for (number, (after, act)) in nodes.iter().cloned().enumerate() {
            let (log, guard, go) = (log.clone(), Guard::new(&live), go.clone());
            let node = spawn_after(after.iter().map(|&other| &spawned[other]), async move {
                let _guard = guard;
                if number == 0 {
                    let _ = go.recv().await;
                }
                log.lock().unwrap().push(number);
                match act {
                    Act::Yields => pirn::yield_now().await,
                    Act::Panics => std::panic::resume_unwind(Box::new("meant")),
                    Act::Fine | Act::IsAborted => {}
                }
                number
            });
            spawned.push(node);
        }
        for (node, (_, act)) in spawned.iter().zip(&nodes) {
            if *act == Act::IsAborted {
                node.abort();
            }
        }
        drop(open);
        let ids: Vec<Id> = spawned.iter().map(Node::id).collect();
        let want = model(&nodes);
        for (number, node) in spawned.into_iter().enumerate() {
            match (node.await, &want[number]) {
                (Ok(value), Ends::Fine) => assert_eq!(value, number),
                (Err(error), Ends::Panicked) => assert!(error.is_panic(), "{number}: {error}"),
                (Err(error), Ends::Cancelled) => assert!(error.is_cancelled(), "{number}: {error}"),
                (Err(error), Ends::Blamed(blamed)) => {
                    assert!(error.is_dependency(), "{number}: {error}");
                    assert!(blamed.iter().any(|&node| ids[node] == error.cause()), "{number}: {error}");
                }
                (got, want) => panic!("node {number} of {nodes:?} must end as {want:?}, and gave {got:?}"),
            }
        }
        assert_eq!(live.load(Ordering::SeqCst), 0);
        let log = log.lock().unwrap();
        for (number, (after, _)) in nodes.iter().enumerate() {
            let at = log.iter().position(|&logged| logged == number);
            assert_eq!(
                at.is_some(),
                matches!(want[number], Ends::Fine | Ends::Panicked),
                "{number} in {log:?}"
            );
            for other in after {
                let before = log.iter().position(|logged| logged == other);
                assert!(at.is_none() || before < at, "{number} ran before {other}: {log:?}");
            }
        }
    }
}
