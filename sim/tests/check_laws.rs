//! S15, S16, S17, S23, S24, S29, L7, L8, L9, L11, L12, L14: sequences that break them, and close ones that do not.

mod check_support;

use std::panic::Location;

use check_support::{OUTSIDE, Script, on};
use pirn::os::Token;
use pirn::sync::{Ghost, Which};
use pirn::trace::{Event, Place, PollEnd};

const MS: u64 = 1_000_000;

fn token(slot: u32, generation: u32) -> u64 {
    Token::new(0, slot, generation).bits()
}

fn submit(s: &mut Script, token: u64) -> &mut Script {
    s.event(on(0), Event::Submit { token, worker: 0 })
}

fn complete(s: &mut Script, token: u64, waker: Option<usize>) -> &mut Script {
    s.event(on(0), Event::Complete { token, error: 0, adopted: false });
    s.ghost(on(0), Ghost::OpWake { token, waker: waker.map(Which::at) })
}

fn wait_for(s: &mut Script, token: u64, waker: usize) -> &mut Script {
    s.ghost(on(0), Ghost::OpAwait { token, waker: Which::at(waker) })
}

#[test]
fn s15_no_user_code_under_a_lock() {
    let here = Location::caller();
    let wakes = |s: &mut Script, locked: bool| {
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).poll_end(0, 1, PollEnd::Pending);
        s.checker.locked(on(0), 1, here).unwrap();
        if !locked {
            s.checker.unlocked(on(0), 1);
        }
        s.wake(on(0), 1);
    };
    let mut s = Script::new(1);
    wakes(&mut s, false);
    s.holds();
    let mut s = Script::new(1);
    wakes(&mut s, true);
    s.breaks("S15", "the waker of task 1 was called under the lock that was taken at");

    let mut s = Script::new(1);
    s.checker.locked(on(0), 1, here).unwrap();
    s.event(OUTSIDE, Event::MainPoll { worker: u16::MAX, guest: true }).holds();
    s.event(on(0), Event::MainPoll { worker: 0, guest: false }).breaks("S15", "the main future is polled");
}

#[test]
fn s16_locks_are_taken_in_one_order() {
    let here = Location::caller();
    let both = |s: &mut Script, thread: u32, first: usize, second: usize| {
        s.checker.locked(thread, first, here)?;
        s.checker.locked(thread, second, here)?;
        s.checker.unlocked(thread, second);
        s.checker.unlocked(thread, first);
        Ok::<(), pirn_sim::check::Violation>(())
    };
    let mut s = Script::new(2);
    both(&mut s, 1, 10, 20).unwrap();
    both(&mut s, 2, 10, 20).unwrap();
    both(&mut s, 2, 20, 30).unwrap();
    // Of three locks in a ring.
    let violation = both(&mut s, 3, 30, 10).unwrap_err();
    assert_eq!(violation.invariant, "S16", "{violation}");
    assert!(violation.message.contains("the other way round"), "{violation}");
}

#[test]
fn s17_a_slots_next_op_has_another_token() {
    let mut s = Script::new(1);
    complete(submit(&mut s, token(3, 0)), token(3, 0), None);
    submit(&mut s, token(3, 1)).holds();
    complete(&mut s, token(3, 1), None);
    submit(&mut s, token(3, 1)).breaks("S17", "the token of the slot's last op");
}

#[test]
fn s23_readiness_is_used() {
    let waited = || {
        let mut s = Script::new(1);
        wait_for(submit(&mut s, token(0, 0)), token(0, 0), 8);
        complete(&mut s, token(0, 0), Some(8));
        s
    };
    waited().ghost(on(0), Ghost::OpTaken { token: token(0, 0) }).quiescent().holds();
    waited().quiescent().breaks("S23", "nobody has taken what it brought");
}

#[test]
fn s24_a_cancel_that_comes_too_late_comes_too_late() {
    let armed = |generation| {
        let mut s = Script::new(1);
        s.event(on(0), Event::TimerArm { worker: 0, key: 4, deadline: 5_000 });
        s.ghost(on(0), Ghost::TimerKey { worker: 0, key: 4, generation });
        s
    };
    let gone = Ghost::TimerGone { worker: 0, key: 4, generation: 7 };
    armed(7).ghost(OUTSIDE, gone).breaks("S24", "taken for fired by a cancel, but it is armed");
    // Another timer stands in its place by now.
    armed(8).ghost(OUTSIDE, gone).holds();
}

