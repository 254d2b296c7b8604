//! The injector against a `VecDeque`.

use std::cell::Cell;
use std::collections::VecDeque;

use proptest::prelude::*;

use crate::queue::Injector;

#[derive(Clone, Debug)]
enum Step {
    Push,
    PushBatch(usize),
    Pop,
    PopBatch(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Push),
        8 => (0..6usize).prop_map(Step::PushBatch),
        8 => Just(Step::Pop),
        8 => (0..6usize).prop_map(Step::PopBatch),
        1 => Just(Step::Close),
    ]
}

fn run(steps: Vec<Step>) {
    let injector = Injector::new();
    let mut twin = VecDeque::new();
    let mut closed = false;
    let mut next = 0u32;
    for step in steps {
        let noted = Cell::new(0);
        let note = |_: &u32| noted.set(noted.get() + 1);
        let before = twin.len();
        match step {
            Step::Push => {
                next += 1;
                assert_eq!(injector.push(next, note), if closed { Err(next) } else { Ok(()) });
                twin.extend((!closed).then_some(next));
            }
            Step::PushBatch(count) => {
                let batch = next + 1..next + 1 + count as u32;
                next += count as u32;
                match injector.push_batch(batch.clone(), note) {
                    Ok(()) => twin.extend(batch),
                    Err(back) => assert!(closed && back == batch),
                }
            }
            Step::Pop => assert_eq!(injector.pop(note), twin.pop_front()),
            Step::PopBatch(most) => {
                let mut taken = Vec::new();
                let count = injector.pop_batch(most, |task| {
                    note(&task);
                    taken.push(task);
                });
                assert_eq!(count, taken.len());
                assert_eq!(taken, twin.drain(..most.min(twin.len())).collect::<Vec<_>>());
            }
            Step::Close => {
                assert_eq!(injector.close(), !closed);
                closed = true;
            }
        }
        assert_eq!(noted.get(), before.abs_diff(twin.len()), "a note is missing or one too many");
        assert_eq!((injector.len(), injector.is_empty()), (twin.len(), twin.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn injector_is_a_queue(steps in proptest::collection::vec(step(), 0..60)) {
        run(steps);
    }
}
