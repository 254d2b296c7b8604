//! `#[pirn_sim::test]`, as a user meets it.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::sync::{AtomicUsize, Ordering};

#[pirn_sim::test]
async fn a_test_without_options() {
    assert_eq!(pirn::spawn(async { 7 }).await.unwrap(), 7);
}

#[pirn_sim::test(seeds = 30, hosts = 2, workers = 1..=2, tso = true, strategy = "pct", faults = "partitions")]
async fn two_hosts_talk(host: usize) -> std::io::Result<()> {
    if host == 0 {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        let (stream, _) = listener.accept().await?;
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"hello");
    } else {
        let address = std::net::SocketAddr::new(pirn_sim::host_addr("host0"), 7);
        let stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(_) => pirn::time::sleep(Duration::from_millis(10)).await,
            }
        };
        stream.write_all(b"hello").await?;
        stream.flush().await?;
    }
    Ok(())
}

/// Two tasks add to a counter in two steps.
async fn lost_update() {
    let count = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let count = Arc::clone(&count);
            pirn::spawn(async move {
                let seen = count.load(Ordering::Relaxed);
                pirn::yield_now().await;
                count.store(seen + 1, Ordering::Relaxed);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 2, "an update was lost");
}

#[pirn_sim::test(seeds = 500)]
#[ignore = "fails on purpose: run by the test below"]
async fn loses_an_update() {
    lost_update().await;
}

fn run(variable: &str, value: &str, folder: &std::path::Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "loses_an_update", "--ignored"])
        .env(variable, value)
        .env("PIRN_TRACE_DIR", folder)
        .output()
        .unwrap()
}

#[test]
fn a_failing_test_prints_what_replays_it() {
    let folder = std::env::temp_dir().join(format!("pirn-attribute-{}", std::process::id()));
    let output = run("PIRN_SEEDS", "300", &folder);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{text}");
    for part in [
        "seed:",
        "options: {",
        "verdict: panic",
        "an update was lost",
        "attribute.rs",
        "cargo test",
        "\nconfirmed: a fresh",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let trace = text.split("PIRN_TRACE='").nth(1).and_then(|rest| rest.split('\'').next()).expect("a trace");
    let again = run("PIRN_TRACE", trace, &folder);
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(!again.status.success() && said.contains("replayed to the same failure"), "{said}");

    let seed = text.split("seed:    ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a seed");
    let once = run("PIRN_SEED", seed, &folder);
    let said = String::from_utf8_lossy(&once.stdout);
    assert!(said.contains("(execution 1)") && said.contains("an update was lost"), "{said}");

    std::fs::write(trace, "{").unwrap();
    let broken = run("PIRN_TRACE", trace, &folder);
    assert!(String::from_utf8_lossy(&broken.stdout).contains("the trace ends in the middle"));
    std::fs::remove_dir_all(folder).unwrap();
}
