//! The LIFO slot: its owner against a worker that takes over.

use std::sync::Arc;

use loom::thread;

use super::explore;
use super::node::Task;
use crate::queue::LifoSlot;

/// Owner puts twice and takes, another takes: each task comes out once, with what was written into it. Every interleaving.
#[test]
fn owner_against_takeover() {
    explore(None, || {
        let slot = Arc::new(LifoSlot::new());
        let other = slot.clone();
        let taking = thread::spawn(move || other.take().map(Task::value));
        let mut got = Vec::new();
        for value in 0..2 {
            got.extend(slot.put(Task::new(value)).map(Task::value));
        }
        got.extend(slot.take().map(Task::value));
        got.extend(taking.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [0, 1], "a task was lost or taken twice");
        assert!(slot.is_empty());
    });
}
