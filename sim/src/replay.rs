//! Replay. Strict: a run follows the choices of a trace, and the first thing that differs is an error. Guided: it takes each
//! recorded choice where that is on offer, the default elsewhere, and says how much fitted: for traces of older code.

use std::fmt;

use crate::choice::{Entry, Key, Kind};
use crate::trace::Trace;
use crate::world::DIGEST_POINTS;

/// How a replay differs from its trace. The message names the first thing that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    message: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Mismatch {
    pub(crate) fn new(message: String) -> Self {
        Self { message }
    }

    /// A rank that is not on offer.
    pub(crate) fn impossible(key: Key, kind: Kind, rank: u32, options: u32) -> Self {
        Self::new(format!("{} picks option {rank} of {options}: no such option", place(key, kind)))
    }
}

fn place(key: Key, kind: Kind) -> String {
    format!("the {kind:?} choice of thread {} after its event {}, number {}", key.thread, key.event, key.nth)
        .replace("the Switch", "the switch")
}

/// Why a trace could not be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// The trace is of another program, or of other arguments, or of another version.
    Other(String),
    /// The run differs from the trace.
    Differs(Mismatch),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(message) => f.write_str(message),
            Self::Differs(mismatch) => write!(
                f,
                "the run differs from the trace: {mismatch}. The program or pirn was changed since, or the trace was edited"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

/// How much of a trace a guided replay could follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Recorded choices that were taken as recorded.
    pub followed: usize,
    /// All recorded choices.
    pub recorded: usize,
    /// The first that did not fit: its number, from 1, and its place. None if all fitted.
    pub first_missed: Option<(usize, String)>,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "followed {} of {} recorded choices", self.followed, self.recorded)?;
        match &self.first_missed {
            Some((number, place)) => write!(f, "; the first that did not fit is number {number}, {place}"),
            None => Ok(()),
        }
    }
}

/// A trace that is being followed.
#[derive(Debug)]
pub(crate) struct Follow {
    entries: Vec<Entry>,
    digests: Vec<u64>,
    /// Strict: the next entry.
    next: usize,
    guide: Option<Guide>,
}

/// Guided: each thread walks through its own entries, whatever the others do.
#[derive(Debug, Default)]
struct Guide {
    /// For each thread the numbers of its entries that are still to come, last first.
    lanes: Vec<Vec<u32>>,
    taken: Vec<bool>,
}

impl Guide {
    fn new(entries: &[Entry]) -> Self {
        let mut guide = Self { lanes: Vec::new(), taken: vec![false; entries.len()] };
        for (number, entry) in entries.iter().enumerate().rev() {
            let thread = entry.thread as usize;
            if guide.lanes.len() <= thread {
                guide.lanes.resize(thread + 1, Vec::new());
            }
            guide.lanes[thread].push(number as u32);
        }
        guide
    }

    /// The thread's next entry that has not been passed by.
    fn next<'a>(&mut self, entries: &'a [Entry], key: Key) -> Option<(usize, &'a Entry)> {
        let lane = self.lanes.get_mut(key.thread as usize)?;
        while let Some(&number) = lane.last() {
            let entry = &entries[number as usize];
            if (entry.event, entry.nth) >= (key.event, key.nth) {
                return Some((number as usize, entry));
            }
            lane.pop();
        }
        None
    }

    /// The option for a choice.
    fn at(&mut self, entries: &[Entry], key: Key, kind: Kind, offer: u32) -> u32 {
        match self.next(entries, key) {
            Some((number, entry))
                if (entry.event, entry.nth) == (key.event, key.nth) && entry.kind == kind =>
            {
                self.lanes[key.thread as usize].pop();
                self.taken[number] = entry.offer == offer;
                if entry.offer == offer { entry.rank } else { 0 }
            }
            _ => 0,
        }
    }
}

impl Follow {
    /// From the start of a trace.
    pub(crate) fn new(trace: &Trace) -> Self {
        Self { entries: trace.choices.clone(), digests: trace.digests.clone(), next: 0, guide: None }
    }

    /// The same, taking what fits.
    pub(crate) fn guided(trace: &Trace) -> Self {
        Self { guide: Some(Guide::new(&trace.choices)), ..Self::new(trace) }
    }

    /// How much fitted, when the run is over.
    pub(crate) fn fit(&self) -> Fit {
        let Some(guide) = &self.guide else { return Fit::default() };
        let missed = guide.taken.iter().position(|taken| !taken);
        let place = |number: usize| {
            let entry = &self.entries[number];
            (number + 1, place(entry.key(), entry.kind))
        };
        Fit {
            followed: guide.taken.iter().filter(|taken| **taken).count(),
            recorded: self.entries.len(),
            first_missed: missed.map(place),
        }
    }

    /// Whether the choice `key` is certainly not a recorded one.
    #[inline]
    pub(crate) fn passes(&mut self, key: Key) -> bool {
        if let Some(guide) = &mut self.guide {
            let next = guide.next(&self.entries, key);
            return next.is_none_or(|(_, entry)| (entry.event, entry.nth) > (key.event, key.nth));
        }
        match self.entries.get(self.next) {
            Some(entry) => entry.thread != key.thread || (entry.event, entry.nth) > (key.event, key.nth),
            None => true,
        }
    }

