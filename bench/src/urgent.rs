//! Load generators that run as soon as they wake up.

/// Has the calling thread preempt the server when it wakes up, as far as the kernel lets it (Linux 6.12: a shorter slice). There are as many
/// CPUs as threads of the server, so else it is the load generator that waits for a CPU, and its own delay is measured.
pub(crate) fn urgent() {
    /// The head of struct sched_attr.
    #[repr(C)]
    #[derive(Default)]
    struct Attr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        rest: [u64; 2],
    }
    let attr = Attr { size: size_of::<Attr>() as u32, runtime: 100_000, ..Attr::default() };
    // SAFETY: `attr` is valid for reading, and says how long it is. A kernel that refuses changes nothing.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}
