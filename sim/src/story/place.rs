//! Where in the source something happened: the user's frame of a stack, and the line itself.

use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// A line of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: u32,
}

impl From<&'static Location<'static>> for Place {
    fn from(at: &'static Location<'static>) -> Self {
        Self { file: at.file().to_owned(), line: at.line() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The innermost frame of a stack that is neither the runtime's, nor the simulator's, nor a library's. None: there is none,
/// or the program has no debug information.
pub(super) fn of_user(stack: &Backtrace) -> Option<Place> {
    of_user_in(&stack.to_string())
}

/// The same, from the text of a stack: lines `12: symbol`, each followed by `at file:line:column` if that is known.
fn of_user_in(text: &str) -> Option<Place> {
    for line in text.lines().map(str::trim) {
        let Some(at) = line.strip_prefix("at ") else {
            let symbol = line.split_once(": ").map_or(line, |(_, symbol)| symbol);
            let name = symbol.split('<').find(|part| !part.is_empty()).unwrap_or(symbol);
            let name = name.trim_end_matches("::").rsplit("::").next().unwrap_or(name);
            // What lies further out has called the runtime and has nothing to do with this step.
            if matches!(name, "block_on" | "run_host" | "run_thread") {
                return None;
            }
            continue;
        };
        // The file may hold colons.
        let mut parts = at.rsplitn(3, ':');
        let (Some(_), Some(line), Some(file)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Ok(line) = line.parse() else { continue };
        if !is_foreign(file) {
            return Some(Place { file: short(file), line });
        }
    }
    None
}

/// Whether a file belongs to the runtime, the simulator, std or a library.
fn is_foreign(file: &str) -> bool {
    const SIMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    if file.contains("/rustc/") || file.contains("/library/") || file.contains("/.cargo/registry/") {
        return true;
    }
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("src"));
    let file = absolute(file);
    file.starts_with(SIMULATOR) || core.is_some_and(|core| file.starts_with(core))
}

/// Stacks name files below the current folder as `./file`.
fn absolute(file: &str) -> PathBuf {
    let below = file.strip_prefix("./").unwrap_or(file);
    std::env::current_dir().map_or_else(|_| below.into(), |folder| folder.join(below))
}

/// The file as a reader calls it.
fn short(file: &str) -> String {
    let file = file.strip_prefix("./").unwrap_or(file);
    let here = std::env::current_dir().unwrap_or_default();
    Path::new(file).strip_prefix(here).map_or_else(|_| file.to_owned(), |file| file.display().to_string())
}

/// Source files that were read.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<String, Option<Vec<String>>>);

impl Sources {
    /// The line itself, if its file is found: from the current folder or one above it, where cargo started the compiler.
    pub(super) fn line(&mut self, place: &Place) -> Option<String> {
        let lines = self.0.entry(place.file.clone()).or_insert_with(|| read(&place.file));
        let line = lines.as_ref()?.get(place.line.checked_sub(1)? as usize)?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

fn read(file: &str) -> Option<Vec<String>> {
    let here = std::env::current_dir().ok()?;
    let near = here.ancestors().take(4).map(|folder| folder.join(file)).find(|path| path.is_file());
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join(file));
    let text = fs::read_to_string(near.or_else(built)?).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_this_file_is_found() {
        let place = Place::from(Location::caller());
        let line = Sources::default().line(&place);
        assert!(line.is_some_and(|line| line.contains("Location::caller()")), "{place}");
        let nowhere = Place { file: "no/such/file.rs".into(), line: 3 };
        assert_eq!(Sources::default().line(&nowhere), None);
    }

    #[test]
    fn the_user_s_frame_is_the_innermost_one_below_the_runtime() {
        let core = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/spawn.rs").replace("/sim/..", "");
        let inside = format!(
            "0: wake\n at {core}:3:1\n 1: work\n at /program/src/a.rs:7:9\n 2: main\n at /program/src/b.rs:8:1"
        );
        assert_eq!(of_user_in(&inside).map(|place| place.to_string()), Some("/program/src/a.rs:7".into()));
        let outside = format!(
            "0: park\n at {core}:3:1\n 1: pirn::runtime::block_on<x::y>\n at {core}:9:9\n 2: main\n at /program/src/b.rs:8:1"
        );
        assert_eq!(of_user_in(&outside), None);
    }

    #[test]
    fn the_simulator_s_own_frames_are_not_the_user_s() {
        assert!(is_foreign(concat!(env!("CARGO_MANIFEST_DIR"), "/src/world.rs")));
        assert!(is_foreign("/rustc/abc/library/core/src/panicking.rs"));
        assert!(!is_foreign(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world.rs")));
        assert!(!is_foreign("/elsewhere/program/src/main.rs"));
    }
}
