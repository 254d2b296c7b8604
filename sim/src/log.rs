//! What a run did, step by step, for stories and for walking through a trace. Only a replay that is asked for it keeps a log.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;

use pirn::sync::Ghost;
use pirn::trace::Event;

use crate::choice::{Entry, Kind};
use crate::report::Verdict;
use crate::thread::Executor;
use crate::world::{NONE, World};

/// Steps that are kept, the last ones: about 100 MB.
const MOST_STEPS: usize = 1_000_000;

/// What a thread did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Did {
    /// It reached a point: the operation of this place in the source comes next, of the kind that is named.
    Point(&'static Location<'static>, &'static str),
    /// Its runtime emitted an event.
    Event(Event),
    /// Its runtime left a note for the checkers.
    Note(Ghost),
    /// Something fell on another option than the default.
    Chose(Entry),
    /// The program or the world says what happened: [`say!`](crate::say!).
    Said(String, Option<&'static Location<'static>>),
    /// Another thread runs now.
    Leaves(u32, Leaving),
}

/// Why a thread does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leaving {
    /// It could have gone on: a switch.
    Stopped,
    /// It waits for this.
    Waits(String),
    /// It ended.
    Ended,
}

/// One step of a run, see [`crate::Simulation::replay_steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many events the run has emitted, this one included if it is one.
    pub event: u64,
    /// The virtual time.
    pub time_ns: u64,
    /// The number of the thread.
    pub thread: u32,
    /// What it did.
    pub did: Did,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.did {
            Did::Event(_) => write!(f, "{:>7}", self.event)?,
            _ => write!(f, "{:7}", "")?,
        }
        write!(f, " {:>14.9} s  thread {:<3} ", self.time_ns as f64 / 1e9, self.thread)?;
        match &self.did {
            Did::Point(at, what) => write!(f, "    {}:{}, {what}", at.file(), at.line()),
            Did::Event(event) => write!(f, "{event:?}"),
            Did::Note(note) => write!(f, "  {note:?}"),
            Did::Chose(entry) => write!(f, "chooses {}: option {}", entry.kind.name(), entry.pick),
            Did::Said(text, _) => write!(f, "says: {text}"),
            Did::Leaves(to, Leaving::Stopped) => write!(f, "is stopped; thread {to} runs"),
            Did::Leaves(to, Leaving::Waits(what)) => write!(f, "{what}; thread {to} runs"),
            Did::Leaves(to, Leaving::Ended) => write!(f, "ends; thread {to} runs"),
        }
    }
}

/// The steps of a run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) steps: VecDeque<Step>,
    /// How many steps are no longer kept.
    pub(crate) dropped: usize,
    /// From this step on the stacks of events and switches are kept, with the numbers of their steps.
    pub(crate) stacks_from: Option<usize>,
    pub(crate) stacks: Vec<(usize, Backtrace)>,
    /// The number of the event after which the run ends, and the state it was in then.
    pub(crate) stop_at: Option<u64>,
    pub(crate) state: Option<String>,
}

impl Log {
    /// All steps, with those that are no longer kept.
    pub(crate) fn len(&self) -> usize {
        self.dropped + self.steps.len()
    }

    fn push(&mut self, step: Step) {
        let stack = matches!(step.did, Did::Event(_) | Did::Leaves(..));
        if stack && self.stacks_from.is_some_and(|from| from <= self.len()) {
            self.stacks.push((self.len(), Backtrace::force_capture()));
        }
        if self.steps.len() == MOST_STEPS {
            self.steps.pop_front();
            self.dropped += 1;
        }
        self.steps.push_back(step);
    }
}

impl World {
    /// Writes down what the running thread did, if that was asked for. Stacks are those of the caller.
    pub(crate) fn log(&mut self, did: Did) {
        let (event, time_ns, thread) = (self.events, self.now, self.current);
        if let Some(log) = &mut self.log {
            log.push(Step { event, time_ns, thread, did });
        }
    }

    /// Ends the run after the event that was asked for, with a description of the state it is in.
    pub(crate) fn stop_here(&mut self) {
        if self.log.as_ref().is_some_and(|log| log.stop_at == Some(self.events)) {
            let state = self.describe_threads();
            if let Some(log) = &mut self.log {
                log.state = Some(state);
            }
            self.fail(Verdict::Unsupported("stopped, as asked for".to_owned()));
        }
    }

    /// Something happens in the world that a reader of the story should know.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.log.is_some() {
            self.log(Did::Said(what(), None));
        }
    }

    /// The running thread makes room for another one, if `next` is one.
    #[inline]
    pub(crate) fn leaves(&mut self, next: u32, leaving: impl FnOnce(&Self) -> Leaving) {
        if self.log.is_some() && next != NONE && next != self.current {
            let leaving = leaving(self);
            self.log(Did::Leaves(next, leaving));
        }
    }

    /// A recorded choice; who runs next is told by the switch itself.
    #[cold]
    pub(crate) fn log_choice(&mut self, entry: Entry) {
        if !matches!(entry.kind, Kind::Switch | Kind::Next) {
            self.log(Did::Chose(entry));
        }
    }
}

impl Executor {
    /// See [`crate::say!`]. The text is made in every run, read or not: what the program's own formatting does is part of the run.
    pub(crate) fn say(&self, what: fmt::Arguments<'_>, at: &'static Location<'static>) {
        let text = what.to_string();
        let world = self.world();
        if world.log.is_some() {
            world.log(Did::Said(text, Some(at)));
        }
        self.say_point(at);
    }
}
