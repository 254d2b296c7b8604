//! S17, S19, S24, S25, S26, L5, L6, L8, L10, L11: sequences that break them, and close ones that do not.

mod check_support;

use check_support::{LONGEST, OUTSIDE, Script, on};
use pirn::os::Token;
use pirn::sync::{Ghost, Which};
use pirn::trace::{Event, Place, PollEnd};
use pirn_sim::check::Limits;

const MS: u64 = 1_000_000;

fn arm(s: &mut Script, key: u32, deadline: u64) -> &mut Script {
    s.event(on(0), Event::TimerArm { worker: 0, key, deadline });
    s.ghost(on(0), Ghost::WheelNext { worker: 0, deadline })
}

fn fire(s: &mut Script, key: u32) -> &mut Script {
    let now = s.now;
    s.event(on(0), Event::TimerFire { worker: 0, key, now })
}

#[test]
fn s24_armed_then_fired_or_cancelled() {
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.later(4_000);
    fire(&mut s, 1);
    arm(&mut s, 1, 9_000);
    s.event(on(0), Event::TimerCancel { worker: 0, key: 1 }).holds();
    fire(&mut s, 1).breaks("S24", "not armed");

    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    fire(&mut s, 1).breaks("S24", "4000 ns before its deadline");

    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    arm(&mut s, 1, 6_000).breaks("S24", "armed for 5000 ns already");

    let mut s = Script::new(1);
    arm(&mut s, 1, 1_000);
    fire(&mut s, 1)
        .event(on(0), Event::TimerCancel { worker: 0, key: 1 })
        .breaks("S24", "was cancelled, but it is not armed");
}

/// tokio #6683: the next deadline was published after the wheel was let go, and the park missed a timer.
#[test]
fn s25_a_park_ends_with_the_earliest_timer() {
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.fall_asleep(0).park(0, 5_000).idle().holds();
    arm(&mut s, 2, 4_000);
    s.idle()
        .breaks("S25", "parked until 5000 ns, no token is pending, and its wheel holds a timer for 4000 ns");

    // Whoever armed the earlier one sent a token, which the worker takes up.
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.fall_asleep(0).park(0, 5_000);
    arm(&mut s, 2, 4_000).give(OUTSIDE, 0, true, false).unparked(0, true).park(0, 4_000).idle().holds();
}

#[test]
fn l5_no_unbounded_park_over_a_timer() {
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.sleep(0).idle().breaks("L5", "parked without limit");
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.event(OUTSIDE, Event::TimerCancel { worker: 0, key: 1 }).sleep(0).idle().holds();
}

/// Worker 0 is inside one long poll with a timer due, worker 1 has been idle all the time.
fn hogged(until: u64) -> Script {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1);
    arm(&mut s, 1, 5_000);
    s.fall_asleep(1).park(1, until);
    s
}

#[test]
fn l6_an_idle_worker_serves_the_timers_of_a_stuck_one() {
    let mut s = hogged(u64::MAX);
    s.later(2 * MS).idle().holds();
    s.later(20 * MS).idle().breaks("L6", "inside one poll of task 1");

    let mut s = hogged(u64::MAX);
    s.later(2 * MS);
    s.event(on(1), Event::Takeover { victim: 0, by: 1 });
    let now = s.now;
    s.event(on(1), Event::TimerFire { worker: 0, key: 1, now }).later(20 * MS).idle().holds();

    // Nobody is there to help.
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1);
    arm(&mut s, 1, 5_000);
    s.later(20 * MS).idle().holds();
}

/// A watch that is seen to be long may take as long.
#[test]
fn l6_the_bound_follows_the_watch() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).fall_asleep(1).park(1, 1_000 + 15 * MS);
    arm(&mut s, 1, 5_000);
    s.later(16 * MS).idle().holds();
    s.later(20 * MS).idle().breaks("L6", "was due at 5000 ns");
}

#[test]
fn l6_a_look_is_not_further_away_than_the_core_says() {
    let parks = |span: u64| {
        let mut s = Script::new(2);
        s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).fall_asleep(1);
        let until = s.now + span;
        s.park(1, until);
        s
    };
    parks(LONGEST).holds();
    parks(LONGEST + 1).breaks("L6", "until its next look");

    // A park that ends with the worker's own timer is no watch.
    let mut s = Script::new(1);
    s.ghost(on(0), Ghost::HoldTake { worker: 0, by: 0, parked: true });
    arm(&mut s, 1, 90 * MS);
    s.fall_asleep(0).park(0, 90 * MS).event(OUTSIDE, Event::TimerCancel { worker: 0, key: 1 }).holds();
}

