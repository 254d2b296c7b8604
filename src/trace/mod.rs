//! What happened: events, their binary form, the per-worker ring that remembers the last of them.

pub use self::event::{DecodeError, Event, Place, PollEnd, WORDS};
pub use self::ring::Recorder;

mod event;
mod ring;
