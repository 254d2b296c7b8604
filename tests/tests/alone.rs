//! Tests that need a process to themselves: for limits and counts that are the process'.

use std::process::Command;

/// Set in the child.
const CHILD: &str = "PIRN_TEST_ALONE";

/// Runs `body` in a process of its own that runs the test `name` (its full path) and no other.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        return body();
    }
    let program = std::env::current_exe().expect("the test's own program");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .output()
        .expect("the test's own program can be run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} failed in a process of its own:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "{name} is not the name of this test:\n{out}");
}

/// Open descriptors of this process.
pub(crate) fn descriptors() -> usize {
    // One is the listing's own.
    std::fs::read_dir("/proc/self/fd").expect("procfs").count() - 1
}
