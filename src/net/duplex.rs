//! Two directions of bytes over one descriptor: what TCP and Unix streams, their halves, pipes and a child's standard streams have in common.
//!
//! The methods that users see are written once, in the macros here: each type says how it comes to its [`Duplex`]. Those of every message
//! are no `async fn`s, each of which keeps its arguments once more: a connection's task is as long as what is awaited in it is deep,
//! and with a thousand of them every line of the cache counts. Polled again after it has ended, such a future makes another call.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::read::{ReadSide, Take};
use super::receive::Received;
use super::write::{OwnedWrite, Writer};
use crate::io::Port;
use crate::os::{Fd, Op, Os, SocketOption};

/// A descriptor and its two directions.
pub(crate) struct Duplex {
    port: Arc<dyn Port>,
    read: ReadSide,
    /// With the descriptor.
    write: Arc<Writer>,
}

impl Duplex {
    pub(crate) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self { port, read: ReadSide::default(), write: Arc::new(Writer::new(fd)) }
    }

    /// Takes an open descriptor over.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(fd)?;
        Ok(Self::new(fd, port))
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.write.fd
    }

    pub(crate) fn os(&self) -> &dyn Os {
        self.port.os().as_ref()
    }

    pub(crate) fn option(&self, option: SocketOption) -> io::Result<SocketOption> {
        self.os().option(self.fd(), option)
    }

    pub(crate) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.os().set_option(self.fd(), option)
    }

    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
        take: Take,
    ) -> Poll<io::Result<usize>> {
        self.read.poll(self.port.as_ref(), self.fd(), context, into, take)
    }

    /// Reads into the unused capacity of a buffer; the buffer with its result.
    pub(crate) async fn read_owned(&self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let least = buffer.capacity();
        let result = poll_fn(|context| {
            self.read.poll_owned(self.port.as_ref(), self.fd(), context, &mut buffer, least)
        })
        .await;
        (result, buffer)
    }

    /// Reads into a slice.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(move |context| self.poll_read(context, &mut [IoSliceMut::new(buffer)], Take::Away))
    }

    /// Reads into a buffer of the worker's.
    pub(crate) fn receive(&self) -> impl Future<Output = io::Result<Received>> + Send {
        poll_fn(|context| self.read.poll_receive(self.port.as_ref(), self.fd(), context))
    }

    /// Writes all of a buffer; the buffer with its result.
    pub(crate) fn write_owned(&self, bytes: Vec<u8>) -> OwnedWrite<'_> {
        self.write.write_owned(self.port.as_ref(), bytes)
    }

    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write.poll_write(self.port.as_ref(), context, from)
    }

    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.poll_flush(self.port.as_ref(), context)
    }

    pub(crate) fn poll_shutdown(&self, context: &mut Context<'_>, how: Shutdown) -> Poll<io::Result<()>> {
        self.write.poll_shutdown(self.port.as_ref(), context, how)
    }

    pub(crate) fn set_cork(&self, on: bool) {
        self.write.set_cork(self.port.as_ref(), on);
    }

    /// As futures-io wants it: closed by the peer is closed.
    pub(crate) fn poll_close(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_shutdown(context, Shutdown::Write)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }

    pub(crate) fn read_exact(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<()>> + Send {
        let mut filled = 0;
        poll_fn(move |context| {
            while filled < buffer.len() {
                let rest = &mut [IoSliceMut::new(&mut buffer[filled..])];
                match ready!(self.poll_read(context, rest, Take::Away))? {
                    0 => {
                        let all = buffer.len();
                        let what = format!("the stream ended after {filled} of {all} bytes");
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
                    }
                    count => filled += count,
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) async fn read_to_end(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        let start = into.len();
        let mut end = End { filled: start, into };
        loop {
            let chunk = (end.filled - start).clamp(4 << 10, 1 << 20);
            end.into.resize(end.filled + chunk, 0);
            let room = &mut end.into[end.filled..];
            match poll_fn(|context| self.poll_read(context, &mut [IoSliceMut::new(room)], Take::Away)).await?
            {
                0 => return Ok(end.filled - start),
                count => end.filled += count,
            }
        }
    }

    /// Writes a slice, or some of it.
    pub(crate) fn write(&self, buffer: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        poll_fn(move |context| self.poll_write(context, &[IoSlice::new(buffer)]))
    }

    pub(crate) fn write_all(&self, buffer: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        let mut rest = buffer;
        poll_fn(move |context| {
            while !rest.is_empty() {
                let count = ready!(self.poll_write(context, &[IoSlice::new(rest)]))?;
                rest = &rest[count..];
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Waits until the kernel has taken what was accepted.
    pub(crate) fn flush(&self) -> impl Future<Output = io::Result<()>> + Send {
        poll_fn(|context| self.poll_flush(context))
    }

    pub(crate) async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read {
            return self.os().shutdown(self.fd(), how);
        }
        poll_fn(|context| self.poll_shutdown(context, how)).await
    }

    /// Flushes, and gives a descriptor of the same open file.
    pub(crate) async fn release(&self) -> io::Result<OwnedFd> {
        poll_fn(|context| self.poll_flush(context)).await?;
        match super::connect::wait(self.port.as_ref(), Op::Settle { fd: Arc::clone(self.fd()) }).await? {
            0 => self.fd().duplicate(),
            held => Err(io::Error::other(format!(
                "{held} received bytes were not read and would be lost: read them first"
            ))),
        }
    }
}

/// A vector that keeps what was filled, however the filling ends.
struct End<'a> {
    into: &'a mut Vec<u8>,
    filled: usize,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.into.truncate(self.filled);
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.read.abandon(self.port.as_ref());
        self.write.release(self.port.as_ref());
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.fd().raw())
    }
}

/// Futures-io's trait of a type that reads, or of a reference to one.
macro_rules! async_read {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> ::futures_io::AsyncRead for $type {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.poll_read_vectored(context, &mut [::std::io::IoSliceMut::new(buffer)])
            }

            fn poll_read_vectored(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffers: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.duplex().poll_read(context, buffers, $crate::net::read::Take::Away)
            }
        }
    };
}

/// Futures-io's trait of a type that writes, or of a reference to one.
macro_rules! async_write {
    ([$($generics:tt)*] $type:ty, $close:ident) => {
        impl<$($generics)*> ::futures_io::AsyncWrite for $type {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffer: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.duplex().poll_write(context, &[::std::io::IoSlice::new(buffer)])
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.duplex().poll_write(context, buffers)
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.duplex().poll_flush(context)
            }

            fn poll_close(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.duplex().$close(context)
            }
        }
    };
}

/// The methods of a type that reads, and futures-io's trait.
macro_rules! reads {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $type {
            /// Reads into `buffer` and returns how many bytes; 0 is the end of the stream (or an empty buffer).
            ///
            /// Cancel-safe: dropped before its end, it has taken nothing.
            ///
            /// # Errors
            /// The stream's: reset by the peer, timed out.
            pub fn read(
                &self,
                buffer: &mut [u8],
            ) -> impl ::std::future::Future<Output = ::std::io::Result<usize>> + Send {
                self.duplex().read(buffer)
            }

            /// Reads into several buffers, one after the other, like [`read`](Self::read).
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub async fn read_vectored(
                &self,
                buffers: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::io::Result<usize> {
                let take = $crate::net::read::Take::Away;
                ::std::future::poll_fn(|context| self.duplex().poll_read(context, buffers, take)).await
            }

            /// Reads and appends to what `buffer` holds, as far as its capacity goes, and returns how many bytes; 0 is the end of
            /// the stream, or a buffer without room.
            ///
            /// Nothing is copied on the way from the kernel: on io_uring, what was received before it was asked for comes in the
            /// memory it stands in, if `buffer` is empty; then that is another allocation, of at least the capacity.
            ///
            /// Cancel-safe for the stream: dropped before its end, it has taken nothing from it. The buffer goes with the future.
            ///
            /// # Errors
            /// As [`read`](Self::read), with the buffer.
            pub async fn read_owned(&self, buffer: Vec<u8>) -> (::std::io::Result<usize>, Vec<u8>) {
                self.duplex().read_owned(buffer).await
            }

            /// Reads what there is, at most 64 KiB, into a buffer of the runtime's, which grows and shrinks with what comes; empty is the
            /// end of the stream. While it waits it holds no buffer.
            ///
            /// Cancel-safe: dropped before its end, it has taken nothing.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn receive(
                &self,
            ) -> impl ::std::future::Future<Output = ::std::io::Result<$crate::net::Received>> + Send {
                self.duplex().receive()
            }

            /// Fills `buffer`.
            ///
            /// Not cancel-safe: dropped before its end, it may have taken bytes.
            ///
            /// # Errors
            /// As [`read`](Self::read), and `UnexpectedEof` if the stream ends first.
            pub fn read_exact(
                &self,
                buffer: &mut [u8],
            ) -> impl ::std::future::Future<Output = ::std::io::Result<()>> + Send {
                self.duplex().read_exact(buffer)
            }

            /// Appends all bytes until the end of the stream, and returns how many.
            ///
            /// Not cancel-safe: dropped before its end, it may have taken bytes, which are in `into`.
            ///
            /// # Errors
            /// As [`read`](Self::read); what came before is in `into`.
            pub async fn read_to_end(&self, into: &mut Vec<u8>) -> ::std::io::Result<usize> {
                self.duplex().read_to_end(into).await
            }
        }

        $crate::net::duplex::async_read!([$($generics)*] $type);
    };
}