/// Whoever could have run and did not was no helper, for as long as that took.
#[test]
fn l6_a_slow_worker_is_not_an_idle_one() {
    let slow = |awake: &[u32]| {
        let mut s = hogged(u64::MAX);
        s.pass(20 * MS, awake);
        s
    };
    slow(&[on(0)]).idle().breaks("L6", "another one was idle all the time");
    let mut s = slow(&[on(0), on(1)]);
    s.idle().holds();
    s.pass(MS, &[on(0)]).idle().holds();
    s.pass(20 * MS, &[on(0)]).idle().breaks("L6", "another one was idle all the time");
}

/// A worker that is parked has nothing else to do: it serves its timers when they are due.
#[test]
fn l6_a_parked_worker_is_on_time() {
    let mut s = Script::new(1);
    arm(&mut s, 1, 5_000);
    s.fall_asleep(0).park(0, 5_000).pass(4_000, &[]).idle().holds();
    s.pass(1, &[]).idle().breaks("L6", "its worker is parked");

    // Armed too late is no fault of its worker.
    let mut s = Script::new(1);
    s.later(4_000);
    arm(&mut s, 1, 2_000);
    s.fall_asleep(0).park(0, 2_000).idle().holds();
}

fn token(slot: u32, generation: u32) -> u64 {
    Token::new(0, slot, generation).bits()
}

fn submit(s: &mut Script, token: u64) -> &mut Script {
    s.event(on(0), Event::Submit { token, worker: 0 })
}

fn complete(s: &mut Script, token: u64) -> &mut Script {
    s.event(on(0), Event::Complete { token, error: 0, adopted: false })
}

#[test]
fn s19_each_op_resolves_once() {
    let mut s = Script::new(1);
    submit(&mut s, token(3, 0));
    complete(&mut s, token(3, 0));
    submit(&mut s, token(3, 1));
    complete(&mut s, token(3, 1)).holds();
    complete(&mut s, token(3, 1)).breaks("S19", "it is not in flight");

    let mut s = Script::new(1);
    submit(&mut s, token(0, 0)).event(OUTSIDE, Event::End {}).breaks("S19", "1 op of worker 0 in flight");
}

#[test]
fn s19_what_is_collected_is_dispatched() {
    let collected = || {
        let mut s = Script::new(1);
        submit(&mut s, token(0, 0));
        submit(&mut s, token(1, 0));
        s.ghost(on(0), Ghost::HoldTake { worker: 0, by: 0, parked: false });
        s.event(on(0), Event::Reap { worker: 0, by: 0, completions: 2 });
        s.ghost(on(0), Ghost::HoldFree { worker: 0, by: 0 });
        complete(&mut s, token(1, 0));
        s
    };
    collected().sleep(0).breaks("S19", "1 completions that it collected and handed to no op");
    let mut s = collected();
    complete(&mut s, token(0, 0)).sleep(0).holds();
}

#[test]
fn s17_a_completion_matches_its_generation() {
    let mut s = Script::new(1);
    submit(&mut s, token(3, 0));
    complete(&mut s, token(3, 0));
    submit(&mut s, token(3, 1));
    complete(&mut s, token(3, 0)).breaks("S17", "the op in flight in its slot is of generation 1");

    let mut s = Script::new(1);
    submit(&mut s, token(3, 0));
    submit(&mut s, token(3, 1)).breaks("S17", "while the slot's op of generation 0 is in flight");
}

fn shutdown(s: &mut Script, worker: u16, phase: u8) -> &mut Script {
    s.event(OUTSIDE, Event::Shutdown { worker, phase })
}

#[test]
fn s26_no_poll_after_the_shutdown_was_seen() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).spawn(on(1), 2).push_ring(1, 2);
    shutdown(&mut s, u16::MAX, 0);
    shutdown(&mut s, 1, 1).run(0, 1).holds();
    s.pop_ring(1, 2).poll(1, 2).breaks("S26", "which has observed the shutdown");

    let mut s = Script::new(1);
    shutdown(&mut s, 0, 1).breaks("S26", "nobody asked for");
}

