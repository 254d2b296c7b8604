//! Patch files: a header of `key: value` lines, then a unified diff. Parsed and applied here, so that no tool is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `model/src/lib.rs` includes.
const MODELLED: &[&str] = &["src/queue/", "src/sleep/", "src/timer/", "src/io/ops.rs", "src/task/state.rs"];

/// A mutant or a benign control.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// Its file's name without the ending: `04-recheck-before-leaving-the-search`.
    pub(crate) name: String,
    header: BTreeMap<String, String>,
    files: Vec<FileDiff>,
    /// Tells an edited patch from the one that a result is of. Lines around the change don't count: they follow the code.
    pub(crate) hash: u64,
}

#[derive(Clone, Debug)]
struct FileDiff {
    path: String,
    hunks: Vec<Hunk>,
}

#[derive(Clone, Debug, Default)]
struct Hunk {
    /// Line number of the first old line, from 1.
    at: usize,
    old: Vec<String>,
    new: Vec<String>,
}

impl Mutant {
    /// A line of the header; empty if it is not there.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.header.get(key).map_or("", String::as_str)
    }

    /// The number in its name (`06b`), or `control`.
    pub(crate) fn number(&self) -> &str {
        self.name.split('-').next().unwrap_or("")
    }

    /// The row of the list that it belongs to: the digits its name begins with.
    pub(crate) fn row(&self) -> Option<u32> {
        self.number().trim_end_matches(char::is_alphabetic).parse().ok()
    }

    /// Whether it touches a file that the loom models include.
    pub(crate) fn is_modelled(&self) -> bool {
        self.files.iter().any(|file| MODELLED.iter().any(|part| file.path.starts_with(part)))
    }

    /// Whether it must survive.
    pub(crate) fn is_control(&self) -> bool {
        self.number() == "control"
    }

    /// The patched text of each file it touches, below `root`.
    pub(crate) fn apply(&self, root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
        let patched = |file: &FileDiff| {
            let path = root.join(&file.path);
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {} can't be read: {error}", self.name, file.path))?;
            let patched =
                file.apply(&text).map_err(|what| format!("{}: {}: {what}", self.name, file.path))?;
            Ok((path, patched))
        };
        self.files.iter().map(patched).collect()
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut lines = text.lines().peekable();
        let mut header = BTreeMap::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("--- ")) {
            if let Some((key, value)) = line.split_once(": ") {
                header.insert(key.to_owned(), value.to_owned());
            }
        }
        let mut files: Vec<FileDiff> = Vec::new();
        for line in lines {
            let hunk = files.last_mut().and_then(|file| file.hunks.last_mut());
            if let Some(path) = line.strip_prefix("--- a/") {
                files.push(FileDiff { path: path.trim().to_owned(), hunks: Vec::new() });
            } else if line.starts_with("+++ ") {
                continue;
            } else if let Some(place) = line.strip_prefix("@@ -") {
                let at = place.split([',', ' ']).next().and_then(|at| at.parse().ok());
                let at = at.ok_or_else(|| format!("{name}: the hunk `{line}` has no line number"))?;
                let file = files.last_mut().ok_or_else(|| format!("{name}: a hunk without a file"))?;
                file.hunks.push(Hunk { at, ..Hunk::default() });
            } else if let Some(hunk) = hunk {
                let (mark, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
                if matches!(mark, " " | "-") {
                    hunk.old.push(rest.to_owned());
                }
                if matches!(mark, " " | "+") {
                    hunk.new.push(rest.to_owned());
                }
            }
        }
        for key in ["what", "source", "expect", "workloads"] {
            if !header.contains_key(key) {
                return Err(format!("{name}: the header lacks `{key}: ...`"));
            }
        }
        if files.iter().all(|file| file.hunks.is_empty()) {
            return Err(format!("{name}: there is no hunk in it"));
        }
        let own = text.lines().filter(|line| !line.starts_with(' ') && !line.starts_with("@@"));
        let own: String = own.flat_map(|line| [line, "\n"]).collect();
        Ok(Self { name: name.to_owned(), header, files, hash: hash(own.as_bytes()) })
    }
}

