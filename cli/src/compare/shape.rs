//! The topologies that `compare` knows, and where a workload's parts go in each.

use pirn::{Group, GroupSpec, Topology};

/// A topology for any number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    Stealing,
    PerCore,
    Stages,
    Dispatcher,
    WithSlow,
}

impl Shape {
    /// All of them, the usual one first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Stealing, Self::PerCore, Self::Stages, Self::Dispatcher, Self::WithSlow];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stealing => "stealing",
            Self::PerCore => "per-core",
            Self::Stages => "stages",
            Self::Dispatcher => "dispatcher",
            Self::WithSlow => "with-slow",
        }
    }

    /// What it is, in a line.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Stealing => "one group in which all share all work",
            Self::PerCore => "a group for each worker; connections are dealt out and stay",
            Self::Stages => "a third of the workers reads, the others answer; a connection hops between them",
            Self::Dispatcher => "one worker for eight carries the I/O, the others compute",
            Self::WithSlow => {
                "one worker for eight is set apart for what may block, the others share all work"
            }
        }
    }

    /// The fewest workers it makes sense with.
    pub(crate) fn least(self) -> usize {
        match self {
            Self::Stealing | Self::PerCore => 1,
            Self::Stages | Self::Dispatcher | Self::WithSlow => 2,
        }
    }

    /// The topology of so many workers, at least [`Shape::least`].
    pub(crate) fn topology(self, workers: usize) -> Topology {
        let eighth = (workers / 8).max(1);
        match self {
            Self::Stealing => Topology::stealing(workers),
            Self::PerCore => Topology::per_core(workers),
            Self::Stages => {
                let read = (workers / 3).max(1);
                Topology::stages([("read", read), ("answer", workers - read)])
            }
            Self::Dispatcher => Topology::groups([
                GroupSpec::new("compute", workers - eighth).carries_io(false),
                GroupSpec::new("io", eighth),
            ]),
            Self::WithSlow => Topology::stealing(workers - eighth).with_slow(eighth),
        }
    }
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|shape| shape.name() == name).ok_or_else(|| {
            format!("there is no topology `{name}`; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// The groups of a running topology, by what they are for.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    shape: Shape,
    groups: Vec<Group>,
}

impl Places {
    /// Of the current runtime.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, groups: pirn::Handle::current().groups() }
    }

    /// Where connection (or graph) `number` lives.
    pub(crate) fn home(&self, number: u32) -> &Group {
        match self.shape {
            Shape::PerCore => &self.groups[number as usize % self.groups.len()],
            _ => &self.groups[0],
        }
    }

    /// The groups that a task of a connection hops between: where it reads and where it answers.
    pub(crate) fn stages(&self) -> Option<(&Group, &Group)> {
        (self.shape == Shape::Stages).then(|| (&self.groups[0], &self.groups[1]))
    }

    /// Where what computes for long goes; `number` tells several apart.
    pub(crate) fn long(&self, number: u32) -> &Group {
        match self.shape {
            Shape::Stages | Shape::WithSlow => &self.groups[1],
            Shape::PerCore | Shape::Stealing | Shape::Dispatcher => self.home(number),
        }
    }

    /// Where nodes of graphs run.
    pub(crate) fn graphs(&self, number: u32) -> &Group {
        match self.shape {
            Shape::Stages => &self.groups[1],
            _ => self.home(number),
        }
    }

    /// The groups that listen on their own.
    pub(crate) fn listeners(&self) -> Vec<Group> {
        match self.shape {
            Shape::PerCore => self.groups.clone(),
            _ => vec![self.groups[0].clone()],
        }
    }
}
