//! The timer wheel against a `BTreeMap` from (deadline, order of insertion).

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::timer::{Key, Wheel, WheelConfig};

#[derive(Clone, Debug)]
enum Step {
    /// So long after now, or before.
    Insert(i64),
    InsertAt(u64),
    Remove(Index),
    /// A key that is gone.
    RemoveStale(Index),
    Advance(u64),
    /// To the moment `next` tells.
    Follow,
    Drain,
}

/// Spans of all magnitudes.
fn span() -> impl Strategy<Value = u64> {
    (0..40u32, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => span().prop_map(|span| Step::Insert(span as i64)),
        5 => span().prop_map(|span| Step::Insert(-(span as i64))),
        2 => prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(Step::InsertAt),
        20 => any::<Index>().prop_map(Step::Remove),
        4 => any::<Index>().prop_map(Step::RemoveStale),
        25 => span().prop_map(Step::Advance),
        25 => Just(Step::Follow),
        1 => Just(Step::Drain),
    ]
}

fn config() -> impl Strategy<Value = WheelConfig> {
    prop_oneof![
        Just(WheelConfig::default()),
        (1..4u32, 1..4u32, 0..8u32).prop_map(|(levels, slot_bits, tick_ns_log2)| WheelConfig {
            levels,
            slot_bits,
            tick_ns_log2
        }),
    ]
}

struct Pair {
    config: WheelConfig,
    wheel: Wheel<u64>,
    twin: BTreeMap<(u64, u64), Key>,
    gone: Vec<Key>,
    inserted: u64,
    now: u64,
}

impl Pair {
    fn new(config: WheelConfig, now: u64) -> Self {
        Self {
            config,
            wheel: Wheel::new(config, now),
            twin: BTreeMap::new(),
            gone: Vec::new(),
            inserted: 0,
            now,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(span) => self.insert(self.now.saturating_add_signed(span)),
            Step::InsertAt(deadline) => self.insert(deadline),
            Step::Remove(index) => {
                if !self.twin.is_empty() {
                    let (&(deadline, order), &key) =
                        self.twin.iter().nth(index.index(self.twin.len())).unwrap();
                    assert_eq!(self.wheel.get_mut(key).copied(), Some(order));
                    assert_eq!(self.wheel.remove(key), Some(order));
                    self.twin.remove(&(deadline, order));
                    self.gone.push(key);
                }
            }
            Step::RemoveStale(index) => {
                if !self.gone.is_empty() {
                    let key = *index.get(&self.gone);
                    assert_eq!(self.wheel.get_mut(key), None);
                    assert_eq!(self.wheel.remove(key), None);
                }
            }
            Step::Advance(span) => self.advance(self.now.saturating_add(span)),
            Step::Follow => {
                if let Some(next) = self.wheel.next() {
                    self.advance(next.max(self.now));
                }
            }
            Step::Drain => {
                let mut all: Vec<_> = self.wheel.drain();
                all.sort_by_key(|&(_, order)| order);
                let mut want: Vec<_> = std::mem::take(&mut self.twin)
                    .into_iter()
                    .map(|((_, order), key)| (key, order))
                    .collect();
                want.sort_by_key(|&(_, order)| order);
                assert_eq!(all, want);
                self.gone.extend(all.into_iter().map(|(key, _)| key));
            }
        }
        assert_eq!(self.wheel.len(), self.twin.len());
        self.check_next();
    }

    fn insert(&mut self, deadline: u64) {
        self.inserted += 1;
        let key = self.wheel.insert(deadline, self.inserted);
        self.twin.insert((deadline, self.inserted), key);
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        let mut fired = Vec::new();
        self.wheel.advance(now, &mut fired);
        let mut due = Vec::new();
        while let Some(entry) = self.twin.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, order), key) = entry.remove_entry();
            due.push((key, order));
        }
        assert_eq!(fired, due, "fired at {now}, then due");
        self.gone.extend(fired.into_iter().map(|(key, _)| key));
    }

    /// Never after the earliest deadline; exact in the lowest level, at the latest after the look that a bound asked for.
    fn check_next(&mut self) {
        let next = self.wheel.next();
        let Some((&(earliest, _), _)) = self.twin.first_key_value() else {
            assert_eq!(next, None, "no timer is armed");
            return;
        };
        let next = next.expect("a timer is armed");
        assert!(next <= earliest, "next is {next}, the earliest deadline {earliest}");
        let block = self.config.tick_ns_log2 + self.config.slot_bits;
        if earliest >> block == self.now >> block {
            // The bound of the overflow list may be that of a timer that was removed: one early look, and it is known.
            if next != earliest {
                self.advance(next.max(self.now));
            }
            assert_eq!(self.wheel.next(), Some(earliest), "in the lowest level at {}", self.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wheel_is_a_sorted_map(
        config in config(),
        now in prop_oneof![Just(0), 0..1u64 << 40],
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut pair = Pair::new(config, now);
        for step in steps {
            pair.step(step);
        }
        pair.advance(u64::MAX);
        prop_assert_eq!(pair.wheel.len(), 0);
    }

    /// Who sleeps until `next` and looks again wakes a few times for a far timer, also in a crowd.
    #[test]
    fn few_wakes_for_a_far_timer(now in 0..1u64 << 40, far in 0..1u64 << 45, crowd in 1..100u64) {
        let mut wheel = Wheel::new(WheelConfig::default(), now);
        for i in 0..crowd {
            wheel.insert(now + far + i, i);
        }
        let (mut fired, mut wakes) = (Vec::new(), 0);
        while fired.is_empty() {
            let next = wheel.next().expect("timers are armed");
            wheel.advance(next, &mut fired);
            wakes += 1;
        }
        prop_assert!(wakes <= 8, "{} wakes for one deadline", wakes);
    }
}

/// A million timers of all spans, all but one cancelled: the last one fires alone, and the storage is used again.
#[test]
fn a_million_cancelled() {
    let mut wheel = Wheel::new(WheelConfig::default(), 0);
    let keys: Vec<Key> = (0..1_000_000u64).map(|i| wheel.insert(1_000 + i * 7_919, i)).collect();
    for &key in &keys[1..] {
        assert!(wheel.remove(key).is_some());
    }
    let again = wheel.insert(500, 0);
    assert!(again.index() < 1_000_000, "the storage of cancelled timers was not used again");
    let mut fired = Vec::new();
    wheel.advance(u64::MAX, &mut fired);
    assert_eq!(fired, [(again, 0), (keys[0], 0)]);
}

/// Sizes out of range are refused with a sentence.
#[test]
#[should_panic(expected = "a wheel of 9 levels of 2^7 slots")]
fn odd_sizes() {
    let config = WheelConfig { levels: 9, slot_bits: 7, tick_ns_log2: 16 };
    drop(Wheel::<()>::new(config, 0));
}
