//! The CPU time of a child, which does not depend on what else the machine does.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Ticks of `/proc/PID/stat` a second, the same on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of CPU that a process has used so far, with its children that have ended; 0 if it is gone.
pub(crate) fn seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: the state is field 3, user time 14, system time 15, those of children 16 and 17.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(14) + ticks(15) + ticks(16) + ticks(17)) / TICKS
}

/// Waits for a child's end; false: it used up its CPU time first, and was killed.
pub(crate) fn wait(child: &mut Child, budget: f64) -> io::Result<bool> {
    while child.try_wait()?.is_none() {
        if seconds(child.id()) > budget {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        sleep(LOOK);
    }
    Ok(true)
}

/// Runs a command with all it starts until it ends, `limit` is over or `enough` says so; whether it succeeded, or nothing if it
/// was ended.
pub(crate) fn run_until(
    mut command: Command,
    limit: Duration,
    enough: impl Fn() -> bool,
) -> io::Result<Option<bool>> {
    let mut child = command.process_group(0).spawn()?;
    let started = Instant::now();
    while started.elapsed() < limit && !enough() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        sleep(LOOK);
    }
    // The group: cargo's test binary too.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
    child.wait()?;
    Ok(None)
}
