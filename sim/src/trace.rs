//! Traces: a run as JSON, made to be read and diffed.
//!
//! ```json
//! {
//! "header": { "format": 2, "pirn": "0.1.0", "program": "echo", "args": {}, "hosts": ["server"], "seed": 7, "options": {} },
//! "choices": [
//! [0,12,3,1,"switch",2891336453,2]
//! ],
//! "digests": ["0x8a5cd789635d2dff"],
//! "outcome": { "verdict": "pass", "message": "", "points": 1500, "switches": 61, "events": 90, "time_ns": 0, "digest": "0x0123456789abcdef" }
//! }
//! ```
//! A choice is `[thread, that thread's events so far, its points since, choices since that point, kind, hash of the offer, option]`; option 0 is
//! never written, and the option of a `switch` or `next` is 1 + the number of the thread that runs. A digest stands for each 1,024 points. Fields
//! that this version does not know are kept, wherever they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::choice::Entry;
use crate::fault::Faults;
use crate::options::{Asked, Options};

/// The version of the format.
pub const FORMAT: u32 = 2;

/// No larger file is read: a run of the default limits writes far less.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// A recorded run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub(crate) header: Header,
    pub(crate) choices: Vec<Entry>,
    pub(crate) digests: Vec<u64>,
    pub(crate) outcome: Summary,
    /// Of all that was read what no field here stands for, in its place.
    unknown: Value,
}

/// What is needed to run it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) pirn: String,
    pub(crate) program: String,
    #[serde(default)]
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) options: Options,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) verdict: String,
    pub(crate) message: String,
    pub(crate) points: u64,
    pub(crate) switches: u64,
    pub(crate) events: u64,
    pub(crate) time_ns: u64,
    #[serde(with = "hex")]
    pub(crate) digest: u64,
}

/// Why a trace could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum TraceError {
    /// The file can't be read.
    Io(io::Error),
    /// The file is too large to be a trace.
    TooLarge(u64),
    /// It ends in the middle.
    Truncated(String),
    /// It is not JSON, or not a trace.
    Malformed(String),
    /// It was written in a format that this version does not know.
    Format(u64),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the trace can't be read: {error}"),
            Self::TooLarge(bytes) => {
                write!(
                    f,
                    "{bytes} bytes are too many for a trace (at most {MAX_BYTES}): is this the right file?"
                )
            }
            Self::Truncated(at) => write!(f, "the trace ends in the middle ({at}): copy it again, whole"),
            Self::Malformed(what) => write!(f, "this is no trace: {what}"),
            Self::Format(format) => write!(
                f,
                "the trace has format {format}, this version reads format {FORMAT}: replay it with the pirn that wrote it"
            ),
        }
    }
}

impl std::error::Error for TraceError {}

impl From<io::Error> for TraceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<serde_json::Error> for TraceError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_eof() { Self::Truncated(error.to_string()) } else { Self::Malformed(error.to_string()) }
    }
}

impl Trace {
    pub(crate) fn new(header: Header, choices: Vec<Entry>, digests: Vec<u64>, outcome: Summary) -> Self {
        Self { header, choices, digests, outcome, unknown: Value::Object(Map::new()) }
    }

