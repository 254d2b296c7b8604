//! S7, S8, S9: the cursors of each ring and what stands in its slots.
//!
//! A slot goes empty -> written -> claimed -> empty. Cursors are 32-bit and wrap; slots stand modulo the capacity.

use super::{Checked, Checker, NONE, Violation};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    Written(u32),
    /// Claimed by a thread, not read yet.
    Claimed(u32, u32),
}

/// One ring.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where the open steal section begins; the head, if there is none.
    steal: u32,
    head: u32,
    tail: u32,
    /// Written and not published: up to here.
    written: u32,
    /// The thread that has a steal section open, and how many slots it has still to read.
    thief: u32,
    unread: u32,
    slots: Vec<Slot>,
    /// The cursors are known.
    seen: bool,
}

impl Ring {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            steal: 0,
            head: 0,
            tail: 0,
            written: 0,
            thief: NONE,
            unread: 0,
            slots: vec![Slot::Empty; capacity.min(1 << 16) as usize],
            seen: false,
        }
    }

    #[inline]
    fn slot(&mut self, at: u32) -> &mut Slot {
        let capacity = self.slots.len() as u32;
        &mut self.slots[(at % capacity) as usize]
    }

    pub(super) fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Whether a thief or the owner is in the middle of something.
    pub(super) fn open(&self) -> bool {
        self.thief != NONE || self.written != self.tail
    }

    /// Cursors may start anywhere: the first note tells.
    fn see(&mut self, at: u32) {
        if !self.seen {
            self.seen = true;
            (self.steal, self.head, self.tail, self.written) = (at, at, at, at);
        }
    }

    /// Claims `[from, from + count)` for `thread`.
    fn claim(&mut self, thread: u32, from: u32, count: u32) -> Result<(), String> {
        if from != self.head {
            return Err(format!("the claim begins at {from}, but the head is {}", self.head));
        }
        if count > self.len() {
            return Err(format!(
                "a claim of {count} from {from} on, but only {} are published (head {}, tail {})",
                self.len(),
                self.head,
                self.tail
            ));
        }
        for n in 0..count {
            let at = from.wrapping_add(n);
            let slot = self.slot(at);
            if *slot != Slot::Written(at) {
                return Err(format!("the claimed slot {at} holds no task that was written there: {slot:?}"));
            }
            *slot = Slot::Claimed(at, thread);
        }
        self.head = from.wrapping_add(count);
        if self.thief == NONE {
            self.steal = self.head;
        }
        Ok(())
    }
}

impl Checker {
    fn ring_broken(ring: u32, what: String) -> Violation {
        Violation::new("S7", format!("ring {ring}: {what}")).worker(ring)
    }

    /// The thread must be the one on the ring's seat, else S9.
    #[inline]
    fn owns_ring(&mut self, thread: u32, ring: u32, does: &'static str) -> Checked {
        match self.workers.get(ring) {
            Some(seat) if seat.thread == thread => Ok(()),
            _ => self.owns_ring_slow(thread, ring, does),
        }
    }

    #[cold]
    fn owns_ring_slow(&mut self, thread: u32, ring: u32, does: &'static str) -> Checked {
        self.sits(thread, ring, does).map_err(|violation| Violation {
            invariant: "S9",
            name: "owner pushes",
            ..violation
        })
    }

    pub(super) fn ring_write(&mut self, thread: u32, ring: u32, at: u32) -> Checked {
        self.owns_ring(thread, ring, "writes a slot of the ring")?;
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        state.see(at);
        if at != state.written {
            let expected = state.written;
            return Err(Self::ring_broken(
                ring,
                format!("slot {at} is written, but {expected} is the next one"),
            ));
        }
        let capacity = state.slots.len() as u32;
        if at.wrapping_sub(state.steal) >= capacity {
            let (steal, head) = (state.steal, state.head);
            return Err(Self::ring_broken(
                ring,
                format!(
                    "slot {at} is written, but a steal section is open from {steal} on (head {head}, capacity {capacity}): the slot's old task may not have been read"
                ),
            ));
        }
        let slot = state.slot(at);
        if *slot != Slot::Empty {
            let found = *slot;
            return Err(Self::ring_broken(
                ring,
                format!("slot {at} is written over an unread task: {found:?}"),
            ));
        }
        *slot = Slot::Written(at);
        state.written = at.wrapping_add(1);
        Ok(())
    }

