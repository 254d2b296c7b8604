//! What the live tests share: limits in place of hangs, processes of their own, small futures and wakers.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use pirn::{Builder, Runtime};

/// What has not happened by then, on whatever machine, never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime with so many workers.
pub(crate) fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a runtime")
}

/// Runs `f` on a thread of its own; a hang becomes a failure. The thread of a hang is left behind.
#[track_caller]
pub(crate) fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let thread = thread::Builder::new().spawn(move || {
        let value = f();
        let _ = done.send(());
        value
    });
    let thread = thread.expect("a thread");
    match wait.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: not done after {limit:?}"),
        // Done, or panicked.
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// Runs `f` in a process of its own, in which no other test runs: for counts of threads, descriptors and system calls.
/// `test` is the calling test's full name.
#[track_caller]
pub(crate) fn isolated(test: &str, f: impl FnOnce()) {
    const MARK: &str = "PIRN_TEST_ISOLATED";
    if std::env::var(MARK).is_ok_and(|name| name == test) {
        return f();
    }
    let program = std::env::current_exe().expect("the path of this test binary");
    let mut child = Command::new(program)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(MARK, test)
        // Where memory cannot be mapped any more, a backtrace takes for ever.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test binary as a child");
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Box<dyn std::io::Read + Send>| thread::spawn(move || std::io::read_to_string(pipe));
    let out = read(Box::new(out.expect("piped")));
    let err = read(Box::new(err.expect("piped")));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("the child's state") {
            Some(status) => break Some(status),
            None if start.elapsed() > 2 * PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let out = out.join().expect("reads").unwrap_or_default();
    let err = err.join().expect("reads").unwrap_or_default();
    assert!(
        status.is_some_and(|status| status.success()) && out.contains("1 passed"),
        "{test} in its own process: {status:?}\n{out}\n{err}"
    );
}

/// Waits until `condition` holds; a failure after [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut looks = 0;
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not after {PATIENCE:?}: {what}");
        looks += 1;
        if looks < 1_000 { thread::yield_now() } else { thread::sleep(Duration::from_micros(200)) }
    }
}

/// Counts its wakes.
#[derive(Default)]
pub(crate) struct CountWaker(pub(crate) AtomicUsize);

impl CountWaker {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    pub(crate) fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts itself down when it is dropped.
pub(crate) struct Guard(pub(crate) Arc<AtomicUsize>);

impl Guard {
    /// Counts itself up.
    pub(crate) fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(live.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped once more than made");
    }
}

/// Pending for ever, holding `value`.
pub(crate) async fn hold<T>(value: T) {
    std::future::pending::<()>().await;
    drop(value);
}

/// Yields `times` times.
pub(crate) async fn yields(times: usize) {
    for _ in 0..times {
        pirn::yield_now().await;
    }
}

/// Gives the waker of the current task to `f` once and waits for it to be called.
pub(crate) async fn with_waker(f: impl FnOnce(Waker)) {
    let mut f = Some(f);
    poll_fn(|cx| match f.take() {
        Some(f) => {
            f(cx.waker().clone());
            Poll::Pending
        }
        None => Poll::Ready(()),
    })
    .await;
}

/// The entries of a directory of this process, such as its threads or descriptors.
pub(crate) fn entries(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}")).expect("/proc").count()
}

/// The text of a caught panic.
pub(crate) fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
