//! The tasks there are: who, from where, in which state, waiting for what.

use core::fmt;
use core::panic::Location;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::io::Awaits;
use crate::sched::Shared;
use crate::task::state::Phase;
use crate::task::{Header, Id};

/// One task at the moment of a dump.
///
/// Its text is one line: `task 7 idle for 1.5s on worker 0: echo::serve::{{closure}}, spawned at src/main.rs:12:9; waits to read descriptor 9`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: Id,
    /// The type of its future, which names the function it came from.
    pub name: String,
    /// Where it was spawned: file, line, column.
    pub spawned_at: String,
    /// What it is doing.
    pub state: TaskState,
    /// For how long it has been in that state, so since the end of its last poll if it is idle. `None` unless
    /// [`Builder::timing`](crate::Builder::timing) is on.
    pub since: Option<Duration>,
    /// The worker that keeps it in its list: the one that polled it first.
    pub worker: usize,
    /// It may run on that worker only.
    pub pinned: bool,
    /// Ops and timers that will wake it. Empty for one that waits for a lock, a channel or another task, whose wakers are not
    /// the runtime's, and for accepts, datagrams and children, whose waits may be shared by several tasks.
    pub waits: Vec<String>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits to be woken.
    Idle,
    /// It was woken and waits for a worker.
    Scheduled,
    /// It is being polled.
    Running,
    /// It was aborted, and its future will be dropped soon.
    Cancelled,
}

impl TaskState {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Idle, "idle"),
        (Self::Scheduled, "scheduled"),
        (Self::Running, "running"),
        (Self::Cancelled, "cancelled"),
    ];

    /// The state of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(state, _)| state == self).map_or("?", |(_, name)| *name);
        f.write_str(name)
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.state)?;
        if let Some(since) = self.since {
            write!(f, " for {since:.1?}")?;
        }
        let place = if self.pinned { "pinned to" } else { "on" };
        write!(f, " {place} worker {}: {}, spawned at {}", self.worker, self.name, self.spawned_at)?;
        for (at, wait) in self.waits.iter().enumerate() {
            write!(f, "{}{wait}", if at == 0 { "; waits " } else { ", " })?;
        }
        Ok(())
    }
}

/// What is copied of a task while its list is held up.
struct Seen {
    id: u64,
    name: &'static str,
    spawned_at: &'static Location<'static>,
    state: TaskState,
    since: u64,
    pinned: bool,
    address: usize,
}

impl Seen {
    fn of(header: &Header) -> Option<Self> {
        let state = match header.phase() {
            Phase::Complete => return None,
            Phase::Running => TaskState::Running,
            Phase::Cancelled => TaskState::Cancelled,
            Phase::Scheduled => TaskState::Scheduled,
            Phase::Idle => TaskState::Idle,
        };
        Some(Self {
            id: header.id,
            name: header.name(),
            spawned_at: header.spawned_at(),
            state,
            since: header.since(),
            pinned: header.is_pinned(),
            address: core::ptr::from_ref(header) as usize,
        })
    }
}

/// All tasks that were polled and are not over, by their numbers.
pub(crate) fn collect(shared: &Shared) -> Vec<TaskInfo> {
    let now = shared.os.now().as_nanos();
    let mut waits = waits(shared, now);
    let mut tasks = Vec::new();
    for (worker, seat) in shared.seats.iter().enumerate() {
        // Room is made before the list is held up.
        let mut seen = Vec::with_capacity(seat.owned.with(|owned| owned.len()) + 64);
        seat.owned.with(|owned| owned.each(|header| seen.extend(Seen::of(header))));
        tasks.extend(seen.into_iter().map(|task| TaskInfo {
            id: Id(task.id),
            name: task.name.to_owned(),
            spawned_at: task.spawned_at.to_string(),
            state: task.state,
            since: (task.since > 0).then(|| Duration::from_nanos(now.saturating_sub(task.since))),
            worker,
            pinned: task.pinned,
            waits: waits.remove(&task.address).unwrap_or_default(),
        }));
    }
    tasks.sort_by_key(|task| task.id);
    tasks
}

/// What ops and timers wake, by the address of the task, which serves to find it and for nothing else.
fn waits(shared: &Shared, now: u64) -> BTreeMap<usize, Vec<String>> {
    let mut waits: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for seat in &shared.seats {
        seat.ops.each_wait(|awaits, waker| {
            let text = match awaits {
                Awaits::Unknown => "for an op".to_owned(),
                Awaits::Accept(fd) => format!("to accept on descriptor {fd}"),
                Awaits::Connect(fd) => format!("for descriptor {fd} to connect"),
                Awaits::Read(fd) => format!("to read descriptor {fd}"),
                Awaits::Write(fd) => format!("to write descriptor {fd}"),
                Awaits::File => "for a file".to_owned(),
            };
            waits.entry(waker.data() as usize).or_default().push(text);
        });
        seat.wheel.lock().each(|deadline, waker| {
            let text = match Duration::from_nanos(deadline.saturating_sub(now)) {
                Duration::ZERO => "for a timer that is due".to_owned(),
                left => format!("for a timer in {left:.1?}"),
            };
            waits.entry(waker.data() as usize).or_default().push(text);
        });
    }
    waits
}
