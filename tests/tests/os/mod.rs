//! Conformance of the OS machines: listed cases and random op sequences, for every machine the same.

mod cases;
mod files;
mod kernel;
mod live;
mod random;
#[cfg(feature = "sim")]
mod simulated;
mod world;

pub(crate) use self::world::pattern;
