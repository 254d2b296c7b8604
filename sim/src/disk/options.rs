//! What is asked of the hosts' disks, and what one execution drew.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Faults;
use crate::rng::Rng;

/// The disk of each host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bytes that fit, in pages of 4 KiB; names and folders take no room.
    pub capacity: u64,
    /// How long the medium takes to answer, drawn from this range for an execution. Memory answers sooner.
    pub latency: RangeInclusive<Duration>,
}

impl Default for Storage {
    /// No limit; from a fast drive to a slow one.
    fn default() -> Self {
        Self { capacity: u64::MAX, latency: Duration::from_micros(60)..=Duration::from_millis(20) }
    }
}

/// What one execution drew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskDrawn {
    pub(crate) capacity: u64,
    pub(crate) latency_ns: u64,
    /// Chance in 1000 that what is asked for has left memory.
    pub(crate) cold: u32,
    /// Chance in 1000 that the medium or the file system fails.
    pub(crate) error: u32,
}

impl Default for DiskDrawn {
    fn default() -> Self {
        Self { capacity: u64::MAX, latency_ns: 100_000, cold: 0, error: 0 }
    }
}

impl Storage {
    /// Draws from a stream of its own, so that other options stay what they are.
    pub(crate) fn draw(&self, seed: u64, faults: &Faults) -> DiskDrawn {
        let mut rng = Rng::new(seed, 2);
        let (low, high) = (self.latency.start().as_nanos() as u64, self.latency.end().as_nanos() as u64);
        let latency_ns = crate::options::between(&mut rng, low, high);
        let cold = rng.one_of(&[0, 100, 500]);
        let error = rng.one_of(&[5, 20, 100]);
        DiskDrawn {
            capacity: self.capacity,
            latency_ns,
            cold: if faults.slow { cold } else { 0 },
            error: if faults.disk { error } else { 0 },
        }
    }
}
