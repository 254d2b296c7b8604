//! A hierarchical timer wheel: O(1) insert and remove, and a million timers that never fire cost their memory only.
//!
//! Time is cut into ticks of 2^k ns. An entry stands at the level of the highest digit (of `slot_bits` bits) in which
//! its tick differs from the wheel's current tick: level 0 holds the ticks of the current block of slots, level 1 the blocks
//! of the current block of blocks, and so on; what differs above all levels stands in one list (`far`). So everything in
//! a level is due before anything in the level above. When time enters a slot of an upper level, its entries go down.
//!
//! Deadlines are kept in full: an entry fires neither a tick early nor a tick late, in order of deadline and, for equal ones, of insertion.
//! (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987.)
//!
//! # Invariants
//! - W1: an entry of level `l > 0` has a slot number greater than the current tick's at `l`, and the same digits above `l`.
//! - W2: an entry whose deadline had passed when it was inserted stands in the current tick's slot; all of level 0 stands there or later.
//! - W3: after `advance(now)` no armed entry has a deadline at or before `now`, and the current tick is that of `now`.
//! - W4: a bit in `occupied` is set exactly if its list is not empty.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::list::{Entry, List, NONE, Slab};

/// The sizes of a [`Wheel`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct WheelConfig {
    /// Levels, at least 1.
    pub(crate) levels: u32,
    /// A level has 2^this slots; 1 to 6.
    pub(crate) slot_bits: u32,
    /// A tick is 2^this nanoseconds.
    pub(crate) tick_ns_log2: u32,
}

impl Default for WheelConfig {
    /// 65.5 µs a tick: below what a wake-up of a sleeping thread is late by on a busy machine, and a second is three levels
    /// high. 8 levels of 64 slots (4 KiB) reach over all of the 64 bits of nanoseconds, 584 years.
    fn default() -> Self {
        Self { levels: 8, slot_bits: 6, tick_ns_log2: 16 }
    }
}

/// Names an armed timer of one wheel: an index, and a generation that tells re-use apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    /// The place in the wheel's storage; another timer may get it when this one is gone.
    pub(crate) fn index(self) -> u32 {
        self.0 as u32
    }

    /// Tells timers in the same place apart.
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// See the module.
pub(crate) struct Wheel<T> {
    config: WheelConfig,
    /// The current tick.
    tick: u64,
    slab: Slab<T>,
    /// `levels` times `2^slot_bits` lists, then `far`.
    lists: Box<[List]>,
    /// A bit a slot, a word a level.
    occupied: Box<[u64]>,
    /// No entry of `far` has an earlier deadline.
    far_first: u64,
    /// What `next` returned last, while it stands.
    next: Option<Option<u64>>,
    /// Due entries on their way out: deadline, order in the slot, index.
    due: Vec<(u64, u32, u32)>,
}

/// Where the earliest entries stand.
#[derive(Clone, Copy)]
struct Earliest {
    slot: usize,
    /// The slot's first tick; of `far`, of its `far_first`.
    tick: u64,
    /// Level 0: nothing goes down from here.
    bottom: bool,
}

/// `next` looks at so many entries of one slot of an upper level for their deadlines; of longer ones it tells the slot's start.
const NEXT_SCAN: usize = 16;

