//! S10, S11, S13, L1, L2, L4, L13: sequences of the sleep protocol that break them, and close ones that do not.

mod check_support;

use check_support::{OUTSIDE, Script, on};
use pirn::sync::{Debt, Ghost};
use pirn::trace::{Event, Place, PollEnd};

/// Worker 0 polls task 1 and worker 1 is parked.
fn one_works_one_sleeps() -> Script {
    let mut s = Script::new(2);
    s.sleep(1).spawn(on(0), 1).ring_put(0).enqueue(on(0), 1, Place::Ring, 0);
    s.pop_ring(0, 1).poll(0, 1).switch();
    s
}

#[test]
fn s10_nobody_joins_twice() {
    let mut s = Script::new(2);
    s.fall_asleep(1).fall_asleep(1).breaks("S10", "joined the sleepers twice");
    let mut s = Script::new(2);
    s.fall_asleep(1).leave_sleepers(1).fall_asleep(1).holds();
}

#[test]
fn s10_counts_are_true() {
    let mut s = Script::new(2);
    s.ghost(on(1), Ghost::SleepJoin { worker: 1, parked: 2, searching: 0 });
    s.breaks("S10", "the counts said 2 parked and 0 searching, but 1 are parked");

    let mut s = Script::new(2);
    s.search_begin(1).ghost(on(1), Ghost::SearchBegin { worker: 1, parked: 0, searching: 2 });
    s.breaks("S10", "it was searching already");

    let mut s = Script::new(2);
    s.ghost(on(1), Ghost::SearchEnd { worker: 1, parked: 0, searching: 0 })
        .breaks("S10", "it was not searching");
}

/// tokio #8372: a wake that does not take the worker out of the idle set.
#[test]
fn s10_who_works_is_no_sleeper() {
    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, true, false).unparked(1, true).event(on(1), Event::Search { worker: 1 });
    s.breaks("S10", "it is still among the sleepers");

    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, true, false).unparked(1, true).leave_sleepers(1).search_begin(1).holds();
}

#[test]
fn s10_taken_only_from_the_sleepers() {
    let mut s = one_works_one_sleeps();
    s.wake_worker(on(0), 1).ghost(OUTSIDE, Ghost::SleepTaken { worker: 1, parked: 0, searching: 2 });
    s.breaks("S10", "it is not among the sleepers");
}

#[test]
fn s11_who_takes_a_sleeper_gives_it_a_token() {
    let mut s = one_works_one_sleeps();
    s.wake_worker(on(0), 1).idle().breaks("L4", "a token pending that did not wake it");

    let mut s = one_works_one_sleeps();
    s.take_sleeper(on(0), 1)
        .debt(on(0), Debt::Token, -1)
        .breaks("S11", "took 1 worker off the sleepers and gave none");

    let mut s = one_works_one_sleeps();
    s.take_sleeper(on(0), 1).idle().breaks("S11", "given no token");

    // The token of another thread does not pay for it.
    let mut s = one_works_one_sleeps();
    s.take_sleeper(on(0), 1).give(OUTSIDE, 1, true, false).unparked(1, true);
    s.give(on(0), 1, false, false).debt(on(0), Debt::Token, -1).holds();
}

#[test]
fn s11_a_thread_takes_no_debt_with_it() {
    let mut s = one_works_one_sleeps();
    s.take_sleeper(OUTSIDE, 1).gone(OUTSIDE).breaks("S11", "still carries a Token debt");
    let mut s = one_works_one_sleeps();
    s.gone(OUTSIDE).holds();
}

#[test]
fn l4_the_park_word_is_true() {
    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, true, false).give(OUTSIDE, 1, false, true).unparked(1, true).holds();

    // An unpark by compare-and-swap that met a park which had just timed out (tokio #507): the word says empty, the token is gone.
    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, true, false)
        .give(OUTSIDE, 1, false, false)
        .breaks("L4", "its park word held no token");

    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, false, false).breaks("L4", "said awake, but it is parked");

    let mut s = one_works_one_sleeps();
    s.ghost(on(1), Ghost::TokenTake { worker: 1 }).breaks("L4", "none is pending");
}

#[test]
fn l4_a_token_makes_the_park_return() {
    let mut s = Script::new(2);
    s.fall_asleep(1).give(OUTSIDE, 1, false, false).park(1, u64::MAX);
    s.breaks("L4", "the park must return at once");

    // A look of another thread swallowed the interrupt: the token is in the word and the worker stays blocked.
    let mut s = one_works_one_sleeps();
    s.give(OUTSIDE, 1, true, false).later(10).idle().breaks("L4", "did not wake it");
}