    /// The option for a choice: the recorded one if this is where the next record stands, else the default.
    #[inline]
    pub(crate) fn at(&mut self, key: Key, kind: Kind, offer: impl FnOnce() -> u32) -> Result<u32, Mismatch> {
        if self.passes(key) {
            return Ok(0);
        }
        if let Some(guide) = &mut self.guide {
            return Ok(guide.at(&self.entries, key, kind, offer()));
        }
        let Some(entry) = self.entries.get(self.next) else { return Ok(0) };
        let number = self.next + 1;
        if (entry.event, entry.nth) != (key.event, key.nth) {
            return Err(Mismatch::new(format!(
                "recorded choice {number}, {}, did not come up",
                place(entry.key(), entry.kind)
            )));
        }
        if entry.kind != kind {
            return Err(Mismatch::new(format!(
                "recorded choice {number}, {}, is now a {kind:?} choice",
                place(entry.key(), entry.kind)
            )));
        }
        if entry.offer != offer() {
            return Err(Mismatch::new(format!(
                "at recorded choice {number}, {}, something else is on offer",
                place(entry.key(), entry.kind)
            )));
        }
        self.next += 1;
        Ok(entry.rank)
    }

    /// Compares digest number `number`.
    pub(crate) fn digest(&self, number: usize, digest: u64) -> Result<(), Mismatch> {
        match self.digests.get(number) {
            _ if self.guide.is_some() => Ok(()),
            Some(&recorded) if recorded == digest => Ok(()),
            Some(_) => Err(Mismatch::new(format!(
                "between point {} and point {} the threads did something else (digest {number}); all choices up to recorded choice {} fitted",
                number as u64 * DIGEST_POINTS,
                (number as u64 + 1) * DIGEST_POINTS,
                self.next
            ))),
            None => Err(Mismatch::new(format!(
                "the run goes on after point {}, where the trace has its last digest",
                number as u64 * DIGEST_POINTS
            ))),
        }
    }

    /// Whether all was used, when the run is over.
    pub(crate) fn end(&self, digests: usize) -> Result<(), Mismatch> {
        if self.guide.is_some() {
            return Ok(());
        }
        if let Some(entry) = self.entries.get(self.next) {
            return Err(Mismatch::new(format!(
                "the run ended before recorded choice {}, {}",
                self.next + 1,
                place(entry.key(), entry.kind)
            )));
        }
        if digests < self.digests.len() {
            return Err(Mismatch::new(format!(
                "the run ended before point {}; the trace has digests up to point {}",
                (digests as u64 + 1) * DIGEST_POINTS,
                self.digests.len() as u64 * DIGEST_POINTS
            )));
        }
        Ok(())
    }
}

impl Entry {
    fn key(&self) -> Key {
        Key { thread: self.thread, event: self.event, nth: self.nth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(entries: Vec<Entry>) -> Follow {
        Follow { entries, digests: vec![1, 2], next: 0, guide: None }
    }

    #[test]
    fn a_guided_replay_takes_what_fits_and_counts() {
        let other = Entry { thread: 2, event: 1, nth: 1, ..ENTRY };
        let late = Entry { event: 9, ..ENTRY };
        let mut follow = follow(vec![other, ENTRY, late]);
        follow.guide = Some(Guide::new(&follow.entries));
        // Thread 2 never comes to its entry; thread 1 goes on all the same.
        assert_eq!(follow.at(key(1, 5, 2), Kind::Switch, || 9), Ok(0));
        assert_eq!(follow.at(key(1, 5, 3), Kind::Switch, || 9), Ok(2));
        // Something else on offer: the default.
        assert_eq!(follow.at(key(1, 9, 3), Kind::Switch, || 8), Ok(0));
        let fit = follow.fit();
        assert_eq!((fit.followed, fit.recorded), (1, 3));
        assert_eq!(fit.first_missed.map(|(number, _)| number), Some(1));
    }

    const ENTRY: Entry = Entry { thread: 1, event: 5, nth: 3, kind: Kind::Switch, offer: 9, rank: 2 };

    fn key(thread: u32, event: u32, nth: u32) -> Key {
        Key { thread, event, nth }
    }

    #[test]
    fn the_recorded_option_is_taken_at_its_key_only() {
        let mut follow = follow(vec![ENTRY]);
        assert_eq!(follow.at(key(1, 5, 2), Kind::Switch, || 9), Ok(0));
        assert_eq!(follow.at(key(2, 7, 1), Kind::Switch, || 9), Ok(0));
        assert_eq!(follow.at(key(1, 5, 3), Kind::Switch, || 9), Ok(2));
        assert_eq!(follow.at(key(1, 5, 4), Kind::Switch, || 9), Ok(0));
        assert!(follow.end(2).is_ok());
    }

    #[test]
    fn the_first_difference_is_named() {
        let said = |result: Result<u32, Mismatch>| result.unwrap_err().to_string();
        assert!(said(follow(vec![ENTRY]).at(key(1, 6, 1), Kind::Switch, || 9)).contains("did not come up"));
        assert!(said(follow(vec![ENTRY]).at(key(1, 5, 3), Kind::Next, || 9)).contains("is now a Next"));
        assert!(said(follow(vec![ENTRY]).at(key(1, 5, 3), Kind::Switch, || 8)).contains("on offer"));
        let text = follow(vec![ENTRY]).end(2).unwrap_err().to_string();
        assert!(text.contains("before recorded choice 1, the switch choice of thread 1"), "{text}");
        assert!(follow(vec![]).digest(1, 3).unwrap_err().to_string().contains("between point 1024"));
        assert!(follow(vec![]).digest(2, 3).is_err() && follow(vec![]).end(1).is_err());
    }
}