impl<T> Wheel<T> {
    /// An empty wheel at the moment `now_ns`.
    ///
    /// # Panics
    /// If a size is out of its range.
    pub(crate) fn new(config: WheelConfig, now_ns: u64) -> Self {
        let WheelConfig { levels, slot_bits, tick_ns_log2 } = config;
        assert!(
            levels >= 1 && (1..=6).contains(&slot_bits) && tick_ns_log2 < 64 && levels * slot_bits <= 64,
            "a wheel of {levels} levels of 2^{slot_bits} slots of 2^{tick_ns_log2} ns was asked for: slot bits go from 1 to 6, all levels together to 64 bits, ticks to 2^63 ns"
        );
        Self {
            config,
            tick: now_ns >> tick_ns_log2,
            slab: Slab::new(),
            lists: vec![List::EMPTY; ((levels as usize) << slot_bits) + 1].into_boxed_slice(),
            occupied: vec![0; levels as usize].into_boxed_slice(),
            far_first: u64::MAX,
            next: Some(None),
            due: Vec::new(),
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Arms a timer. If the deadline has passed, the next `advance` fires it.
    pub(crate) fn insert(&mut self, deadline_ns: u64, value: T) -> Key {
        let index = self.slab.allocate(deadline_ns, value);
        self.place(index);
        if let Some(next) = &mut self.next {
            *next = Some(next.map_or(deadline_ns, |next| next.min(deadline_ns)));
        }
        Key::new(index, self.slab.entry(index).generation)
    }

    /// Disarms a timer. None: it has fired or was removed.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let Entry { deadline, slot, .. } = *self.slab.find(key.index(), key.generation())?;
        self.unplace(key.index());
        if self.lists[slot as usize].is_empty() || self.next.flatten().is_some_and(|next| deadline <= next) {
            self.next = None;
        }
        Some(self.slab.release(key.index()))
    }

    /// What an armed timer carries.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slab.find_mut(key.index(), key.generation())?.value.as_mut()
    }

    /// Appends all timers with a deadline at or before `now_ns`, earliest first. Time that goes back is taken as standing still.
    pub(crate) fn advance(&mut self, now_ns: u64, fired: &mut Vec<(Key, T)>) {
        let target = (now_ns >> self.config.tick_ns_log2).max(self.tick);
        if target == self.tick && self.next.is_some_and(|next| next.is_none_or(|next| now_ns < next)) {
            return;
        }
        while let Some(earliest) = self.earliest() {
            if earliest.tick > target {
                break;
            }
            self.tick = self.tick.max(earliest.tick);
            if !earliest.bottom {
                self.send_down(earliest.slot);
                continue;
            }
            self.fire(earliest.slot, now_ns, fired);
            if earliest.tick >= target {
                break;
            }
        }
        self.enter(target);
        // A later `next` still stands: nothing fired. Long slots are scanned once, not at every turn.
        if self.next.flatten().is_some_and(|next| next <= now_ns) {
            self.next = None;
        }
    }

