//! Standard streams: this program's own, as a child with pipes.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set in the child.
const CHILD: &str = "PIRN_TEST_STDIO";

/// Runs the test `name` as a child with this input; its output, without what the harness prints.
fn child(name: &str, input: &[u8]) -> String {
    let program = std::env::current_exe().expect("the test's own program");
    let mut child = Command::new(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test's own program can be run");
    let mut stdin = child.stdin.take().expect("piped");
    for part in input.chunks(7) {
        stdin.write_all(part).expect("it reads");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name} failed as a child:\n{text}");
    text
}

#[test]
fn lines_come_in_and_go_out() {
    if std::env::var_os(CHILD).is_some() {
        return pirn::Builder::new().workers(2).build().expect("a runtime").block_on(async {
            let (mut input, mut output) = (pirn::stdio::stdin().expect("stdin"), pirn::stdio::stdout());
            let mut line = String::new();
            loop {
                // A line that takes its time.
                let patience = pirn::time::timeout(Duration::from_secs(10), input.read_line(&mut line));
                if patience.await.expect("in time").expect("read") == 0 {
                    break;
                }
                output.write_all(format!("[{}]\n", line.trim_end()).as_bytes()).await.expect("write");
                line.clear();
            }
            output.flush().await.expect("flush");
        });
    }
    let text =
        child("process::stdio::lines_come_in_and_go_out", b"first line\nsecond\n\nthe last has no end");
    for line in ["[first line]", "[second]", "[]", "[the last has no end]"] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}

/// A runtime ends although somebody waits for input that never comes.
#[test]
fn a_wait_for_input_does_not_hold_the_runtime() {
    if std::env::var_os(CHILD).is_some() {
        return pirn::Builder::new().workers(1).build().expect("a runtime").block_on(async {
            let mut input = pirn::stdio::stdin().expect("stdin");
            let task = pirn::spawn(async move { input.read(&mut [0; 8]).await });
            pirn::time::sleep(Duration::from_millis(5)).await;
            assert!(!task.is_finished());
        });
    }
    let program = std::env::current_exe().expect("the test's own program");
    let mut child = Command::new(program)
        .args(["process::stdio::a_wait_for_input_does_not_hold_the_runtime", "--exact", "--test-threads=1"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test's own program can be run");
    let stdin = child.stdin.take();
    assert!(child.wait().expect("it ends").success());
    drop(stdin);
}
