//! Stories: what happened in a failing run, in the few lines that matter.
//!
//! A story follows the threads in the order in which they ran. Of each turn it tells the steps that have to do with what went wrong,
//! with their place in the source (the user's own line where there is one), and where the thread was stopped.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;

use self::phrase::{About, Weight};
use self::place::{Place, Sources};
use pirn::trace::Event;

use crate::check::rule;
use crate::hook::AFTER_SAY;
use crate::log::{Did, Leaving, Log, Step};
use crate::replay::ReplayError;
use crate::report::Verdict;
use crate::simulation::{Simulation, lease};
use crate::trace::Trace;

mod phrase;
mod place;

/// Lines that a story has room for, beside those that are always told.
const ROOM: usize = 30;

/// Stacks are kept for this many of the last steps: each takes some microseconds.
const STACKS: usize = 20_000;

/// What happened in a run. Its `Display` is meant to be read.
#[derive(Clone, Debug)]
pub struct Story {
    /// What must hold, if an invariant of the runtime broke: its number, its name, its sentence.
    pub rule: Option<(String, String, String)>,
    /// What was found.
    pub found: String,
    /// The threads' turns, in the order in which they ran.
    pub turns: Vec<Turn>,
    /// Steps that were left out.
    pub left_out: usize,
    /// Virtual time at the end, ns.
    pub time_ns: u64,
}

/// A stretch of the run in which one thread ran.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The thread's number.
    pub thread: u32,
    /// Who it is: `worker 1`, with its host if there are several, else the name of the thread.
    pub who: String,
    /// Steps that matter and are left out before the first line, for want of room.
    pub gap: usize,
    /// What it did.
    pub lines: Vec<Line>,
    /// How the turn ended, if it was stopped or that matters.
    pub end: Option<Line>,
}

/// A sentence of a story.
#[derive(Clone, Debug)]
pub struct Line {
    /// What happened.
    pub what: String,
    /// Where: `file:line`.
    pub place: Option<String>,
    /// The source line itself.
    pub code: Option<String>,
    weight: Weight,
    at: Option<&'static Location<'static>>,
    step: usize,
}

impl Line {
    fn new(what: String, weight: Weight, at: Option<&'static Location<'static>>, step: usize) -> Self {
        Self { what, place: None, code: None, weight, at, step }
    }
}

impl Simulation {
    /// Replays a trace strictly and tells what happened; `full`: every event and note.
    pub fn story(&self, trace: &Trace, full: bool) -> Result<Story, ReplayError> {
        let lease = lease();
        self.replay_on(&lease, trace, Some(Log::default()))?;
        let steps = lease.executor().world().log.take().unwrap_or_default().len();
        let log = Log { stacks_from: Some(steps.saturating_sub(STACKS)), ..Log::default() };
        let outcome = self.replay_on(&lease, trace, Some(log))?;
        let world = lease.executor().world();
        let log = world.log.take().unwrap_or_default();
        let several = world.hosts.len() > 1;
        let threads = world
            .threads
            .iter()
            .map(|thread| Lane {
                name: thread.name.clone(),
                host: if several {
                    format!("{}: ", world.hosts[thread.host as usize].name)
                } else {
                    String::new()
                },
                seat: None,
                at: None,
            })
            .collect();
        let teller = Teller {
            about: about(&outcome.verdict),
            hangs: matches!(outcome.verdict, Verdict::Deadlock(_)),
            full,
            lanes: threads,
            turns: Vec::new(),
        };
        Ok(teller.tell(&log, &outcome.verdict, outcome.time_ns))
    }
}

fn about(verdict: &Verdict) -> About {
    match verdict {
        Verdict::Violation(violation) => About::invariant(violation.invariant, violation.task),
        _ => About::Program,
    }
}

/// A thread.
struct Lane {
    name: String,
    host: String,
    seat: Option<u16>,
    /// Its last point.
    at: Option<&'static Location<'static>>,
}

impl Lane {
    fn who(&self) -> String {
        let main = self.name.ends_with("/main");
        match self.seat {
            Some(seat) if main => format!("{}worker {seat} (the main thread)", self.host),
            Some(seat) => format!("{}worker {seat}", self.host),
            None => self.name.clone(),
        }
    }
}

