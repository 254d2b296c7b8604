//! Recording and replaying: to the bit, in another process too, and an error for whatever does not fit.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pirn::sync::{AtomicUsize, Ordering};
use pirn_sim::{Faults, ReplayError, Simulation, Trace, TraceError, Verdict};

fn program(rounds: usize) -> Simulation {
    Simulation::new("program").arg("rounds", 3).tso(true).host("a", move || async move {
        let count = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let count = Arc::clone(&count);
                pirn::spawn(async move {
                    for _ in 0..rounds {
                        let seen = count.load(Ordering::Relaxed);
                        pirn::time::sleep(Duration::from_micros(n)).await;
                        count.store(seen + 1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(count.load(Ordering::Relaxed) > 4, "too many updates were lost");
    })
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("pirn-sim-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_replay_is_the_same_run_from_choices_alone() {
    let simulation = program(3);
    let mut failures = 0;
    for seed in 0..100 {
        let outcome = simulation.run(seed);
        let again = simulation.replay(&outcome.trace).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.trace, outcome.trace);
        failures += u32::from(!outcome.verdict.is_pass());
    }
    assert!(failures > 0, "no failure was replayed");
}

#[test]
fn another_process_replays_to_the_same_digest() {
    let folder = folder("process");
    let outcome = program(3).run(11);
    let path = folder.join("trace.json");
    outcome.trace.save(&path).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("PIRN_TEST_TRACE", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(&format!("digest {:#x}", outcome.digest)), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "the other process of the test above"]
fn child() {
    let trace = Trace::load(std::env::var("PIRN_TEST_TRACE").unwrap()).unwrap();
    // Other addresses, other thread ids: nothing of that may matter.
    let held: Vec<Box<[u8]>> = (0..100).map(|n| vec![0; 100 + n].into_boxed_slice()).collect();
    let outcome = program(3).replay(&trace).unwrap();
    println!("digest {:#x} {}", outcome.digest, held.len());
}

fn differs(simulation: &Simulation, trace: &Trace) -> String {
    match simulation.replay(trace) {
        Err(ReplayError::Differs(mismatch)) => mismatch.to_string(),
        other => panic!("{other:?}"),
    }
}

fn edited(trace: &Trace, from: &str, to: &str) -> Trace {
    let folder = folder("edited");
    let path = folder.join("trace.json");
    trace.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    Trace::load(&path).unwrap()
}

#[test]
fn what_does_not_fit_is_named() {
    let simulation = program(3);
    let trace = (0..100)
        .map(|seed| simulation.run(seed).trace)
        .find(|trace| trace.choices().len() > 20)
        .expect("a run with choices");
    let other = Simulation::new("other").host("a", || async {});
    assert!(
        other
            .replay(&trace)
            .unwrap_err()
            .to_string()
            .contains("recorded with the program program, this is other")
    );
    let host = Simulation::new("program").arg("rounds", 3).host("b", || async {});
    assert!(host.replay(&trace).unwrap_err().to_string().contains("the hosts"));
    let args = program(3).arg("rounds", 4);
    assert!(args.replay(&trace).unwrap_err().to_string().contains("the arguments"));
    let version =
        edited(&trace, &format!("\"pirn\": \"{}\"", env!("CARGO_PKG_VERSION")), "\"pirn\": \"0.0.1\"");
    assert!(simulation.replay(&version).unwrap_err().to_string().contains("pirn 0.0.1"));

    // The same program with other insides.
    let said = differs(&program(2), &trace);
    assert!(said.contains("choice") || said.contains("point") || said.contains("number of"), "{said}");
    // A choice taken out, one with another option, one at another place.
    let entry = serde_json::to_string(&trace.choices()[5]).unwrap();
    let said = differs(&simulation, &edited(&trace, &format!("{entry},\n"), ""));
    assert!(!said.is_empty());
    let mut impossible = trace.choices()[5];
    impossible.pick = 99;
    let said = differs(&simulation, &edited(&trace, &entry, &serde_json::to_string(&impossible).unwrap()));
    assert!(said.contains("picks thread 98") || said.contains("picks option 99"), "{said}");
    let mut elsewhere = trace.choices()[5];
    elsewhere.offer ^= 1;
    let said = differs(&simulation, &edited(&trace, &entry, &serde_json::to_string(&elsewhere).unwrap()));
    assert!(said.contains("recorded choice 6") && said.contains("on offer"), "{said}");
    let said = differs(&simulation, &edited(&trace, "\"points\": ", "\"points\": 1"));
    assert!(said.contains("the number of points"), "{said}");
}

#[test]
fn a_large_file_is_refused_without_reading_it() {
    let folder = folder("large");
    let path = folder.join("large.json");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(3 << 30).unwrap();
    assert!(matches!(Trace::load(&path), Err(TraceError::TooLarge(_))));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_failure_tells_its_seed_options_and_state() {
    let simulation = Simulation::new("panics").faults(Faults::none()).host("a", || async {
        let broken: Result<(), String> = Err("the disk is on fire".into());
        broken
    });
    let outcome = simulation.run(3);
    assert!(matches!(&outcome.verdict, Verdict::Panic(text) if text.contains("the disk is on fire")));
    assert_eq!(outcome.trace.seed(), 3);
    assert!(outcome.trace.options().contains("workers"));
    assert!(outcome.threads.contains("a/main"), "{}", outcome.threads);
}

#[test]
fn a_hang_of_the_real_machine_ends_the_process_with_a_message() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hang", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("seed 77: no point for") && text.contains("blocks in the operating system"),
        "{text}"
    );
    assert!(text.contains("thread 0 at"), "{text}");
}

#[test]
#[ignore = "the other process of the test above"]
fn hang() {
    pirn_sim::watchdog(Duration::from_millis(300));
    // Made by a simulated thread it would end the run.
    let (reader, _writer) = std::io::pipe().unwrap();
    let simulation = Simulation::new("hangs").bare_host("a", move || {
        pirn_sim::busy(Duration::from_nanos(1));
        std::io::read_to_string(&reader).unwrap();
    });
    simulation.run(77);
}

#[test]
fn a_stack_overflow_ends_the_process_with_a_message() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "overflow", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("seed 78: thread 0 overflowed its stack"), "{text}");
}

#[test]
#[ignore = "the other process of the test above"]
fn overflow() {
    fn deeper(n: u64) -> u64 {
        let held = std::hint::black_box([n; 100]);
        if n == 0 { 0 } else { deeper(n - 1) + held[7] }
    }
    Simulation::new("overflows")
        .bare_host("a", || {
            pirn_sim::busy(Duration::from_nanos(1));
            assert!(deeper(1 << 30) > 0);
        })
        .run(78);
}
