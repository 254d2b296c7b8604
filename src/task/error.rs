//! Why a task has no result.

use core::any::Any;
use core::fmt;

use super::Id;

/// The task was aborted, shut down, or panicked.
///
/// It is `Send` and `Sync` whatever the payload of the panic is, so that `?` turns it into any boxed error, and into an `io::Error`:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # pirn::Runtime::new()?.block_on(async {
/// let length = pirn::spawn(async { "four".len() }).await?;
/// assert_eq!(length, 4);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct JoinError {
    id: Id,
    cause: Cause,
}

enum Cause {
    Cancelled,
    Panic(Payload),
}

/// What a panic threw.
struct Payload(Box<dyn Any + Send + 'static>);

// SAFETY: through a shared reference a payload is only asked for its type, and read if that is `&str` or `String`
// (`JoinError::panic_text`), which are Sync; everything else takes it by value.
unsafe impl Sync for Payload {}

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> Self {
        Self { id, cause: Cause::Cancelled }
    }

    pub(crate) fn panic(id: Id, payload: Box<dyn Any + Send + 'static>) -> Self {
        Self { id, cause: Cause::Panic(Payload(payload)) }
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
            Cause::Panic(Payload(payload)) => Ok(payload),
            Cause::Cancelled => Err(self),
        }
    }

    /// Which task it was.
    pub fn id(&self) -> Id {
        self.id
    }

    fn panic_text(&self) -> Option<&str> {
        let Cause::Panic(Payload(payload)) = &self.cause else { return None };
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

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}
