//! One file op, from its start to its end, as a future that owns it.

use std::ffi::CString;
use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::io::{InFlight, Port, Started, context};
use crate::os::file::{FilePath, Stat, Target};
use crate::os::{Completion, Fd, FileOp, Op, Yielded};

/// The runtime that a file will belong to.
pub(super) fn port() -> io::Result<Arc<dyn Port>> {
    crate::io::current().ok_or_else(|| {
        io::Error::other("files need a Pirn runtime: open them inside block_on or a spawned task")
    })
}

/// A path in the kernel's form.
pub(super) fn path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path {path:?} holds a zero byte, and no name can: take it out"),
        )
    })
}

/// A name, as a target.
pub(super) fn named(path: CString, follow: bool) -> Target {
    Target::Path { path: FilePath::from(path), follow }
}

/// An op in flight; dropped, it is cancelled, and what it still delivers is adopted: an opened file closes.
struct Running<'a> {
    port: &'a dyn Port,
    op: Option<InFlight>,
}

impl Running<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Completion> {
        let op = self.op.as_ref().expect("an op is polled until its end");
        let completion = op.poll_unlocked(self.port, context);
        if completion.is_ready() {
            // Spent with its completion: nothing is left to cancel.
            self.op = None;
        }
        completion
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(op) = self.op.take() {
            drop(op.cancel(self.port));
        }
    }
}

/// Runs an op. Cancelled with the future.
pub(super) async fn run(port: &dyn Port, op: FileOp) -> Completion {
    match port.start(Op::File(op)) {
        Started::Done(completion) => completion,
        Started::InFlight(token) => {
            let mut running = Running { port, op: Some(InFlight::new(token)) };
            poll_fn(|context| running.poll(context)).await
        }
    }
}

/// Runs an op that answers with success alone.
pub(super) async fn simple(port: &dyn Port, op: FileOp) -> io::Result<()> {
    run(port, op).await.result.map(drop)
}

/// The same about a path, whose name comes with an error.
pub(super) async fn on_path(what: &str, at: &Path, op: FileOp) -> io::Result<()> {
    let port = port()?;
    simple(port.as_ref(), op).await.map_err(|error| failed(what, at, error))
}

/// An error with what was asked.
pub(super) fn failed(what: &str, at: &Path, error: io::Error) -> io::Error {
    context(|| format!("cannot {what} {}", at.display()), error)
}

/// Asks what is known.
pub(super) async fn stat(port: &dyn Port, target: Target) -> io::Result<Stat> {
    let completion = run(port, FileOp::Stat { target }).await;
    completion.result?;
    match completion.yielded {
        Yielded::Stat(stat) => Ok(*stat),
        other => Err(unexpected("facts about a file", &other)),
    }
}

/// The file of an open.
pub(super) fn opened(completion: Completion) -> io::Result<Fd> {
    completion.result?;
    match completion.yielded {
        Yielded::Opened(fd) => Ok(fd),
        other => Err(unexpected("an open file", &other)),
    }
}

/// The bytes of an op that brings bytes.
pub(super) fn bytes(completion: Completion) -> io::Result<Vec<u8>> {
    completion.result?;
    match completion.yielded {
        Yielded::Bytes(bytes) => Ok(bytes),
        other => Err(unexpected("bytes", &other)),
    }
}

/// The result of a read or write, and its buffer. Only a runtime that has shut down gives none back.
pub(super) fn with_buffer(completion: Completion) -> (io::Result<usize>, Vec<u8>) {
    match completion.yielded {
        Yielded::Bytes(bytes) => (completion.result, bytes),
        _ => (completion.result, Vec::new()),
    }
}

/// A driver that brought the wrong thing.
pub(super) fn unexpected(wanted: &str, got: &Yielded) -> io::Error {
    io::Error::other(format!("an op brought {got:?} in place of {wanted}"))
}
