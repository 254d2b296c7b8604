//! The root crate's events, which its `sync` names.

pub(crate) use self::event::Event;

#[path = "../../../src/trace/event.rs"]
mod event;
