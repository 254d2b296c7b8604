//! Two rings that steal from each other, against two `VecDeque`s.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use crate::queue::ring::{Owner, Ring, ring_at};

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pop(usize),
    TakeHalf(usize),
    /// Into this one, from the other.
    Steal(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize).prop_map(Step::Push),
        2 => (0..2usize).prop_map(Step::Pop),
        1 => (0..2usize).prop_map(Step::TakeHalf),
        2 => (0..2usize).prop_map(Step::Steal),
    ]
}

/// A task that shows by its count whether it was dropped once.
type Task = Arc<u32>;

struct Side {
    owner: Owner<Task>,
    ring: Arc<Ring<Task>>,
    twin: VecDeque<Task>,
    capacity: usize,
}

impl Side {
    fn new(id: u32, (bits, start): (u32, u32)) -> Self {
        let capacity = 1 << bits;
        let (owner, ring) = ring_at(id, capacity, start);
        Self { owner, ring, twin: VecDeque::new(), capacity }
    }

    fn check(&self) {
        let len = self.twin.len();
        assert_eq!((self.owner.len(), self.ring.len(), self.owner.free()), (len, len, self.capacity - len));
        assert_eq!((self.owner.is_empty(), self.ring.is_empty()), (len == 0, len == 0));
    }
}

fn run(steps: Vec<Step>, sizes: [(u32, u32); 2]) {
    let mut sides = [Side::new(0, sizes[0]), Side::new(1, sizes[1])];
    let mut made: Vec<Task> = Vec::new();
    for step in steps {
        match step {
            Step::Push(side) => {
                let task = Arc::new(made.len() as u32);
                made.push(task.clone());
                let Side { owner, twin, capacity, .. } = &mut sides[side];
                match owner.push(task.clone()) {
                    Ok(()) => twin.push_back(task),
                    Err(back) => assert!(twin.len() == *capacity && back == task),
                }
            }
            Step::Pop(side) => assert_eq!(sides[side].owner.pop(), sides[side].twin.pop_front()),
            Step::TakeHalf(side) => {
                let Side { owner, twin, .. } = &mut sides[side];
                let half: Vec<Task> = twin.drain(..twin.len() / 2).collect();
                let taken: Vec<Task> = owner.take_half().map(Iterator::collect).unwrap_or_default();
                assert_eq!(taken, half);
            }
            Step::Steal(side) => {
                let [left, right] = &mut sides;
                let (thief, victim) = if side == 0 { (left, right) } else { (right, left) };
                let len = victim.twin.len();
                let count = len.div_ceil(2).min(thief.capacity - thief.twin.len() + 1);
                let mut moved: VecDeque<Task> = victim.twin.drain(..count).collect();
                let mut noted = VecDeque::new();
                let got = thief.owner.steal_from(&victim.ring, |task, kept| {
                    assert_eq!(kept, !noted.is_empty());
                    noted.push_back(task.clone());
                });
                assert_eq!(noted, moved);
                assert_eq!(got, moved.pop_front());
                thief.twin.extend(moved);
            }
        }
        sides.iter().for_each(Side::check);
    }
    drop(sides);
    for task in made {
        assert_eq!(Arc::strong_count(&task), 1, "task {task} was lost or dropped twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rings_are_two_queues(
        steps in proptest::collection::vec(step(), 0..80),
        wrapping in (1..5u32, u32::MAX - 20..=u32::MAX),
        other in (1..5u32, any::<u32>()),
    ) {
        run(steps, [wrapping, other]);
    }
}

/// A capacity that is no power of two is refused with a sentence.
#[test]
#[should_panic(expected = "a ring of 6 slots was asked for")]
fn odd_capacity() {
    drop(ring_at::<u32>(0, 6, 0));
}
