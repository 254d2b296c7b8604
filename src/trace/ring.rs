//! The flight recorder: the last events of one worker, in binary form.

use super::{DecodeError, Event, WORDS};
use crate::sync::Counter;

/// A ring of events: written by one thread, read by any. A reader may see the oldest events being overwritten; such a
/// torn event decodes to something that did happen in parts, or to an error, and is at the old end of the dump.
#[derive(Debug)]
pub struct Recorder {
    slots: Box<[[Counter; WORDS]]>,
    next: Counter,
}

impl Recorder {
    /// Remembers the last `capacity` events (rounded up to a power of two), 16 bytes each.
    pub fn new(capacity: usize) -> Self {
        let slot = || [Counter::new(0), Counter::new(0)];
        Self { slots: (0..capacity.next_power_of_two()).map(|_| slot()).collect(), next: Counter::new(0) }
    }

    /// Remembers an event; for the one writing thread.
    #[inline]
    pub fn push(&self, event: &Event) {
        let at = self.next.get();
        let [first, second] = event.encode();
        // A power of two: a mask, and no check of bounds.
        let slot = &self.slots[at as usize & (self.slots.len() - 1)];
        slot[0].set(first);
        slot[1].set(second);
        self.next.set(at + 1);
    }

    /// The remembered events, oldest first.
    pub fn dump(&self) -> Vec<Result<Event, DecodeError>> {
        self.words().into_iter().map(Event::decode).collect()
    }

    /// The same in binary form.
    pub fn words(&self) -> Vec<[u64; WORDS]> {
        let len = self.slots.len() as u64;
        let end = self.next.get();
        let from = end.saturating_sub(len);
        let read = |at: u64| {
            let slot = &self.slots[(at % len) as usize];
            [slot[0].get(), slot[1].get()]
        };
        let mut words: Vec<_> = (from..end).map(read).collect();
        // What was written over meanwhile, and the one that is being written now.
        let lost = (self.next.get() + 1).saturating_sub(len).saturating_sub(from);
        if self.next.get() != end {
            words.drain(..(lost as usize).min(words.len()));
        }
        words
    }
}