/// The methods of a type that reads from a socket.
macro_rules! peeks {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $type {
            /// Reads and leaves the bytes for the next read.
            ///
            /// Cancel-safe.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub async fn peek(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|context| {
                    let into = &mut [::std::io::IoSliceMut::new(buffer)];
                    self.duplex().poll_read(context, into, $crate::net::read::Take::Peek)
                })
                .await
            }
        }
    };
}

/// The methods of a type that writes, and futures-io's trait, whose close is the given poll: what is no socket has no shutdown, and
/// closes when it is dropped.
macro_rules! writes {
    ([$($generics:tt)*] $type:ty, $close:ident) => {
        impl<$($generics)*> $type {
            /// Writes from `buffer` and returns how many bytes were accepted.
            ///
            /// Cancel-safe: dropped before its end, it has accepted nothing.
            ///
            /// # Errors
            /// The stream's: reset or closed by the peer, shut down for writing; also why bytes of an earlier
            /// write could not be sent.
            pub fn write(
                &self,
                buffer: &[u8],
            ) -> impl ::std::future::Future<Output = ::std::io::Result<usize>> + Send {
                self.duplex().write(buffer)
            }

            /// Writes from several buffers, one after the other, like [`write`](Self::write).
            ///
            /// # Errors
            /// As [`write`](Self::write).
            pub async fn write_vectored(
                &self,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                ::std::future::poll_fn(|context| self.duplex().poll_write(context, buffers)).await
            }

            /// Writes all of `buffer`.
            ///
            /// Not cancel-safe: dropped before its end, it may have written a part, and that part is sent.
            ///
            /// # Errors
            /// As [`write`](Self::write).
            pub fn write_all(
                &self,
                buffer: &[u8],
            ) -> impl ::std::future::Future<Output = ::std::io::Result<()>> + Send {
                self.duplex().write_all(buffer)
            }

            /// Whether writes are staged: copied, and sent in one call with all others that tasks make on this stream in the
            /// same turn, when the worker has run what it had to run, or soon. With `false` each write goes to the kernel at
            /// once, and so does what is staged. Until this is called the stream does it by itself: the first write of a
            /// turn goes out at once, the others are staged, and if there were others, then the first of the next turn too.
            ///
            /// What is staged leaves earlier with [`flush`](Self::flush), with a shutdown, when the stream is dropped, and together with a
            /// write that makes it more than 16 KiB. If it can't be sent, later writes and flushes say why. Code that blocks
            /// its thread until the peer has answered has to flush first (or, better, not to block). Outside
            /// of the workers of the stream's own runtime nothing is staged.
            pub fn set_cork(&self, on: bool) {
                self.duplex().set_cork(on);
            }

            /// Writes all of `bytes` and waits until the kernel has taken them; the buffer comes back as it was. Nothing is copied on
            /// the way to the kernel.
            ///
            /// Not cancel-safe: dropped before its end, it may have written a part or all. What waits for room goes with the stream
            /// then, which sends it.
            ///
            /// # Errors
            /// As [`write`](Self::write), with the buffer.
            pub async fn write_owned(
                &self,
                bytes: ::std::vec::Vec<u8>,
            ) -> (::std::io::Result<()>, ::std::vec::Vec<u8>) {
                self.duplex().write_owned(bytes).await
            }

            /// Waits until the kernel has taken all bytes that writes accepted.
            ///
            /// Cancel-safe.
            ///
            /// # Errors
            /// Why they could not be sent.
            pub fn flush(&self) -> impl ::std::future::Future<Output = ::std::io::Result<()>> + Send {
                self.duplex().flush()
            }
        }

        $crate::net::duplex::async_write!([$($generics)*] $type, $close);
    };
}

