//! The two directions of a stream in two hands.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use super::TcpStream;

/// Implements futures-io's traits by way of `&TcpStream`.
macro_rules! futures_io {
    ($type:ty, read, |$this:ident| $stream:expr) => {
        impl ::futures_io::AsyncRead for $type {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let $this = &*self;
                let stream: &$crate::net::TcpStream = $stream;
                $crate::net::TcpStream::poll_read(stream, context, buffer)
            }

            fn poll_read_vectored(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffers: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let $this = &*self;
                let stream: &$crate::net::TcpStream = $stream;
                $crate::net::TcpStream::poll_read_vectored(stream, context, buffers)
            }
        }
    };
    ($type:ty, write, |$this:ident| $stream:expr) => {
        impl ::futures_io::AsyncWrite for $type {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffer: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let $this = &*self;
                let stream: &$crate::net::TcpStream = $stream;
                $crate::net::TcpStream::poll_write(stream, context, buffer)
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
                buffers: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let $this = &*self;
                let stream: &$crate::net::TcpStream = $stream;
                $crate::net::TcpStream::poll_write_vectored(stream, context, buffers)
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                let $this = &*self;
                let stream: &$crate::net::TcpStream = $stream;
                $crate::net::TcpStream::poll_flush(stream, context)
            }

            fn poll_close(
                self: ::std::pin::Pin<&mut Self>,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                let $this = &*self;
                let mut stream: &$crate::net::TcpStream = $stream;
                ::futures_io::AsyncWrite::poll_close(::std::pin::Pin::new(&mut stream), context)
            }
        }
    };
}

pub(super) use futures_io;

/// The methods of a reading half.
macro_rules! reading {
    ($type:ty) => {
        impl $type {
            /// As [`TcpStream::read`].
            ///
            /// # Errors
            /// The same.
            pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer).await
            }

            /// As [`TcpStream::read_vectored`].
            ///
            /// # Errors
            /// The same.
            pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(buffers).await
            }

            /// As [`TcpStream::read_exact`].
            ///
            /// # Errors
            /// The same.
            pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
                self.0.read_exact(buffer).await
            }

            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            /// The same.
            pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.peek(buffer).await
            }

            /// As [`TcpStream::peer_addr`].
            ///
            /// # Errors
            /// The same.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.0.peer_addr()
            }

            /// As [`TcpStream::local_addr`].
            ///
            /// # Errors
            /// The same.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()
            }
        }
    };
}

/// The methods of a writing half.
macro_rules! writing {
    ($type:ty) => {
        impl $type {
            /// As [`TcpStream::write`].
            ///
            /// # Errors
            /// The same.
            pub async fn write(&self, buffer: &[u8]) -> io::Result<usize> {
                self.0.write(buffer).await
            }

            /// As [`TcpStream::write_vectored`].
            ///
            /// # Errors
            /// The same.
            pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.write_vectored(buffers).await
            }

            /// As [`TcpStream::write_all`].
            ///
            /// # Errors
            /// The same.
            pub async fn write_all(&self, buffer: &[u8]) -> io::Result<()> {
                self.0.write_all(buffer).await
            }

            /// As [`TcpStream::flush`].
            ///
            /// # Errors
            /// The same.
            pub async fn flush(&self) -> io::Result<()> {
                self.0.flush().await
            }

            /// Ends the stream for the peer's reader, after a flush.
            ///
            /// # Errors
            /// As [`TcpStream::shutdown`].
            pub async fn shutdown(&self) -> io::Result<()> {
                self.0.shutdown(Shutdown::Write).await
            }

            /// As [`TcpStream::peer_addr`].
            ///
            /// # Errors
            /// The same.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.0.peer_addr()
            }

            /// As [`TcpStream::local_addr`].
            ///
            /// # Errors
            /// The same.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()
            }
        }
    };
}

/// The borrowed reading half of a stream: [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);

/// The borrowed writing half of a stream: [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);

/// The owned reading half of a stream: [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(pub(super) Arc<TcpStream>);

/// The owned writing half of a stream: [`TcpStream::into_split`].
///
/// Dropping it does not end the stream for the peer: [`shutdown`](Self::shutdown) does, as does dropping both halves.
#[derive(Debug)]
pub struct OwnedWriteHalf(pub(super) Arc<TcpStream>);

reading!(ReadHalf<'_>);
reading!(OwnedReadHalf);
writing!(WriteHalf<'_>);
writing!(OwnedWriteHalf);
futures_io!(ReadHalf<'_>, read, |half| half.0);
futures_io!(OwnedReadHalf, read, |half| &half.0);
futures_io!(WriteHalf<'_>, write, |half| half.0);
futures_io!(OwnedWriteHalf, write, |half| &half.0);

impl OwnedReadHalf {
    /// The stream again.
    ///
    /// # Errors
    /// With both halves, if they are of two streams.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.0) {
            return Err(ReuniteError(self, other));
        }
        drop(other);
        Ok(Arc::into_inner(self.0).expect("a stream has two halves, and here was the second"))
    }
}

impl OwnedWriteHalf {
    /// The stream again.
    ///
    /// # Errors
    /// With both halves, if they are of two streams.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        other.reunite(self)
    }
}

/// Two halves of two streams, handed back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are of two streams: only those of one into_split can be reunited")
    }
}

impl std::error::Error for ReuniteError {}