#[test]
fn s29_the_waker_of_the_last_poll_is_woken() {
    let mut s = Script::new(1);
    wait_for(submit(&mut s, token(0, 0)), token(0, 0), 8);
    wait_for(&mut s, token(0, 0), 16);
    complete(&mut s, token(0, 0), Some(8)).breaks("S29", "the waker of an earlier poll");

    let mut s = Script::new(1);
    wait_for(submit(&mut s, token(0, 0)), token(0, 0), 8);
    complete(&mut s, token(0, 0), None).breaks("S29", "woke nobody");

    let mut s = Script::new(1);
    wait_for(submit(&mut s, token(0, 0)), token(0, 0), 8);
    wait_for(&mut s, token(0, 0), 16);
    complete(&mut s, token(0, 0), Some(16)).holds();

    let mut s = Script::new(1);
    let key = 1;
    for waker in [8, 16] {
        s.ghost(on(0), Ghost::TimerAwait { worker: 0, key, waker: Which::at(waker) });
    }
    s.ghost(on(0), Ghost::TimerWake { worker: 0, key, waker: Which::at(8) }).breaks("S29", "earlier poll");
}

/// Worker 0 is inside one long poll, worker 1 has been idle all the time.
fn hogged() -> Script {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1);
    s.fall_asleep(1).park(1, u64::MAX);
    s
}

#[test]
fn l7_an_idle_worker_collects_for_a_stuck_one() {
    let mut s = hogged();
    let since = s.now;
    s.later(2 * MS).idle().holds();
    s.checker.completion_waits(0, since).unwrap();
    s.later(20 * MS).idle().holds();
    let violation = s.checker.completion_waits(0, since).unwrap_err();
    assert_eq!(violation.invariant, "L7", "{violation}");
    assert!(violation.message.contains("inside one poll of task 1"), "{violation}");
    // It became ready just now.
    s.checker.completion_waits(0, s.now).unwrap();
}

/// The op of a worker that is parked may wait at a descriptor whose home is the driver of another one, which is stuck.
#[test]
fn l7_readiness_is_told_to_the_home_of_the_descriptor() {
    let mut s = hogged();
    let since = s.now;
    s.later(2 * MS).idle().holds();
    assert!(s.checker.completion_waits(1, since).is_err(), "what is in its own driver is its own to collect");
    s.checker.readiness_waits(1, since).unwrap();
    s.later(20 * MS).idle().holds();
    let violation = s.checker.readiness_waits(1, since).unwrap_err();
    assert_eq!(violation.invariant, "L7", "{violation}");

    let mut s = Script::new(1);
    let since = s.now;
    s.sleep(0).later(1).idle().holds();
    assert!(s.checker.readiness_waits(0, since).is_err(), "all are parked, and nobody is told");
}

#[test]
fn l8_a_woken_task_does_not_wait_behind_a_stuck_poll() {
    let waiting = |taken: bool| {
        let mut s = hogged();
        s.spawn(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).later(2 * MS).idle().holds();
        if taken {
            s.event(on(1), Event::Takeover { victim: 0, by: 1 });
            s.unparked(1, false).leave_sleepers(1).dequeue(1, 2, Place::Lifo, 0).poll(1, 2).finish(1, 2);
            s.fall_asleep(1).park(1, u64::MAX);
        }
        s.later(20 * MS).idle();
        s
    };
    waiting(true).holds();
    waiting(false).breaks("L8", "has waited in the LIFO slot of worker 0");
}

/// A thread that stood still when it could have helped was no idle worker.
#[test]
fn who_stood_still_could_not_help() {
    let mut s = hogged();
    let since = s.now;
    s.spawn(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).later(20 * MS);
    s.checker.stood_still(s.now);
    s.idle().holds();
    s.checker.completion_waits(0, since).unwrap();
    s.later(20 * MS).idle().breaks("L8", "has waited in the LIFO slot of worker 0");

    // The other one could have run all the time, and got no turn.
    let mut s = hogged();
    s.spawn(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).pass(20 * MS, &[on(0), on(1)]).idle().holds();
    s.pass(20 * MS, &[on(0)]).idle().breaks("L8", "has waited in the LIFO slot of worker 0");
    assert_eq!(s.checker.completion_waits(0, since).unwrap_err().invariant, "L7");
}

#[test]
fn l8_a_kept_ring_does_not_wait_behind_a_stuck_poll() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).spawn(on(0), 2).push_ring(0, 2);
    s.ghost(on(0), Ghost::RingKept { worker: 0, kept: true });
    s.pop_ring(0, 1).poll(0, 1).fall_asleep(1).park(1, u64::MAX);
    s.later(2 * MS).idle().holds();
    s.later(20 * MS).idle().breaks("L8", "that worker 0 keeps to itself");
}

#[test]
fn l5_who_parks_has_submitted_what_waited_for_room() {
    let parks = |again| {
        let mut s = Script::new(2);
        s.ghost(on(0), Ghost::OpStalled { worker: 0, stalled: true });
        if again {
            s.ghost(on(0), Ghost::OpStalled { worker: 0, stalled: false });
        }
        s.fall_asleep(0).park(0, u64::MAX).idle();
        s
    };
    parks(true).holds();
    parks(false).breaks("L5", "has an op that its driver had no room for");
}

#[test]
fn l1_a_ring_is_not_kept_for_long() {
    let polls_after = |ns| {
        let mut s = Script::new(2);
        for task in 1..=3 {
            s.spawn(on(0), task).push_ring(0, task);
        }
        s.ghost(on(0), Ghost::RingKept { worker: 0, kept: true }).later(ns);
        s.run(0, 1).run(0, 2);
        s
    };
    polls_after(MS).holds();
    polls_after(20 * MS).breaks("L1", "longer than sharing costs");
}

