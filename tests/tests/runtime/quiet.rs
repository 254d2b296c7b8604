//! System calls that are not made.

use std::collections::BTreeMap;
use std::future::pending;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::{hold, isolated, runtime, yields};

/// Descriptors that are none: a write to one is a mark in a trace of system calls and nothing else.
const BEGIN: i32 = -11;
const END: i32 = -22;

fn mark(which: i32) {
    // SAFETY: an invalid descriptor and no bytes: the call fails and does nothing else.
    unsafe { libc::write(which, std::ptr::null(), 0) };
}

/// Runs the test `name`, which makes the marks in its own process, under strace; the calls that other threads than the marks' own made
/// between them, and that the marks' own made. None: no strace here.
fn traced(name: &str) -> Option<Vec<String>> {
    let log = std::env::temp_dir().join(format!("pirn-{}-{}", std::process::id(), name.replace(':', "-")));
    let program = std::env::current_exe().expect("the path of this test binary");
    let run = Command::new("strace")
        .arg("-f")
        .arg("-o")
        .arg(&log)
        .arg(program)
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env("PIRN_TEST_ISOLATED", name)
        // A build with the sanitizer looks for leaks at its end, and fails where it is traced already.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .output();
    let text = std::fs::read_to_string(&log);
    let _ = std::fs::remove_file(&log);
    let (Ok(run), Ok(text)) = (run, text) else { return None };
    if !run.status.success() && !text.contains("write(-11") {
        // strace may not trace here.
        return None;
    }
    assert!(run.status.success(), "{name} under strace: {}", String::from_utf8_lossy(&run.stdout));
    let between = text.lines().skip_while(|line| !line.contains("write(-11"));
    let between = between.skip(1).take_while(|line| !line.contains("write(-22"));
    assert!(text.contains("write(-22"), "the second mark is missing");
    Some(between.map(str::to_owned).collect())
}

/// How often each thread of this process has been switched out and in.
fn switches() -> BTreeMap<String, String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    tasks
        .map(|task| {
            let path = task.expect("/proc").path();
            let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
            let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            (format!("{} {}", path.display(), name.trim()), counts.collect::<Vec<_>>().join(" "))
        })
        .filter(|(name, _)| name.contains("pirn-"))
        .collect()
}

/// A runtime that has worked and now waits: timers far away, idle tasks, idle threads.
fn idle(f: impl FnOnce()) {
    let runtime = runtime(3);
    runtime.block_on(async {
        for _ in 0..50 {
            pirn::spawn(hold(())).detach();
            pirn::spawn(async { pirn::time::sleep(Duration::from_secs(36_000)).await }).detach();
        }
        pirn::spawn(yields(1_000)).await.unwrap();
        pirn::spawn_blocking(|| ()).await.unwrap();
        pirn::time::sleep(Duration::from_millis(2)).await;
    });
    // Seat 0 too, on a thread of its own.
    let handle = runtime.handle();
    let seat = thread::Builder::new().name("pirn-seat-0".into());
    let seat = seat.spawn(move || handle.block_on(pending::<()>())).expect("a thread");
    // The watch goes to sleep a few dozen milliseconds after the last work; more on a busy machine.
    thread::sleep(Duration::from_secs(1));
    f();
    drop(seat);
    // The main future never ends: nor would its thread.
    std::mem::forget(runtime);
}

#[test]
fn an_idle_runtime_makes_no_system_call() {
    const NAME: &str = "runtime::quiet::an_idle_runtime_makes_no_system_call";
    isolated(NAME, || {
        idle(|| {
            let before = switches();
            assert!(before.len() >= 3, "{before:?}");
            mark(BEGIN);
            thread::sleep(Duration::from_secs(2));
            mark(END);
            // A thread that is not switched in makes no call.
            assert_eq!(before, switches());
        });
    });
    if let Some(calls) = traced(NAME) {
        let calls: Vec<_> = calls.iter().filter(|call| !call.contains("nanosleep")).collect();
        assert!(calls.is_empty(), "{calls:#?}");
    }
}

#[test]
fn a_million_yields_make_no_system_call() {
    const NAME: &str = "runtime::quiet::a_million_yields_make_no_system_call";
    isolated(NAME, || {
        for workers in 1..=2 {
            let runtime = runtime(workers);
            runtime.block_on(async {
                yields(1_000).await;
                // A peer that was woken at the start is asleep again.
                thread::sleep(Duration::from_millis(200));
                mark(BEGIN);
                yields(250_000).await;
                pirn::spawn_local(yields(250_000)).await.unwrap();
                let tasks: Vec<_> = (0..workers).map(|_| pirn::spawn_local(yields(250_000))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
                mark(END);
            });
        }
    });
    if let Some(calls) = traced(NAME) {
        assert!(calls.is_empty(), "{calls:#?}");
    }
}