#[test]
fn l13_no_searcher_sleeps() {
    let mut s = Script::new(2);
    s.search_begin(1).fall_asleep(1).park(1, u64::MAX).breaks("L13", "while it counts as a searcher");
    let mut s = Script::new(2);
    s.search_begin(1).search_end(1).fall_asleep(1).park(1, u64::MAX).idle().holds();
}

/// The pusher looks at the sleepers before anybody else runs: it sees one and wakes it.
#[test]
fn l1_a_push_inside_a_poll_wakes_a_sleeper() {
    let mut s = one_works_one_sleeps();
    s.spawn(on(0), 2).debt(on(0), Debt::Notify, 1).push_ring(0, 2).switch();
    s.wake_worker(on(0), 1).debt(on(0), Debt::Notify, -1).switch().holds();
    // The woken worker is on its way; it finds that worker 0 took the task back, and sleeps again.
    s.unparked(1, true).switch().poll_end(0, 1, PollEnd::Pending).pop_ring(0, 2).poll(0, 2);
    s.search_end(1).fall_asleep(1).park(1, u64::MAX).switch().holds();
}

/// tokio #1788: the look at the sleepers came too early and saw nobody.
#[test]
fn l1_a_push_that_wakes_nobody() {
    let mut s = one_works_one_sleeps();
    s.spawn(on(0), 2).debt(on(0), Debt::Notify, 1).push_ring(0, 2).debt(on(0), Debt::Notify, -1);
    s.breaks("L1", "which is inside a poll of task 1");

    let mut s = one_works_one_sleeps();
    s.spawn(OUTSIDE, 2).debt(OUTSIDE, Debt::Notify, 1).enqueue(OUTSIDE, 2, Place::Injector, 0);
    s.switch().debt(OUTSIDE, Debt::Notify, -1).breaks("L1", "in the injector: 1 task");
}

/// A push outside of a poll is the worker's own for now: it looks at the sleepers when it starts a poll with work left.
#[test]
fn l1_outside_of_a_poll_the_ring_is_the_owners_own() {
    let mut s = one_works_one_sleeps();
    s.poll_end(0, 1, PollEnd::Pending).debt(on(0), Debt::Notify, 1);
    for task in 2..4 {
        s.spawn(on(0), task).push_ring(0, task);
    }
    s.switch().pop_ring(0, 2).switch();
    let mut paid = s;
    paid.wake_worker(on(0), 1).debt(on(0), Debt::Notify, -1).poll(0, 2).switch().holds();

    let mut s = one_works_one_sleeps();
    s.poll_end(0, 1, PollEnd::Pending);
    for task in 2..4 {
        s.spawn(on(0), task).push_ring(0, task);
    }
    s.switch().pop_ring(0, 2).switch().poll(0, 2).breaks("L1", "there is work in the ring of worker 0");

    let mut s = one_works_one_sleeps();
    s.poll_end(0, 1, PollEnd::Pending).debt(on(0), Debt::Notify, 1).spawn(on(0), 2).push_ring(0, 2);
    s.pop_ring(0, 2).poll(0, 2).breaks("L1", "still carries a Notify debt");
}

/// tokio #4383: the last searcher found work, and more is left, and it wakes nobody.
#[test]
fn l1_the_last_searcher_passes_the_wake_on() {
    let found = || {
        let mut s = Script::new(3);
        s.sleep(2).spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).search_begin(1);
        for task in 2..5 {
            s.spawn(on(0), task).debt(on(0), Debt::Notify, 1).push_ring(0, task).debt(
                on(0),
                Debt::Notify,
                -1,
            );
        }
        let from = s.head(0, 1);
        s.ghost(on(1), Ghost::RingStealBegin { ring: 0, from, count: 1 });
        s.ghost(on(1), Ghost::RingRead { ring: 0, at: from }).dequeue(1, 2, Place::Ring, 0);
        s.ghost(on(1), Ghost::RingStealEnd { ring: 0 }).switch().holds();
        s
    };
    let mut s = found();
    s.debt(on(1), Debt::Notify, 1).search_end(1).switch().wake_worker(on(1), 2).debt(on(1), Debt::Notify, -1);
    s.poll(1, 2).switch().holds();
    found().search_end(1).poll(1, 2).breaks("L1", "worker 2 sleeps, nobody searches");
}

