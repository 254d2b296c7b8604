//! Coroutines: life and end, stacks and their pools, direct-style I/O, and all of it simulated.

mod life;
#[cfg(feature = "sim")]
mod simulated;
mod stacks;
mod streams;
