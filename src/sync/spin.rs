//! Spinning on a real machine.

/// Rounds after which the thread that is waited for is taken for one that does not run.
const ROUNDS: u32 = 64;

/// Asks until it is so. Behind that it lets other threads run in between: the kernel takes a thread off its CPU for milliseconds where
/// there are more threads than CPUs.
#[inline]
pub(super) fn briefly(mut done: impl FnMut() -> bool) {
    let mut round = 0;
    while !done() {
        round += 1;
        match round < ROUNDS {
            true => core::hint::spin_loop(),
            false => std::thread::yield_now(),
        }
    }
}
