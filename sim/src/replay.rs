//! Replay: a run that follows the choices of a trace.
//!
//! - *Strict*: the first thing that differs is an error.
//! - *Prefix*: the trace, or its first so many choices, as long as it fits; from there on a strategy chooses.
//! - *Guided*: each recorded choice is taken where it is on offer, the default elsewhere, and what fitted is counted: for traces
//!   of older code, and for traces from which choices were deleted.

use std::fmt;

use crate::choice::{Entry, Key, Kind};
use crate::draw::Draw;
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
}

fn place(entry: &Entry) -> String {
    let Entry { thread, event, point, nth, .. } = entry;
    let again = if *nth > 1 { format!(", choice {nth} there") } else { String::new() };
    format!(
        "the {} choice of thread {thread} at point {point} after its event {event}{again}",
        entry.kind.name()
    )
}

/// What an impossible choice asks for.
fn asks(entry: &Entry) -> String {
    match (entry.kind, entry.pick.checked_sub(1)) {
        (Kind::Switch | Kind::Next, Some(thread)) => format!("picks thread {thread}, which can't run there"),
        _ => format!("picks option {}, which is not on offer", entry.pick),
    }
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
                "the run differs from the trace: {mismatch}. The program or pirn was changed since, or the trace was edited; \
                 a guided replay takes what still fits"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

/// How much of a trace a replay could follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Recorded choices that were taken as recorded.
    pub followed: usize,
    /// Those of them at which something else was on offer beside what was taken.
    pub loosely: usize,
    /// All recorded choices.
    pub recorded: usize,
    /// The first that did not fit: its number, from 1, and its place. None if all fitted.
    pub first_missed: Option<(usize, String)>,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "followed {} of {} recorded choices", self.followed, self.recorded)?;
        if self.loosely > 0 {
            write!(f, " ({} among other options than recorded)", self.loosely)?;
        }
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
    /// Strict and prefix: the next entry.
    next: usize,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Strict,
    /// The strategy that goes on.
    Prefix(Box<Draw>),
    Guided(Guide),
}

/// Guided: each thread walks through its own entries, whatever the others do.
#[derive(Debug, Default)]
struct Guide {
    /// For each thread the numbers of its entries that are still to come, last first.
    lanes: Vec<Vec<u32>>,
    taken: Vec<bool>,
    loosely: usize,
}

impl Guide {
    fn new(entries: &[Entry]) -> Self {
        let mut guide = Self { lanes: Vec::new(), taken: vec![false; entries.len()], loosely: 0 };
        for (number, entry) in entries.iter().enumerate().rev() {
            let thread = entry.thread as usize;
            if guide.lanes.len() <= thread {
                guide.lanes.resize(thread + 1, Vec::new());
            }
            guide.lanes[thread].push(number as u32);
        }
        guide
    }

    /// Where the thread's next entry stands that has not been passed by.
    fn next(&mut self, entries: &[Entry], key: Key) -> Option<(u32, u32)> {
        let lane = self.lanes.get_mut(key.thread as usize)?;
        while let Some(&number) = lane.last() {
            let entry = &entries[number as usize];
            if (entry.event, entry.point) >= (key.event, key.point) {
                return Some((entry.event, entry.point));
            }
            lane.pop();
        }
        None
    }

    /// The entry of that kind at this point. How many choices were asked for before matters only for kinds that can be
    /// asked for several times at one point, as a thread may block several times between two points.
    fn find(&mut self, entries: &[Entry], key: Key, kind: Kind) -> Option<usize> {
        if self.next(entries, key)? != (key.event, key.point) {
            return None;
        }
        let once = matches!(kind, Kind::Switch | Kind::Slow | Kind::Hold | Kind::Drain);
        let lane = &mut self.lanes[key.thread as usize];
        let at = lane.iter().rposition(|&number| {
            let entry = &entries[number as usize];
            let here = (entry.event, entry.point) == (key.event, key.point) && entry.kind == kind;
            here && (once || entry.nth == key.nth)
        })?;
        Some(lane.remove(at) as usize)
    }
}

impl Follow {
    /// Strictly, from the start of a trace.
    pub(crate) fn new(trace: &Trace) -> Self {
        Self { entries: trace.choices.clone(), digests: trace.digests.clone(), next: 0, mode: Mode::Strict }
    }

    /// The first `count` choices as long as they fit, then `draw`.
    pub(crate) fn prefix(trace: &Trace, count: usize, draw: Draw) -> Self {
        let mut follow = Self { mode: Mode::Prefix(Box::new(draw)), ..Self::new(trace) };
        follow.entries.truncate(count);
        follow
    }