impl FileDiff {
    /// Each hunk where its old lines stand; of several such places the one nearest to its line number.
    fn apply(&self, text: &str) -> Result<String, String> {
        let mut lines: Vec<&str> = text.lines().collect();
        let mut shift = 0_isize;
        for hunk in &self.hunks {
            let wanted = (hunk.at as isize - 1 + shift).max(0);
            let fits = |&at: &usize| lines[at..].iter().zip(&hunk.old).all(|(line, old)| line == old);
            let places = (0..=lines.len().saturating_sub(hunk.old.len())).filter(fits);
            let at = places.min_by_key(|at| (*at as isize - wanted).abs()).ok_or_else(|| {
                format!(
                    "the hunk at line {} does not apply: the code has changed; write the patch anew",
                    hunk.at
                )
            })?;
            shift += at as isize - wanted + hunk.new.len() as isize - hunk.old.len() as isize;
            lines.splice(at..at + hunk.old.len(), hunk.new.iter().map(String::as_str));
        }
        Ok(lines.join("\n") + "\n")
    }
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// All patches of the folder `mutants`, in the order of their names.
pub(crate) fn all(root: &Path) -> Result<Vec<Mutant>, String> {
    let folder = root.join("mutants");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Mutant::parse(&name, &text)
    };
    paths.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_patch_still_applies() {
        let mutants = all(&root()).unwrap();
        assert!(mutants.len() > 40, "only {} patches were found", mutants.len());
        let failed: Vec<String> = mutants.iter().filter_map(|mutant| mutant.apply(&root()).err()).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        for mutant in &mutants {
            for (path, patched) in mutant.apply(&root()).unwrap() {
                assert_ne!(fs::read_to_string(path).unwrap(), patched, "{} changes nothing", mutant.name);
            }
        }
    }

    #[test]
    fn every_row_has_a_mutant() {
        let mutants = all(&root()).unwrap();
        for row in 1..=27 {
            let number = format!("{row:02}");
            assert!(mutants.iter().any(|mutant| mutant.number() == number), "row {number} has no patch");
        }
        assert!(mutants.iter().filter(|mutant| mutant.is_control()).count() >= 3);
    }

    const PATCH: &str = "what: w\nsource: s\nexpect: L1\nworkloads: storm\n\n\
        --- a/file\n+++ b/file\n@@ -2,3 +2,3 @@\n b\n-c\n+C\n d\n";

    #[test]
    fn a_hunk_finds_its_lines_where_they_have_moved() {
        let patch = Mutant::parse("01-x", PATCH).unwrap();
        assert_eq!(patch.files[0].apply("a\nb\nc\nd\n").unwrap(), "a\nb\nC\nd\n");
        assert_eq!(patch.files[0].apply("x\ny\nz\na\nb\nc\nd\ne\n").unwrap(), "x\ny\nz\na\nb\nC\nd\ne\n");
        assert!(patch.files[0].apply("a\nb\nd\n").unwrap_err().contains("does not apply"));
        let moved = PATCH.replace("-2,3 +2,3", "-9,3 +9,3").replace("\n d\n", "\n e\n");
        assert_eq!(Mutant::parse("01-x", &moved).unwrap().hash, patch.hash);
        let other = PATCH.replace("+C", "+E");
        assert_ne!(Mutant::parse("01-x", &other).unwrap().hash, patch.hash);
        assert_eq!((patch.number(), patch.get("expect"), patch.is_control()), ("01", "L1", false));
        let row = |name| Mutant::parse(name, PATCH).unwrap().row();
        assert_eq!((row("06b-x"), row("u06-x"), row("control-x")), (Some(6), None, None));
    }

    #[test]
    fn a_patch_without_a_header_is_refused() {
        assert!(Mutant::parse("01-x", &PATCH[PATCH.find("---").unwrap()..]).unwrap_err().contains("lacks"));
        assert!(Mutant::parse("01-x", &PATCH[..PATCH.find("@@").unwrap()]).unwrap_err().contains("no hunk"));
    }
}
