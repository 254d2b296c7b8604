//! Topologies: the workers of a runtime in groups, and moving a task from one group to another.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use crate::runtime::Handle;
use crate::sched::{self, GroupConfig, Shared, Where};
use crate::task::JoinHandle;

/// One group of workers, as it is asked for.
#[derive(Clone, Debug)]
#[must_use]
pub struct GroupSpec(GroupConfig);

impl GroupSpec {
    /// A group with a name and so many workers (1 to 4095 in all groups together), which steal from each other and carry I/O.
    pub fn new(name: impl Into<String>, workers: usize) -> Self {
        Self(GroupConfig {
            name: name.into().into(),
            workers,
            steals: true,
            carries_io: true,
            cpus: Vec::new(),
        })
    }

    /// Whether its workers take tasks out of each other's rings. They share what comes from outside in any case. Default: yes.
    pub fn steals(mut self, steals: bool) -> Self {
        self.0.steals = steals;
        self
    }

    /// Pins its workers to these CPUs, one each, by turns. The thread inside `block_on` is pinned while it is worker 0. Default: the kernel decides.
    ///
    /// A CPU that the process may not use is an error of [`Builder::build`](crate::Builder::build). Simulated hosts have no CPUs.
    pub fn cpus(mut self, cpus: impl Into<Vec<usize>>) -> Self {
        self.0.cpus = cpus.into();
        self
    }

    /// Whether ops that its tasks wait for wait in its own workers' drivers; else they wait in those of the groups that carry I/O. Default: yes.
    pub fn carries_io(mut self, carries_io: bool) -> Self {
        self.0.carries_io = carries_io;
        self
    }
}

/// Which workers a runtime has, and who shares work with whom: a list of groups.
///
/// The first group's first worker is the thread inside `block_on`, which polls the main future; all other workers have threads. A task
/// belongs to the group it was spawned in: that of the worker that spawned it, or of [`Group::spawn`]. Work moves inside a group only, and
/// idle workers look after busy peers of their own group only; [`hop`] moves a task to another one.
///
/// ```
/// use pirn::{Builder, Handle, Topology, hop};
///
/// let runtime = Builder::new().topology(Topology::stages([("accept", 1), ("answer", 2)])).build()?;
/// runtime.block_on(async {
///     let answer = Handle::current().group("answer").expect("it is there");
///     let task = pirn::spawn(async move {
///         hop(&answer).await.expect("a task that may move");
///         std::thread::current().name().map(str::to_owned)
///     });
///     assert_ne!(task.await.unwrap().as_deref(), Some("main"));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Topology {
    groups: Vec<GroupConfig>,
}

impl Topology {
    /// Any groups. The first one has the main future.
    pub fn groups(groups: impl IntoIterator<Item = GroupSpec>) -> Self {
        Self { groups: groups.into_iter().map(|group| group.0).collect() }
    }

    /// One group, `main`, in which all workers share all work: what a runtime is without a topology.
    pub fn stealing(workers: usize) -> Self {
        Self::groups([GroupSpec::new("main", workers)])
    }

    /// Groups `core0`, `core1` and so on, of one worker each: nothing moves by itself.
    pub fn per_core(workers: usize) -> Self {
        Self::groups((0..workers).map(|core| GroupSpec::new(format!("core{core}"), 1)))
    }

    /// A group for each state of a connection's life; its task hops as the state changes.
    pub fn stages<N: Into<String>>(stages: impl IntoIterator<Item = (N, usize)>) -> Self {
        Self::groups(stages.into_iter().map(|(name, workers)| GroupSpec::new(name, workers)))
    }

    /// All work in the group `compute`, to which the main future belongs; the drivers of the group `io` tell of readiness.
    pub fn dispatcher(io: usize, compute: usize) -> Self {
        Self::groups([GroupSpec::new("compute", compute).carries_io(false), GroupSpec::new("io", io)])
    }

    /// Besides, a group `slow` for tasks that may block their worker. Its ops wait in the other groups' drivers.
    pub fn with_slow(mut self, workers: usize) -> Self {
        self.groups.push(GroupSpec::new("slow", workers).carries_io(false).0);
        self
    }

    pub(crate) fn into_configs(self) -> Vec<GroupConfig> {
        self.groups
    }
}

/// A group of a running runtime: cheap to clone, does not keep tasks alive.
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
    number: u32,
}

impl Group {
    fn of(shared: &Arc<Shared>, number: u32) -> Self {
        Self { shared: Arc::clone(shared), number }
    }

    fn config(&self) -> &GroupConfig {
        &self.shared.groups[self.number as usize].config
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config().name
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.config().workers
    }

    /// The numbers of its workers, as in [`Metrics::workers`](crate::Metrics::workers).
    pub fn seats(&self) -> core::ops::Range<usize> {
        let seats = self.shared.groups[self.number as usize].seats();
        seats.start as usize..seats.end as usize
    }

    /// Tasks that wait for one of its workers and are in no ring.
    pub fn injector_len(&self) -> usize {
        self.shared.groups[self.number as usize].injector.len()
    }

    /// Spawns a task in this group, from anywhere. After shutdown the handle says cancelled at once.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        sched::spawn(&self.shared, future, Where::In(self.number), Location::caller())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?}, {} workers)", self.name(), self.workers())
    }
}

/// No group of the runtime has that name.
#[derive(Debug)]
pub struct UnknownGroup {
    asked: String,
    known: Vec<String>,
}

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this runtime has no group {:?}; it has {}", self.asked, self.known.join(", "))
    }
}

impl std::error::Error for UnknownGroup {}

impl Handle {
    /// The group of that name.
    ///
    /// # Errors
    /// If there is none; the error names those there are.
    pub fn group(&self, name: &str) -> Result<Group, UnknownGroup> {
        let groups = self.groups();
        match groups.iter().find(|group| group.name() == name) {
            Some(group) => Ok(group.clone()),
            None => Err(UnknownGroup {
                asked: name.to_owned(),
                known: groups.iter().map(|group| group.name().to_owned()).collect(),
            }),
        }
    }

    /// All groups, the main future's first.
    pub fn groups(&self) -> Vec<Group> {
        (0..self.shared().groups.len() as u32).map(|number| Group::of(self.shared(), number)).collect()
    }
}

/// Why a task stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HopError {
    /// It is the main future, or a task that is not `Send`: it belongs to its thread.
    Pinned,
    /// The group is another runtime's.
    OtherRuntime,
}

impl fmt::Display for HopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "only a task made by `spawn` can hop: the main future and tasks that are not Send stay on their thread",
            Self::OtherRuntime => "the group belongs to another runtime: a task stays with the one that it was spawned in",
        })
    }
}

impl std::error::Error for HopError {}

/// Moves the running task to another group: what comes after the await runs there. In the group that the task is in already it is ready
/// at once.
///
/// It is the *task* that moves: inside a select or join everything in it does. Sockets, files and timers that it holds go on working: what
/// is in flight stays where it was submitted and wakes the task wherever it is.
///
/// # Cancel safety
/// Dropped in the poll that began it, it leaves the task where it is. In a shutdown the task is cancelled; nothing is lost.
///
/// # Errors
/// See [`HopError`]; the task has not moved then.
pub fn hop(group: &Group) -> Hop {
    Hop { way: sched::Move::new(Arc::clone(&group.shared), group.number), group: group.clone() }
}

/// The future of [`hop`].
#[must_use = "a hop does nothing until it is awaited"]
pub struct Hop {
    way: sched::Move,
    group: Group,
}

impl Future for Hop {
    type Output = Result<(), HopError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.way).poll(context)
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hop to {:?}", self.group)
    }
}
