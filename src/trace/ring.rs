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
    /// Remembers the last `capacity` events (at least 1), 16 bytes each.
    pub fn new(capacity: usize) -> Self {
        let slot = || [Counter::new(0), Counter::new(0)];
        Self { slots: (0..capacity.max(1)).map(|_| slot()).collect(), next: Counter::new(0) }
    }

    /// Remembers an event; for the one writing thread.
    #[inline]
    pub fn push(&self, event: &Event) {
        let at = self.next.get();
        let [first, second] = event.encode();
        let slot = &self.slots[(at % self.slots.len() as u64) as usize];
        slot[0].set(first);
        slot[1].set(second);
        self.next.set(at + 1);
    }

    /// The remembered events, oldest first.
    pub fn dump(&self) -> Vec<Result<Event, DecodeError>> {
        let len = self.slots.len() as u64;
        let end = self.next.get();
        let read = |at: u64| {
            let slot = &self.slots[(at % len) as usize];
            Event::decode([slot[0].get(), slot[1].get()])
        };
        (end.saturating_sub(len)..end).map(read).collect()
    }
}
