//! The dump of a runtime: its tasks and the last events of each worker, as a file that other versions can refuse.
//!
//! # The format, version 1
//! UTF-8 text, one record a line, fields separated by tabs. In order:
//!
//! | record | fields |
//! |---|---|
//! | `pirn-dump` | 1, the format's version: the first line |
//! | `about` | key, value. `pirn`: the version that wrote it; `os`: the backend; `reason`; `workers`; `now`: the clock of the events, ns; `wall`: seconds since 1970 |
//! | `task` | number, state, ns in that state or `-`, worker, `pinned` or `-`, spawn location, name, then what it waits for, a field each |
//! | `site` | number, location, name: what the `site` of a `Spawn` event means |
//! | `worker` | number, the task it polls (`-`: none, 0: a main future), ns since that poll began or `-`: the events up to the next such line are its own |
//! | `e` | the two words of an [`Event`], hexadecimal, oldest first |
//! | `end` | the number of lines before this one: the last line |
//!
//! A reader skips records it does not know. A change that such a reader would misread raises the version.

use core::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::{TaskInfo, TaskState};
use crate::sched::Shared;
use crate::task::Id;
use crate::trace::{DecodeError, Event, WORDS};

/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 1;
/// Dumps of one name and second at most.
const SAME_NAME: u32 = 1_000;

/// What [`Handle::dump`](crate::Handle::dump) took, or a file held. Files: [`save_in`](Self::save_in), [`load`](Self::load).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dump {
    /// The version of Pirn that took it.
    pub pirn: String,
    /// The backend.
    pub os: String,
    /// Why it was taken.
    pub reason: String,
    /// When, on the clock of the events (ns).
    pub now: u64,
    /// When, in seconds since 1970.
    pub wall: u64,
    /// All tasks that were polled and are not over.
    pub tasks: Vec<TaskInfo>,
    /// Where tasks were spawned.
    pub sites: Vec<Site>,
    /// Each worker, and its last events if [`Builder::recorder`](crate::Builder::recorder) is on.
    pub workers: Vec<WorkerDump>,
}

/// A place that spawns, with a type of future.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The number in `Spawn` events, from 1.
    pub number: u32,
    /// File, line, column.
    pub location: String,
    /// The type of the future.
    pub name: String,
}

/// One worker at the moment of the dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerDump {
    /// The task it polls; `Some(None)`: a main future.
    pub polling: Option<Option<Id>>,
    /// Since when, if that is known.
    pub since: Option<Duration>,
    /// Its last events as recorded, oldest first.
    pub words: Vec<[u64; WORDS]>,
}

impl WorkerDump {
    /// Its last events. An error stands for one that this version does not know.
    pub fn events(&self) -> impl Iterator<Item = Result<Event, DecodeError>> + '_ {
        self.words.iter().map(|words| Event::decode(*words))
    }
}

/// Takes a dump.
pub(crate) fn take(shared: &Shared, reason: &str) -> Dump {
    // Before the clock is read, so that nothing in them is later than the dump.
    let recorded =
        |seat: &crate::sched::Seat| seat.recorder.as_ref().map_or_else(Vec::new, |ring| ring.words());
    let words: Vec<_> = shared.seats.iter().map(recorded).collect();
    let now = shared.os.now().as_nanos();
    let worker = |(seat, words): (&crate::sched::Seat, _)| {
        let in_poll = seat.pulse.beat.get() % 2 == 1;
        let task = seat.pulse.task.get();
        let began = seat.measures.as_ref().map_or(0, |measures| measures.began.get());
        WorkerDump {
            polling: in_poll.then_some((task != 0).then_some(Id(task))),
            since: (in_poll && began > 0).then(|| Duration::from_nanos(now.saturating_sub(began))),
            words,
        }
    };
    Dump {
        pirn: env!("CARGO_PKG_VERSION").to_owned(),
        os: shared.os.name().to_owned(),
        reason: reason.to_owned(),
        now,
        wall: shared.os.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        // The events first: what they tell of is in the lists then, if it is not over.
        workers: shared.seats.iter().zip(words).map(worker).collect(),
        tasks: super::collect_tasks(shared),
        sites: shared.sites.all(),
    }
}

