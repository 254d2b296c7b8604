//! Numbers of signals, for code that may not name libc.

/// SIGHUP.
pub const HANGUP: i32 = libc::SIGHUP;
/// SIGINT.
pub const INTERRUPT: i32 = libc::SIGINT;
/// SIGQUIT.
pub const QUIT: i32 = libc::SIGQUIT;
/// SIGTERM.
pub const TERMINATE: i32 = libc::SIGTERM;
/// SIGUSR1.
pub const USER1: i32 = libc::SIGUSR1;
/// SIGUSR2.
pub const USER2: i32 = libc::SIGUSR2;
/// SIGCHLD.
pub const CHILD: i32 = libc::SIGCHLD;
/// SIGWINCH.
pub const WINDOW: i32 = libc::SIGWINCH;
/// SIGKILL.
pub const KILL: i32 = libc::SIGKILL;
/// ESRCH, the error of a signal to a process that is gone.
pub const NO_PROCESS: i32 = libc::ESRCH;
