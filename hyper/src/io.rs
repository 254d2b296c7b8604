//! A stream under the traits of hyper and tokio.
//!
//! Both hand a reader memory that may be uninitialised, futures-io wants bytes. To clear what is offered at each read would cost more than
//! most requests weigh, so a read goes through a block of bytes that the thread keeps: what came is copied, and nothing is cleared.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::ready;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt;

/// What a read is offered at most, in bytes.
const ROOM: usize = 64 << 10;

thread_local! {
    /// Initialised memory for reads. Taken out while one is under way: a stream may read through another [`PirnIo`].
    static SCRATCH: Cell<Option<Box<[u8; ROOM]>>> = const { Cell::new(None) };
}

/// A stream of futures-io (Pirn's streams, halves and pipes, or a futures-rustls stream over one) under the traits of hyper
/// ([`rt::Read`], [`rt::Write`]) and, with the feature `tokio`, of tokio (`AsyncRead`, `AsyncWrite`).
///
/// What is written goes through it without a copy, what is read with one. As cancel-safe as the stream.
#[derive(Debug)]
pub struct PirnIo<S> {
    stream: S,
    vectored: bool,
}

impl<S> PirnIo<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, vectored: true }
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
}

impl<S: Unpin> PirnIo<S> {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().stream)
    }
}

#[cold]
fn fresh() -> Box<[u8; ROOM]> {
    vec![0; ROOM].into_boxed_slice().try_into().expect("it was made with that length")
}

impl<S: AsyncRead + Unpin> PirnIo<S> {
    /// Reads at most `room` bytes and gives them to `put`.
    fn poll_read_into(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: usize,
        put: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        // A thread that ends has none any more.
        let scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let mut scratch = scratch.unwrap_or_else(fresh);
        let room = room.min(ROOM);
        let read = self.stream().poll_read(context, &mut scratch[..room]);
        if let Poll::Ready(Ok(count)) = read {
            assert!(count <= room, "the stream says it read {count} bytes into {room}");
            put(&scratch[..count]);
        }
        let _ = SCRATCH.try_with(|kept| kept.set(Some(scratch)));
        read.map_ok(|_| ())
    }
}

impl<S: AsyncRead + Unpin> rt::Read for PirnIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        self.poll_read_into(context, room, |bytes| buffer.put_slice(bytes))
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
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let initialized = buffer.initialized().len() - buffer.filled().len();
        if initialized == 0 {
            return self.poll_read_into(context, buffer.remaining(), |bytes| buffer.put_slice(bytes));
        }
        // All of it, if somebody reads into bytes: no copy then.
        let room = buffer.initialize_unfilled_to(initialized);
        let count = ready!(self.stream().poll_read(context, room))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tokio")]
writes!(tokio::io::AsyncWrite);
