//! Descriptors of the user's own: wait until a call on them would not block.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::datagram::Readiness;
use super::shared::Attempt;
use crate::os::{Completion, Interest, Op};

/// A descriptor that the user makes the calls on, and that Pirn waits for: an inotify, a timerfd, a device, a socket of another library.
///
/// It is set non-blocking and duplicated: the waits are on the second descriptor of the same open file. Regular files can't be waited for.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::io::{Read, Write};
///
/// pirn::Runtime::new()?.block_on(async {
///     let (reader, mut writer) = std::io::pipe()?;
///     let reader = pirn::net::AsyncFd::new(reader)?;
///     writer.write_all(b"hello")?;
///     let mut bytes = [0; 16];
///     let count = reader.read_with(|mut pipe| pipe.read(&mut bytes)).await?;
///     assert_eq!(&bytes[..count], b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncFd<T> {
    readiness: Readiness,
    inner: T,
}

impl<T: AsFd> AsyncFd<T> {
    /// Takes a descriptor over.
    ///
    /// # Errors
    /// Outside of a runtime, in the simulator (which has no descriptors of the system), and if no descriptor is left.
    pub fn new(inner: T) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(inner.as_fd().try_clone_to_owned()?)?;
        Ok(Self { readiness: Readiness::new(fd, port), inner })
    }

    /// Waits until a read would not block, or would fail.
    ///
    /// Cancel-safe. It may come without a reason.
    ///
    /// # Errors
    /// `PermissionDenied` if the descriptor is one that can't be waited for.
    pub async fn readable(&self) -> io::Result<()> {
        ready(&self.readiness, Interest::Read).await
    }

    /// Waits until a write would not block, or would fail.
    ///
    /// Cancel-safe. It may come without a reason.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    pub async fn writable(&self) -> io::Result<()> {
        ready(&self.readiness, Interest::Write).await
    }

    /// Makes a call that reads until it does not say `WouldBlock`, each time the descriptor is readable.
    ///
    /// Cancel-safe: it stops between two calls.
    ///
    /// # Errors
    /// The call's, and those of [`readable`](Self::readable).
    pub async fn read_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.with(Interest::Read, call).await
    }

    /// Makes a call that writes until it does not say `WouldBlock`, each time the descriptor is writable.
    ///
    /// Cancel-safe: it stops between two calls.
    ///
    /// # Errors
    /// The call's, and those of [`writable`](Self::writable).
    pub async fn write_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.with(Interest::Write, call).await
    }

    async fn with<R>(&self, interest: Interest, mut call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        crate::io::take_budget().await;
        loop {
            match call(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.readiness, interest).await?;
                }
                result => return result,
            }
        }
    }

    /// What was taken over.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What was taken over, to change.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives it back, non-blocking.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_fd().as_raw_fd()
    }
}

/// A wait for nothing but readiness.
struct Wait<'a>(&'a Readiness, Interest);

impl Attempt for Wait<'_> {
    type Output = ();

    fn call(&mut self) -> io::Result<Option<()>> {
        Ok(None)
    }

    fn op(&self) -> Op {
        Op::Ready { fd: self.0.fd().clone(), interest: self.1 }
    }

    fn completed(&mut self, completion: Completion) -> io::Result<Option<()>> {
        completion.result.map(|_| Some(()))
    }
}

/// Waits until a call would not block.
pub(crate) async fn ready(readiness: &Readiness, interest: Interest) -> io::Result<()> {
    readiness.attempt(interest, Wait(readiness, interest)).await
}
