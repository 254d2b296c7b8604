//! The state file: what was measured, so that a run that was stopped goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::patch::Mutant;

/// All results for one state of the code.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Of the tree.
    pub(crate) tree: u64,
    pub(crate) cells: Vec<Cell>,
    pub(crate) tests: Vec<Tested>,
    #[serde(skip)]
    path: PathBuf,
}

/// What a test suite said about a mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tested {
    pub(crate) mutant: String,
    pub(crate) hash: u64,
    /// `loom` or `tests`.
    pub(crate) suite: String,
    /// The first test that failed.
    pub(crate) failed: Option<String>,
}

impl State {
    /// The state in `path`; a fresh one if there is none, or if it is of another tree and is not to be kept.
    pub(crate) fn load(path: &Path, tree: u64, keep: bool) -> Result<Self, String> {
        let mut state = match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str::<Self>(&text)
                .map_err(|error| format!("{}: {error}; remove it to begin anew", path.display()))?,
            Err(_) => Self::default(),
        };
        if state.tree != tree && !keep {
            state = Self::default();
        }
        state.tree = tree;
        path.clone_into(&mut state.path);
        Ok(state)
    }

    /// Adds the results of another file, of another shard.
    pub(crate) fn merge(&mut self, path: &Path) -> Result<(), String> {
        if !path.is_file() {
            return Err(format!(
                "{}: there is no such file; a shard writes it next to its copy of the tree",
                path.display()
            ));
        }
        let other = Self::load(path, self.tree, true)?;
        let old = self.cells.len();
        self.cells.extend(other.cells);
        let mut seen = Vec::new();
        self.cells.retain(|cell| {
            let key = (cell.mutant.clone(), cell.hash, cell.strategy.clone(), cell.seed);
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        println!("{}: {} cells more", path.display(), self.cells.len() - old);
        self.tests.extend(other.tests);
        Ok(())
    }

    /// Writes it down.
    pub(crate) fn save(&self) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).expect("results are plain data");
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &self.path))
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// The cell that was measured already: one that survived counts for its budget only.
    pub(crate) fn cell(&self, mutant: &Mutant, strategy: &str, seed: u64, budget: f64) -> Option<&Cell> {
        self.cells_of(mutant)
            .find(|cell| cell.strategy == strategy && cell.seed == seed)
            .filter(|cell| cell.kill.is_some() || cell.budget >= budget)
    }

    /// All cells of a mutant.
    pub(crate) fn cells_of<'a>(&'a self, mutant: &Mutant) -> impl Iterator<Item = &'a Cell> + use<'a> {
        let (name, hash) = (mutant.name.clone(), mutant.hash);
        self.cells.iter().filter(move |cell| cell.mutant == name && cell.hash == hash)
    }

    /// What a suite said.
    pub(crate) fn tested(&self, mutant: &Mutant, suite: &str) -> Option<&Tested> {
        self.tests
            .iter()
            .find(|test| test.mutant == mutant.name && test.hash == mutant.hash && test.suite == suite)
    }

    /// Keeps a cell, in the place of an older one.
    pub(crate) fn put(&mut self, cell: Cell) {
        self.cells.retain(|old| {
            (&old.mutant, &old.strategy, old.seed) != (&cell.mutant, &cell.strategy, cell.seed)
        });
        self.cells.push(cell);
    }
}
