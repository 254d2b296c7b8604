//! What is drawn, whatever it came from: lanes with spans, marks and events, and arrows between them.

use std::collections::BTreeMap;

use serde::Serialize;

/// All of a picture. Times are in the unit's own numbers, from the first thing drawn.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Timeline {
    pub(crate) title: String,
    /// `ns`, or `steps` for the simulator, whose virtual time stands still while threads run.
    pub(crate) unit: &'static str,
    /// What stands in the head, as pairs.
    pub(crate) about: Vec<(String, String)>,
    /// Why it ended badly, if it did.
    pub(crate) failure: Option<String>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) arrows: Vec<Arrow>,
    /// By the number of the task in the picture.
    pub(crate) tasks: BTreeMap<u64, TaskNote>,
    pub(crate) end: u64,
}

impl Timeline {
    /// Polls of tasks.
    pub(crate) fn polls(&self) -> usize {
        let spans = self.lanes.iter().flat_map(|lane| &lane.spans);
        spans.filter(|span| span.kind == SpanKind::Poll).count()
    }
}

/// A worker, or another thread.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) spans: Vec<Span>,
    pub(crate) marks: Vec<Mark>,
    /// All events in words, with their times.
    pub(crate) events: Vec<(u64, String)>,
    /// When the thread had its simulated processor: from, to.
    pub(crate) on: Vec<(u64, u64)>,
}

/// Something that lasts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) kind: SpanKind,
    /// Zero: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) task: u64,
    /// How it ended.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) end: &'static str,
    /// The numbers of its first event and the one after its last.
    pub(crate) events: (usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SpanKind {
    Poll,
    /// Of a main future.
    Main,
    Park,
    Look,
}

/// Something at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// From one lane to another, or within one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Arrow {
    pub(crate) kind: ArrowKind,
    pub(crate) from: usize,
    pub(crate) start: u64,
    pub(crate) to: usize,
    pub(crate) end: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) task: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ArrowKind {
    /// From a wake to the poll it led to.
    Wake,
    /// From a spawn to the first poll.
    Spawn,
    /// From the victim to the thief.
    Steal,
    /// From the overdue worker to the one that serves it.
    Takeover,
    /// From who wakes a parked worker to that worker.
    Unpark,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TaskNote {
    /// As people know it.
    pub(crate) label: String,
    pub(crate) name: String,
    pub(crate) spawned_at: String,
    /// What it was doing when the dump was taken; empty: it was over, or that is not known.
    pub(crate) state: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(task: &u64) -> bool {
    *task == 0
}
