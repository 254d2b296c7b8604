//! Choices: the one source of everything that can go two ways.
//!
//! A choice has a kind, a number of options and a default, 0, which is not recorded. Others are recorded under the key (thread, that
//! thread's events so far, its points since the last event, choices since the last point), with a hash of what was on offer. Points
//! count whether or not there is anything to choose, so a key stays valid when other threads do something else. Nothing that
//! depends on an address may enter a choice.

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::options::Options;
use crate::plan::Plan;
use crate::replay::Follow;
use crate::rng::{Rng, mix};
use crate::strategy::Walk;

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Who runs at a point; 0: the running thread goes on.
    Switch,
    /// Who runs when the running thread can't; 0: the next one by number.
    Next,
    /// Which of several waiters is woken; 0: the longest waiting one.
    Waiter,
    /// Whether a store waits in the buffer; 0: it does not.
    Hold,
    /// Whose oldest store drains; 0: nobody's.
    Drain,
    /// Whether time passes although threads are runnable; 0: no.
    Slow,
    /// How long a packet takes; 0: the latency.
    Delay,
    /// How much is transferred; 0: all.
    Short,
    /// Whether an op that could be done at once is; 0: yes.
    Inline,
    /// Which completion comes next; 0: the first that was due.
    Order,
    /// How many completions a look finds; 0: all that are due.
    Count,
    /// Whether a look returns early, or a queue is full; 0: no.
    Spurious,
    /// Whether a connection is reset; 0: no.
    Reset,
    /// Whether two hosts lose sight of each other, and for how long; 0: no.
    Partition,
    /// Which listener of several on one port gets a connection, or a datagram; 0: the oldest.
    Listener,
    /// Whether a datagram is lost, comes twice, or comes late; 0: no.
    Datagram,
    /// How long a file op takes; 0: as long as its medium.
    Disk,
    /// Whether what a file op asks for has left memory; 0: no.
    Cold,
    /// Whether a file op fails, and how; 0: no.
    Fail,
    /// What a loss of power leaves, and which bit rots; 0: nothing that was not synced.
    Crash,
    /// How often a packet is lost and sent again; 0: never.
    Loss,
    /// What strikes a host, a thread or a link, and which; 0: nothing, or the first.
    Strike,
    /// For how long; 0: the shortest.
    Span,
    /// Whether a socket is refused, and why; 0: no.
    Refuse,
}

impl Kind {
    /// All kinds, in order of their numbers.
    pub(crate) const ALL: &[Self] = &[
        Self::Switch,
        Self::Next,
        Self::Waiter,
        Self::Hold,
        Self::Drain,
        Self::Slow,
        Self::Delay,
        Self::Short,
        Self::Inline,
        Self::Order,
        Self::Count,
        Self::Spurious,
        Self::Reset,
        Self::Partition,
        Self::Listener,
        Self::Datagram,
        Self::Disk,
        Self::Cold,
        Self::Fail,
        Self::Crash,
        Self::Loss,
        Self::Strike,
        Self::Span,
        Self::Refuse,
    ];

    /// Its name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Next => "next",
            Self::Waiter => "waiter",
            Self::Hold => "hold",
            Self::Drain => "drain",
            Self::Slow => "slow",
            Self::Delay => "delay",
            Self::Short => "short",
            Self::Inline => "inline",
            Self::Order => "order",
            Self::Count => "count",
            Self::Spurious => "spurious",
            Self::Reset => "reset",
            Self::Partition => "partition",
            Self::Listener => "listener",
            Self::Datagram => "datagram",
            Self::Disk => "disk",
            Self::Cold => "cold",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Loss => "loss",
            Self::Strike => "strike",
            Self::Span => "span",
            Self::Refuse => "refuse",
        }
    }

    /// Whether it decides who runs.
    pub(crate) fn is_switch(self) -> bool {
        matches!(self, Self::Switch | Self::Next)
    }
}

/// A recorded choice. In a trace it is the list of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub struct Entry {
    /// The thread that ran.
    pub thread: u32,
    /// How many events it had emitted.
    pub event: u32,
    /// How many points it has reached since.
    pub point: u32,
    /// How many choices it has asked for since that point, this one included.
    pub nth: u32,
    /// What was chosen.
    pub kind: Kind,
    /// A hash of what was on offer.
    pub offer: u32,
    /// The option picked. For `switch` and `next`: 1 + the number of the thread that runs.
    pub pick: u32,
}

type Row = (u32, u32, u32, u32, Kind, u32, u32);

impl From<Row> for Entry {
    fn from((thread, event, point, nth, kind, offer, pick): Row) -> Self {
        Self { thread, event, point, nth, kind, offer, pick }
    }
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        (entry.thread, entry.event, entry.point, entry.nth, entry.kind, entry.offer, entry.pick)
    }
}

/// Where a choice stands in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) thread: u32,
    pub(crate) event: u32,
    pub(crate) point: u32,
    pub(crate) nth: u32,
}

/// Who decides.
#[derive(Debug)]
pub(crate) enum Source {
    /// A strategy, from a seed.
    Draw(Draw),
    /// A trace.
    Follow(Follow),
}

impl Source {
    /// The walk that `options` name, along a plan if it is depth first.
    pub(crate) fn draw(options: &Options, seed: u64, plan: Plan) -> Self {
        Self::Draw(Draw::new(options.walk, Rng::new(seed, 1)).with_plan(plan))
    }

    /// Only defaults, for the time between runs.
    pub(crate) fn idle() -> Self {
        Self::Draw(Draw::new(Walk::Stay { permille: 1000 }, Rng::new(0, 0)))
    }
}

/// The hash of an offer: its number of options and what they are.
#[inline]
pub(crate) fn offer(options: u32, what: u64) -> u32 {
    let hash = mix(mix(0x0ffe, u64::from(options)), what);
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_kinds_is_whole() {
        for (number, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
        let unknown = serde_json::from_str::<Kind>("\"nothing\"").unwrap_err().to_string();
        let named = Kind::ALL.iter().filter(|kind| unknown.contains(&format!("`{}`", kind.name()))).count();
        assert_eq!(named, Kind::ALL.len());
        assert_eq!(
            unknown.matches('`').count() / 2,
            Kind::ALL.len() + 1,
            "a kind is missing in ALL: {unknown}"
        );
    }

    #[test]
    fn an_entry_is_a_list_in_json() {
        let entry = Entry { thread: 1, event: 20, point: 3, nth: 1, kind: Kind::Switch, offer: 77, pick: 2 };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(text, r#"[1,20,3,1,"switch",77,2]"#);
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}
