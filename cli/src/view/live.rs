//! A timeline of a flight-recorder dump.
//!
//! A recording has a `Clock` event wherever the clock was read: at the end of each poll, before it if something took time, and
//! around looks and parks. What happened inside a poll is spread evenly between its two readings; all else stands at the last one.

use std::collections::BTreeMap;

use pirn::observe::Dump;
use pirn::trace::Event;

use super::build::{Build, Naming};
use super::timeline::{TaskNote, Timeline};

/// The dump as a picture.
pub(super) fn timeline(dump: &Dump) -> Timeline {
    let mut build = Build::default();
    build.timeline.unit = "ns";
    build.timeline.title = format!("Flight recorder: {}", dump.reason);
    for number in 0..dump.workers.len() {
        build.lane(format!("worker {number}"));
    }
    let (mut all, mut unknown) = (Vec::new(), 0);
    for (lane, worker) in dump.workers.iter().enumerate() {
        let events: Vec<Event> = worker.events().filter_map(Result::ok).collect();
        unknown += worker.words.len() - events.len();
        all.extend(timed(&events).into_iter().map(|(at, event)| (at, lane, event)));
    }
    // Stable: events of one lane keep their order.
    all.sort_by_key(|(at, lane, _)| (*at, *lane));
    let start = all.first().map_or(dump.now, |(at, ..)| *at);
    let names: BTreeMap<u32, _> = dump.sites.iter().map(|site| (site.number, site)).collect();
    for task in &dump.tasks {
        let waits = match task.waits.as_slice() {
            [] => String::new(),
            waits => format!(", waits {}", waits.join(", ")),
        };
        let since = task.since.map_or_else(String::new, |since| format!(" for {since:.1?}"));
        build.note(
            task.id.get(),
            TaskNote {
                label: format!("task {}", task.id.get()),
                name: task.name.clone(),
                spawned_at: task.spawned_at.clone(),
                state: format!("{}{since}{waits}", task.state),
            },
        );
    }
    let workers = dump.workers.len();
    let lane_of = |worker: u32| Some(worker as usize).filter(|worker| *worker < workers);
    let naming = Naming { task: &|task| task, lane: &lane_of };
    for (at, lane, event) in &all {
        let Some(event) = event else {
            build.close(*lane, at - start, "");
            continue;
        };
        if let Event::Spawn { task, site, .. } = event
            && let Some(site) = names.get(site)
        {
            let (name, spawned_at) = (site.name.clone(), site.location.clone());
            build.note(*task, TaskNote { name, spawned_at, ..TaskNote::default() });
        }
        build.event(*lane, at - start, event, &naming);
    }
    let span = dump.now.saturating_sub(start);
    build.timeline.end = build.timeline.end.max(span);
    build.timeline.about = about(dump, all.len(), unknown, span);
    let mut timeline = build.finish();
    for (number, task) in &mut timeline.tasks {
        task.label = format!("task {number}");
    }
    if dump.reason.starts_with("panic") {
        timeline.failure = Some(dump.reason.clone());
    }
    timeline
}

fn about(dump: &Dump, events: usize, unknown: usize, span: u64) -> Vec<(String, String)> {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    let mut about = vec![
        pair("backend", dump.os.clone()),
        pair("pirn", dump.pirn.clone()),
        pair("tasks alive", dump.tasks.len().to_string()),
        pair("events", events.to_string()),
        pair("covers", format!("{:.1?}", std::time::Duration::from_nanos(span))),
    ];
    for (number, worker) in dump.workers.iter().enumerate() {
        if let Some(polling) = worker.polling {
            let whom = polling.map_or_else(|| "the main future".to_owned(), |task| task.to_string());
            let since = worker.since.map_or_else(String::new, |since| format!(" for {since:.1?}"));
            about.push(pair(&format!("worker {number}"), format!("polls {whom}{since}")));
        }
    }
    if unknown > 0 {
        about.push(pair("unknown events", format!("{unknown}, left out")));
    }
    if events == 0 {
        about.push(pair("no events", "the runtime was built without Builder::recorder".to_owned()));
    }
    about
}

/// The events of one worker with their times; those before the first reading of the clock have none and are left out. `None`
/// stands for the end of a main future's poll, which has no event of its own: the next reading is its end.
fn timed(events: &[Event]) -> Vec<(u64, Option<Event>)> {
    let mut timed = Vec::with_capacity(events.len());
    let mut now = None;
    // Events of the poll that is open, which wait for the next reading, and whether it is a main future's.
    let mut inside: Option<(bool, Vec<Event>)> = None;
    for event in events {
        if let Event::Clock { now: at } = event {
            if let (Some(from), Some((main, waiting))) = (now, inside.as_mut()) {
                spread(&mut timed, from, *at, std::mem::take(waiting));
                if *main {
                    timed.push((*at, None));
                    inside = None;
                }
            }
            now = Some(*at);
            continue;
        }
        let Some(at) = now else { continue };
        match (event, inside.as_mut()) {
            (Event::PollStart { .. } | Event::MainPoll { .. }, _) => {
                timed.push((at, Some(*event)));
                inside = Some((matches!(event, Event::MainPoll { .. }), Vec::new()));
            }
            (Event::PollEnd { .. } | Event::Park { .. } | Event::Reap { .. }, Some((_, waiting))) => {
                timed.extend(std::mem::take(waiting).into_iter().map(|event| (at, Some(event))));
                timed.push((at, Some(*event)));
                inside = None;
            }
            (_, Some((_, waiting))) => waiting.push(*event),
            (_, None) => timed.push((at, Some(*event))),
        }
    }
    if let (Some(at), Some((_, waiting))) = (now, inside) {
        timed.extend(waiting.into_iter().map(|event| (at, Some(event))));
    }
    timed
}

/// Evenly between two moments.
fn spread(timed: &mut Vec<(u64, Option<Event>)>, from: u64, to: u64, events: Vec<Event>) {
    let parts = events.len() as u64 + 1;
    let step = to.saturating_sub(from) / parts;
    let placed = events.into_iter().zip(1..).map(|(event, part)| (from + step * part, Some(event)));
    timed.extend(placed);
}
