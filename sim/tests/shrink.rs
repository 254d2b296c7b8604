//! Shrinking: what is left of a failure is little, is the same failure, and replays strictly in another process.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_sim::{Faults, Outcome, Shrink, Simulation, Strategy, Trace, Verdict};

/// Tasks that read a counter, let others run, and write it back.
fn lost_update(tasks: u64) -> Simulation {
    Simulation::new("lost-update").arg("tasks", tasks).workers(2..=4).strategy(Strategy::Uniform).host(
        "a",
        move || async move {
            let counter = Arc::new(Mutex::new(0));
            let tasks: Vec<_> = (0..tasks)
                .map(|_| {
                    let counter = Arc::clone(&counter);
                    pirn::spawn(async move {
                        let seen = *counter.lock().unwrap();
                        // The point at which another worker may come between: a spawn, as any program has them.
                        drop(pirn::spawn(async {}));
                        *counter.lock().unwrap() = seen + 1;
                    })
                })
                .collect();
            let count = tasks.len();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*counter.lock().unwrap(), count, "an update was lost");
        },
    )
}

fn failing(simulation: &Simulation) -> Outcome {
    (0..500)
        .map(|seed| simulation.run(seed))
        .find(|outcome| !outcome.verdict.is_pass())
        .expect("a seed that fails")
}

fn switches(trace: &Trace) -> usize {
    trace.choices().iter().filter(|entry| matches!(entry.kind.name(), "switch" | "next")).count()
}

#[test]
fn a_lost_update_shrinks_to_a_few_switches_and_replays_in_another_process() {
    let simulation = lost_update(6);
    let outcome = failing(&simulation);
    let before = switches(&outcome.trace);
    let shrunk = simulation.shrink(&outcome, Shrink::default());
    let after = switches(&shrunk.outcome.trace);
    assert!(before > 20, "the uniform walk switches at every other point: {before}");
    assert!(after <= 4, "{after} of {before} switches are left: {}", shrunk.to);
    assert_eq!((shrunk.from.switches, shrunk.to.switches), (before, after));
    assert!(matches!(&shrunk.outcome.verdict, Verdict::Panic(text) if text.contains("an update was lost")));
    assert_eq!(shrunk.to.faults, 0, "no fault is needed: {}", shrunk.to);

    let path = std::env::temp_dir().join(format!("pirn-shrunk-{}.json", std::process::id()));
    shrunk.outcome.trace.save(&path).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("PIRN_TEST_TRACE", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("digest {:#x}", shrunk.outcome.digest)), "{text}");
    std::fs::remove_file(path).unwrap();
}

#[test]
#[ignore = "the other process of the test above"]
fn child() {
    let trace = Trace::load(std::env::var("PIRN_TEST_TRACE").unwrap()).unwrap();
    let tasks = trace.args()["tasks"].parse().unwrap();
    println!("digest {:#x}", lost_update(tasks).replay(&trace).unwrap().digest);
}

#[test]
fn a_smaller_program_is_taken_if_it_fails_in_the_same_way() {
    let simulation = lost_update(6);
    let outcome = failing(&simulation);
    let smaller = |simulation: &Simulation| -> Vec<Simulation> {
        let tasks: u64 = simulation.args()["tasks"].parse().unwrap();
        (1..tasks).map(lost_update).collect()
    };
    let shrunk = simulation.shrink(&outcome, Shrink { smaller: &smaller, ..Shrink::default() });
    assert_eq!(shrunk.simulation.args()["tasks"], "2", "{}", shrunk.to);
    assert_eq!(shrunk.to.tasks, 4, "two tasks, and what each spawned");
    assert!(shrunk.simulation.replay(&shrunk.outcome.trace).is_ok());
}

/// A reader that takes a short read for the end.
fn short_reads() -> Simulation {
    Simulation::new("short")
        .faults(Faults::parse("none,short,spurious").unwrap())
        .host("server", || async {
            let listener = pirn::net::TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 64];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_eq!(count, 64, "the message is whole");
        })
        .host("client", || async {
            pirn::time::sleep(Duration::from_millis(1)).await;
            let server = pirn_sim::host_addr("server");
            let stream = pirn::net::TcpStream::connect((server, 7)).await.unwrap();
            stream.write_all(&[1; 64]).await.unwrap();
        })
}

#[test]
fn the_one_fault_that_matters_stays() {
    let simulation = short_reads();
    let outcome = failing(&simulation);
    let shrunk = simulation.shrink(&outcome, Shrink::default());
    let choices = shrunk.outcome.trace.choices();
    // Two where the read that is short is one that only another fault leads to.
    assert!(shrunk.to.switches == 0 && (1..=2).contains(&shrunk.to.faults), "{choices:?}");
    assert!(choices.iter().any(|entry| entry.kind.name() == "short"), "{choices:?}");
}

#[test]
fn without_time_the_failure_stays_as_it_is() {
    let simulation = lost_update(4);
    let outcome = failing(&simulation);
    let shrunk = simulation.shrink(&outcome, Shrink { limit: Duration::ZERO, ..Shrink::default() });
    assert_eq!(shrunk.outcome.trace, outcome.trace);
    assert!(!shrunk.finished);
}