    /// Reads a trace.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        if size > MAX_BYTES {
            return Err(TraceError::TooLarge(size));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        // A pipe or a growing file has no honest size: read no more than is allowed.
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(TraceError::TooLarge(bytes.len() as u64));
        }
        Self::parse(&bytes)
    }

    /// Reads a trace from JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, TraceError> {
        #[derive(Deserialize)]
        struct Peek {
            header: PeekHeader,
        }
        #[derive(Deserialize)]
        struct PeekHeader {
            format: u64,
        }
        // The format first: another one may look different everywhere else.
        let peek: Peek = serde_json::from_slice(bytes)?;
        if peek.header.format != u64::from(FORMAT) {
            return Err(TraceError::Format(peek.header.format));
        }
        let Parts { mut header, choices, digests, outcome, others } = serde_json::from_slice(bytes)?;
        if let Some(options) = header.get_mut("options") {
            merge(options, &quiet_options()?);
        }
        let known: Header = serde_json::from_value(header.clone())?;
        let ended: Summary = serde_json::from_value(outcome.clone())?;
        let mut unknown: Map<String, Value> = others.into_iter().collect();
        for (name, read, known) in [
            ("header", header, serde_json::to_value(&known)?),
            ("outcome", outcome, serde_json::to_value(&ended)?),
        ] {
            unknown.extend(beyond(read, &known).map(|rest| (name.to_owned(), rest)));
        }
        let trace = Self { header: known, choices, digests, outcome: ended, unknown: Value::Object(unknown) };
        trace.plausible()?;
        Ok(trace)
    }

    fn plausible(&self) -> Result<(), TraceError> {
        let malformed = |what: String| Err(TraceError::Malformed(what));
        if self.header.hosts.is_empty() || self.header.options.workers.len() != self.header.hosts.len() {
            return malformed(format!(
                "{} hosts with {} numbers of workers",
                self.header.hosts.len(),
                self.header.options.workers.len()
            ));
        }
        for (at, entry) in self.choices.iter().enumerate() {
            if entry.pick == 0 || entry.nth == 0 {
                return malformed(format!(
                    "choice {} ({entry:?}) is impossible: option 0 is never written, and choices count from 1",
                    at + 1
                ));
            }
        }
        Ok(())
    }

    /// Writes the trace; a file that is there is replaced as a whole.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let half = path.with_extension("half");
        let mut file = BufWriter::new(File::create(&half)?);
        self.write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(half, path)
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let with_unknown = |name: &str, known: serde_json::Result<Value>| -> io::Result<Value> {
            let mut value = known?;
            if let Some(unknown) = self.unknown.get(name) {
                merge(&mut value, unknown);
            }
            Ok(value)
        };
        write!(to, "{{\n\"header\": ")?;
        serde_json::to_writer_pretty(&mut *to, &with_unknown("header", serde_json::to_value(&self.header))?)?;
        write!(to, ",\n\"choices\": [")?;
        for (at, entry) in self.choices.iter().enumerate() {
            to.write_all(if at == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *to, entry)?;
        }
        write!(to, "\n],\n\"digests\": [")?;
        for (at, digest) in self.digests.iter().enumerate() {
            write!(to, "{}\"{digest:#018x}\"", if at == 0 { "\n" } else { ",\n" })?;
        }
        write!(to, "\n],\n\"outcome\": ")?;
        serde_json::to_writer_pretty(
            &mut *to,
            &with_unknown("outcome", serde_json::to_value(&self.outcome))?,
        )?;
        for (name, value) in self.unknown.as_object().into_iter().flatten() {
            if matches!(name.as_str(), "header" | "outcome") {
                continue;
            }
            write!(to, ",\n{}: ", Value::String(name.clone()))?;
            serde_json::to_writer_pretty(&mut *to, value)?;
        }
        to.write_all(b"\n}\n")
    }

    /// The name of the program that ran.
    pub fn program(&self) -> &str {
        &self.header.program
    }

    /// Its arguments.
    pub fn args(&self) -> &BTreeMap<String, String> {
        &self.header.args
    }

    /// The seed it was drawn from.
    pub fn seed(&self) -> u64 {
        self.header.seed
    }

    /// The version of pirn that wrote it.
    pub fn pirn_version(&self) -> &str {
        &self.header.pirn
    }

    /// The hosts, in order of their numbers.
    pub fn hosts(&self) -> &[String] {
        &self.header.hosts
    }

    /// The recorded choices.
    pub fn choices(&self) -> &[Entry] {
        &self.choices
    }

    /// `pass`, `violation`, `panic`, `deadlock`, `livelock` or `unsupported`.
    pub fn verdict(&self) -> &str {
        &self.outcome.verdict
    }

    /// What the verdict says beyond its name.
    pub fn message(&self) -> &str {
        &self.outcome.message
    }

    /// The digest of all events.
    pub fn digest(&self) -> u64 {
        self.outcome.digest
    }

    /// What the run drew from its seed, as text for people.
    pub fn options(&self) -> String {
        serde_json::to_string(&self.header.options).unwrap_or_default()
    }
}

/// A trace as it is read.
#[derive(Deserialize)]
struct Parts {
    header: Value,
    choices: Vec<Entry>,
    #[serde(deserialize_with = "hex_list::deserialize")]
    digests: Vec<u64>,
    outcome: Value,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The options of a run in which nothing goes wrong, for those that an older trace does not know. What every trace has to say is
/// not among them.
fn quiet_options() -> serde_json::Result<Value> {
    let asked = Asked { faults: Faults::none(), ..Asked::default() };
    let mut options = serde_json::to_value(asked.draw(0, 1, 0))?;
    if let Value::Object(options) = &mut options {
        for name in ["walk", "preempt", "tso", "workers", "sizes", "faults", "entropy"] {
            options.remove(name);
        }
    }
    Ok(options)
}

/// What `read` has that `known` has not.
fn beyond(read: Value, known: &Value) -> Option<Value> {
    let (Value::Object(read), Value::Object(known)) = (read, known) else { return None };
    let rest: Map<String, Value> = read
        .into_iter()
        .filter_map(|(name, value)| match known.get(&name) {
            Some(known) => beyond(value, known).map(|rest| (name, rest)),
            None => Some((name, value)),
        })
        .collect();
    (!rest.is_empty()).then_some(Value::Object(rest))
}

/// Adds to `value` what only `more` has.
fn merge(value: &mut Value, more: &Value) {
    let (Value::Object(value), Value::Object(more)) = (value, more) else { return };
    for (name, more) in more {
        match value.get_mut(name) {
            Some(known) => merge(known, more),
            None => drop(value.insert(name.clone(), more.clone())),
        }
    }
}

mod hex {
    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:#018x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no digest: it has the form 0x0123456789abcdef"))
        })
    }

    pub(super) fn parse(text: &str) -> Option<u64> {
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    }
}

