//! S7, S8, S9, S12: sequences of ring notes that break them, and close ones that do not. Cursors begin right before their wrap.

mod check_support;

use check_support::{OUTSIDE, RING, Script, on};
use pirn::sync::{Debt, Ghost};

/// Worker 0 has `tasks` tasks in its ring and polls none.
fn filled(tasks: u32) -> Script {
    let mut s = Script::new(3);
    for _ in 0..tasks {
        s.ring_put(0);
    }
    s
}

fn steal_begin(s: &mut Script, thief: u32, count: u32) -> u32 {
    let from = s.head(0, count);
    s.ghost(on(thief), Ghost::RingStealBegin { ring: 0, from, count });
    from
}

fn read(s: &mut Script, by: u32, at: u32) {
    s.ghost(on(by), Ghost::RingRead { ring: 0, at });
}

#[test]
fn s7_a_ring_goes_round() {
    let mut s = filled(0);
    for _ in 0..3 * RING {
        s.ring_put(0).ring_put(0).ring_take(0).ring_take(0);
    }
    s.holds();
    for _ in 0..RING {
        s.ring_put(0);
    }
    s.holds();
}

#[test]
fn s7_a_full_ring_takes_no_more() {
    filled(RING).ring_put(0).breaks("S7", "the slot's old task may not have been read");
}

/// tokio #2387: room counted from the head, while a thief still reads behind it.
#[test]
fn s7_slots_of_an_open_section_are_in_use() {
    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    read(&mut s, 1, from);
    s.ring_put(0).breaks("S7", "a steal section is open");

    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    read(&mut s, 1, from);
    read(&mut s, 1, from.wrapping_add(1));
    s.ghost(on(1), Ghost::RingStealEnd { ring: 0 }).ring_put(0).ring_put(0).holds();
}

#[test]
fn s7_each_slot_is_read_once_and_by_its_claimer() {
    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    read(&mut s, 1, from);
    read(&mut s, 1, from);
    s.breaks("S7", "not its to read");

    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    read(&mut s, 2, from);
    s.breaks("S7", "not its to read");

    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    read(&mut s, 1, from);
    s.ghost(on(1), Ghost::RingStealEnd { ring: 0 }).breaks("S7", "1 claimed slots not read");
}

#[test]
fn s7_only_what_is_published_is_claimed() {
    let mut s = filled(1);
    steal_begin(&mut s, 1, 2);
    s.breaks("S7", "only 1 are published");

    let mut s = filled(2);
    let from = s.head(0, 1).wrapping_add(1);
    s.ghost(on(0), Ghost::RingClaim { ring: 0, from, count: 1 }).breaks("S7", "but the head is");

    // The owner pops while a thief is at it: both move the head, each has its own.
    let mut s = filled(RING);
    let from = steal_begin(&mut s, 1, 2);
    s.ring_take(0);
    read(&mut s, 1, from);
    read(&mut s, 1, from.wrapping_add(1));
    s.ghost(on(1), Ghost::RingStealEnd { ring: 0 }).holds();
}

#[test]
fn s7_what_is_published_was_written() {
    let mut s = filled(1);
    let tail = s.tail(0).wrapping_add(1);
    s.ghost(on(0), Ghost::RingPublish { ring: 0, tail, capacity: RING })
        .breaks("S7", "was published, but slots were written");

    let mut s = filled(1);
    let at = s.tail(0).wrapping_add(1);
    s.ghost(on(0), Ghost::RingWrite { ring: 0, at }).breaks("S7", "is the next one");
}

#[test]
fn s8_one_section_at_a_time() {
    let mut s = filled(RING);
    steal_begin(&mut s, 1, 2);
    steal_begin(&mut s, 2, 1);
    s.breaks("S8", "the one of thread 101 is still open");

    let mut s = filled(RING);
    s.ghost(on(1), Ghost::RingStealEnd { ring: 0 }).breaks("S8", "none is open");
}

#[test]
fn s8_a_thief_that_ends_closes_its_section() {
    let mut s = filled(RING);
    steal_begin(&mut s, 1, 2);
    s.gone(on(1)).breaks("S8", "ended inside a steal section");
}

#[test]
fn s9_only_the_owner_pushes_and_pops() {
    let mut s = filled(1);
    let at = s.tail(0);
    s.search_begin(1).ghost(on(1), Ghost::RingWrite { ring: 0, at }).breaks("S9", "thread 101 writes a slot");

    let mut s = filled(1);
    s.search_begin(1)
        .search_begin(0)
        .ghost(on(1), Ghost::RingClaim { ring: 0, from: u32::MAX - 1, count: 1 });
    s.breaks("L2", "with 1 task in its ring");

    let mut s = filled(1);
    s.search_begin(1).ghost(on(1), Ghost::RingClaim { ring: 0, from: u32::MAX - 1, count: 1 });
    s.breaks("S9", "moves the head of the ring");
}

/// Seat 0 may change hands when nothing is going on there, other seats only when their thread has ended.
#[test]
fn s9_seats_change_hands() {
    let mut s = filled(1);
    let at = s.tail(0);
    s.ghost(OUTSIDE, Ghost::RingWrite { ring: 0, at }).holds();

    let mut s = filled(0);
    s.ring_put(1)
        .ghost(OUTSIDE, Ghost::RingWrite { ring: 1, at: 0 })
        .breaks("S9", "thread 101 is on that seat");

    let mut s = filled(0);
    s.ring_put(1).gone(on(1));
    let at = s.tail(1);
    s.ghost(OUTSIDE, Ghost::RingWrite { ring: 1, at }).holds();
}

#[test]
fn s12_lengths_agree_when_all_is_still() {
    let mut s = Script::new(1);
    s.spawn(on(0), 1).push_ring(0, 1).idle().holds();
    // A task that was put into the ring without being announced.
    s.ring_put(0).idle().breaks("S12", "holds 2 tasks by its cursors and 1 by the tasks put there");

    let mut s = Script::new(1);
    s.debt(on(0), Debt::Push, -1).breaks("S4", "paid 1 of 0");
}
