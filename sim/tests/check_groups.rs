//! S9, S27, L1 where a runtime has groups: sequences that break them, and close ones that do not.

mod check_support;

use check_support::{OUTSIDE, Script, on};
use pirn::sync::{Debt, Ghost};
use pirn::trace::{Event, Place, PollEnd};

/// Groups of one and two workers.
fn groups() -> Script {
    let mut s = Script::new(3);
    s.ghost(OUTSIDE, Ghost::Group { group: 0, first: 0, workers: 1, steals: true });
    s.ghost(OUTSIDE, Ghost::Group { group: 1, first: 1, workers: 2, steals: true });
    s
}

/// Task 1, polled by worker 0, goes on in group 1.
fn hopping() -> Script {
    let mut s = groups();
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1);
    s.ghost(on(0), Ghost::Belongs { task: 1, group: 1 }).wake(on(0), 1).poll_end(0, 1, PollEnd::Woken);
    s
}

#[test]
fn s27_a_task_runs_in_its_group() {
    let mut s = hopping();
    s.enqueue(on(0), 1, Place::Injector, 0).dequeue(2, 1, Place::Injector, 2).poll(2, 1).finish(2, 1).holds();
    let mut s = hopping();
    s.enqueue(on(0), 1, Place::Injector, 0).dequeue(0, 1, Place::Injector, 0);
    s.breaks("S27", "is of group 1 and was taken by worker 0, of group 0");
    let mut s = hopping();
    s.enqueue(on(0), 1, Place::Lifo, 0).dequeue(0, 1, Place::Lifo, 0).poll(0, 1);
    s.breaks("S27", "is of group 1 and is polled by worker 0, of group 0");
}

#[test]
fn l1_each_group_conserves_its_work() {
    // The sleepers are of the other group: they can't help.
    let mut other = groups();
    other.fall_asleep(1).fall_asleep(2).spawn(on(0), 1).push_ring(0, 1).spawn(on(0), 2).push_ring(0, 2);
    other.pop_ring(0, 1).poll(0, 1).debt(on(0), Debt::Notify, 1).debt(on(0), Debt::Notify, -1).holds();
    // One of its own.
    let mut own = hopping();
    own.fall_asleep(1).debt(on(0), Debt::Notify, 1).enqueue(on(0), 1, Place::Injector, 0);
    own.debt(on(0), Debt::Notify, -1).breaks("L1", "there is work of group 1 in its injector (1 task)");
}

#[test]
fn s10_the_counts_are_a_groups_own() {
    let mut s = groups();
    s.ghost(on(1), Ghost::SleepJoin { worker: 1, parked: 1, searching: 0 });
    s.ghost(on(0), Ghost::SleepJoin { worker: 0, parked: 1, searching: 0 }).holds();
    let mut s = groups();
    s.ghost(on(1), Ghost::SleepJoin { worker: 1, parked: 1, searching: 0 });
    s.ghost(on(0), Ghost::SleepJoin { worker: 0, parked: 2, searching: 0 });
    s.breaks("S10", "the counts said 2 parked");
}

#[test]
fn s9_a_long_task_is_left_to_a_peer() {
    let taken = || {
        let mut s = Script::new(2);
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1);
        s
    };
    let mut s = taken();
    s.ghost(on(0), Ghost::Passed { task: 1 }).enqueue(on(0), 1, Place::Lifo, 1);
    s.dequeue(1, 1, Place::Lifo, 1).poll(1, 1).finish(1, 1).holds();
    let mut s = taken();
    s.enqueue(on(0), 1, Place::Lifo, 1).breaks("S9", "pushes as worker 1");
    // The word is for one push.
    let mut s = taken();
    s.ghost(on(0), Ghost::Passed { task: 1 }).enqueue(on(0), 1, Place::Lifo, 1);
    s.dequeue(1, 1, Place::Lifo, 1).enqueue(on(1), 1, Place::Lifo, 0).breaks("S9", "pushes as worker 0");
    let mut s = taken();
    s.event(on(0), Event::Takeover { victim: 1, by: 0 }).enqueue(on(0), 1, Place::Lifo, 1);
    s.breaks("S9", "pushes as worker 1");
}

#[test]
fn s9_who_leaves_a_long_task_may_drive_out_another() {
    // Worker 0 has left task 1 to worker 2, and worker 1 leaves task 2 there as well.
    let left = |passes: bool| {
        let mut s = Script::new(3);
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).spawn(on(1), 2).push_ring(1, 2).pop_ring(1, 2);
        s.ghost(on(0), Ghost::Passed { task: 1 }).enqueue(on(0), 1, Place::Lifo, 2);
        if passes {
            s.ghost(on(1), Ghost::Passed { task: 2 });
        }
        s.dequeue(1, 1, Place::Lifo, 2);
        s
    };
    left(true).enqueue(on(1), 2, Place::Lifo, 2).push_ring(1, 1).holds();
    left(false).breaks("S9", "which has not taken worker 2 over");
}