#[test]
fn l9_who_gets_up_passes_the_wake_on() {
    let mut s = Script::new(2);
    s.event(on(0), Event::MainPoll { worker: 0, guest: false });
    s.search_begin(0).search_end(0).ghost(on(0), Ghost::SeatLeft { worker: 0 }).holds();
    let mut s = Script::new(2);
    s.search_begin(0)
        .ghost(on(0), Ghost::SeatLeft { worker: 0 })
        .breaks("L9", "passed the wake on to nobody");
}

#[test]
fn s30_staged_writes_leave_before_a_park() {
    let staged = |count| {
        let mut s = Script::new(2);
        s.ghost(on(0), Ghost::Staged { worker: 0, count: 2 })
            .ghost(on(0), Ghost::Staged { worker: 0, count });
        s
    };
    staged(0).sleep(0).holds();
    staged(1).sleep(0).breaks("S30", "staged writes");
    staged(0).ghost(on(0), Ghost::SeatLeft { worker: 0 }).holds();
    staged(1).ghost(on(0), Ghost::SeatLeft { worker: 0 }).breaks("S30", "nobody commits them");
}

#[test]
fn l14_who_gets_up_leaves_nothing() {
    let left = |place| {
        let mut s = Script::new(2);
        s.spawn(on(0), 1);
        match place {
            Place::Ring => s.push_ring(0, 1),
            _ => s.enqueue(on(0), 1, place, 0),
        };
        s.ghost(on(0), Ghost::SeatLeft { worker: 0 });
        s
    };
    left(Place::Injector).holds();
    left(Place::Lifo).breaks("L14", "1 in its LIFO slot");
    left(Place::Ring).breaks("L14", "1 task in its ring");
}

#[test]
fn l14_the_timers_of_a_seat_with_nobody_on_it_are_served() {
    let mut s = Script::new(2);
    s.event(on(0), Event::TimerArm { worker: 0, key: 1, deadline: 5_000 });
    s.ghost(on(0), Ghost::SeatLeft { worker: 0 })
        .fall_asleep(1)
        .park(1, u64::MAX)
        .later(2 * MS)
        .idle()
        .holds();
    s.later(20 * MS).idle().breaks("L14", "nobody is on its seat");
}

#[test]
fn l11_a_shutdown_waits_for_nothing_that_came() {
    let ended = |waited: u64| {
        let mut s = Script::new(1);
        submit(&mut s, token(0, 0)).event(OUTSIDE, Event::Shutdown { worker: u16::MAX, phase: 0 });
        for phase in [1, 2] {
            s.event(on(0), Event::Shutdown { worker: 0, phase });
        }
        s.later(4_000 * MS);
        complete(&mut s, token(0, 0), None).later(waited);
        s.event(on(0), Event::Shutdown { worker: 0, phase: 3 });
        s
    };
    ended(MS).holds();
    ended(4_000 * MS).breaks("L11", "none is in flight");
}

#[test]
fn l12_what_is_cancelled_ends() {
    let cancelled = || {
        let mut s = Script::new(1);
        submit(&mut s, token(0, 0)).event(on(0), Event::CancelOp { token: token(0, 0) });
        s.later(2 * MS).fall_asleep(0).park(0, u64::MAX).idle().holds();
        s
    };
    cancelled().later(2_000 * MS).idle().breaks("L12", "op 0.0 of worker 0 was cancelled at");
    cancelled().quiescent().breaks("L12", "has not resolved");
    let mut s = cancelled();
    complete(&mut s, token(0, 0), None).later(2_000 * MS).quiescent().holds();

    // A task that is idle when it is aborted, and scheduled by nobody.
    let aborted = || {
        let mut s = Script::new(1);
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).poll_end(0, 1, PollEnd::Pending);
        s.event(OUTSIDE, Event::Abort { task: 1 });
        s
    };
    aborted().fall_asleep(0).park(0, u64::MAX).idle().breaks("L12", "nobody is on the way to end it");
    aborted().wake(OUTSIDE, 1).enqueue(OUTSIDE, 1, Place::Injector, u32::from(u16::MAX)).idle().holds();
}

/// A peer leaves a long task in the LIFO slot of a worker that is about to sleep, and gives it a token after that.
#[test]
fn l2_a_task_that_a_peer_left_comes_with_a_token() {
    let left = |given: bool| {
        let mut s = Script::new(2);
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1);
        s.ghost(on(0), Ghost::Passed { task: 1 }).enqueue(on(0), 1, Place::Lifo, 1);
        s.fall_asleep(1).park(1, u64::MAX);
        if given {
            s.give(on(0), 1, true, false).unparked(1, true);
        }
        s.idle();
        s
    };
    left(true).holds();
    left(false).breaks("L2", "has a task in its LIFO slot");
}
