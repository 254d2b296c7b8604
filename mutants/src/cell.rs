//! One cell of the table: a mutant, a strategy, a seed; explored until it is killed or its CPU time is used up.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cpu;
use crate::merge::SWITCH;
use crate::patch::Mutant;

/// Seconds for shrinking a failure.
const SHRINK: &str = "4";

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) mutant: String,
    /// Of the patch.
    pub(crate) hash: u64,
    pub(crate) strategy: String,
    pub(crate) seed: u64,
    pub(crate) budget: f64,
    /// CPU seconds of the exploration, up to the kill if there was one.
    pub(crate) cpu: f64,
    pub(crate) kill: Option<Kill>,
}

/// How a mutant was killed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kill {
    pub(crate) workload: String,
    pub(crate) tso: bool,
    /// The invariant, or the world's own verdict (deadlock, panic, livelock), or `crash`.
    pub(crate) invariant: String,
    pub(crate) message: String,
    /// Schedules of that workload.
    pub(crate) schedules: u64,
    /// Context switches in the shrunk trace; none if it was not shrunk.
    pub(crate) switches: Option<u64>,
    /// A fresh process replayed it to the same failure.
    pub(crate) replays: bool,
}

/// How to explore.
#[derive(Clone, Debug)]
pub(crate) struct How<'a> {
    pub(crate) pirn: &'a Path,
    /// The mutant's number in a binary that holds several; 0: it is the only one.
    pub(crate) number: usize,
    pub(crate) strategy: &'a str,
    pub(crate) seed: u64,
    pub(crate) budget: f64,
    /// Whether a kill is shrunk.
    pub(crate) shrinks: bool,
    /// A folder for traces.
    pub(crate) traces: &'a Path,
}

/// Explores the mutant's workloads one after the other, each with its share of what is left of the budget.
pub(crate) fn explore(mutant: &Mutant, how: &How<'_>) -> Result<Cell, String> {
    let workloads: Vec<&str> = mutant.get("workloads").split_whitespace().collect();
    let mut cell = Cell {
        mutant: mutant.name.clone(),
        hash: mutant.hash,
        strategy: how.strategy.to_owned(),
        seed: how.seed,
        budget: how.budget,
        cpu: 0.0,
        kill: None,
    };
    // Half of the seeds with store buffers, unless the patch says otherwise.
    let tso = match mutant.get("tso") {
        "on" => true,
        "off" => false,
        _ => how.seed % 2 == 1,
    };
    for (at, workload) in workloads.iter().enumerate() {
        let share = (how.budget - cell.cpu) / (workloads.len() - at) as f64;
        let (cpu, kill) = run(mutant, how, workload, tso, share)?;
        cell.cpu += cpu;
        if kill.is_some() {
            cell.kill = kill;
            break;
        }
    }
    Ok(cell)
}

/// The command line with the mutant in it.
fn pirn(how: &How<'_>) -> Command {
    let mut command = Command::new(how.pirn);
    command.env(SWITCH, how.number.to_string());
    command
}