/// Go #43997, and the worker that was refused a permit to search: no recheck after the last searcher is gone.
#[test]
fn l1_who_leaves_no_searcher_behind_rechecks() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).search_begin(1);
    s.spawn(on(0), 2).debt(on(0), Debt::Notify, 1).push_ring(0, 2).debt(on(0), Debt::Notify, -1);
    // It has looked at the ring before the push and goes to sleep.
    s.search_end(1).ghost(on(1), Ghost::SleepJoin { worker: 1, parked: 1, searching: 0 });
    s.debt(on(1), Debt::Recheck, 1).switch().holds();
    s.debt(on(1), Debt::Recheck, -1).breaks("L1", "worker 1 sleeps");

    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).search_begin(1);
    s.spawn(on(0), 2).debt(on(0), Debt::Notify, 1).push_ring(0, 2).debt(on(0), Debt::Notify, -1);
    s.search_end(1).ghost(on(1), Ghost::SleepJoin { worker: 1, parked: 1, searching: 0 }).switch();
    s.breaks("L1", "worker 1 sleeps");
}

#[test]
fn l1_a_park_leaves_no_debt() {
    let mut s = Script::new(2);
    s.fall_asleep(1)
        .debt(on(1), Debt::Notify, 1)
        .park(1, u64::MAX)
        .breaks("L1", "still carries a Notify debt");
}

#[test]
fn l1_an_inbox_wakes_its_owner() {
    let pushed = || {
        let mut s = Script::new(2);
        s.spawn_pinned(1, 1).enqueue(on(1), 1, Place::Inbox, 1).dequeue(1, 1, Place::Inbox, 1).poll(1, 1);
        s.poll_end(1, 1, PollEnd::Pending).sleep(1).wake(OUTSIDE, 1).enqueue(OUTSIDE, 1, Place::Inbox, 1);
        s
    };
    pushed().idle().breaks("L1", "1 task in its inbox");
    let mut s = pushed();
    s.give(OUTSIDE, 1, true, false).unparked(1, true).leave_sleepers(1).dequeue(1, 1, Place::Inbox, 1);
    s.poll(1, 1).finish(1, 1).sleep(1).quiescent().holds();
}

#[test]
fn l2_own_work_first() {
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).search_begin(0).breaks("L2", "searches with 1 task in its ring");
    let mut s = Script::new(2);
    s.spawn(on(0), 1).push_ring(0, 1).fall_asleep(0).breaks("L2", "joined the sleepers with 1 task");
    // Completions that come right at the end of a park go to the ring of a worker that is still a sleeper.
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).pop_ring(0, 1).poll(0, 1).poll_end(0, 1, PollEnd::Pending).sleep(0);
    s.unparked(0, false)
        .wake(on(0), 1)
        .debt(on(0), Debt::Notify, 1)
        .push_ring(0, 1)
        .switch()
        .leave_sleepers(0);
    s.pop_ring(0, 1).debt(on(0), Debt::Notify, -1).poll(0, 1).holds();
}

#[test]
fn l2_quiet_means_empty() {
    let mut s = Script::new(1);
    s.spawn(OUTSIDE, 1)
        .enqueue(OUTSIDE, 1, Place::Injector, 0)
        .quiescent()
        .breaks("L2", "work in the injector (1 task)");
    let mut s = Script::new(1);
    s.spawn(on(0), 1).enqueue(on(0), 1, Place::Lifo, 0).quiescent().breaks("L2", "1 in its LIFO slot");
    // A task that is stuck in its poll is for the world to report.
    let mut s = one_works_one_sleeps();
    s.quiescent().holds();
}

#[test]
fn s13_a_driver_has_one_holder() {
    let take = |worker, by| Ghost::HoldTake { worker, by, parked: false };
    let mut s = Script::new(2);
    s.ghost(on(0), take(0, 0)).event(on(0), Event::Reap { worker: 0, by: 0, completions: 1 });
    s.ghost(on(0), Ghost::HoldFree { worker: 0, by: 0 }).ghost(on(1), take(0, 1)).holds();
    s.ghost(on(0), take(0, 0)).breaks("S13", "which worker 1 holds");

    let mut s = Script::new(2);
    s.ghost(on(0), take(0, 0))
        .ghost(on(1), Ghost::HoldFree { worker: 0, by: 1 })
        .breaks("S13", "worker 0 holds it");

    let mut s = Script::new(2);
    s.ghost(on(0), take(0, 0)).event(on(1), Event::Reap { worker: 0, by: 1, completions: 0 });
    s.breaks("S13", "which worker 0 holds");

    let mut s = one_works_one_sleeps();
    s.event(OUTSIDE, Event::Search { worker: 1 }).breaks("S13", "thread 101 is on that seat");
}
