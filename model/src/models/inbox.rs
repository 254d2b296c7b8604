//! The inbox: two pushers and the owner, the pusher's token, invariants B1 to B3.

use std::sync::Arc;

use loom::thread;

use super::explore;
use super::node::Task;
use crate::queue::Inbox;
use crate::sleep::Sleep;

/// Each task comes out once, with what was written into it; those of one pusher in their order. Bound: 3 preemptions.
#[test]
fn two_pushers() {
    explore(Some(3), || {
        let inbox = Arc::new(Inbox::new());
        let (left, right) = (inbox.clone(), inbox.clone());
        let left = thread::spawn(move || {
            left.push(Task::new(0));
            left.push(Task::new(1));
        });
        let right = thread::spawn(move || {
            right.push(Task::new(2));
        });
        // SAFETY: this thread is the owner.
        let pop = || unsafe { inbox.pop() }.map(Task::value);
        let mut got: Vec<u32> = (0..2).filter_map(|_| pop()).collect();
        left.join().unwrap();
        right.join().unwrap();
        got.extend(std::iter::from_fn(pop));
        let place = |task| got.iter().position(|&other| other == task).expect("a task was lost");
        assert_eq!(got.len(), 3, "a task came twice");
        assert!(place(0) < place(1), "the tasks of one pusher changed places");
        assert!(place(2) < 3);
    });
}

/// The owner drains its inbox and parks; a pusher that found the inbox empty gives it a token. The owner never stays parked with a
/// task in its inbox. Every interleaving.
#[test]
fn token_to_the_owner() {
    explore(None, || {
        let shared = Arc::new((Inbox::new(), Sleep::new(0..1)));
        let pushing = thread::spawn({
            let shared = shared.clone();
            move || {
                for value in 0..2 {
                    if shared.0.push(Task::new(value)) {
                        shared.1.give_token(0);
                    }
                }
            }
        });
        let (inbox, sleep) = &*shared;
        // SAFETY: one owner: this thread.
        let drain = || std::iter::from_fn(|| unsafe { inbox.pop() }).map(Task::value).count();
        let mut got = drain();
        if !sleep.park_begin(0) {
            got += drain();
        }
        pushing.join().unwrap();
        // A token now means that it would come back from its block.
        if sleep.park_end(0) {
            got += drain();
        }
        assert_eq!(got, 2, "the owner stays parked with a task in its inbox");
    });
}
