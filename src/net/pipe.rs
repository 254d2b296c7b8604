//! Pipes: bytes in one direction, between tasks, threads or processes.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::duplex::{Duplex, reads, writes};

/// A new pipe.
///
/// # Errors
/// Outside of a runtime, and if no descriptor is left.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pirn::Runtime::new()?.block_on(async {
///     let (reader, writer) = pirn::net::pipe()?;
///     writer.write_all(b"hello").await?;
///     drop(writer);
///     let mut bytes = Vec::new();
///     reader.read_to_end(&mut bytes).await?;
///     assert_eq!(bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let port = super::port()?;
    let (reader, writer) = port.os().pipe()?;
    Ok((PipeReader(Duplex::new(reader, Arc::clone(&port))), PipeWriter(Duplex::new(writer, port))))
}

/// The reading end of a pipe, or of anything that is read like one: a FIFO, a terminal.
///
/// Where two tasks read at once, only the one that asked last is woken.
pub struct PipeReader(Duplex);

/// The writing end of a pipe, or of anything that is written like one: a FIFO, a terminal.
///
/// Accepted bytes are written even if the writer is dropped, as with a [`TcpStream`](super::TcpStream). A write to a pipe that nobody
/// reads any more fails with `BrokenPipe`, as long as the program ignores SIGPIPE, which the standard library sees to.
pub struct PipeWriter(Duplex);

reads!([] PipeReader);
writes!([] PipeWriter, poll_flush);

macro_rules! end {
    ($type:ident) => {
        impl $type {
            /// Takes an open descriptor over, and sets it non-blocking (which others who share its open file notice).
            ///
            /// # Errors
            /// Outside of a runtime, and in the simulator.
            pub fn from_fd(fd: impl Into<OwnedFd>) -> io::Result<Self> {
                Duplex::adopt(fd.into()).map(Self)
            }

            /// Flushes, and gives a descriptor of the end, non-blocking as it is.
            ///
            /// # Errors
            /// With the end: if the flush failed, if no descriptor is left, and in the simulator.
            pub async fn into_fd(self) -> Result<OwnedFd, (Self, io::Error)> {
                match self.0.release().await {
                    Ok(fd) => Ok(fd),
                    Err(error) => Err((self, error)),
                }
            }

            fn duplex(&self) -> &Duplex {
                &self.0
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.0.fd().raw()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).field("fd", &self.0.fd().raw()).finish_non_exhaustive()
            }
        }
    };
}

end!(PipeReader);
end!(PipeWriter);
