//! The inbox and the LIFO slot against a `VecDeque` and an `Option`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use proptest::prelude::*;

use crate::queue::{Inbox, LifoSlot, Link};
use crate::sync::UnsafeCell;

/// A task that counts itself while it lives.
#[derive(Debug)]
struct Task(Box<Node>);

#[derive(Debug)]
struct Node {
    next: UnsafeCell<*mut Node>,
    number: u32,
    alive: Rc<Cell<u32>>,
}

impl Task {
    fn new(number: u32, alive: &Rc<Cell<u32>>) -> Self {
        alive.set(alive.get() + 1);
        Self(Box::new(Node { next: UnsafeCell::new(ptr::null_mut()), number, alive: alive.clone() }))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

// SAFETY: `into_raw` and `from_raw` are those of a box, which does not move; `next` is one field of it.
unsafe impl Link for Task {
    type Node = Node;

    fn into_raw(self) -> NonNull<Node> {
        NonNull::from(Box::leak(self.0))
    }

    unsafe fn from_raw(node: NonNull<Node>) -> Self {
        // SAFETY: it came from `into_raw`, by the contract.
        Self(unsafe { Box::from_raw(node.as_ptr()) })
    }

    unsafe fn next(node: NonNull<Node>) -> NonNull<UnsafeCell<*mut Node>> {
        // SAFETY: the node is alive, by the contract.
        NonNull::from(unsafe { &node.as_ref().next })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// `true` pushes, `false` pops.
    #[test]
    fn inbox_is_a_queue(steps in proptest::collection::vec(any::<bool>(), 0..60)) {
        let alive = Rc::new(Cell::new(0));
        let inbox = Inbox::new();
        // What the owner took at its last look, and what came since.
        let (mut taken, mut pushed) = (VecDeque::new(), VecDeque::new());
        for (number, push) in (0u32..).zip(steps) {
            if push {
                prop_assert_eq!(inbox.push(Task::new(number, &alive)), pushed.is_empty());
                pushed.push_back(number);
            } else {
                if taken.is_empty() {
                    taken.append(&mut pushed);
                }
                // SAFETY: one thread.
                prop_assert_eq!(unsafe { inbox.pop() }.map(|task| task.0.number), taken.pop_front());
            }
            prop_assert_eq!(alive.get() as usize, taken.len() + pushed.len());
        }
        drop(inbox);
        prop_assert_eq!(alive.get(), 0, "tasks outlive their inbox");
    }

    /// `true` puts, `false` takes.
    #[test]
    fn lifo_is_an_option(steps in proptest::collection::vec(any::<bool>(), 0..40)) {
        let alive = Rc::new(Cell::new(0));
        let slot = LifoSlot::new();
        let mut twin = None;
        for (number, put) in (0u32..).zip(steps) {
            let (got, want) = if put {
                (slot.put(Task::new(number, &alive)), twin.replace(number))
            } else {
                (slot.take(), twin.take())
            };
            prop_assert_eq!(got.map(|task| task.0.number), want);
            prop_assert_eq!(slot.is_empty(), twin.is_none());
        }
        drop(slot);
        prop_assert_eq!(alive.get(), 0, "a task outlives its slot");
    }
}
