//! What coroutines cost: measured by a package of its own, which brings what they are compared with.

use std::process::{Command, Stdio};

use crate::simulator;

/// Prints its figures; draws the chart if a file is named.
pub(crate) fn bench(rounds: usize, quick: bool, picture: Option<&str>) -> Result<(), String> {
    let program = simulator::program("pirn-bench-coro")?;
    let status = Command::new(&program)
        .args(["all", &rounds.to_string(), if quick { "0.1" } else { "1" }])
        .args(picture)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", program.display())) }
}
