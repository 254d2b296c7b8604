//! The file with the costs: JSON, versioned, made to be read and edited by people.

use std::fs::OpenOptions;
use std::path::Path;

use pirn_sim::cost::Costs;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::probe;

/// The version of the file's form.
const FORMAT: u32 = 1;
/// A file of costs has about 1 KB.
const MOST_BYTES: u64 = 1 << 20;

/// What was measured, and where.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibration {
    pub(crate) format: u32,
    /// The version of pirn that wrote it.
    pub(crate) pirn: String,
    pub(crate) machine: Machine,
    /// Costs that were not measured.
    pub(crate) assumed: Vec<String>,
    /// In nanoseconds.
    pub(crate) costs: Costs,
}

/// The machine that it was measured on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpu: model.map_or_else(|| "unknown CPU".to_owned(), |(_, name)| name.trim().to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: probe::kernel(),
        }
    }
}

/// All that is read first: enough to tell a file of a later version.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn unwritten(path: &Path, error: std::io::Error) -> Failure {
    Failure::input(format!(
        "the costs can't be written to {}: {error}; choose another file with --output",
        path.display()
    ))
}

/// Refuses a file that can't be written, before anything is measured for it.
pub(crate) fn is_writable(path: &Path) -> Result<(), Failure> {
    let there = path.exists();
    OpenOptions::new().append(true).create(true).open(path).map_err(|error| unwritten(path, error))?;
    if !there {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

impl Calibration {
    pub(crate) fn new(machine: Machine, assumed: Vec<String>, costs: Costs) -> Self {
        Self { format: FORMAT, pirn: env!("CARGO_PKG_VERSION").to_owned(), machine, assumed, costs }
    }

    /// Names and values of the costs, in the order of the file.
    pub(crate) fn values(&self) -> Vec<(String, f64)> {
        let value = serde_json::to_value(&self.costs).unwrap_or_default();
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(name, value)| (name.clone(), value.as_f64().unwrap_or(f64::NAN))).collect()
    }

    /// Writes it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| unwritten(path, error.into()))?;
        std::fs::write(path, text + "\n").map_err(|error| unwritten(path, error))
    }

    /// Reads it.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let refused = |why: String| {
            Failure::input(format!(
                "the costs in {}: {why}; make the file anew with `pirn calibrate`",
                path.display()
            ))
        };
        let size = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
        if size > MOST_BYTES {
            return Err(refused(format!("the file has {size} bytes, more than any of its kind")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        Self::parse(&text).map_err(refused)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let version: Version =
            serde_json::from_str(text).map_err(|error| format!("it is no file of costs: {error}"))?;
        if version.format != FORMAT {
            return Err(format!(
                "its format is {}, and this version of pirn reads format {FORMAT}",
                version.format
            ));
        }
        let read: Self = serde_json::from_str(text).map_err(|error| format!("it is damaged: {error}"))?;
        // A number of nanoseconds up to a second; what is larger is a slip.
        let sane = |value: f64| (0.0..=1e9).contains(&value);
        match read.values().into_iter().find(|(_, value)| !sane(*value)) {
            Some((name, value)) => {
                Err(format!("`{name}` is {value}, and must lie between 0 and a second (1e9 ns)"))
            }
            None => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Calibration {
        let costs = Costs { wake: 4_321.5, ..Costs::default() };
        Calibration::new(Machine::this(), vec!["entry".to_owned()], costs)
    }

    #[test]
    fn what_was_written_is_read() {
        let text = serde_json::to_string_pretty(&sample()).expect("plain data");
        assert_eq!(Calibration::parse(&text), Ok(sample()));
    }

    #[test]
    fn files_that_are_none_are_named() {
        let text = serde_json::to_string(&sample()).expect("plain data");
        let says = |text: &str| Calibration::parse(text).expect_err("it is broken");
        assert!(says("").contains("no file of costs"));
        assert!(says("[1, 2]").contains("no file of costs"));
        assert!(says(&text.replace("\"format\":1", "\"format\":2")).contains("its format is 2"));
        assert!(says(&text.replace("4321.5", "-1.0")).contains("`wake` is -1"));
        assert!(says(&text.replace("4321.5", "1e300")).contains("`wake` is"));
        assert!(says(&text.replace("\"wake\":4321.5", "\"awake\":4321.5")).contains("unknown field `awake`"));
        assert!(says(&text.replace("\"wake\":4321.5,", "")).contains("missing field `wake`"));
        for cut in 1..text.len() {
            assert!(Calibration::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
    }
}
