//! The copy of the tree that is broken on purpose: kept between mutants with its build, so that each costs one rebuild of what it touches.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::cpu;
use serde_json::Value;

use crate::merge::SWITCH;
use crate::patch::{Mutant, hash};

/// A copy of the repository, and where it is built.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    copy: PathBuf,
    build: PathBuf,
}

/// What a change of these means other results.
const PARTS: &[&str] = &["src", "sim", "cli", "macros", "Cargo.toml", "Cargo.lock"];
/// What the results do not depend on: module docs, and what only the loom and test columns need.
const EXTRAS: &[&str] = &[
    "model",
    "tests",
    "mutants",
    "hyper",
    "serve",
    "examples",
    "traces",
    "docs",
    "README.md",
    "rustfmt.toml",
];

impl Tree {
    /// Copies what has changed since the last time.
    pub(crate) fn new(root: &Path, work: &Path) -> io::Result<Self> {
        let tree = Self { root: root.to_owned(), copy: work.join("tree"), build: work.join("build") };
        tree.reset()?;
        Ok(tree)
    }

    /// Makes the copy equal to the original again. Files that are equal keep their time, so that they are not rebuilt.
    pub(crate) fn reset(&self) -> io::Result<()> {
        for part in PARTS.iter().chain(EXTRAS) {
            mirror(&self.root.join(part), &self.copy.join(part))?;
        }
        Ok(())
    }

    /// A number that changes with the code.
    pub(crate) fn hash(&self) -> io::Result<u64> {
        hash_of(&self.root)
    }

    /// The same of the copy, as it is now.
    pub(crate) fn hash_of_copy(&self) -> io::Result<u64> {
        hash_of(&self.copy)
    }

    /// Where the copy is.
    pub(crate) fn copy(&self) -> &Path {
        &self.copy
    }

    /// Breaks the copy.
    pub(crate) fn apply(&self, mutant: &Mutant) -> Result<(), String> {
        for (path, text) in mutant.apply(&self.copy)? {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command
            .args(arguments)
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("RUSTFLAGS", "-Awarnings")
            .stdin(Stdio::null());
        command
    }

    /// Builds the command line in release; its path.
    pub(crate) fn build(&self) -> Result<PathBuf, String> {
        let output = self.cargo(&["build", "--release", "--quiet", "--bin", "pirn"]).output();
        let output: Output = output.map_err(|error| format!("cargo does not start: {error}"))?;
        if output.status.success() {
            return Ok(self.build.join("release").join("pirn"));
        }
        Err(format!("it does not build:\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Builds test binaries: their paths, and the folders they are run in.
    pub(crate) fn test_binaries(&self, arguments: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>, String> {
        let mut command = self.cargo(arguments);
        command.args(["--no-run", "--message-format=json"]);
        let output = command.output().map_err(|error| format!("cargo does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("the tests do not build:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        let binary = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            let path = PathBuf::from(line["executable"].as_str()?);
            let manifest = Path::new(line["manifest_path"].as_str()?);
            Some((path, manifest.parent()?.to_owned()))
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(binary).collect())
    }

    /// Runs test binaries with mutant `number` in them, as [`Tree::test`] does.
    pub(crate) fn run_tests(
        &self,
        binaries: &[(PathBuf, PathBuf)],
        number: usize,
        limit: Duration,
    ) -> Result<Option<String>, String> {
        for (binary, folder) in binaries {
            let mut command = Command::new(binary);
            command.current_dir(folder).env(SWITCH, number.to_string()).stdin(Stdio::null());
            let failed = self.watch_tests(command, limit)?;
            if failed.is_some() {
                return Ok(failed);
            }
        }
        Ok(None)
    }

    /// Runs the tests of some packages; the first that failed, or nothing. A run that takes longer than `limit` counts as one that hangs.
    pub(crate) fn test(&self, arguments: &[&str], limit: Duration) -> Result<Option<String>, String> {
        self.watch_tests(self.cargo(arguments), limit)
    }

    fn watch_tests(&self, mut command: Command, limit: Duration) -> Result<Option<String>, String> {
        let log = self.build.join("test.log");
        let file = fs::File::create(&log).map_err(|error| error.to_string())?;
        command.stdout(file).stderr(Stdio::null());
        let failed = || {
            let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
            let name = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
            text.lines().find_map(name)
        };
        let finished = cpu::run_until(command, limit, || failed().is_some())
            .map_err(|error| format!("cargo does not start: {error}"))?;
        Ok(match (finished, failed()) {
            (_, Some(name)) => Some(name),
            (Some(true), None) => None,
            (Some(false), None) => Some("(the process ended)".to_owned()),
            (None, None) => Some("(hangs)".to_owned()),
        })
    }
}

fn hash_of(root: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    PARTS.iter().try_for_each(|part| walk(&root.join(part), &mut files))?;
    files.sort();
    files.iter().try_fold(0, |sum: u64, file| Ok(sum.rotate_left(7) ^ hash(&fs::read(file)?)))
}

/// Copies what differs and removes what is not there any more.
fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_file() {
        let text = fs::read(from)?;
        if fs::read(to).is_ok_and(|old| old == text) {
            return Ok(());
        }
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        return fs::write(to, text);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        mirror(&from.join(&name), &to.join(&name))?;
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() {
            let gone = entry.path();
            if gone.is_dir() { fs::remove_dir_all(gone)? } else { fs::remove_file(gone)? }
        }
    }
    Ok(())
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    fs::read_dir(path)?.try_for_each(|entry| walk(&entry?.path(), files))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{EXTRAS, PARTS};

    #[test]
    fn the_copy_has_every_member_of_the_workspace() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let text = fs::read_to_string(manifest).unwrap();
        let list = text.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
        let members =
            list.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| *member != ".");
        for member in members {
            assert!(
                PARTS.contains(&member) || EXTRAS.contains(&member),
                "the member {member} is not copied, so no mutant can be built"
            );
        }
    }
}
