//! The table for `docs/mutants.md`.

use std::fmt::Write as _;

use crate::cell::{Cell, Kill};
use crate::patch::Mutant;
use crate::state::State;

/// Rows of the list of known bugs; later numbers are on no list.
const ROWS: u32 = 27;

const LISTED: &str = "The rows of the list";
const UNLISTED: &str = "Of the same classes, on nobody's list";
const DRIVERS: &str = "Drivers, over the simulated kernel";
const COROUTINES: &str = "Coroutines";
const CONTROLS: &str = "Controls";

fn group(mutant: &Mutant) -> &'static str {
    match mutant.row() {
        _ if mutant.is_control() => CONTROLS,
        None if mutant.name.starts_with('c') => COROUTINES,
        None => DRIVERS,
        Some(row) if row <= ROWS => LISTED,
        Some(_) => UNLISTED,
    }
}

/// A row a mutant, a summary on top; the rows in groups.
pub(crate) fn table(mutants: &[Mutant], state: &State, strategies: &[String]) -> String {
    let mut out = String::new();
    let (bugs, controls): (Vec<&Mutant>, Vec<&Mutant>) =
        mutants.iter().partition(|mutant| !mutant.is_control());
    let killed = |mutant: &&&Mutant| state.cells_of(mutant).any(|cell| cell.kill.is_some());
    let measured = |mutant: &&&Mutant| state.cells_of(mutant).next().is_some();
    let kills: Vec<&Kill> =
        bugs.iter().flat_map(|mutant| state.cells_of(mutant).filter_map(|cell| cell.kill.as_ref())).collect();
    let mut switches: Vec<u64> = kills.iter().filter_map(|kill| kill.switches).collect();
    let shrunk = switches.len();
    let rows =
        (1..=ROWS).filter(|row| bugs.iter().any(|mutant| mutant.row() == Some(*row) && killed(&mutant)));
    let budgets = bugs.iter().flat_map(|mutant| state.cells_of(mutant).map(|cell| cell.budget as u64));
    let budgets: std::collections::BTreeSet<u64> = budgets.collect();
    let span = |end: Option<&u64>| end.copied().unwrap_or(0);
    let (least, most) = (span(budgets.first()), span(budgets.last()));
    let _ = writeln!(
        out,
        "{} of {} mutants killed by the simulator; {} of the {ROWS} rows; {} of {} controls survive.\n\
         {} kills, {} of their traces replay in a fresh process; {shrunk} were shrunk: median {} context switches.\n\
         A cell had {least} to {most} CPU seconds.",
        bugs.iter().filter(killed).count(),
        bugs.iter().filter(measured).count(),
        rows.count(),
        controls.iter().filter(|mutant| measured(mutant) && !killed(mutant)).count(),
        controls.iter().filter(measured).count(),
        kills.len(),
        kills.iter().filter(|kill| kill.replays).count(),
        median(&mut switches).map_or("-".to_owned(), |count| count.to_string()),
    );
    let names: Vec<String> = strategies.iter().map(|name| format!(" {name} |")).collect();
    for title in [LISTED, UNLISTED, DRIVERS, COROUTINES, CONTROLS] {
        let rows: Vec<&Mutant> = mutants.iter().filter(|mutant| group(mutant) == title).collect();
        if rows.iter().all(|mutant| state.cells_of(mutant).next().is_none()) {
            continue;
        }
        let _ = writeln!(
            out,
            "\n### {title}\n\n| mutant | source | expected | broken | workload |{} switches | replays | loom | tests |",
            names.concat()
        );
        let _ = writeln!(out, "|---|---|---|---|---|{}---|---|---|---|", "---|".repeat(strategies.len()));
        rows.into_iter().for_each(|mutant| row(&mut out, mutant, state, strategies));
    }
    out
}

fn row(out: &mut String, mutant: &Mutant, state: &State, strategies: &[String]) {
    let cells: Vec<&Cell> = state.cells_of(mutant).collect();
    if cells.is_empty() {
        return;
    }
    let kills: Vec<&Kill> = cells.iter().filter_map(|cell| cell.kill.as_ref()).collect();
    let list = |of: &dyn Fn(&Kill) -> String| {
        let mut all: Vec<String> = kills.iter().map(|kill| of(kill)).collect();
        all.sort();
        all.dedup();
        if all.is_empty() { "-".to_owned() } else { all.join(", ") }
    };
    let columns: Vec<String> = strategies
        .iter()
        .map(|strategy| {
            let of: Vec<&&Cell> = cells.iter().filter(|cell| cell.strategy == *strategy).collect();
            format!(" {} |", column(&of))
        })
        .collect();
    let mut switches: Vec<u64> = kills.iter().filter_map(|kill| kill.switches).collect();
    let replays = kills.iter().filter(|kill| kill.replays).count();
    let suite = |name| match state.tested(mutant, name) {
        None if name == "loom" && !mutant.is_modelled() => "no model".to_owned(),
        None => "".to_owned(),
        Some(test) => test
            .failed
            .clone()
            .map_or("-".to_owned(), |test| test.rsplit("::").next().unwrap_or_default().replace('_', " ")),
    };
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} |{} {} | {} | {} | {} |",
        mutant.name,
        mutant.get("source"),
        mutant.get("expect"),
        list(&|kill| kill.invariant.clone()),
        list(&|kill| kill.workload.clone()),
        columns.concat(),
        median(&mut switches).map_or("-".to_owned(), |count| count.to_string()),
        if kills.is_empty() { "-".to_owned() } else { format!("{replays} of {}", kills.len()) },
        suite("loom"),
        suite("tests"),
    );
}

/// `3/3, 120, 0.4 s`: killed, of how many seeds; median schedules and CPU seconds.
fn column(cells: &[&&Cell]) -> String {
    let kills: Vec<(&Cell, &Kill)> =
        cells.iter().filter_map(|cell| Some((**cell, cell.kill.as_ref()?))).collect();
    if cells.is_empty() {
        return String::new();
    }
    let count = format!("{}/{}", kills.len(), cells.len());
    let mut schedules: Vec<u64> = kills.iter().map(|(_, kill)| kill.schedules).collect();
    let mut hundredths: Vec<u64> = kills.iter().map(|(cell, _)| (cell.cpu * 100.0) as u64).collect();
    match (median(&mut schedules), median(&mut hundredths)) {
        (Some(schedules), Some(cpu)) => format!("{count}, {schedules}, {:.1} s", cpu as f64 / 100.0),
        _ => count,
    }
}

fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}
