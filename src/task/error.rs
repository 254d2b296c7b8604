//! Why a task has no result.

use core::any::Any;
use core::fmt;

use super::Id;

/// The task was aborted, shut down, or panicked.
pub struct JoinError {
    id: Id,
    cause: Cause,
}

enum Cause {
    Cancelled,
    Panic(Box<dyn Any + Send + 'static>),
}

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> Self {
        Self { id, cause: Cause::Cancelled }
    }

    pub(crate) fn panic(id: Id, payload: Box<dyn Any + Send + 'static>) -> Self {
        Self { id, cause: Cause::Panic(payload) }
    }

    /// Whether the task was aborted, or its runtime shut down before it finished.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panic(_))
    }

    /// The panic's payload, for `std::panic::resume_unwind`; the error back if it was no panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.cause {
            Cause::Panic(payload) => Ok(payload),
            Cause::Cancelled => Err(self),
        }
    }

    /// Which task it was.
    pub fn id(&self) -> Id {
        self.id
    }

    fn panic_text(&self) -> Option<&str> {
        let Cause::Panic(payload) = &self.cause else { return None };
        let text = payload.downcast_ref::<&'static str>().copied();
        Some(text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message"))
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.panic_text() {
            Some(text) => write!(f, "JoinError::Panic({}, {text:?})", self.id),
            None => write!(f, "JoinError::Cancelled({})", self.id),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.panic_text() {
            Some(text) => write!(f, "{} panicked: {text}", self.id),
            None => write!(f, "{} was cancelled: aborted, or its runtime shut down", self.id),
        }
    }
}

impl std::error::Error for JoinError {}
