//! A timeline from a stream of events: what live recordings and simulated runs have in common.

use std::collections::BTreeMap;

use pirn::trace::{Event, PollEnd};

use super::timeline::{Arrow, ArrowKind, Lane, Mark, Span, SpanKind, TaskNote, Timeline};

/// A span that has not ended.
struct Open {
    from: u64,
    kind: SpanKind,
    task: u64,
    first: usize,
}

/// Where a task's next poll was asked for.
struct Asked {
    lane: usize,
    at: u64,
    kind: ArrowKind,
}

/// Takes events in the order of their times.
#[derive(Default)]
pub(super) struct Build {
    pub(super) timeline: Timeline,
    open: Vec<Option<Open>>,
    asked: BTreeMap<u64, Asked>,
    /// The last thing seen on each lane: a look begins there.
    last: Vec<u64>,
}

/// How the numbers in a lane's events become numbers of the picture.
pub(super) struct Naming<'a> {
    /// The picture's number of a task.
    pub(super) task: &'a dyn Fn(u64) -> u64,
    /// The lane of a worker of the same runtime, if it has one.
    pub(super) lane: &'a dyn Fn(u32) -> Option<usize>,
}

impl Build {
    /// A lane; its number.
    pub(super) fn lane(&mut self, name: String) -> usize {
        self.timeline.lanes.push(Lane { name, ..Lane::default() });
        self.open.push(None);
        self.last.push(0);
        self.timeline.lanes.len() - 1
    }

    /// Tells something about a task; what is known already stays.
    pub(super) fn note(&mut self, task: u64, note: TaskNote) {
        let known = self.timeline.tasks.entry(task).or_default();
        for (old, new) in [
            (&mut known.label, note.label),
            (&mut known.name, note.name),
            (&mut known.spawned_at, note.spawned_at),
            (&mut known.state, note.state),
        ] {
            if old.is_empty() {
                *old = new;
            }
        }
    }

    /// Something to read in the lane's list.
    pub(super) fn say(&mut self, lane: usize, at: u64, text: String) {
        self.timeline.lanes[lane].events.push((at, text));
        self.timeline.end = self.timeline.end.max(at);
    }

    /// A mark, with its text in the list.
    pub(super) fn mark(&mut self, lane: usize, at: u64, kind: &'static str, text: String) {
        self.say(lane, at, text.clone());
        self.timeline.lanes[lane].marks.push(Mark { at, kind, text });
    }

    fn begin(&mut self, lane: usize, at: u64, kind: SpanKind, task: u64) {
        self.close(lane, at, "");
        let first = self.timeline.lanes[lane].events.len() - 1;
        self.open[lane] = Some(Open { from: at, kind, task, first });
    }

    /// Ends the lane's open span.
    pub(super) fn close(&mut self, lane: usize, at: u64, end: &'static str) {
        let Some(Open { from, kind, task, first }) = self.open[lane].take() else { return };
        let events = (first, self.timeline.lanes[lane].events.len());
        self.timeline.lanes[lane].spans.push(Span { from, to: at, kind, task, end, events });
    }

    fn in_main(&self, lane: usize) -> bool {
        self.open[lane].as_ref().is_some_and(|open| open.kind == SpanKind::Main)
    }

    fn arrow(&mut self, kind: ArrowKind, (from, start): (usize, u64), (to, end): (usize, u64), task: u64) {
        self.timeline.arrows.push(Arrow { kind, from, start, to, end, task });
    }

