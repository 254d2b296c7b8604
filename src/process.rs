//! Child processes.
//!
//! A child is waited for by its pidfd: no SIGCHLD handler, no thread, and a signal never reaches a process that only has the number.
//! A child whose handle is dropped goes on (unless [`Command::kill_on_drop`]) and is waited for in the background, so it leaves no
//! zombie while its runtime lives. The simulator has no processes: a spawn there is an error.

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Output, Stdio};
use std::task::Poll;

use crate::Handle;
use crate::net::async_fd::ready;
use crate::net::datagram::Readiness;
use crate::net::{PipeReader, PipeWriter};
use crate::os::{Interest, signals};

/// A program to start, with its arguments and surroundings: as [`std::process::Command`], which it wraps.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pirn::Runtime::new()?.block_on(async {
///     let output = pirn::process::Command::new("echo").arg("hello").output().await?;
///     assert_eq!(output.stdout, b"hello\n");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    std: std::process::Command,
    kill_on_drop: bool,
}

impl Command {
    /// A program, looked for in PATH if its name has no slash. Standard streams are inherited, except by [`output`](Self::output).
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// One more argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(argument);
        self
    }

    /// More arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(arguments);
        self
    }

    /// An environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Not this environment variable.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// No environment variables but those given after this.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// The directory it starts in.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(directory);
        self
    }

    /// Its standard input.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.std.stdin(stdio);
        self
    }

    /// Its standard output.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.std.stdout(stdio);
        self
    }

    /// Its standard error.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.std.stderr(stdio);
        self
    }

    /// Whether the child is killed when its handle is dropped before it was waited for. The default is no.
    pub fn kill_on_drop(&mut self, on: bool) -> &mut Self {
        self.kill_on_drop = on;
        self
    }

    /// The wrapped command, for what has no method here (`std::os::unix::process::CommandExt`).
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }

    /// Starts the child. That takes as long as the system's `posix_spawn` or `fork` and `exec` do, on the calling worker.
    ///
    /// # Errors
    /// With the program: not found, no permission, no process or descriptor left; outside of a runtime; in the simulator.
    pub fn spawn(&mut self) -> io::Result<Child> {
        let started = crate::net::port().and_then(|port| {
            let (std, pidfd) = port.os().start_child(&mut self.std)?;
            Ok((std, Readiness::new(pidfd, port)))
        });
        let (mut std, pidfd) = started.map_err(|error| {
            let program = self.std.get_program().to_string_lossy();
            crate::io::context(|| format!("cannot start the program \"{program}\""), error)
        })?;
        let (stdin, stdout, stderr) = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        // From here on the child is waited for, whatever fails.
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            running: Some(Running { std, pidfd }),
            status: None,
            kill_on_drop: self.kill_on_drop,
            runtime: Handle::current(),
        };
        child.stdin = stdin.map(PipeWriter::from_fd).transpose()?;
        child.stdout = stdout.map(PipeReader::from_fd).transpose()?;
        child.stderr = stderr.map(PipeReader::from_fd).transpose()?;
        Ok(child)
    }

    /// Starts the child and waits for its end.
    ///
    /// Not cancel-safe: dropped before its end, the child goes on, or is killed if that was asked for.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait().await
    }

    /// Starts the child with its output and error collected (and no input, unless one was given), and waits for its end.
    ///
    /// Not cancel-safe: dropped before its end, the child goes on, or is killed if that was asked for.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn), and those of reading.
    pub async fn output(&mut self) -> io::Result<Output> {
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn()?.wait_with_output().await
    }
}

impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Self {
        Self { std, kill_on_drop: false }
    }
}

/// A child process.
pub struct Child {
    /// Its standard input, if it is a pipe. Drop it to let the child see its end.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if it is a pipe.
    pub stdout: Option<PipeReader>,
    /// Its standard error, if it is a pipe.
    pub stderr: Option<PipeReader>,
    /// Until it was waited for.
    running: Option<Running>,
    status: Option<ExitStatus>,
    kill_on_drop: bool,
    runtime: Handle,
}

/// A child that was not waited for yet.
struct Running {
    std: std::process::Child,
    pidfd: Readiness,
}

impl Running {
    async fn end(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.std.try_wait()? {
                return Ok(status);
            }
            ready(&self.pidfd, Interest::Read).await?;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime that shuts down drops those that run in the background: one that has ended leaves no zombie even so.
        drop(self.std.try_wait());
    }
}

impl Child {
    /// Its process number, until it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.std.id())
    }

    /// Closes its standard input and waits for its end. Again and again, if called again and again.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The system's; when the runtime shuts down.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(running) = &mut self.running {
            self.status = Some(running.end().await?);
            self.running = None;
        }
        self.status.ok_or_else(no_status)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system's.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(running) = &mut self.running
            && let Some(status) = running.std.try_wait()?
        {
            self.status = Some(status);
            self.running = None;
        }
        Ok(self.status)
    }

    /// Sends it a signal, by number. Nothing happens if it has ended.
    ///
    /// # Errors
    /// No such signal, no permission.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        match running.pidfd.os().signal_child(running.pidfd.fd(), number) {
            // It has ended, and was not waited for yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_gone(&error) => Ok(()),
            result => result,
        }
    }

    /// Kills it (SIGKILL). [`wait`](Self::wait) tells when it is dead.
    ///
    /// # Errors
    /// No permission.
    pub fn start_kill(&self) -> io::Result<()> {
        self.signal(signals::KILL)
    }

    /// Kills it and waits for its end.
    ///
    /// Cancel-safe: dropped before its end, the child was killed.
    ///
    /// # Errors
    /// No permission; when the runtime shuts down.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Closes its standard input, reads its output and error to their ends (those that are pipes) and waits for its end.
    ///
    /// Not cancel-safe: dropped before its end, what was read is lost.
    ///
    /// # Errors
    /// The system's.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        async fn all(pipe: Option<PipeReader>) -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                pipe.read_to_end(&mut bytes).await?;
            }
            Ok(bytes)
        }
        drop(self.stdin.take());
        // Both at once: a child that fills one pipe while the other is read would wait for ever.
        let (stdout, stderr) = both(all(self.stdout.take()), all(self.stderr.take())).await;
        Ok(Output { status: self.wait().await?, stdout: stdout?, stderr: stderr? })
    }
}

fn no_status() -> io::Error {
    io::Error::other("the child has ended, and its status was lost to an earlier error")
}

/// ESRCH: there is no such process any more.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(signals::NO_PROCESS)
}

/// Polls two futures until both are done.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (left, right) => {
                (first, second) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop {
            drop(self.start_kill());
        }
        if let Some(mut running) = self.running.take()
            && matches!(running.std.try_wait(), Ok(None))
        {
            self.runtime.spawn(async move { running.end().await }).detach();
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).field("status", &self.status).finish_non_exhaustive()
    }
}