impl Dump {
    /// Writes the dump to a new file in this folder, named `pirn-SECONDS-WORD.dump` by the time and the reason. Its path.
    ///
    /// # Errors
    /// The file can't be created or written.
    pub fn save_in(&self, folder: impl AsRef<Path>) -> io::Result<PathBuf> {
        let word: String = self.reason.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        let stem = format!("pirn-{}-{}", self.wall, if word.is_empty() { "call" } else { &word });
        let text = self.to_string();
        let mut number = 0;
        loop {
            number += 1;
            let name = if number == 1 { format!("{stem}.dump") } else { format!("{stem}-{number}.dump") };
            let path = folder.as_ref().join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < SAME_NAME => {}
                Err(error) => {
                    let text = format!("a dump can't be written to {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
    }

    /// Reads a file that [`save_in`](Self::save_in) wrote.
    ///
    /// # Errors
    /// The file can't be read, is no dump, is damaged or of another format; the message says which, and where.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DumpError> {
        let bytes = std::fs::read(path).map_err(|error| DumpError(format!("it can't be read: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| DumpError("it is no dump of Pirn: it holds other bytes than text".to_owned()))?;
        Self::parse(&text)
    }

    /// Reads the text of a dump.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        let mut dump = Self::default();
        let mut ended = None;
        for (at, line) in text.lines().enumerate() {
            let (record, fields) = line.split_once('\t').unwrap_or((line, ""));
            let fields = Fields { line: at + 1, record, left: fields.split('\t') };
            if at == 0 {
                dump.check_format(record, fields)?;
                continue;
            }
            if ended.is_some() {
                return Err(fields.bad("nothing may come after the record `end`"));
            }
            match record {
                "about" => dump.about(fields)?,
                "task" => dump.tasks.push(task(fields)?),
                "site" => dump.sites.push(site(fields)?),
                "worker" => dump.workers.push(worker(fields, dump.workers.len())?),
                "e" => dump.event(fields)?,
                "end" => ended = Some(end(fields, at)?),
                _ => {}
            }
        }
        if text.is_empty() {
            return Err(DumpError("the file is empty".to_owned()));
        }
        match ended {
            Some(()) => Ok(dump),
            None => Err(DumpError(format!(
                "it ends after {} lines without the record `end`: it was cut off, take the dump again",
                text.lines().count()
            ))),
        }
    }

    fn check_format(&self, record: &str, mut fields: Fields<'_>) -> Result<(), DumpError> {
        if record != "pirn-dump" {
            return Err(DumpError(
                "it is no dump of Pirn: its first line does not begin with `pirn-dump`".to_owned(),
            ));
        }
        match fields.number::<u32>("the format's version")? {
            FORMAT => Ok(()),
            other => Err(DumpError(format!(
                "it has format {other}, and this version of Pirn reads format {FORMAT}: use the `pirn` of the version that wrote it"
            ))),
        }
    }

    fn about(&mut self, mut fields: Fields<'_>) -> Result<(), DumpError> {
        match fields.text("a key")? {
            "pirn" => self.pirn = fields.owned("a version")?,
            "os" => self.os = fields.owned("a backend")?,
            "reason" => self.reason = fields.owned("a reason")?,
            "now" => self.now = fields.number("a time")?,
            "wall" => self.wall = fields.number("a time")?,
            _ => {}
        }
        Ok(())
    }

    fn event(&mut self, mut fields: Fields<'_>) -> Result<(), DumpError> {
        let words = [fields.hex()?, fields.hex()?];
        match self.workers.last_mut() {
            Some(worker) => worker.words.push(words),
            None => return Err(fields.bad("no worker was named before this event")),
        }
        Ok(())
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines { out: f, count: 0 };
        lines.line(format_args!("pirn-dump\t{FORMAT}"))?;
        lines.line(format_args!("about\tpirn\t{}", clean(&self.pirn)))?;
        lines.line(format_args!("about\tos\t{}", clean(&self.os)))?;
        lines.line(format_args!("about\treason\t{}", clean(&self.reason)))?;
        lines.line(format_args!("about\tworkers\t{}", self.workers.len()))?;
        lines.line(format_args!("about\tnow\t{}", self.now))?;
        lines.line(format_args!("about\twall\t{}", self.wall))?;
        for task in &self.tasks {
            let mut waits = String::new();
            task.waits.iter().try_for_each(|wait| write!(waits, "\t{}", clean(wait)))?;
            lines.line(format_args!(
                "task\t{}\t{}\t{}\t{}\t{}\t{}\t{}{waits}",
                task.id.get(),
                task.state,
                nanos(task.since),
                task.worker,
                if task.pinned { "pinned" } else { "-" },
                clean(&task.spawned_at),
                clean(&task.name),
            ))?;
        }
        for site in &self.sites {
            let (location, name) = (clean(&site.location), clean(&site.name));
            lines.line(format_args!("site\t{}\t{location}\t{name}", site.number))?;
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let polling = match worker.polling {
                None => "-".to_owned(),
                Some(task) => task.map_or(0, Id::get).to_string(),
            };
            lines.line(format_args!("worker\t{number}\t{polling}\t{}", nanos(worker.since)))?;
            worker.words.iter().try_for_each(|[a, b]| lines.line(format_args!("e\t{a:x}\t{b:x}")))?;
        }
        let count = lines.count;
        lines.line(format_args!("end\t{count}"))
    }
}

/// Writes lines and counts them.
struct Lines<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    count: usize,
}

impl Lines<'_, '_> {
    fn line(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        self.count += 1;
        self.out.write_fmt(text)?;
        self.out.write_char('\n')
    }
}

/// A text as a field: without tabs and ends of lines.
fn clean(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

fn nanos(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.as_nanos().to_string())
}

/// The fields of one line.
struct Fields<'a> {
    line: usize,
    record: &'a str,
    left: core::str::Split<'a, char>,
}

impl<'a> Fields<'a> {
    fn bad(&self, what: &str) -> DumpError {
        DumpError(format!("line {}, record `{}`: {what}", self.line, self.record))
    }

    fn text(&mut self, what: &str) -> Result<&'a str, DumpError> {
        let text = self.left.next();
        text.ok_or_else(|| self.bad(&format!("{what} is missing")))
    }

    fn owned(&mut self, what: &str) -> Result<String, DumpError> {
        self.text(what).map(str::to_owned)
    }

    fn number<T: core::str::FromStr>(&mut self, what: &str) -> Result<T, DumpError> {
        let text = self.text(what)?;
        text.parse().map_err(|_| self.bad(&format!("{text:?} stands for {what}, which is a number")))
    }

    fn hex(&mut self) -> Result<u64, DumpError> {
        let text = self.text("a word of the event")?;
        u64::from_str_radix(text, 16).map_err(|_| self.bad(&format!("{text:?} is no hexadecimal number")))
    }

    /// A time, or `-`.
    fn time(&mut self) -> Result<Option<Duration>, DumpError> {
        match self.text("a time")? {
            "-" => Ok(None),
            text => match text.parse() {
                Ok(nanos) => Ok(Some(Duration::from_nanos(nanos))),
                Err(_) => Err(self.bad(&format!("{text:?} is no time in ns"))),
            },
        }
    }
}

fn task(mut fields: Fields<'_>) -> Result<TaskInfo, DumpError> {
    let id = Id(fields.number("the task's number")?);
    let state = fields.text("the state")?;
    let state =
        TaskState::parse(state).ok_or_else(|| fields.bad(&format!("{state:?} is no state of a task")))?;
    Ok(TaskInfo {
        id,
        state,
        since: fields.time()?,
        worker: fields.number("the worker")?,
        pinned: fields.text("`pinned` or `-`")? == "pinned",
        spawned_at: fields.owned("the spawn location")?,
        name: fields.owned("the name")?,
        waits: fields.left.map(str::to_owned).collect(),
    })
}

fn site(mut fields: Fields<'_>) -> Result<Site, DumpError> {
    Ok(Site {
        number: fields.number("the site's number")?,
        location: fields.owned("the location")?,
        name: fields.owned("the name")?,
    })
}

fn worker(mut fields: Fields<'_>, expected: usize) -> Result<WorkerDump, DumpError> {
    let number: usize = fields.number("the worker's number")?;
    if number != expected {
        return Err(fields.bad(&format!("worker {number} stands where worker {expected} belongs")));
    }
    let polling = match fields.text("a task or `-`")? {
        "-" => None,
        "0" => Some(None),
        text => match text.parse() {
            Ok(id) => Some(Some(Id(id))),
            Err(_) => return Err(fields.bad(&format!("{text:?} is no task"))),
        },
    };
    Ok(WorkerDump { polling, since: fields.time()?, words: Vec::new() })
}

fn end(mut fields: Fields<'_>, before: usize) -> Result<(), DumpError> {
    match fields.number::<usize>("the number of lines")? {
        lines if lines == before => Ok(()),
        lines => {
            Err(fields.bad(&format!("{lines} lines were written and {before} are here: lines are missing")))
        }
    }
}

/// Why a file is not read as a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpError(String);

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DumpError {}