    /// These choices, where they fit.
    pub(crate) fn guided(entries: Vec<Entry>) -> Self {
        let mode = Mode::Guided(Guide::new(&entries));
        Self { entries, digests: Vec::new(), next: 0, mode }
    }

    /// How much fitted, when the run is over.
    pub(crate) fn fit(&self) -> Fit {
        let recorded = self.entries.len();
        let Mode::Guided(guide) = &self.mode else {
            return Fit { followed: self.next, recorded, ..Fit::default() };
        };
        let missed = guide.taken.iter().position(|taken| !taken);
        Fit {
            followed: guide.taken.iter().filter(|taken| **taken).count(),
            loosely: guide.loosely,
            recorded,
            first_missed: missed.map(|number| (number + 1, place(&self.entries[number]))),
        }
    }

    /// Whether a difference is no error because a strategy goes on.
    pub(crate) fn is_prefix(&self) -> bool {
        matches!(self.mode, Mode::Prefix(_))
    }

    /// Whether all choices of a prefix were taken.
    pub(crate) fn prefix_is_over(&self) -> bool {
        self.is_prefix() && self.next >= self.entries.len()
    }

    /// The strategy that goes on after a prefix, and what was followed up to the difference `why`.
    pub(crate) fn leave(&mut self, why: Option<Mismatch>) -> Option<(Draw, Fit)> {
        let fit = Fit { first_missed: why.map(|why| (self.next + 1, why.message)), ..self.fit() };
        match std::mem::replace(&mut self.mode, Mode::Strict) {
            Mode::Prefix(draw) => Some((*draw, fit)),
            _ => None,
        }
    }

    /// Whether the choice `key` is certainly not a recorded one.
    #[inline]
    pub(crate) fn passes(&mut self, key: Key) -> bool {
        if let Mode::Guided(guide) = &mut self.mode {
            return guide.next(&self.entries, key) != Some((key.event, key.point));
        }
        match self.entries.get(self.next) {
            Some(entry) => entry.thread != key.thread || entry.key() > key,
            None => true,
        }
    }

    /// The entry for a choice, with its number, if this is where one was recorded.
    #[inline]
    pub(crate) fn find(&mut self, key: Key, kind: Kind) -> Result<Option<(usize, Entry)>, Mismatch> {
        if self.passes(key) {
            return Ok(None);
        }
        if let Mode::Guided(guide) = &mut self.mode {
            return Ok(guide.find(&self.entries, key, kind).map(|number| (number, self.entries[number])));
        }
        let Some(&entry) = self.entries.get(self.next) else { return Ok(None) };
        if entry.key() != key {
            return Err(self.off("did not come up"));
        }
        if entry.kind != kind {
            return Err(self.off(&format!("is now a {} choice", kind.name())));
        }
        Ok(Some((self.next, entry)))
    }

    /// Takes the entry that was found; `same`: the offer is as recorded; `possible`: what it picks is on offer.
    #[inline]
    pub(crate) fn take(&mut self, number: usize, same: bool, possible: bool) -> Result<u32, Mismatch> {
        let pick = self.entries[number].pick;
        if let Mode::Guided(guide) = &mut self.mode {
            guide.taken[number] = possible;
            guide.loosely += usize::from(possible && !same);
            return Ok(if possible { pick } else { 0 });
        }
        if !possible {
            return Err(self.off(&asks(&self.entries[number])));
        }
        if !same {
            return Err(self.off("meets something else on offer"));
        }
        self.next += 1;
        Ok(pick)
    }

    /// The next entry does not fit.
    #[cold]
    fn off(&self, how: &str) -> Mismatch {
        Mismatch::new(format!(
            "recorded choice {}, {}, {how}",
            self.next + 1,
            place(&self.entries[self.next])
        ))
    }

