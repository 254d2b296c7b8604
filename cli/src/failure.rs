//! How a command ends when it does not end well.

use std::fmt::Display;
use std::process::ExitCode;

/// Why, and with which exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1: an invariant, a test or a replay says that something is broken. It was described on standard output.
    Violation(String),
    /// Exit code 2: what was asked for can't be done; the message says why and what to do.
    Input(String),
}

impl Failure {
    /// A failure of exit code 2.
    pub(crate) fn input(message: impl Display) -> Self {
        Self::Input(message.to_string())
    }

    /// Prints the message and chooses the code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, message) = match self {
            Self::Violation(message) => (1, message),
            Self::Input(message) => (2, format!("error: {message}")),
        };
        eprintln!("{message}");
        ExitCode::from(code)
    }
}
