//! The invariants of a runtime, checked at every event from ghost state.
//!
//! A [`Checker`] reads events and ghost notes and nothing else: it walks no container and takes no operation of `pirn::sync`.

use pirn::sync::Ghost;
use pirn::trace::Event;

pub use self::violation::{NAMES, Violation};

mod violation;

/// The checkers of one host.
#[derive(Debug, Default)]
pub struct Checker {}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Thread `thread` of the world emitted `event`.
    pub fn event(&mut self, thread: u32, now: u64, event: &Event) -> Result<(), Violation> {
        let _ = (thread, now, event);
        Ok(())
    }

    /// Thread `thread` of the world left a note.
    pub fn ghost(&mut self, thread: u32, now: u64, note: Ghost) -> Result<(), Violation> {
        let _ = (thread, now, note);
        Ok(())
    }

    /// The world switches threads, or its time moved.
    pub fn step(&mut self, now: u64) -> Result<(), Violation> {
        let _ = now;
        Ok(())
    }

    /// Every thread of the world is blocked and time is about to jump to the next due event.
    pub fn idle(&mut self, now: u64) -> Result<(), Violation> {
        let _ = now;
        Ok(())
    }

    /// Every thread of the world is blocked and nothing is due.
    pub fn quiescent(&mut self, now: u64) -> Result<(), Violation> {
        let _ = now;
        Ok(())
    }

    /// A thread ended.
    pub fn thread_gone(&mut self, thread: u32) {
        let _ = thread;
    }

    /// The host's program returned.
    pub fn end(&mut self) -> Result<(), Violation> {
        Ok(())
    }

    /// Who holds what.
    pub fn describe(&self) -> String {
        String::new()
    }
}
