//! Errors of the system with what was asked.

use std::io;

/// An error with what was asked in front; the error itself is its source.
pub(crate) fn context(what: impl FnOnce() -> String, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Context { what: what(), error })
}

#[derive(Debug)]
struct Context {
    what: String,
    error: io::Error,
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
