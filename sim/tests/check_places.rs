//! S1 to S6, S27, L3: sequences that break them, and close ones that do not.

mod check_support;

use check_support::{OUTSIDE, Script, on};
use pirn::sync::{Debt, Ghost};
use pirn::trace::{Event, Place, PollEnd};

/// A runtime whose worker 0 polls task 1.
fn polling(workers: u16) -> Script {
    let mut s = Script::new(workers);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1);
    s
}

#[test]
fn s1_a_task_moves_from_place_to_place() {
    let mut s = polling(2);
    s.poll_end(0, 1, PollEnd::Pending).wake(OUTSIDE, 1).enqueue(OUTSIDE, 1, Place::Injector, 0);
    s.dequeue(1, 1, Place::Injector, 0).poll(1, 1).finish(1, 1).holds();
}

#[test]
fn s1_two_places() {
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).debt(on(0), Debt::Push, 1).enqueue(on(0), 1, Place::Injector, 0);
    s.breaks("S1", "still is in the ring of worker 0");
}

#[test]
fn s1_taken_from_where_it_is_not() {
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).dequeue(0, 1, Place::Lifo, 0);
    s.breaks("S1", "but it is in the ring of worker 0");
}

#[test]
fn s1_a_running_task_is_in_no_container() {
    let mut s = polling(1);
    s.wake(OUTSIDE, 1).enqueue(OUTSIDE, 1, Place::Injector, 0);
    s.breaks("S1", "while worker 0 polls it");
}

#[test]
fn s2_a_scheduled_task_is_found() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1);
    // The worker that took it is still on its way to the poll: it owes a push.
    s.idle().holds();
    s.debt(on(0), Debt::Push, -1).idle();
    s.breaks("S2", "task 1 is scheduled and in no container");
}

#[test]
fn s2_the_end_of_a_runtime_leaves_nobody() {
    let mut s = polling(1);
    s.finish(0, 1).event(OUTSIDE, Event::Shutdown { worker: u16::MAX, phase: 0 });
    s.event(OUTSIDE, Event::End {}).holds();

    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Pending).event(OUTSIDE, Event::End {});
    s.breaks("S2", "task 1 lives on at the end of its runtime");

    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).event(OUTSIDE, Event::End {});
    s.breaks("S2", "1 task in the ring");
}

#[test]
fn s2_unknown_tasks() {
    let mut s = Script::new(1);
    let spawn = Event::Spawn { task: 1, pinned: false, worker: 0, site: 0 };
    s.event(on(0), spawn).event(on(0), spawn).breaks("S2", "spawned twice");
    let mut s = Script::new(1);
    s.event(on(0), Event::PollStart { task: 9, worker: 0 }).breaks("S2", "never spawned");
}

#[test]
fn s3_polls_do_not_overlap() {
    let mut s = polling(2);
    s.event(on(1), Event::PollStart { task: 1, worker: 1 }).breaks("S3", "while worker 0 polls it");

    let mut s = polling(2);
    s.poll_end(0, 1, PollEnd::Pending).wake(on(1), 1).enqueue(on(1), 1, Place::Lifo, 1);
    s.dequeue(1, 1, Place::Lifo, 1).poll(1, 1).poll_end(1, 1, PollEnd::Pending).holds();
    s.poll_end(0, 1, PollEnd::Pending).breaks("S3", "ended a poll on worker 0");
}

#[test]
fn s3_one_poll_a_worker() {
    let mut s = polling(1);
    s.spawn(on(0), 2).push_ring(0, 2).pop_ring(0, 2).poll(0, 2).breaks("S3", "inside its poll of task 1");
}

#[test]
fn s4_queued_says_scheduled() {
    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Pending).enqueue(on(0), 1, Place::Lifo, 0);
    s.breaks("S4", "paid 1 of 0");

    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Pending);
    s.event(on(0), Event::Enqueue { task: 1, place: Place::Lifo, worker: 0 });
    s.breaks("S4", "its scheduled bit is clear");

    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).ghost(on(0), Ghost::BitClear { task: 1 });
    s.breaks("S4", "lost its scheduled bit while it is in the ring");

    let mut s = polling(1);
    s.wake(OUTSIDE, 1).ghost(on(0), Ghost::BitSet { task: 1 }).breaks("S4", "set already");
}

