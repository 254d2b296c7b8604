//! Signals of the process.
//!
//! Any number of listeners hear a signal, in any number of runtimes. A listener tells *that* the signal came since it last told, not
//! how often: the kernel itself joins signals that come before the last was taken. In the simulator, tests raise signals
//! with `pirn_sim::raise`.
//!
//! The first listener of a signal replaces its default action (for SIGINT and SIGTERM: the end of the process), and that stays so when
//! the listener is dropped. A handler that was there before is still called.

use std::fmt;
use std::io;

use crate::net::duplex::Duplex;

/// Which signal, by its number of this platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(i32);

impl SignalKind {
    /// A signal by its number. Whether it can be listened for, [`signal`] tells.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// SIGHUP: the terminal is gone; many servers read their configuration anew.
    pub const fn hangup() -> Self {
        Self(crate::os::signals::HANGUP)
    }

    /// SIGINT: Ctrl-C.
    pub const fn interrupt() -> Self {
        Self(crate::os::signals::INTERRUPT)
    }

    /// SIGQUIT: Ctrl-\.
    pub const fn quit() -> Self {
        Self(crate::os::signals::QUIT)
    }

    /// SIGTERM: a request to end.
    pub const fn terminate() -> Self {
        Self(crate::os::signals::TERMINATE)
    }

    /// SIGUSR1.
    pub const fn user_defined1() -> Self {
        Self(crate::os::signals::USER1)
    }

    /// SIGUSR2.
    pub const fn user_defined2() -> Self {
        Self(crate::os::signals::USER2)
    }

    /// SIGCHLD: a child has ended. [`process`](crate::process) needs no listener for it.
    pub const fn child() -> Self {
        Self(crate::os::signals::CHILD)
    }

    /// SIGWINCH: the terminal's window has another size.
    pub const fn window_change() -> Self {
        Self(crate::os::signals::WINDOW)
    }
}

/// Listens for a signal from now on.
///
/// # Errors
/// For signals that can't be caught (SIGKILL, SIGSTOP) or that mean that the program is broken (SIGSEGV, SIGILL, SIGFPE, SIGBUS);
/// outside of a runtime; if no descriptor is left.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::signal::{SignalKind, signal};
///
/// pirn::Runtime::new()?.block_on(async {
///     let terminate = signal(SignalKind::terminate())?;
///     let early = pirn::time::timeout(std::time::Duration::from_millis(1), terminate.recv());
///     assert!(early.await.is_err());
///     Ok(())
/// })
/// # }
/// ```
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let port = crate::net::port()?;
    let fd = port.os().signal(kind.0)?;
    Ok(Signal { kind, counts: Duplex::new(fd, port) })
}

/// Waits for Ctrl-C (SIGINT), from the first poll on.
///
/// Cancel-safe. In a loop, use one [`signal`]: what comes between two of these is heard by neither.
///
/// # Errors
/// As [`signal`].
pub async fn ctrl_c() -> io::Result<()> {
    signal(SignalKind::interrupt())?.recv().await
}

/// A listener for a signal.
pub struct Signal {
    kind: SignalKind,
    /// Brings 8 bytes when the signal came.
    counts: Duplex,
}

impl Signal {
    /// Waits until the signal came since the last time, or since the listener was made.
    ///
    /// Cancel-safe: dropped before its end, it has taken no signal.
    ///
    /// # Errors
    /// When the runtime shuts down.
    pub async fn recv(&self) -> io::Result<()> {
        let mut count = [0; 8];
        self.counts.read_exact(&mut count).await
    }

    /// Which signal it listens for.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("kind", &self.kind).finish_non_exhaustive()
    }
}
