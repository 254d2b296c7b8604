//! The two directions of a stream in two hands.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use super::TcpStream;
use super::duplex::{Duplex, peeks, reads, writes};

/// A stream socket whose directions can be split: [`TcpStream`] and [`UnixStream`](super::UnixStream).
#[expect(private_bounds, reason = "sealed: only the streams of this crate have what halves need")]
pub trait StreamSocket: Whole {
    /// What its ends are called.
    type Address;

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    fn local_addr(&self) -> io::Result<Self::Address>;

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    fn peer_addr(&self) -> io::Result<Self::Address>;
}

/// What halves need of a stream.
pub(crate) trait Whole {
    fn duplex(&self) -> &Duplex;
}

/// The borrowed reading half of a stream: [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a, S = TcpStream>(pub(super) &'a S);

/// The borrowed writing half of a stream: [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a, S = TcpStream>(pub(super) &'a S);

/// The owned reading half of a stream: [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf<S = TcpStream>(pub(super) Arc<S>);

/// The owned writing half of a stream: [`TcpStream::into_split`].
///
/// Dropping it does not end the stream for the peer: [`shutdown`](Self::shutdown) does, as does dropping both halves.
#[derive(Debug)]
pub struct OwnedWriteHalf<S = TcpStream>(pub(super) Arc<S>);

/// What every half has.
macro_rules! half {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $type {
            fn duplex(&self) -> &Duplex {
                self.0.duplex()
            }

            /// The address of the other side.
            ///
            /// # Errors
            /// `NotConnected` once the connection is gone.
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.0.peer_addr()
            }

            /// The address of this side.
            ///
            /// # Errors
            /// The system's.
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.0.local_addr()
            }
        }
    };
}

/// What a writing half has besides.
macro_rules! shutdown {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $type {
            /// Ends the stream for the peer's reader, after a flush.
            ///
            /// Cancel-safe: dropped before its end, it has shut down nothing.
            ///
            /// # Errors
            /// As [`flush`](Self::flush), and `NotConnected` if the connection is gone.
            pub async fn shutdown(&self) -> io::Result<()> {
                self.duplex().shutdown(Shutdown::Write).await
            }
        }
    };
}

half!([S: StreamSocket] ReadHalf<'_, S>);
half!([S: StreamSocket] OwnedReadHalf<S>);
half!([S: StreamSocket] WriteHalf<'_, S>);
half!([S: StreamSocket] OwnedWriteHalf<S>);
reads!([S: StreamSocket] ReadHalf<'_, S>);
reads!([S: StreamSocket] OwnedReadHalf<S>);
peeks!([S: StreamSocket] ReadHalf<'_, S>);
peeks!([S: StreamSocket] OwnedReadHalf<S>);
writes!([S: StreamSocket] WriteHalf<'_, S>, poll_close);
writes!([S: StreamSocket] OwnedWriteHalf<S>, poll_close);
shutdown!([S: StreamSocket] WriteHalf<'_, S>);
shutdown!([S: StreamSocket] OwnedWriteHalf<S>);

impl<S> OwnedReadHalf<S> {
    /// The stream again.
    ///
    /// # Errors
    /// With both halves, if they are of two streams.
    pub fn reunite(self, other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, &other.0) {
            return Err(ReuniteError(self, other));
        }
        drop(other);
        let whole = Arc::into_inner(self.0);
        Ok(whole.expect("a stream has two halves, and here was the second"))
    }
}

impl<S> OwnedWriteHalf<S> {
    /// The stream again.
    ///
    /// # Errors
    /// With both halves, if they are of two streams.
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        other.reunite(self)
    }
}

/// Two halves of two streams, handed back.
#[derive(Debug)]
pub struct ReuniteError<S = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are of two streams: only those of one into_split can be reunited")
    }
}

impl<S: fmt::Debug> std::error::Error for ReuniteError<S> {}