#[test]
fn s4_a_poll_that_ends_woken_was_woken() {
    let mut s = polling(1);
    // A wake during the poll leaves the push to the poller.
    s.ghost(on(0), Ghost::BitSet { task: 1 }).event(on(0), Event::Wake { task: 1, scheduled: true });
    s.debt(on(0), Debt::Push, 1).poll_end(0, 1, PollEnd::Woken).push_ring(0, 1).holds();

    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Woken).breaks("S4", "its scheduled bit is clear");
}

#[test]
fn l3_a_wake_during_a_poll_is_seen() {
    let mut s = polling(2);
    s.ghost(on(1), Ghost::BitSet { task: 1 }).event(on(1), Event::Wake { task: 1, scheduled: true });
    s.poll_end(0, 1, PollEnd::Pending).breaks("L3", "task 1 was woken during its poll");
}

#[test]
fn l3_a_coalesced_wake_finds_the_bit() {
    let mut s = polling(2);
    s.poll_end(0, 1, PollEnd::Pending).wake(OUTSIDE, 1);
    s.event(on(1), Event::Wake { task: 1, scheduled: false }).holds();

    let mut s = polling(2);
    s.poll_end(0, 1, PollEnd::Pending).event(on(1), Event::Wake { task: 1, scheduled: false });
    s.breaks("L3", "the wake is lost");
}

#[test]
fn l3_quiet_only_when_all_wakes_were_seen() {
    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Pending).sleep(0).quiescent().holds();
    // The bit is set, and whoever set it forgot the push: its debt was never noted.
    s.ghost(OUTSIDE, Ghost::BitSet { task: 1 }).quiescent();
    s.breaks("S2", "task 1 is scheduled and in no container");

    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Pending).sleep(0).wake(OUTSIDE, 1).quiescent();
    s.breaks("L3", "task 1 was woken and not polled since");
}

#[test]
fn s5_finished_is_finished() {
    let over = |s: &mut Script| {
        s.event(on(0), Event::FutureDrop { task: 1, worker: 0 }).poll_end(0, 1, PollEnd::Panicked);
    };
    let mut s = polling(1);
    over(&mut s);
    s.event(OUTSIDE, Event::Wake { task: 1, scheduled: false })
        .event(OUTSIDE, Event::Free { task: 1 })
        .holds();

    let mut s = polling(1);
    over(&mut s);
    s.wake(OUTSIDE, 1).breaks("S5", "it is finished");

    let mut s = polling(1);
    over(&mut s);
    s.event(on(0), Event::Enqueue { task: 1, place: Place::Ring, worker: 0 }).breaks("S5", "it is finished");
}

#[test]
fn s6_what_nobody_refers_to_is_freed() {
    let ended = |freed: Option<bool>| {
        let mut s = polling(1);
        s.event(on(0), Event::FutureDrop { task: 1, worker: 0 }).ghost(on(0), Ghost::BitClear { task: 1 });
        s.poll_end(0, 1, PollEnd::Ready);
        if freed == Some(true) {
            s.event(on(0), Event::Free { task: 1 });
        }
        s.event(OUTSIDE, Event::End {});
        // By a handle that outlives the runtime.
        if freed == Some(false) {
            s.event(OUTSIDE, Event::Free { task: 1 });
        }
        s
    };
    for freed in [true, false] {
        let mut s = ended(Some(freed));
        s.holds();
        assert!(s.checker.tasks_left().is_ok());
    }
    let mut s = ended(None);
    s.holds();
    assert_eq!(s.checker.tasks_left().unwrap_err().invariant, "S6");
}