mod hex_list {
    use super::{Deserialize, Deserializer, hex};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "hex")] u64);
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(value)| value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Kind;

    fn trace() -> Trace {
        let header = Header {
            format: FORMAT,
            pirn: "0.1.0".into(),
            program: "p".into(),
            args: BTreeMap::from([("n".into(), "3".into())]),
            hosts: vec!["a".into()],
            seed: u64::MAX,
            options: Asked::default().draw(3, 1, 100),
        };
        let entry = Entry { thread: 0, event: 1, point: 2, nth: 1, kind: Kind::Switch, offer: 3, pick: 2 };
        let outcome = Summary {
            verdict: "pass".into(),
            message: String::new(),
            points: 1,
            switches: 2,
            events: 3,
            time_ns: 4,
            digest: 5,
        };
        Trace::new(header, vec![entry, entry], vec![7, u64::MAX], outcome)
    }

    fn text(trace: &Trace) -> String {
        let mut bytes = Vec::new();
        trace.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let trace = trace();
        assert_eq!(Trace::parse(text(&trace).as_bytes()).unwrap(), trace);
    }

    #[test]
    fn unknown_fields_are_kept() {
        let with = text(&trace()).replace("\"format\": 2,", "\"format\": 2, \"author\": \"x\",").replacen(
            "{\n",
            "{\n\"story\": [1],\n",
            1,
        );
        let with = with
            .replacen("\"tso\": ", "\"gremlins\": 3, \"tso\": ", 1)
            .replace("\"verdict\": ", "\"mood\": \"good\", \"verdict\": ");
        let trace = Trace::parse(with.as_bytes()).unwrap();
        let again = text(&trace);
        assert!(again.contains("\"author\": \"x\"") && again.contains("\"story\""), "{again}");
        assert!(again.contains("\"gremlins\": 3") && again.contains("\"mood\": \"good\""), "{again}");
        assert_eq!(Trace::parse(again.as_bytes()).unwrap(), trace);
    }

    #[test]
    fn an_option_that_an_older_trace_lacks_is_off() {
        let text = text(&trace());
        let lines =
            text.lines().filter(|line| !line.contains("\"slow\": 0") && !line.contains("\"reset\": 0"));
        let without = lines.collect::<Vec<_>>().join("\n");
        let old = Trace::parse(without.as_bytes()).unwrap();
        assert_eq!(old.header.options.reset, 0);
        let lacking =
            text.lines().filter(|line| !line.contains("\"entropy\"")).collect::<Vec<_>>().join("\n");
        let error = Trace::parse(lacking.replace("},\n  \"pirn\"", "}, \"pirn\"").as_bytes());
        assert!(error.is_err_and(|error| error.to_string().contains("entropy")));
    }

    #[test]
    fn bad_files_are_named() {
        let good = text(&trace());
        let said = |text: &str| Trace::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(said("").contains("ends in the middle"));
        assert!(
            said(&good[..good.len() / 2]).contains("ends in the middle"),
            "{}",
            said(&good[..good.len() / 2])
        );
        assert!(said("[1]").contains("no trace"));
        assert!(said("{\"a\": 1}").contains("missing field `header`"));
        assert!(said(&good.replace("\"format\": 2", "\"format\": 9")).contains("format 9"));
        assert!(said(&good.replace("\"switch\"", "\"swatch\"")).contains("swatch"));
        assert!(
            said(&good.replace("[0,1,2,1,\"switch\",3,2]", "[0,1,2,1,\"switch\",3,0]")).contains("choice 1")
        );
        assert!(said(&good.replace("\"0x0000000000000007\"", "\"7\"")).contains("no digest"));
        let missing = std::env::temp_dir().join("pirn-no-such-trace.json");
        assert!(matches!(Trace::load(missing), Err(TraceError::Io(_))));
    }
}