#[test]
fn l11_a_shutdown_ends() {
    let mut s = Script::new(1);
    shutdown(&mut s, u16::MAX, 0);
    for phase in 1..=3 {
        shutdown(&mut s, 0, phase);
    }
    s.event(OUTSIDE, Event::End {}).quiescent().holds();

    let mut s = Script::new(2);
    shutdown(&mut s, u16::MAX, 0);
    shutdown(&mut s, 1, 3).quiescent().breaks("L11", "workers not done: [0]");

    // What somebody waits for is cancelled, and the program's end finds it ended.
    let awaited = |cancelled: bool| {
        let mut s = Script::new(1);
        submit(&mut s, token(0, 0));
        s.ghost(on(0), Ghost::OpAwait { token: token(0, 0), waker: Which::at(1) });
        for (worker, phase) in [(u16::MAX, 0), (0, 1), (0, 2)] {
            shutdown(&mut s, worker, phase);
        }
        if cancelled {
            s.event(on(0), Event::CancelOp { token: token(0, 0) });
        }
        s.later(3_000 * MS).idle();
        s
    };
    awaited(false).breaks("L11", "is awaited in a shutdown and was not cancelled");
    let mut s = Script::new(1);
    shutdown(&mut s, u16::MAX, 0);
    assert!(s.checker.end().is_ok());
    s.later(3_000 * MS).idle().holds();
    assert_eq!(s.checker.end().unwrap_err().invariant, "L11");

    // It waits long for a blocking call that runs, and for nothing else.
    let waits = |runs: bool| {
        let mut s = Script::new(1);
        s.spawn(OUTSIDE, 1).enqueue(OUTSIDE, 1, Place::Blocking, 65_535);
        s.event(OUTSIDE, Event::Dequeue { task: 1, place: Place::Blocking, worker: u16::MAX, by: 65_535 });
        s.ghost(OUTSIDE, Ghost::BitClear { task: 1 });
        s.event(OUTSIDE, Event::PollStart { task: 1, worker: u16::MAX });
        shutdown(&mut s, u16::MAX, 0);
        shutdown(&mut s, 0, 3);
        if !runs {
            s.event(OUTSIDE, Event::FutureDrop { task: 1, worker: u16::MAX });
            s.event(OUTSIDE, Event::PollEnd { task: 1, end: PollEnd::Ready, worker: u16::MAX });
        }
        s.later(3_000 * MS).event(OUTSIDE, Event::End {});
        s
    };
    waits(true).holds();
    waits(false).breaks("L11", "no blocking call was left to wait for");

    let mut s = Script::with_limits(1, Limits { shutdown_ns: MS, ..Limits::default() });
    shutdown(&mut s, u16::MAX, 0)
        .later(2 * MS)
        .event(OUTSIDE, Event::Clock { now: 0 })
        .breaks("L11", "has not ended after");

    let mut s = Script::with_limits(1, Limits { shutdown_events: 10, ..Limits::default() });
    shutdown(&mut s, u16::MAX, 0);
    for _ in 0..11 {
        s.event(OUTSIDE, Event::Clock { now: 0 });
    }
    s.breaks("L11", "after 11 events");
}

/// Two tasks that wake each other through the LIFO slot (tokio #5686). `moved`: at the limit the slot's task goes behind the ring.
fn ping_pong(polls: u32, moved: bool) -> Script {
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).spawn(on(0), 2).push_ring(0, 2);
    s.pop_ring(0, 1).poll(0, 1).poll_end(0, 1, PollEnd::Pending).pop_ring(0, 2).poll(0, 2);
    let (mut runs, mut waits, mut run) = (2, 1, 0);
    for _ in 0..polls {
        s.wake(on(0), waits).enqueue(on(0), waits, Place::Lifo, 0).poll_end(0, runs, PollEnd::Pending);
        s.dequeue(0, waits, Place::Lifo, 0);
        if moved && run == 3 {
            s.push_ring(0, waits).pop_ring(0, waits);
            run = 0;
        } else {
            run += 1;
        }
        s.poll(0, waits);
        std::mem::swap(&mut runs, &mut waits);
    }
    s
}

#[test]
fn l8_lifo_polls_in_a_row_are_limited() {
    ping_pong(3, false).holds();
    ping_pong(4, false).breaks("L8", "polled 4 tasks in a row out of its LIFO slot");
    ping_pong(100, true).holds();
}