#[test]
fn s6_freed_is_freed_once_and_out_of_reach() {
    let mut s = polling(1);
    s.finish(0, 1).event(on(0), Event::Free { task: 1 }).breaks("S6", "its memory was freed");

    let mut s = polling(1);
    s.event(on(0), Event::Free { task: 1 }).breaks("S6", "polled by worker 0");

    let mut s = polling(1);
    s.finish(0, 1)
        .event(OUTSIDE, Event::Wake { task: 1, scheduled: false })
        .breaks("S6", "a reference was not counted");
}

#[test]
fn s26_each_future_is_dropped_once() {
    let mut s = polling(1);
    s.event(on(0), Event::FutureDrop { task: 1, worker: 0 });
    s.event(on(0), Event::FutureDrop { task: 1, worker: 0 }).breaks("S26", "dropped twice");

    let mut s = polling(1);
    s.poll_end(0, 1, PollEnd::Ready).event(on(0), Event::Free { task: 1 }).breaks("S26", "never dropped");
}

/// An abort of an idle task: it is scheduled, taken, and cancelled without a poll. Its destructor may wake it.
#[test]
fn s5_cancel_without_a_poll() {
    let cancelled = |destructor_wakes: bool| {
        let mut s = polling(2);
        s.poll_end(0, 1, PollEnd::Pending).ghost(OUTSIDE, Ghost::BitSet { task: 1 });
        s.debt(OUTSIDE, Debt::Push, 1).event(OUTSIDE, Event::Abort { task: 1 });
        s.enqueue(OUTSIDE, 1, Place::Injector, 0).dequeue(1, 1, Place::Injector, 0);
        s.ghost(on(1), Ghost::BitClear { task: 1 }).debt(on(1), Debt::Push, -1);
        if destructor_wakes {
            s.ghost(on(1), Ghost::BitSet { task: 1 }).event(on(1), Event::Wake { task: 1, scheduled: true });
        }
        s.event(on(1), Event::FutureDrop { task: 1, worker: 1 }).ghost(on(1), Ghost::BitClear { task: 1 });
        s.poll_end(1, 1, PollEnd::Cancelled);
        s
    };
    let mut s = cancelled(false);
    s.event(on(1), Event::Free { task: 1 }).idle().holds();
    cancelled(true).idle().holds();
    // A wake between the drop and the end.
    let mut s = polling(2);
    s.poll_end(0, 1, PollEnd::Pending).ghost(OUTSIDE, Ghost::BitSet { task: 1 });
    s.debt(OUTSIDE, Debt::Push, 1).event(OUTSIDE, Event::Abort { task: 1 });
    s.enqueue(OUTSIDE, 1, Place::Injector, 0).dequeue(1, 1, Place::Injector, 0);
    s.ghost(on(1), Ghost::BitClear { task: 1 }).debt(on(1), Debt::Push, -1);
    s.event(on(1), Event::FutureDrop { task: 1, worker: 1 }).ghost(on(0), Ghost::BitSet { task: 1 });
    s.event(on(0), Event::Wake { task: 1, scheduled: true }).ghost(on(1), Ghost::BitClear { task: 1 });
    s.poll_end(1, 1, PollEnd::Cancelled).idle().holds();
    s.ghost(on(0), Ghost::BitSet { task: 1 }).breaks("S5", "it is finished");
    cancelled(false).poll_end(1, 1, PollEnd::Cancelled).breaks("S3", "ended a poll on worker 1");
    cancelled(false).event(on(1), Event::PollStart { task: 1, worker: 1 }).breaks("S1", "did not take it");
}

