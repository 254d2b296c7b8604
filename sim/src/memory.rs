//! S14: memory that lies free in a pool of the runtime is touched by nobody.
//!
//! Only operations of `pirn::sync` are seen, which is enough for a task: whatever reaches one begins with its state word.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;

use crate::check::Violation;
use crate::world::World;

/// A block begins on such a boundary and is a multiple of it long.
const LINE: usize = 64;

/// The lines that are free now.
pub(crate) type Freed = HashSet<usize, BuildHasherDefault<Spread>>;

/// Spreads line numbers; nothing depends on the order.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, line: usize) {
        self.0 = (self.0 ^ line as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

impl World {
    /// A block was put into a pool, or taken out of it.
    pub(crate) fn note_freed(&mut self, block: usize, bytes: usize, free: bool) {
        for line in block / LINE..(block + bytes).div_ceil(LINE) {
            if free {
                self.freed.insert(line)
            } else {
                self.freed.remove(&line)
            };
        }
    }

    /// Whether an operation may touch `address`.
    #[inline]
    pub(crate) fn is_freed(&self, address: usize) -> bool {
        !self.freed.is_empty() && self.freed.contains(&(address / LINE))
    }

    /// The running thread touches free memory.
    #[cold]
    pub(crate) fn touched_freed(&mut self, at: &'static Location<'static>) {
        let what = format!(
            "thread {} touches memory at {at} that lies free in the pool of task cells: it has no reference to that task any more",
            self.current
        );
        self.violated(Violation::new("S14", what));
    }
}
