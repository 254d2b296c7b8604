//! The ring: owner against thieves, cursors about to wrap, invariants R4 to R6.

use loom::thread;

use super::explore;
use crate::queue::Owner;
use crate::queue::ring::ring_at;

/// Two pushes away from the wrap.
const WRAP: u32 = u32::MAX - 1;

/// A ring with `tasks` in it.
fn filled(id: u32, capacity: usize, start: u32, tasks: impl IntoIterator<Item = Task>) -> Owned {
    let (owner, ring) = ring_at(id, capacity, start);
    for task in tasks {
        owner.push(task).expect("the model fills its ring over");
    }
    (owner, ring)
}

/// A heap cell, so that a task read twice or lost shows.
type Task = Box<u32>;
type Owned = (Owner<Task>, std::sync::Arc<crate::queue::Ring<Task>>);

fn rest(owner: &Owner<Task>) -> Vec<u32> {
    std::iter::from_fn(|| owner.pop()).map(|task| *task).collect()
}

/// Steals once from `victim` into a ring of its own; all it got.
fn thief(id: u32, victim: &crate::queue::Ring<Task>) -> Vec<u32> {
    let (owner, _ring) = ring_at(id, 4, 0);
    let mut noted = Vec::new();
    let first = owner.steal_from(victim, |task: &Task, kept| noted.push((**task, kept)));
    let mut got: Vec<u32> = first.map(|task| *task).into_iter().collect();
    got.extend(rest(&owner));
    assert_eq!(got, noted.iter().map(|&(task, _)| task).collect::<Vec<_>>(), "notes differ from the loot");
    assert_eq!(noted.iter().filter(|&&(_, kept)| !kept).count(), usize::from(!got.is_empty()));
    got
}

fn assert_all(mut got: Vec<u32>, tasks: u32) {
    got.sort_unstable();
    assert_eq!(got, (0..tasks).collect::<Vec<_>>(), "a task was lost or taken twice");
}

/// Owner and one thief: pushes across the wrap, pops between. Bound: 4 preemptions.
#[test]
fn owner_and_thief_across_the_wrap() {
    explore(Some(4), || {
        let (owner, ring) = filled(0, 2, WRAP, [Box::new(0)]);
        let stealing = thread::spawn(move || thief(1, &ring));
        let mut got = Vec::new();
        for task in 1..3 {
            while let Err(task) = owner.push(Box::new(task)) {
                got.extend(owner.pop().map(|task| *task));
                drop(task);
                thread::yield_now();
            }
        }
        got.extend(rest(&owner));
        got.extend(stealing.join().unwrap());
        assert_all(got, 3);
    });
}

/// Owner and two thieves, of whom one at a time may be in a section; the owner fills what they leave. Bound: 3 preemptions.
#[test]
fn owner_and_two_thieves() {
    explore(Some(3), || {
        let (owner, ring) = filled(0, 2, WRAP, (0..2).map(Box::new));
        let (left, right) = (ring.clone(), ring);
        let left = thread::spawn(move || thief(1, &left));
        let right = thread::spawn(move || thief(2, &right));
        let mut got = Vec::new();
        for task in 2..4 {
            if let Err(back) = owner.push(Box::new(task)) {
                got.push(*back);
            }
        }
        got.extend(rest(&owner));
        got.extend(left.join().unwrap());
        got.extend(right.join().unwrap());
        assert_all(got, 4);
    });
}

/// The owner overflows a full ring while a thief is at it: each index has one taker (R4). Bound: 4 preemptions.
#[test]
fn overflow_against_thief() {
    explore(Some(4), || {
        let (owner, ring) = filled(0, 4, WRAP, (0..4).map(Box::new));
        let stealing = thread::spawn(move || thief(1, &ring));
        let mut got = Vec::new();
        // None: a thief is or was at it.
        got.extend(owner.take_half().into_iter().flatten().map(|task| *task));
        if let Err(back) = owner.push(Box::new(4)) {
            got.push(*back);
        }
        got.extend(rest(&owner));
        got.extend(stealing.join().unwrap());
        assert_all(got, 5);
    });
}

/// A worker steals into its own ring while it is stolen from: room is counted from the steal cursor (R5). Bound: 3 preemptions.
#[test]
fn steals_while_stolen_from() {
    explore(Some(3), || {
        let (middle, middle_ring) = filled(0, 2, WRAP, (0..2).map(Box::new));
        let (_owner, victim) = filled(1, 4, WRAP, (2..5).map(Box::new));
        let stealing = thread::spawn(move || thief(2, &middle_ring));
        let mut got: Vec<u32> = middle.pop().map(|task| *task).into_iter().collect();
        got.extend(middle.pop().map(|task| *task));
        got.extend(middle.steal_from(&victim, |_, _| {}).map(|task| *task));
        got.extend(rest(&middle));
        got.extend(stealing.join().unwrap());
        got.extend(rest(&_owner));
        assert_all(got, 5);
    });
}

/// `len` of a ring in motion is never above what was in it, `is_empty` never true before the last task was taken.
#[test]
fn length_from_outside() {
    explore(None, || {
        let (owner, ring) = filled(0, 2, WRAP, (0..2).map(Box::new));
        let looking = thread::spawn(move || {
            let len = ring.len();
            assert!(len <= 2, "{len} tasks in a ring of 2");
            assert!(!ring.is_empty(), "the last task was never taken");
        });
        drop(owner.pop());
        owner.push(Box::new(2)).expect("one of two was taken");
        drop(owner.pop());
        looking.join().unwrap();
    });
}