    /// One event of a lane.
    pub(super) fn event(&mut self, lane: usize, at: u64, event: &Event, naming: &Naming<'_>) {
        let number = |task: &u64| (naming.task)(*task);
        if self.in_main(lane) && ends_main(event) {
            self.close(lane, self.last[lane], "");
        }
        if !matches!(event, Event::Clock { .. }) {
            self.say(lane, at, words(event));
        }
        match event {
            Event::Spawn { task, .. } => {
                let task = number(task);
                self.note(task, TaskNote::default());
                self.asked.insert(task, Asked { lane, at, kind: ArrowKind::Spawn });
                self.timeline.lanes[lane].marks.push(Mark { at, kind: "spawn", text: words(event) });
            }
            Event::Wake { task, scheduled: true } => {
                self.asked.insert(number(task), Asked { lane, at, kind: ArrowKind::Wake });
            }
            Event::PollStart { task, .. } => {
                let task = number(task);
                self.note(task, TaskNote::default());
                self.begin(lane, at, SpanKind::Poll, task);
                if let Some(asked) = self.asked.remove(&task)
                    && asked.at <= at
                {
                    self.arrow(asked.kind, (asked.lane, asked.at), (lane, at), task);
                }
            }
            Event::PollEnd { task, end, .. } => {
                // Inside a poll another task may be ended without one.
                if self.open[lane].as_ref().is_some_and(|open| open.task == number(task)) {
                    self.close(lane, at, end_name(*end));
                }
                if *end == PollEnd::Panicked {
                    self.timeline.lanes[lane].marks.push(Mark { at, kind: "panic", text: words(event) });
                }
            }
            Event::MainPoll { .. } => self.begin(lane, at, SpanKind::Main, 0),
            Event::Park { .. } => self.begin(lane, at, SpanKind::Park, 0),
            Event::Unparked { .. } => self.close(lane, at, ""),
            Event::Reap { .. } => {
                let from = self.last[lane];
                if self.open[lane].is_none() && from < at && self.timeline.unit == "ns" {
                    self.begin(lane, from, SpanKind::Look, 0);
                    self.close(lane, at, "");
                }
            }
            Event::Steal { victim, .. } => {
                self.timeline.lanes[lane].marks.push(Mark { at, kind: "steal", text: words(event) });
                if let Some(from) = (naming.lane)(u32::from(*victim)) {
                    self.arrow(ArrowKind::Steal, (from, at), (lane, at), 0);
                }
            }
            Event::Takeover { victim, .. } => {
                self.timeline.lanes[lane].marks.push(Mark { at, kind: "takeover", text: words(event) });
                if let Some(from) = (naming.lane)(u32::from(*victim)) {
                    self.arrow(ArrowKind::Takeover, (from, at), (lane, at), 0);
                }
            }
            Event::Unpark { worker, system: true } => {
                if let Some(to) = (naming.lane)(u32::from(*worker)) {
                    self.arrow(ArrowKind::Unpark, (lane, at), (to, at), 0);
                }
            }
            Event::TimerFire { .. } => {
                self.timeline.lanes[lane].marks.push(Mark { at, kind: "timer", text: words(event) });
            }
            Event::Shutdown { .. } | Event::End {} => {
                self.timeline.lanes[lane].marks.push(Mark { at, kind: "shutdown", text: words(event) });
            }
            _ => {}
        }
        self.last[lane] = at;
    }

    /// All of it; spans that are open end where the picture does.
    pub(super) fn finish(mut self) -> Timeline {
        let end = self.timeline.end;
        for lane in 0..self.open.len() {
            self.close(lane, end, "still");
            self.timeline.lanes[lane].spans.sort_by_key(|span| span.from);
        }
        self.timeline
    }
}

/// Whether the poll of a main future, whose end has no event, must have ended before this one of the same thread.
fn ends_main(event: &Event) -> bool {
    matches!(
        event,
        Event::Search { .. }
            | Event::Park { .. }
            | Event::Reap { .. }
            | Event::PollStart { .. }
            | Event::MainPoll { .. }
    )
}

/// How a poll ended, in a word.
fn end_name(end: PollEnd) -> &'static str {
    match end {
        PollEnd::Pending => "pending",
        PollEnd::Woken => "woken meanwhile",
        PollEnd::Ready => "ready",
        PollEnd::Panicked => "panicked",
        PollEnd::Cancelled => "cancelled",
    }
}

/// An event as it is read: its name and fields, without punctuation that says nothing.
fn words(event: &Event) -> String {
    let text = format!("{event:?}").replace("18446744073709551615", "never");
    text.replace(" { ", " ").replace(" }", "").replace(": ", " ").replace("65535", "outside")
}