    pub(super) fn ring_publish(&mut self, thread: u32, ring: u32, tail: u32, capacity: u32) -> Checked {
        self.owns_ring(thread, ring, "publishes the tail of the ring")?;
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        if state.slots.len() != capacity as usize {
            if state.seen && state.head != state.written {
                let known = state.slots.len();
                return Err(Self::ring_broken(
                    ring,
                    format!("its capacity was {known} and is now {capacity}"),
                ));
            }
            state.slots.clear();
            state.slots.resize(capacity as usize, Slot::Empty);
        }
        state.see(tail);
        if tail != state.written {
            let (written, old) = (state.written, state.tail);
            return Err(Self::ring_broken(
                ring,
                format!("tail {tail} was published, but slots were written from {old} up to {written}"),
            ));
        }
        state.tail = tail;
        let len = tail.wrapping_sub(state.steal);
        if len > capacity {
            let (steal, head) = (state.steal, state.head);
            return Err(Self::ring_broken(
                ring,
                format!("{len} slots are in use of {capacity} (steal {steal}, head {head}, tail {tail})"),
            ));
        }
        self.ring_len(ring);
        Ok(())
    }

    pub(super) fn ring_claim(&mut self, thread: u32, ring: u32, from: u32, count: u32) -> Checked {
        self.owns_ring(thread, ring, "moves the head of the ring as its owner")?;
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        state.see(from);
        state.claim(thread, from, count).map_err(|what| Self::ring_broken(ring, what))?;
        self.ring_len(ring);
        Ok(())
    }

    pub(super) fn ring_steal_begin(&mut self, thread: u32, ring: u32, from: u32, count: u32) -> Checked {
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        state.see(from);
        if state.thief != NONE {
            let thief = state.thief;
            return Err(Violation::new(
                "S8",
                format!("thread {thread} opened a steal section on ring {ring}, where the one of thread {thief} is still open"),
            )
            .worker(ring));
        }
        state.steal = state.head;
        state.thief = thread;
        state.unread = count;
        state.claim(thread, from, count).map_err(|what| Self::ring_broken(ring, what))?;
        self.ring_len(ring);
        Ok(())
    }

    pub(super) fn ring_read(&mut self, thread: u32, ring: u32, at: u32) -> Checked {
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        let slot = state.slot(at);
        if *slot != Slot::Claimed(at, thread) {
            let found = *slot;
            return Err(Self::ring_broken(
                ring,
                format!("thread {thread} moved out slot {at}, which is not its to read: {found:?}"),
            ));
        }
        *slot = Slot::Empty;
        if state.thief == thread {
            state.unread = state.unread.saturating_sub(1);
        }
        Ok(())
    }

    pub(super) fn ring_steal_end(&mut self, thread: u32, ring: u32) -> Checked {
        let Some(state) = self.rings.get_mut(ring as usize) else { return Ok(()) };
        if state.thief != thread {
            let thief = state.thief;
            let found =
                if thief == NONE { "none is open".to_owned() } else { format!("it is thread {thief}'s") };
            return Err(Violation::new(
                "S8",
                format!("thread {thread} closed a steal section of ring {ring}, but {found}"),
            )
            .worker(ring));
        }
        if state.unread != 0 {
            let unread = state.unread;
            let what =
                format!("thread {thread} closed its steal section with {unread} claimed slots not read");
            return Err(Self::ring_broken(ring, what));
        }
        state.thief = NONE;
        state.steal = state.head;
        Ok(())
    }

    #[inline]
    fn ring_len(&mut self, ring: u32) {
        let len = self.rings[ring as usize].len();
        self.workers.change(ring, |seat| seat.ring = len);
        if len == 0 {
            self.fairness.emptied(ring, super::fairness::RING);
        }
    }

    /// A thread is gone: what it had open stays open for ever.
    pub(super) fn section_left_open(&self, thread: u32) -> Option<Violation> {
        let ring = self.rings.iter().position(|ring| ring.thief == thread)? as u32;
        let what = format!("thread {thread} ended inside a steal section on ring {ring}");
        Some(Violation::new("S8", what).worker(ring))
    }
}
