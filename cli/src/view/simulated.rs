//! A timeline of a simulated run: a trace is replayed, and every step of it stands a unit after the one before. Virtual time would
//! put most of them at one moment.

use std::collections::{BTreeMap, BTreeSet};

use pirn::trace::Event;
use pirn_sim::{Did, ReplayError, Simulation, Step, Trace, Verdict, Walk};

use super::build::{Build, Naming};
use super::timeline::{TaskNote, Timeline};

/// Steps that are drawn, the last ones.
const MOST: usize = 200_000;

/// Replays the trace and draws it.
pub(super) fn timeline(
    simulation: &Simulation,
    trace: &Trace,
    guided: bool,
) -> Result<Timeline, ReplayError> {
    let walk = simulation.walk(trace, guided)?;
    let mut build = Build::default();
    build.timeline.unit = "steps";
    build.timeline.title = format!("Simulated: {}, seed {}", trace.program(), trace.seed());
    let dropped = walk.steps.len().saturating_sub(MOST);
    let steps = &walk.steps[dropped..];
    let lanes = Lanes::new(&walk, steps, &mut build);
    draw(&mut build, &lanes, steps);
    let time = steps.last().map_or(0, |step| step.time_ns);
    let pair = |key: &str, value: String| (key.to_owned(), value);
    build.timeline.about = vec![
        pair("events", steps.last().map_or(0, |step| step.event).to_string()),
        pair("steps", walk.steps.len().to_string()),
        pair("virtual time", format!("{:.1?}", std::time::Duration::from_nanos(time))),
        pair("choices", trace.choices().len().to_string()),
    ];
    if dropped > 0 {
        build.timeline.about.push(pair("left out", format!("the first {dropped} steps")));
    }
    if let Some(fit) = &walk.fit {
        build.timeline.about.push(pair("guided", fit.to_string()));
    }
    build.timeline.failure = match &walk.outcome {
        Ok(outcome) if outcome.verdict == Verdict::Pass => None,
        Ok(outcome) => Some(outcome.verdict.to_string()),
        Err(error) => Some(format!("the replay differs from the recording: {error}")),
    };
    let mut timeline = build.finish();
    for (number, task) in &mut timeline.tasks {
        let label = format!("task {}", number % HOST);
        task.label = match lanes.hosts.len() {
            0 | 1 => label,
            _ => format!("{label} of {}", lanes.hosts[(number / HOST) as usize]),
        };
    }
    Ok(timeline)
}

/// Tasks are numbered within their host; in the picture each host has so many numbers of its own.
const HOST: u64 = 1 << 40;

/// Which thread is drawn where.
struct Lanes {
    hosts: Vec<String>,
    /// Host and lane of each thread that did anything.
    threads: BTreeMap<u32, (usize, usize)>,
    /// The lane of a host's worker.
    workers: BTreeMap<(usize, u32), usize>,
}

impl Lanes {
    fn new(walk: &Walk, steps: &[Step], build: &mut Build) -> Self {
        let mut lanes = Self { hosts: Vec::new(), threads: BTreeMap::new(), workers: BTreeMap::new() };
        let acting: BTreeSet<u32> = steps.iter().map(|step| step.thread).collect();
        let mut seats: BTreeMap<u32, u32> = BTreeMap::new();
        for step in steps {
            if let Did::Event(event) = &step.did
                && let Some(worker) = own_seat(event)
            {
                seats.entry(step.thread).or_insert(worker);
            }
        }
        let named = walk.threads.iter().enumerate().map(|(number, names)| (number as u32, names));
        let mut order: Vec<_> = named.filter(|(number, _)| acting.contains(number)).collect();
        let host_of = |lanes: &mut Self, name: &String| {
            lanes.hosts.iter().position(|host| host == name).unwrap_or_else(|| {
                lanes.hosts.push(name.clone());
                lanes.hosts.len() - 1
            })
        };
        for (_, (host, _)) in &order {
            host_of(&mut lanes, host);
        }
        // Host by host, workers in their order, then the other threads.
        order.sort_by_key(|(number, (host, _))| {
            let host = walk.threads.iter().position(|(name, _)| name == host);
            (host, seats.get(number).copied().unwrap_or(u32::MAX), *number)
        });
        for (number, (host, name)) in order {
            let at = host_of(&mut lanes, host);
            let lane = build.lane(match seats.get(&number) {
                Some(worker) if host.is_empty() => format!("worker {worker}"),
                Some(worker) => format!("{host}: worker {worker}"),
                None => name.clone(),
            });
            lanes.threads.insert(number, (at, lane));
            if let Some(worker) = seats.get(&number) {
                lanes.workers.entry((at, *worker)).or_insert(lane);
            }
        }
        lanes
    }
}

/// The worker that an event is told by, where it says so.
fn own_seat(event: &Event) -> Option<u32> {
    match event {
        Event::Search { worker }
        | Event::Park { worker, .. }
        | Event::Unparked { worker, .. }
        | Event::PollStart { worker, .. }
        | Event::MainPoll { worker, guest: false } => Some(u32::from(*worker)).filter(|w| *w != 0xffff),
        Event::Dequeue { by, .. } => Some(*by).filter(|by| *by != 0xffff),
        _ => None,
    }
}

fn draw(build: &mut Build, lanes: &Lanes, steps: &[Step]) {
    // Since when which thread runs.
    let mut running: Option<(u32, u64)> = None;
    for (at, step) in steps.iter().enumerate() {
        let at = at as u64;
        let Some(&(host, lane)) = lanes.threads.get(&step.thread) else { continue };
        if running.is_none_or(|(thread, _)| thread != step.thread) {
            stop(build, lanes, running, at);
            running = Some((step.thread, at));
        }
        match &step.did {
            Did::Event(event) => {
                let named = |task| host as u64 * HOST + task;
                let lane_of = |worker| lanes.workers.get(&(host, worker)).copied();
                build.event(lane, at, event, &Naming { task: &named, lane: &lane_of });
            }
            Did::Chose(entry) => {
                let text = format!("chooses {}: option {}", entry.kind.name(), entry.pick);
                build.mark(lane, at, "choice", text);
            }
            Did::Said(text, _) => build.mark(lane, at, "said", format!("says: {text}")),
            Did::Point(place, what) => {
                build.say(lane, at, format!("{what} at {}:{}", place.file(), place.line()));
            }
            Did::Leaves(to, why) => {
                let next = lanes.threads.get(to).map(|(_, lane)| build.timeline.lanes[*lane].name.clone());
                build.say(lane, at, format!("{why:?}, then {} runs", next.unwrap_or_default()));
            }
            _ => {}
        }
    }
    let end = steps.len() as u64;
    stop(build, lanes, running, end);
    build.timeline.end = end;
    for (number, task) in &mut build.timeline.tasks {
        if task.label.is_empty() {
            *task = TaskNote { label: format!("task {number}"), ..task.clone() };
        }
    }
}

/// The running thread's time on its processor ends.
fn stop(build: &mut Build, lanes: &Lanes, running: Option<(u32, u64)>, at: u64) {
    if let Some((thread, since)) = running
        && let Some((_, lane)) = lanes.threads.get(&thread)
    {
        build.timeline.lanes[*lane].on.push((since, at));
    }
}
