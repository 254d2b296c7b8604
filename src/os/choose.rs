//! Which live machine to use when nobody says.

use std::io;
use std::sync::{Arc, Once};

use super::{Os, epoll, uring};

/// The environment variable that decides for programs that do not: `epoll` or `uring`.
const VARIABLE: &str = "PIRN_BACKEND";

/// The live machine that suits this process: io_uring where the kernel allows it, else epoll, and a line on standard
/// error says why, once a process. The environment variable `PIRN_BACKEND` (`epoll`, `uring`) decides instead if it is set.
///
/// # Errors
/// When the chosen one is refused, or the variable says something else.
pub fn choose() -> io::Result<Arc<dyn Os>> {
    match std::env::var(VARIABLE).ok().as_deref() {
        None | Some("" | "auto") => {}
        Some("epoll") => return epoll(),
        Some("uring") => return uring(),
        Some(other) => {
            let message = format!("{VARIABLE}={other}: use epoll, uring or auto");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    uring().or_else(fall_back)
}

/// The machine to take instead of one on io_uring that [`choose()`] gave and that turned out not to do: epoll. Says why, once a
/// process; the error comes back if the environment allows no other.
pub(crate) fn fall_back(error: io::Error) -> io::Result<Arc<dyn Os>> {
    static SAID: Once = Once::new();
    if std::env::var(VARIABLE).is_ok_and(|name| name == "uring") {
        return Err(error);
    }
    SAID.call_once(|| eprintln!("pirn: runs on epoll, because io_uring can't be used: {error}"));
    epoll()
}
