//! A stream under the traits of hyper and tokio.
//!
//! Both hand a reader memory that may be uninitialised, futures-io wants bytes. To clear all of it at each read would cost more than
//! most requests weigh, so a read is offered about as much as the last ones brought: that much is cleared, and filled in place.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt;

/// What a read is offered at least and at most, in bytes.
const ROOM: (usize, usize) = (1 << 10, 64 << 10);

/// A stream of futures-io (Pirn's streams, halves and pipes, or a futures-rustls stream over one) under the traits of hyper
/// ([`rt::Read`], [`rt::Write`]) and, with the feature `tokio`, of tokio (`AsyncRead`, `AsyncWrite`).
///
/// Bytes go through it without a copy. As cancel-safe as the stream.
#[derive(Debug)]
pub struct PirnIo<S> {
    stream: S,
    /// What the next read is offered.
    room: usize,
    vectored: bool,
}

impl<S> PirnIo<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, room: 2 * ROOM.0, vectored: true }
    }

    /// Whether hyper may hand several slices to one write. Default: yes, which is right for all streams of Pirn and for futures-rustls. Say no
    /// for a stream that would write only the first of them.
    #[must_use]
    pub fn vectored(mut self, on: bool) -> Self {
        self.vectored = on;
        self
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, without its wrapper, which holds no bytes.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// What to offer a read with so much room.
    fn offer(&self, remaining: usize) -> usize {
        remaining.min(self.room)
    }

    /// Learns from a read.
    fn learn(&mut self, offered: usize, count: usize) {
        assert!(count <= offered, "the stream says it read {count} bytes into {offered}");
        if count == self.room {
            self.room = (self.room * 2).min(ROOM.1);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(ROOM.0);
        }
    }
}

impl<S: Unpin> PirnIo<S> {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl<S: AsyncRead + Unpin> rt::Read for PirnIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let offered = self.offer(buffer.remaining());
        let room = buffer.initialize_unfilled_to(offered);
        let count = ready!(self.as_mut().stream().poll_read(context, room))?;
        self.learn(offered, count);
        // SAFETY: the first `offered` bytes were initialised above, and `learn` has seen that these are not more.
        unsafe { buffer.advance(count) };
        Poll::Ready(Ok(()))
    }
}

/// The traits for writing differ in their names only.
macro_rules! writes {
    ($trait:path) => {
        impl<S: AsyncWrite + Unpin> $trait for PirnIo<S> {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream().poll_write(context, bytes)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream().poll_flush(context)
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream().poll_close(context)
            }

            fn is_write_vectored(&self) -> bool {
                self.vectored
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream().poll_write_vectored(context, slices)
            }
        }
    };
}

writes!(rt::Write);

#[cfg(feature = "tokio")]
impl<S: AsyncRead + Unpin> tokio::io::AsyncRead for PirnIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let offered = self.offer(buffer.remaining());
        let room = buffer.initialize_unfilled_to(offered);
        let count = ready!(self.as_mut().stream().poll_read(context, room))?;
        self.learn(offered, count);
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tokio")]
writes!(tokio::io::AsyncWrite);