struct Teller {
    about: About,
    /// Whether it ended because nothing could go on.
    hangs: bool,
    full: bool,
    lanes: Vec<Lane>,
    turns: Vec<Turn>,
}

impl Teller {
    fn tell(mut self, log: &Log, verdict: &Verdict, time_ns: u64) -> Story {
        // Who is which worker, from the whole run: a thread's first turns come before it says so.
        for step in &log.steps {
            if let Did::Event(event) = &step.did
                && let Some(seat) = phrase::seat_of(event)
            {
                self.lanes[step.thread as usize].seat.get_or_insert(seat);
            }
        }
        for (number, step) in (log.dropped..).zip(&log.steps) {
            self.step(number, step);
        }
        self.merge();
        self.last_word(verdict);
        let left_out = self.select();
        self.join();
        self.places(log);
        let rule = match verdict {
            Verdict::Violation(violation) => Some((
                violation.invariant.to_owned(),
                violation.name.to_owned(),
                rule(violation.invariant).to_owned(),
            )),
            _ => None,
        };
        let found = match verdict {
            Verdict::Violation(violation) => violation.message.clone(),
            other => other.to_string().trim_end().to_owned(),
        };
        Story { rule, found, turns: self.turns, left_out, time_ns }
    }

    /// The turn of `thread`.
    fn turn(&mut self, thread: u32) -> &mut Turn {
        if self.turns.last().is_none_or(|turn| turn.thread != thread || turn.end.is_some()) {
            let who = self.lanes[thread as usize].who();
            self.turns.push(Turn { thread, who, gap: 0, lines: Vec::new(), end: None });
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    fn step(&mut self, number: usize, step: &Step) {
        let thread = step.thread;
        let lane = &mut self.lanes[thread as usize];
        let (me, at) = (lane.seat, lane.at);
        let everything = |weight: Weight| if self.full { Weight::Always } else { weight };
        let line = match &step.did {
            Did::Point(at, _) => {
                lane.at = Some(at);
                return;
            }
            Did::Event(event) => {
                Line::new(phrase::event(me, event), everything(phrase::weigh(self.about, event)), at, number)
            }
            Did::Note(note) => Line::new(
                phrase::note(me, note),
                everything(phrase::weigh_note(self.about, note)),
                at,
                number,
            ),
            Did::Chose(entry) => {
                Line::new(phrase::choice(entry), everything(phrase::weigh_choice(entry)), at, number)
            }
            Did::Said(text, Some(place)) => {
                let mut line = Line::new(format!("says: {text}"), Weight::Always, None, number);
                line.place = Some(Place::from(*place).to_string());
                line
            }
            Did::Said(text, None) => Line::new(format!("world: {text}"), Weight::Always, None, number),
            Did::Leaves(_, leaving) => {
                let (what, weight) = match leaving {
                    Leaving::Stopped => ("is stopped here".to_owned(), Weight::Always),
                    Leaving::Waits(what) => (what.clone(), everything(Weight::Little)),
                    Leaving::Ended => ("ends".to_owned(), everything(Weight::Never)),
                };
                self.turn(thread).end = Some(Line::new(what, weight, at, number));
                return;
            }
        };
        if line.weight > Weight::Never {
            self.turn(thread).lines.push(line);
        } else {
            self.turn(thread);
        }
    }

    /// Two steps that belong together become one sentence.
    fn merge(&mut self) {
        if self.full {
            return;
        }
        let pairs = [
            ("spawns task ", "puts task ", " into ", ", into "),
            ("takes task ", "polls task ", "", " and polls it"),
            ("wakes task ", "puts task ", " into ", ", which goes into "),
        ];
        for turn in &mut self.turns {
            let mut merged: Vec<Line> = Vec::new();
            for line in turn.lines.drain(..) {
                let joined = merged.last().and_then(|before| {
                    pairs.iter().find_map(|(first, second, from, join)| {
                        let task = number_after(&before.what, first)?;
                        (number_after(&line.what, second)? == task).then_some(())?;
                        let rest = if from.is_empty() { "" } else { line.what.split_once(from)?.1 };
                        Some(format!("{}{join}{rest}", before.what))
                    })
                });
                match (joined, merged.last_mut()) {
                    (Some(what), Some(before)) => {
                        before.what = what;
                        before.weight = before.weight.max(line.weight);
                    }
                    _ => merged.push(line),
                }
            }
            turn.lines = merged;
        }
    }

    /// The story ends where the run did.
    fn last_word(&mut self, verdict: &Verdict) {
        let what = match verdict {
            Verdict::Pass => return,
            Verdict::Violation(violation) => format!("here {} is broken", violation.invariant),
            Verdict::Panic(text) => {
                let text = text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
                text.split_once(" panicked: ")
                    .map_or_else(|| text.to_owned(), |(_, what)| format!("panics: {what}"))
            }
            Verdict::Deadlock(_) => {
                "here nothing can go on: every thread waits, and nothing is due".to_owned()
            }
            Verdict::Livelock(_) => {
                "here the simulator gives up: threads run, and nothing gets on".to_owned()
            }
            other => other.name().to_owned(),
        };
        if let Some(turn) = self.turns.last_mut() {
            let at = self.lanes[turn.thread as usize].at.filter(|_| matches!(verdict, Verdict::Violation(_)));
            turn.end = Some(Line::new(what, Weight::Always, at, usize::MAX));
        }
    }

    /// Keeps what there is room for, the last first, and counts the rest.
    fn select(&mut self) -> usize {
        let of = |turns: &[Turn], weight: Weight| {
            turns.iter().flat_map(|turn| &turn.lines).filter(|line| line.weight == weight).count()
        };
        let (much, little) = (of(&self.turns, Weight::Much), of(&self.turns, Weight::Little));
        let mut room_much = ROOM.min(much);
        let mut room_little = (ROOM - room_much).min(little);
        // A few of less weight are worse than none: they look like all.
        if room_little < little {
            room_little = 0;
        }
        let mut left_out = 0;
        for turn in self.turns.iter_mut().rev() {
            let mut kept = Vec::new();
            for line in turn.lines.drain(..).rev() {
                let room = match line.weight {
                    Weight::Always => &mut 1,
                    Weight::Much => &mut room_much,
                    _ => &mut room_little,
                };
                if *room > 0 {
                    *room -= 1;
                    kept.push(line);
                } else {
                    left_out += 1;
                    turn.gap += usize::from(line.weight > Weight::Little);
                }
            }
            kept.reverse();
            turn.lines = kept;
            let told = !turn.lines.is_empty();
            turn.end = turn
                .end
                .take()
                .filter(|end| end.weight == Weight::Always || told && end.weight == Weight::Little);
        }
        left_out
    }

    /// Drops turns of which nothing is told, joins those of one thread that have become neighbours, and lines that repeat.
    fn join(&mut self) {
        let mut gap = 0;
        self.turns.retain_mut(|turn| {
            gap += turn.gap;
            let told = !turn.lines.is_empty() || turn.end.is_some();
            if told {
                turn.gap = std::mem::take(&mut gap);
            }
            told
        });
        let mut joined: Vec<Turn> = Vec::new();
        for turn in self.turns.drain(..) {
            match joined.last_mut() {
                Some(before) if before.thread == turn.thread && turn.gap == 0 => {
                    let stopped = before.end.take().filter(|end| end.weight == Weight::Always);
                    before.lines.extend(stopped);
                    before.lines.extend(turn.lines);
                    before.end = turn.end;
                }
                _ => joined.push(turn),
            }
        }
        for turn in &mut joined {
            if !self.full {
                fold(&mut turn.lines);
            }
        }
        self.turns = joined;
    }

    /// Finds the places of what is told.
    fn places(&mut self, log: &Log) {
        let stacks: HashMap<usize, &std::backtrace::Backtrace> =
            log.stacks.iter().map(|(step, stack)| (*step, stack)).collect();
        let mut sources = Sources::default();
        let mut points: HashMap<usize, &'static str> = HashMap::new();
        let mut last: HashMap<u32, &'static str> = HashMap::new();
        for (number, step) in (log.dropped..).zip(&log.steps) {
            match &step.did {
                Did::Point(_, what) => drop(last.insert(step.thread, what)),
                Did::Leaves(_, Leaving::Stopped) => {
                    points.extend(last.get(&step.thread).map(|what| (number, *what)));
                }
                _ => {}
            }
        }
        let program = self.about == About::Program;
        let waits = if self.hangs { waiting(log) } else { Vec::new() };
        for turn in &mut self.turns {
            for line in turn.lines.iter_mut().chain(&mut turn.end) {
                let user = stacks.get(&line.step).and_then(|stack| place::of_user(stack));
                let core = line.at.map(Place::from);
                if let Some(before) = points.get(&line.step) {
                    line.what = match (&user, &core, program) {
                        _ if *before == AFTER_SAY => "is stopped right after that".to_owned(),
                        (Some(_), Some(core), true) => {
                            format!("is stopped inside the runtime, before {before} ({core})")
                        }
                        (Some(user), Some(_), false) => {
                            format!("is stopped before {before}, called at {user}")
                        }
                        _ => format!("is stopped before {before}"),
                    };
                    let told = if program { user.or(core) } else { core };
                    if *before != AFTER_SAY {
                        line.code = told.as_ref().and_then(|place| sources.line(place));
                    }
                    line.place = told.map(|place| place.to_string());
                } else if line.step == usize::MAX {
                    line.code = core.as_ref().and_then(|place| sources.line(place));
                    line.place = core.map(|place| place.to_string());
                } else if line.place.is_none() && !line.what.starts_with("waits ") {
                    // The user's own line says more; the core's own is noise in the story of a program.
                    let told = user.or(core.filter(|_| !program));
                    if waits.contains(&line.step) {
                        line.what += ", for which it waits to the end";
                        line.code = told.as_ref().and_then(|place| sources.line(place));
                    }
                    line.place = told.map(|place| place.to_string());
                }
            }
        }
    }
}

/// The steps at which the ops were submitted that never completed nor were cancelled.
fn waiting(log: &Log) -> Vec<usize> {
    let mut open: HashMap<(u32, u64), usize> = HashMap::new();
    for (number, step) in (log.dropped..).zip(&log.steps) {
        match step.did {
            Did::Event(Event::Submit { token, .. }) => drop(open.insert((step.thread, token), number)),
            Did::Event(Event::Complete { token, .. } | Event::CancelOp { token }) => {
                open.retain(|(thread, of), _| *of != token || *thread != step.thread);
            }
            _ => {}
        }
    }
    open.into_values().collect()
}

/// The number that follows `words` at the start of `text`.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let rest = text.strip_prefix(words)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Of more than three neighbours that differ in their numbers only, the first and the last are told.
fn fold(lines: &mut Vec<Line>) {
    let shape = |line: &Line| line.what.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut folded: Vec<Line> = Vec::new();
    let mut rest = std::mem::take(lines).into_iter().peekable();
    while let Some(first) = rest.next() {
        let like = shape(&first);
        let mut same = Vec::new();
        while let Some(next) = rest.next_if(|next| shape(next) == like && first.weight < Weight::Always) {
            same.push(next);
        }
        folded.push(first);
        if same.len() > 2
            && let Some(mut last) = same.pop()
        {
            last.what = format!("... {} more like this, at last: {}", same.len(), last.what);
            folded.push(last);
        } else {
            folded.extend(same);
        }
    }
    *lines = folded;
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((id, name, rule)) = &self.rule {
            writeln!(f, "what must hold  {id}, {name}: {rule}")?;
        }
        writeln!(f, "what was found  {}", self.found.replace('\n', "\n                "))?;
        writeln!(f, "how it came about, turn by turn of the threads; > says how a turn ended")?;

        let width = self
            .turns
            .iter()
            .flat_map(|turn| turn.lines.iter().chain(&turn.end))
            .map(|line| line.what.chars().count())
            .filter(|width| *width <= 84)
            .max()
            .unwrap_or(0);
        for turn in &self.turns {
            if turn.gap > 0 {
                writeln!(f, "  ... {} step{} left out", turn.gap, if turn.gap == 1 { "" } else { "s" })?;
            }
            writeln!(f, "  {}", turn.who)?;
            for (line, mark) in
                turn.lines.iter().map(|line| (line, ' ')).chain(turn.end.iter().map(|line| (line, '>')))
            {
                write!(f, "   {mark} {}", line.what)?;
                if let Some(place) = &line.place {
                    let gap = width.saturating_sub(line.what.chars().count());
                    write!(f, "{:gap$}   {place}", "")?;
                }
                writeln!(f)?;
                if let Some(code) = &line.code {
                    writeln!(f, "         | {code}")?;
                }
            }
        }
        Ok(())
    }
}
