//! The wheel's storage: entries in a slab, each in one doubly linked list of its slot.

use alloc::vec::Vec;

/// "No entry".
pub(super) const NONE: u32 = u32::MAX;

/// First and last entry of a slot's list, oldest insertion first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    last: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };

    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// One entry. It is armed while it has a value, and then stands in the list `slot`.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) deadline: u64,
    /// Raised when the entry is given back, so that keys to it go stale.
    pub(super) generation: u32,
    /// Which list.
    pub(super) slot: u32,
    prev: u32,
    /// The next in the list; of a free entry, the next free one.
    pub(super) next: u32,
    pub(super) value: Option<T>,
}

/// All entries, and the free ones in a list through `next`.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    armed: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: NONE, armed: 0 }
    }

    /// How many are armed.
    pub(super) fn len(&self) -> usize {
        self.armed
    }

    /// All armed entries: deadline, value.
    pub(super) fn each(&self, mut f: impl FnMut(u64, &T)) {
        for entry in &self.entries {
            if let Some(value) = &entry.value {
                f(entry.deadline, value);
            }
        }
    }

    pub(super) fn entry(&self, index: u32) -> &Entry<T> {
        &self.entries[index as usize]
    }

    /// The armed entry of a key.
    pub(super) fn find(&self, index: u32, generation: u32) -> Option<&Entry<T>> {
        self.entries
            .get(index as usize)
            .filter(|entry| entry.generation == generation && entry.value.is_some())
    }

    /// The same, to change.
    pub(super) fn find_mut(&mut self, index: u32, generation: u32) -> Option<&mut Entry<T>> {
        self.entries
            .get_mut(index as usize)
            .filter(|entry| entry.generation == generation && entry.value.is_some())
    }

    /// An armed entry in no list yet.
    pub(super) fn allocate(&mut self, deadline: u64, value: T) -> u32 {
        self.armed += 1;
        let index = self.free;
        if index == NONE {
            let index = u32::try_from(self.entries.len()).expect("a wheel holds 2^32 timers");
            assert_ne!(index, NONE, "a wheel holds 2^32 - 1 timers");
            self.entries.push(Entry {
                deadline,
                generation: 0,
                slot: NONE,
                prev: NONE,
                next: NONE,
                value: Some(value),
            });
            return index;
        }
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.deadline = deadline;
        entry.value = Some(value);
        index
    }

    /// Gives an unlinked entry back.
    pub(super) fn release(&mut self, index: u32) -> T {
        let free = self.free;
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take().expect("a timer entry is released twice");
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = free;
        self.free = index;
        self.armed -= 1;
        value
    }

    /// Appends the entry to `list`, which is number `slot`.
    pub(super) fn link(&mut self, list: &mut List, slot: u32, index: u32) {
        let last = list.last;
        let entry = &mut self.entries[index as usize];
        entry.slot = slot;
        entry.prev = last;
        entry.next = NONE;
        list.last = index;
        match last {
            NONE => list.first = index,
            _ => self.entries[last as usize].next = index,
        }
    }

    /// Takes the entry out of `list`, where it is.
    pub(super) fn unlink(&mut self, list: &mut List, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        match prev {
            NONE => list.first = next,
            _ => self.entries[prev as usize].next = next,
        }
        match next {
            NONE => list.last = prev,
            _ => self.entries[next as usize].prev = prev,
        }
    }
}
