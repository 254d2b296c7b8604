//! CPU time of chosen threads of this process.

use std::collections::BTreeSet;
use std::time::Duration;

/// The kernel's numbers of this process's threads.
pub(crate) fn threads() -> BTreeSet<i32> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The number of the calling thread.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: gettid takes nothing and can't fail.
    unsafe { libc::gettid() }
}

/// A thread's name, as far as the kernel keeps it (15 bytes).
pub(crate) fn name(thread: i32) -> String {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// CPU time that live threads have used so far; an ended thread counts nothing.
pub(crate) fn used(threads: &BTreeSet<i32>) -> Duration {
    threads.iter().map(|thread| thread_time(*thread)).sum()
}

/// The CPU clock of a thread: the kernel's encoding of "that thread, scheduler time".
fn thread_time(thread: i32) -> Duration {
    let clock = (!thread << 3) | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; an unknown clock is an error, and then the time stays zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_thread_uses_time_and_a_sleeping_one_does_not() {
        let own = BTreeSet::from([this_thread()]);
        assert!(threads().is_superset(&own));
        let before = used(&own);
        std::thread::sleep(Duration::from_millis(30));
        let slept = used(&own) - before;
        assert!(slept < Duration::from_millis(20), "sleeping used {slept:?}");
        let mut n = 0_u64;
        while used(&own) - before < Duration::from_millis(5) {
            n = std::hint::black_box(n + 1);
        }
        assert!(n > 0);
    }
}
