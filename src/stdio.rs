//! The standard streams of the process.
//!
//! They are shared with whoever started the process, so they stay as they are: setting them non-blocking would reach into other
//! programs. Input is waited for like any descriptor, then read on a thread of [`spawn_blocking`](crate::spawn_blocking); so nothing hangs in
//! a read while nobody types, and a runtime that shuts down does not wait for it. Output is written on such a thread, in order.
//! Programs that move much through their standard streams, and know that they are pipes of their own, use
//! [`PipeReader::from_fd`](crate::net::PipeReader::from_fd) instead.
//!
//! In the simulator, output is printed as it is, and there is no input.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use crate::net::async_fd::ready;
use crate::net::datagram::Readiness;
use crate::os::Interest;
use crate::task::JoinHandle;

/// Bytes read or written at once.
const CHUNK: usize = 64 << 10;

/// The standard input.
///
/// # Errors
/// Outside of a runtime, if no descriptor is left, and in the simulator.
pub fn stdin() -> io::Result<Stdin> {
    let port = crate::net::port()?;
    let fd = port.os().watch(io::stdin().as_fd().try_clone_to_owned()?)?;
    Ok(Stdin { readiness: Readiness::new(fd, port), reading: None, bytes: Vec::new(), at: 0 })
}

/// The standard input: [`stdin`].
pub struct Stdin {
    readiness: Readiness,
    /// A read on its way; what it brings belongs to the next call if its own was dropped.
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Read, and not handed out: `bytes[at..]`.
    bytes: Vec<u8>,
    at: usize,
}

impl Stdin {
    /// Reads into `buffer` and returns how many bytes; 0 is the end of the input (or an empty buffer).
    ///
    /// Cancel-safe: what comes after it was dropped is the next read's.
    ///
    /// # Errors
    /// The system's; when the runtime shuts down.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.fill().await?.is_empty() {
            return Ok(0);
        }
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }

    /// Appends a line with its end to `line`, and returns how many bytes; 0 is the end of the input.
    ///
    /// Not cancel-safe: dropped before its end, the part of the line that was read is lost.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `InvalidData` if the line is not UTF-8.
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        loop {
            let here = self.fill().await?;
            let end = here.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let count = end.unwrap_or(here.len());
            bytes.extend_from_slice(&here[..count]);
            self.at += count;
            if end.is_some() || count == 0 {
                break;
            }
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))?;
        line.push_str(&text);
        Ok(text.len())
    }

    /// What was read and not handed out, after a read if that is nothing. Nothing: the end.
    async fn fill(&mut self) -> io::Result<&[u8]> {
        if self.at == self.bytes.len() {
            if self.reading.is_none() {
                // A regular file can't be waited for, and needs no wait.
                match ready(&self.readiness, Interest::Read).await {
                    Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                    _ => {}
                }
                self.reading = Some(crate::spawn_blocking(|| {
                    let mut bytes = vec![0; CHUNK];
                    let count = io::stdin().read(&mut bytes)?;
                    bytes.truncate(count);
                    Ok(bytes)
                }));
            }
            let read = match &mut self.reading {
                Some(reading) => reading.await,
                None => unreachable!("it was just begun"),
            };
            self.reading = None;
            self.bytes = read.map_err(|error| io::Error::other(error.to_string()))??;
            self.at = 0;
        }
        Ok(&self.bytes[self.at..])
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

/// The standard output.
pub fn stdout() -> Output {
    Output { to: || Box::new(io::stdout()), writing: None, failed: None }
}

/// The standard error.
pub fn stderr() -> Output {
    Output { to: || Box::new(io::stderr()), writing: None, failed: None }
}

/// The standard output or error: [`stdout`] and [`stderr`].
///
/// [`flush`](Self::flush) before the program ends: what is on its way when the runtime goes may not be written.
pub struct Output {
    to: fn() -> Box<dyn Write>,
    writing: Option<JoinHandle<io::Result<()>>>,
    failed: Option<io::ErrorKind>,
}

impl Output {
    /// Writes all of `bytes`, in pieces of 64 KiB: returns when the last piece is on its way to the system.
    ///
    /// Not cancel-safe: dropped before its end, it may have written a part.
    ///
    /// # Errors
    /// Why an earlier piece could not be written: of this and of every later call.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(CHUNK) {
            self.flush().await?;
            let (to, piece) = (self.to, piece.to_vec());
            self.writing = Some(crate::spawn_blocking(move || {
                let mut to = to();
                to.write_all(&piece)?;
                to.flush()
            }));
        }
        Ok(())
    }

    /// Waits until the system has taken everything.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub async fn flush(&mut self) -> io::Result<()> {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            let written = written.map_err(|error| io::Error::other(error.to_string())).flatten();
            if let Err(error) = written {
                self.failed = Some(error.kind());
                return Err(error);
            }
        }
        match self.failed {
            Some(kind) => Err(io::Error::new(kind, "an earlier write to this standard stream failed")),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