fn run(
    mutant: &Mutant,
    how: &How<'_>,
    workload: &str,
    tso: bool,
    budget: f64,
) -> Result<(f64, Option<Kill>), String> {
    let _ = fs::remove_dir_all(how.traces);
    fs::create_dir_all(how.traces).map_err(|error| format!("{}: {error}", how.traces.display()))?;
    let mut command = pirn(how);
    command.args(["explore", workload, "--strategy", how.strategy, "--jobs", "1", "--seeds", "1000000000"]);
    command.args(["--first", &(how.seed * 10_000_000_000).to_string()]);
    command.arg("--traces").arg(how.traces);
    for option in ["workers", "kernel", "topology"] {
        if !mutant.get(option).is_empty() {
            command.arg(format!("--{option}")).arg(mutant.get(option));
        }
    }
    match how.shrinks {
        true => command.args(["--shrink-seconds", SHRINK]),
        false => command.arg("--no-shrink"),
    };
    if tso {
        command.arg("--tso");
    }
    let failed = |error| format!("{}: {error}", how.pirn.display());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let pid = child.id();
    let stdout = child.stdout.take().expect("it was asked for");
    let stderr = child.stderr.take().expect("it was asked for");
    // The line with the number of schedules ends the search; what follows is shrinking and confirming.
    let reader = std::thread::spawn(move || {
        let (mut text, mut searched) = (String::new(), None);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if searched.is_none() && line.contains(" schedules (") {
                let count: String = line
                    .split(" schedules (")
                    .next()
                    .unwrap_or("")
                    .chars()
                    .rev()
                    .take_while(|c| !c.is_whitespace())
                    .collect();
                let count: String = count.chars().rev().filter(char::is_ascii_digit).collect();
                searched = Some((cpu::seconds(pid), count.parse().unwrap_or(0)));
            }
            text += &line;
            text.push('\n');
        }
        (text, searched)
    });
    let errors = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    // Shrinking after a kill has its own bound.
    let mut spent = 0.0;
    let mut in_time = true;
    while child.try_wait().map_err(failed)?.is_none() {
        spent = cpu::seconds(pid).max(spent);
        if spent > budget && !fs::read_dir(how.traces).is_ok_and(|mut files| files.next().is_some()) {
            in_time = cpu::wait(&mut child, spent).map_err(failed)?;
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = child.wait().map_err(failed)?;
    let (text, searched) = reader.join().expect("the reader does not panic");
    let errors = errors.join().expect("the reader does not panic");
    if !in_time {
        return Ok((spent, None));
    }
    let (cpu, schedules) = searched.unwrap_or((spent, 0));
    match status.code() {
        Some(1) => Ok((cpu, Some(kill(how, workload, tso, schedules, &text)?))),
        Some(2) => Err(format!("{}: pirn explore {workload} refused: {errors}", mutant.name)),
        Some(0) => Err(format!("{}: pirn explore {workload} ended by itself:\n{text}", mutant.name)),
        _ => Ok((cpu, Some(crash(workload, tso, &status.to_string())))),
    }
}

/// The process died: a mutant that breaks memory.
fn crash(workload: &str, tso: bool, status: &str) -> Kill {
    Kill {
        workload: workload.to_owned(),
        tso,
        invariant: "crash".to_owned(),
        message: status.to_owned(),
        schedules: 0,
        switches: None,
        replays: false,
    }
}

/// Reads the trace and replays it in a fresh process.
fn kill(how: &How<'_>, workload: &str, tso: bool, schedules: u64, text: &str) -> Result<Kill, String> {
    // The shrunk one comes last.
    let path = |line: &str| {
        Some(line.strip_prefix("trace: ").or(line.strip_prefix("shrunk trace: "))?.trim().to_owned())
    };
    let path = text.lines().filter_map(path).next_back();
    let path = path.ok_or_else(|| format!("pirn explore {workload} failed and wrote no trace:\n{text}"))?;
    let json = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let trace: Value = serde_json::from_str(&json).map_err(|error| format!("{path}: {error}"))?;
    let outcome = |key: &str| trace["outcome"][key].as_str().unwrap_or_default().to_owned();
    let (verdict, message) = (outcome("verdict"), outcome("message"));
    let invariant = match verdict.as_str() {
        "violation" => message.split_whitespace().next().unwrap_or_default().to_owned(),
        other => other.to_owned(),
    };
    let is_switch = |choice: &&Value| {
        let fields = choice.as_array().map_or(&[][..], Vec::as_slice);
        fields.iter().any(|field| matches!(field.as_str(), Some("switch" | "next")))
    };
    let choices = trace["choices"].as_array().filter(|_| how.shrinks);
    let switches = choices.map(|choices| choices.iter().filter(is_switch).count() as u64);
    let replay = pirn(how).arg("replay").arg(&path).stdin(Stdio::null()).output();
    let replays = replay.is_ok_and(|output| output.status.code() == Some(1));
    Ok(Kill { workload: workload.to_owned(), tso, invariant, message, schedules, switches, replays })
}