    /// The earliest moment at which something may have to be done; none if no timer is armed. Never later than the earliest
    /// deadline; equal to it unless that one stands with many others in an upper level.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if let Some(known) = self.next {
            return known;
        }
        let next = self.earliest().map(|earliest| self.first_deadline(earliest));
        self.next = Some(next);
        next
    }

    /// All armed timers with their deadlines, in no order.
    pub(crate) fn each(&self, f: impl FnMut(u64, &T)) {
        self.slab.each(f);
    }

    /// Disarms all timers and returns them, in no order.
    pub(crate) fn drain(&mut self) -> Vec<(Key, T)> {
        let mut all = Vec::with_capacity(self.len());
        for slot in 0..self.lists.len() {
            while !self.lists[slot].is_empty() {
                let index = self.lists[slot].first;
                let key = Key::new(index, self.slab.entry(index).generation);
                self.unplace(index);
                all.push((key, self.slab.release(index)));
            }
        }
        self.next = Some(None);
        all
    }

    /// The number of the list `far`.
    fn far(&self) -> usize {
        self.lists.len() - 1
    }

    /// `tick` without its digits below `level`.
    fn block(&self, tick: u64, level: u32) -> u64 {
        tick.checked_shr(level * self.config.slot_bits).unwrap_or(0)
    }

    /// Links an entry where its deadline belongs, seen from the current tick (W1, W2).
    fn place(&mut self, index: u32) {
        let WheelConfig { levels, slot_bits, tick_ns_log2 } = self.config;
        let deadline = self.slab.entry(index).deadline;
        let tick = (deadline >> tick_ns_log2).max(self.tick);
        let level = (63 - ((tick ^ self.tick) | 1).leading_zeros()) / slot_bits;
        let slot = if level < levels {
            let digit = self.block(tick, level) & ((1 << slot_bits) - 1);
            self.occupied[level as usize] |= 1 << digit;
            ((level as usize) << slot_bits) + digit as usize
        } else {
            self.far_first = self.far_first.min(deadline);
            self.far()
        };
        self.slab.link(&mut self.lists[slot], slot as u32, index);
    }

    /// Unlinks an entry from where it stands (W4).
    fn unplace(&mut self, index: u32) {
        let slot = self.slab.entry(index).slot as usize;
        self.slab.unlink(&mut self.lists[slot], index);
        if self.lists[slot].is_empty() {
            self.vacate(slot);
        }
    }

    /// The list of `slot` is empty now.
    fn vacate(&mut self, slot: usize) {
        if slot == self.far() {
            self.far_first = u64::MAX;
        } else {
            let digit = slot & ((1 << self.config.slot_bits) - 1);
            self.occupied[slot >> self.config.slot_bits] &= !(1 << digit);
        }
    }

    /// The slot whose entries come first: of the lowest level that has any (W1), the first one.
    fn earliest(&self) -> Option<Earliest> {
        let bits = self.config.slot_bits;
        for level in 0..self.config.levels {
            let occupied = self.occupied[level as usize];
            if occupied != 0 {
                let digit = u64::from(occupied.trailing_zeros());
                let above = self.block(self.tick, level + 1) << bits;
                return Some(Earliest {
                    slot: ((level as usize) << bits) + digit as usize,
                    tick: (above | digit) << (level * bits),
                    bottom: level == 0,
                });
            }
        }
        (!self.lists[self.far()].is_empty()).then(|| Earliest {
            slot: self.far(),
            tick: self.far_first >> self.config.tick_ns_log2,
            bottom: false,
        })
    }

    /// The earliest deadline in a slot, or a moment before it.
    fn first_deadline(&self, earliest: Earliest) -> u64 {
        if earliest.slot == self.far() {
            return self.far_first;
        }
        let scan = if earliest.bottom { usize::MAX } else { NEXT_SCAN };
        let mut first = u64::MAX;
        let mut index = self.lists[earliest.slot].first;
        for _ in 0..scan {
            if index == NONE {
                return first;
            }
            let entry = self.slab.entry(index);
            first = first.min(entry.deadline);
            index = entry.next;
        }
        if index == NONE { first } else { earliest.tick << self.config.tick_ns_log2 }
    }

    /// Places the entries of a slot anew, in their order: the current tick has entered it.
    fn send_down(&mut self, slot: usize) {
        let mut index = core::mem::replace(&mut self.lists[slot], List::EMPTY).first;
        self.vacate(slot);
        while index != NONE {
            let next = self.slab.entry(index).next;
            self.place(index);
            index = next;
        }
    }

    /// Makes `tick`, before which nothing is left to do, the current one.
    fn enter(&mut self, tick: u64) {
        self.tick = tick;
        let levels = self.config.levels;
        let far_tick = self.far_first >> self.config.tick_ns_log2;
        let far = self.far();
        if !self.lists[far].is_empty() && self.block(far_tick, levels) <= self.block(tick, levels) {
            self.send_down(far);
        }
    }

    /// Takes the due entries of a slot of level 0 out.
    fn fire(&mut self, slot: usize, now_ns: u64, fired: &mut Vec<(Key, T)>) {
        let mut due = core::mem::take(&mut self.due);
        let mut index = self.lists[slot].first;
        while index != NONE {
            let entry = self.slab.entry(index);
            if entry.deadline <= now_ns {
                due.push((entry.deadline, due.len() as u32, index));
            }
            index = entry.next;
        }
        due.sort_unstable();
        for (_, _, index) in due.drain(..) {
            let key = Key::new(index, self.slab.entry(index).generation);
            self.unplace(index);
            fired.push((key, self.slab.release(index)));
        }
        self.due = due;
    }
}
