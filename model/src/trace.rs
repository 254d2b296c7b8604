//! The events, by path; nobody reads them here.

pub(crate) use self::event::{DecodeError, Event, Place, PollEnd, WORDS};

#[path = "../../src/trace/event.rs"]
mod event;
