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

/// Has the kernel answer a system call with `errno`, for this process and for good.
pub(crate) fn refuse(call: libc::c_long, errno: i32) {
    let statement = |code: u32, yes, no, k| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let mut program = [
        // The system call's number; is it that one? Then this errno, else let it pass.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
    // SAFETY: `filter` and the program it points to are alive.
    let set =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    assert_eq!(set, 0, "a filter: {}", std::io::Error::last_os_error());
}