#[test]
fn s27_pinned_tasks_stay() {
    let mut s = Script::new(2);
    s.spawn_pinned(0, 1).enqueue(on(0), 1, Place::Inbox, 0).dequeue(0, 1, Place::Inbox, 0).poll(0, 1).holds();
    s.finish(0, 1).holds();

    let mut s = Script::new(2);
    s.spawn_pinned(0, 1).push_ring(0, 1).breaks("S27", "pinned to worker 0");

    // The seat is somebody else's now, the task is not.
    let mut s = Script::new(1);
    s.spawn_pinned(0, 1).enqueue(on(0), 1, Place::Inbox, 0).gone(on(0));
    s.event(OUTSIDE, Event::Dequeue { task: 1, place: Place::Inbox, worker: 0, by: 0 });
    s.ghost(OUTSIDE, Ghost::BitClear { task: 1 }).event(OUTSIDE, Event::PollStart { task: 1, worker: 0 });
    s.breaks("S27", "on thread 7");
}

/// A shutdown from another thread than the one the task is pinned to ends it without a drop.
#[test]
fn s27_abandoned_tasks_are_not_dropped_elsewhere() {
    let abandoned = || {
        let mut s = Script::new(1);
        s.spawn_pinned(0, 1).enqueue(on(0), 1, Place::Inbox, 0).dequeue(0, 1, Place::Inbox, 0).poll(0, 1);
        s.poll_end(0, 1, PollEnd::Pending).gone(on(0));
        s
    };
    let over = Event::PollEnd { task: 1, end: PollEnd::Cancelled, worker: 0 };
    let mut s = abandoned();
    s.event(OUTSIDE, over).event(OUTSIDE, Event::Free { task: 1 }).event(OUTSIDE, Event::End {}).holds();
    abandoned().event(OUTSIDE, over).event(OUTSIDE, over).breaks("S3", "ended a poll on worker 0");
    abandoned().event(OUTSIDE, Event::FutureDrop { task: 1, worker: 0 }).breaks("S27", "dropped on thread 7");
}

#[test]
fn s9_lifo_slot_and_inbox_have_owners() {
    let mut s = polling(2);
    s.spawn(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).dequeue(1, 2, Place::Lifo, 0);
    s.breaks("S9", "has not taken worker 0 over");

    let mut s = polling(2);
    s.spawn(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).event(on(1), Event::Takeover { victim: 0, by: 1 });
    s.dequeue(1, 2, Place::Lifo, 0).push_ring(1, 2).holds();

    let mut s = polling(2);
    s.spawn(on(0), 2).enqueue(on(0), 2, Place::Inbox, 0).event(on(1), Event::Takeover { victim: 0, by: 1 });
    s.dequeue(1, 2, Place::Inbox, 0).breaks("S9", "the inbox of worker 0");

    let mut s = polling(2);
    s.event(on(1), Event::Search { worker: 1 }).spawn(on(1), 2).enqueue(on(1), 2, Place::Lifo, 0);
    s.breaks("S9", "thread 101 pushes as worker 0");
}

#[test]
fn a_second_runtime_starts_afresh() {
    let mut s = polling(2);
    s.finish(0, 1).event(OUTSIDE, Event::End {}).event(OUTSIDE, Event::Wake { task: 1, scheduled: false });
    s.event(OUTSIDE, Event::Start { workers: 1, ring: 4, lifo_limit: 3, interval: 5 })
        .spawn(on(1), 1)
        .holds();

    let mut s = polling(2);
    s.event(OUTSIDE, Event::Start { workers: 1, ring: 4, lifo_limit: 3, interval: 5 });
    s.breaks("S2", "had not ended");
}

#[test]
fn describe_says_who_has_what() {
    let mut s = polling(2);
    s.spawn(on(0), 2).push_ring(0, 2).spawn(OUTSIDE, 3).enqueue(OUTSIDE, 3, Place::Injector, 0);
    s.spawn(OUTSIDE, 4).later(500).search_begin(1).holds();
    let text = s.checker.describe();
    for part in [
        "at 1500 ns a runtime is running: 4 tasks alive of 4, 1 in the injector",
        "worker 0 (thread 100): polling task 1 since 1000 ns, 1 in ring",
        "worker 1 (thread 101): awake, searching",
        "thread 7 owes: Push 1",
        "task 2: in the ring of worker 0",
        "task 3: in the injector",
        "task 4: in the hands of thread 7",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}