    /// Compares digest number `number`.
    pub(crate) fn digest(&self, number: usize, digest: u64) -> Result<(), Mismatch> {
        match self.digests.get(number) {
            _ if matches!(self.mode, Mode::Guided(_)) => Ok(()),
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

    /// Strict: whether all was used, when the run is over.
    pub(crate) fn end(&self, digests: usize) -> Result<(), Mismatch> {
        if self.next < self.entries.len() {
            return Err(self.off("did not come up before the run ended"));
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
        Key { thread: self.thread, event: self.event, point: self.point, nth: self.nth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry =
        Entry { thread: 1, event: 5, point: 3, nth: 1, kind: Kind::Switch, offer: 9, pick: 2 };

    fn key(thread: u32, event: u32, point: u32) -> Key {
        Key { thread, event, point, nth: 1 }
    }

    fn strict(entries: Vec<Entry>) -> Follow {
        Follow { entries, digests: vec![1, 2], next: 0, mode: Mode::Strict }
    }

    /// A choice of which everything is possible.
    fn at(follow: &mut Follow, key: Key, kind: Kind, offer: u32) -> Result<u32, Mismatch> {
        match follow.find(key, kind)? {
            Some((number, entry)) => follow.take(number, entry.offer == offer, true),
            None => Ok(0),
        }
    }

    #[test]
    fn a_guided_replay_takes_what_fits_and_counts() {
        let other = Entry { thread: 2, event: 1, point: 1, ..ENTRY };
        let loose = Entry { event: 9, ..ENTRY };
        let gone = Entry { event: 10, ..ENTRY };
        let mut follow = Follow::guided(vec![other, ENTRY, loose, gone]);
        // Thread 2 never comes to its entry; thread 1 goes on all the same.
        assert_eq!(at(&mut follow, key(1, 5, 2), Kind::Switch, 9), Ok(0));
        assert_eq!(at(&mut follow, key(1, 5, 3), Kind::Switch, 9), Ok(2));
        // Something else is on offer beside it.
        assert_eq!(at(&mut follow, Key { nth: 2, ..key(1, 9, 3) }, Kind::Switch, 8), Ok(2));
        // It can't be had.
        let (number, _) = follow.find(key(1, 10, 3), Kind::Switch).unwrap().unwrap();
        assert_eq!(follow.take(number, false, false), Ok(0));
        let fit = follow.fit();
        assert_eq!((fit.followed, fit.loosely, fit.recorded), (2, 1, 4));
        assert_eq!(fit.first_missed.as_ref().map(|(number, _)| *number), Some(1));
        let text = fit.to_string();
        assert!(text.contains("followed 2 of 4") && text.contains("number 1, the switch choice"), "{text}");
    }

    #[test]
    fn choices_that_repeat_at_a_point_are_told_apart() {
        let second = Entry { kind: Kind::Short, nth: 2, pick: 3, ..ENTRY };
        let mut follow = Follow::guided(vec![second]);
        assert_eq!(at(&mut follow, key(1, 5, 3), Kind::Short, 9), Ok(0));
        assert_eq!(at(&mut follow, Key { nth: 2, ..key(1, 5, 3) }, Kind::Order, 9), Ok(0));
        assert_eq!(at(&mut follow, Key { nth: 2, ..key(1, 5, 3) }, Kind::Short, 9), Ok(3));
    }

    #[test]
    fn the_recorded_option_is_taken_at_its_key_only() {
        let mut follow = strict(vec![ENTRY]);
        assert_eq!(at(&mut follow, key(1, 5, 2), Kind::Switch, 9), Ok(0));
        assert_eq!(at(&mut follow, key(2, 7, 1), Kind::Switch, 9), Ok(0));
        assert_eq!(at(&mut follow, key(1, 5, 3), Kind::Switch, 9), Ok(2));
        assert_eq!(at(&mut follow, key(1, 5, 4), Kind::Switch, 9), Ok(0));
        assert!(follow.end(2).is_ok());
    }

    #[test]
    fn the_first_difference_is_named() {
        let said = |result: Result<u32, Mismatch>| result.unwrap_err().to_string();
        let here = key(1, 5, 3);
        assert!(
            said(at(&mut strict(vec![ENTRY]), key(1, 6, 1), Kind::Switch, 9)).contains("did not come up")
        );
        assert!(said(at(&mut strict(vec![ENTRY]), here, Kind::Next, 9)).contains("is now a next choice"));
        assert!(said(at(&mut strict(vec![ENTRY]), here, Kind::Switch, 8)).contains("on offer"));
        let impossible = said(strict(vec![ENTRY]).take(0, true, false));
        assert!(impossible.contains("picks thread 1, which can't run there"), "{impossible}");
        let text = strict(vec![ENTRY]).end(2).unwrap_err().to_string();
        assert!(text.contains("recorded choice 1, the switch choice of thread 1 at point 3"), "{text}");
        assert!(strict(vec![]).digest(1, 3).unwrap_err().to_string().contains("between point 1024"));
        assert!(strict(vec![]).digest(2, 3).is_err() && strict(vec![]).end(1).is_err());
    }
}