/// A task that was taken out of the ring and left to a peer was not polled, and the ring had its turn all the same.
#[test]
fn l8_a_run_ends_with_the_turn_of_another_place() {
    let another = |turn: bool| {
        let mut s = ping_pong(3, false);
        s.spawn(on(0), 3).push_ring(0, 3);
        s.wake(on(0), 2).enqueue(on(0), 2, Place::Lifo, 0).poll_end(0, 1, PollEnd::Pending);
        if turn {
            s.pop_ring(0, 3).push_ring(0, 3);
        }
        s.dequeue(0, 2, Place::Lifo, 0).poll(0, 2);
        s
    };
    another(true).holds();
    another(false).breaks("L8", "polled 4 tasks in a row out of its LIFO slot");
}

/// Two tasks yield to one another through the ring; a third waits in the injector. `visits`: polls between two looks there.
fn yielding(polls: u32, visits: u32) -> Script {
    let mut s = Script::new(1);
    for task in 1..=2 {
        s.spawn(on(0), task).push_ring(0, task);
    }
    for task in 3..=4 {
        s.spawn(OUTSIDE, task).enqueue(OUTSIDE, task, Place::Injector, 0);
    }
    let mut outside = 3;
    for poll in 0..polls {
        let task = if poll % visits == visits - 1 { outside } else { u64::from(poll % 2) + 1 };
        if task == outside {
            s.dequeue(0, task, Place::Injector, 0).poll(0, task).finish(0, task);
            outside += 1;
            s.spawn(OUTSIDE, outside + 1).enqueue(OUTSIDE, outside + 1, Place::Injector, 0);
            s.pop_ring(0, u64::from(poll % 2) + 1).push_ring(0, u64::from(poll % 2) + 1);
            continue;
        }
        s.pop_ring(0, task).poll(0, task).ghost(on(0), Ghost::BitSet { task });
        s.event(on(0), Event::Wake { task, scheduled: true });
        s.debt(on(0), pirn::sync::Debt::Push, 1).poll_end(0, task, PollEnd::Woken).push_ring(0, task);
    }
    s
}

#[test]
fn l8_the_injector_is_visited() {
    yielding(500, 5).holds();
    yielding(500, 501).breaks("L8", "without a visit to the injector");
}

/// Until a thread tells of what it put there, the injector's length may stand in its store buffer.
#[test]
fn l8_the_injector_counts_from_the_announcement_on() {
    let announced = |paid: bool| {
        let mut s = Script::new(1);
        s.spawn(on(0), 1).push_ring(0, 1).spawn(OUTSIDE, 3).debt(OUTSIDE, pirn::sync::Debt::Notify, 1);
        s.enqueue(OUTSIDE, 3, Place::Injector, 0);
        if paid {
            s.debt(OUTSIDE, pirn::sync::Debt::Notify, -1);
        }
        for _ in 0..500 {
            s.pop_ring(0, 1).poll(0, 1).ghost(on(0), Ghost::BitSet { task: 1 });
            s.event(on(0), Event::Wake { task: 1, scheduled: true });
            s.debt(on(0), pirn::sync::Debt::Push, 1).poll_end(0, 1, PollEnd::Woken).push_ring(0, 1);
        }
        s
    };
    announced(false).holds();
    announced(true).breaks("L8", "without a visit to the injector");
}

#[test]
fn l10_rounds_without_use_end() {
    let rounds = |useful: bool| {
        let mut s = Script::new(1);
        for _ in 0..300 {
            s.fall_asleep(0).park(0, s_now()).unparked(0, false).leave_sleepers(0);
            if useful {
                s.event(on(0), Event::MainPoll { worker: 0, guest: false });
            }
        }
        s
    };
    rounds(false).breaks("L10", "rounds of search and park");
    rounds(true).holds();

    // Time passes between the rounds, but nobody has anything to do: an idle runtime makes no system call.
    let mut s = Script::new(1);
    for _ in 0..3_000 {
        let until = s.now + 10_000;
        s.fall_asleep(0).park(0, until).later(10_000).unparked(0, false).leave_sleepers(0);
    }
    s.breaks("L10", "all idle");
}

/// A worker that is awake and gets no turn may hold what the other one looks for.
#[test]
fn l10_rounds_beside_a_starved_worker() {
    let mut s = Script::new(2);
    s.spawn(on(1), 1).ring_put(1);
    for _ in 0..5_000 {
        let until = s.now + 10_000;
        s.search_begin(0)
            .search_end(0)
            .fall_asleep(0)
            .park(0, until)
            .later(10_000)
            .unparked(0, false)
            .leave_sleepers(0);
    }
    s.holds();
    for _ in 0..10_000 {
        s.search_begin(0).search_end(0);
    }
    s.breaks("L10", "rounds of search and park");
}

fn s_now() -> u64 {
    1_000
}