/// What a whole stream socket has beside reads and writes: shutdown, halves, its error, and futures-io's traits on a reference.
macro_rules! stream {
    ($type:ident) => {
        $crate::net::duplex::reads!([] $type);
        $crate::net::duplex::peeks!([] $type);
        $crate::net::duplex::writes!([] $type, poll_close);

        impl $crate::net::split::Whole for $type {
            fn duplex(&self) -> &$crate::net::duplex::Duplex {
                self.duplex()
            }
        }

        impl $type {
            /// Shuts down one or both directions; for writing, after a [`flush`](Self::flush).
            ///
            /// Cancel-safe: dropped before its end, it has shut down nothing.
            ///
            /// # Errors
            /// As [`flush`](Self::flush), and `NotConnected` if the connection is gone.
            pub async fn shutdown(&self, how: ::std::net::Shutdown) -> ::std::io::Result<()> {
                self.duplex().shutdown(how).await
            }

            /// Gives the connection up: both directions end at once, and what writes accepted and the kernel has not taken is thrown away.
            /// For a peer that does not read: a stream that is only dropped waits for it. With a linger (SO_LINGER) of
            /// zero before, what the kernel has is thrown away too when the stream closes, and the peer sees a reset.
            ///
            /// # Errors
            /// `NotConnected` if the connection is gone. Later writes fail.
            pub fn abort(&self) -> ::std::io::Result<()> {
                self.duplex().os().shutdown(self.duplex().fd(), ::std::net::Shutdown::Both)
            }

            /// Two borrowed halves, for one task.
            pub fn split(&mut self) -> ($crate::net::ReadHalf<'_, Self>, $crate::net::WriteHalf<'_, Self>) {
                ($crate::net::ReadHalf(self), $crate::net::WriteHalf(self))
            }

            /// Two owned halves, for two tasks. The connection closes when both are gone.
            pub fn into_split(self) -> ($crate::net::OwnedReadHalf<Self>, $crate::net::OwnedWriteHalf<Self>) {
                let stream = ::std::sync::Arc::new(self);
                ($crate::net::OwnedReadHalf(::std::sync::Arc::clone(&stream)), $crate::net::OwnedWriteHalf(stream))
            }
        }

        impl ::std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                self.duplex().fd().raw()
            }
        }

        $crate::net::duplex::async_read!([] &$type);
        $crate::net::duplex::async_write!([] &$type, poll_close);
    };
}

pub(crate) use {async_read, async_write, peeks, reads, stream, writes};
