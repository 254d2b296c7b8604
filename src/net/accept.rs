//! Accepting connections: what TCP and Unix listeners have in common.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::TcpListener;
use super::shared::{Attempt, Shared, Turn};
use crate::io::Port;
use crate::os::{Address, Completion, Fd, Op, Yielded, ran_out};

/// A listening descriptor, and the accept in flight for all who wait: a connection that comes with nobody waiting is the next one's.
pub(crate) struct Acceptor {
    fd: Fd,
    port: Arc<dyn Port>,
    shared: Shared,
}

/// An accept.
pub(crate) struct Accepting<'a>(&'a Acceptor);

impl Attempt for Accepting<'_> {
    type Output = (Fd, Address);

    fn call(&mut self) -> io::Result<Option<(Fd, Address)>> {
        self.0.port.os().try_accept(&self.0.fd)
    }

    fn op(&self) -> Op {
        Op::Accept { fd: Arc::clone(&self.0.fd) }
    }

    fn completed(&mut self, completion: Completion) -> io::Result<Option<(Fd, Address)>> {
        completion.result?;
        match completion.yielded {
            Yielded::Accepted(accepted) => Ok(Some(*accepted)),
            other => Err(io::Error::other(format!("an accept brought {other:?} and no connection"))),
        }
    }
}

impl Acceptor {
    pub(crate) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self { fd, port, shared: Shared::default() }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    pub(crate) fn port(&self) -> &Arc<dyn Port> {
        &self.port
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        self.port.os().local_addr(&self.fd)
    }

    fn accept(&self) -> Turn<'_, Accepting<'_>> {
        self.shared.wait(self.port.as_ref(), Accepting(self))
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Fd, Address)>> {
        self.shared.poll(self.port.as_ref(), context, &mut Accepting(self))
    }

    /// What the user gets of an accept's answer.
    fn answer<L: SocketListener>(
        &self,
        answer: io::Result<(Fd, Address)>,
    ) -> io::Result<(L::Stream, L::Address)> {
        let error = match answer {
            Ok((fd, peer)) => return L::stream(fd, Arc::clone(&self.port), peer),
            Err(error) => error,
        };
        let here = self.local_addr().map_or_else(|_| String::from("a socket"), |address| address.to_string());
        let remedy = match ran_out(&error) {
            true => " now (the listener stays open: free what ran out, and pause before the next accept)",
            false => "",
        };
        Err(super::context(|| format!("cannot accept a connection on {here}{remedy}"), error))
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.abandon(self.port.as_ref());
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.fd.raw())
    }
}

/// A listener: [`TcpListener`] and [`UnixListener`](super::UnixListener).
#[expect(private_bounds, reason = "sealed: only the listeners of this crate have what an accept needs")]
pub trait SocketListener: Listening {
    /// What it accepts.
    type Stream;
    /// What the other side is called.
    type Address;

    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed")]
    fn stream(fd: Fd, port: Arc<dyn Port>, peer: Address) -> io::Result<(Self::Stream, Self::Address)>;
}

/// What an accept needs of a listener.
pub(crate) trait Listening {
    fn acceptor(&self) -> &Acceptor;
}

/// The future of [`TcpListener::accept`] and [`UnixListener::accept`](super::UnixListener::accept).
#[must_use = "an accept does nothing until it is awaited"]
pub struct Accept<'a, L = TcpListener> {
    listener: &'a L,
    turn: Turn<'a, Accepting<'a>>,
}

impl<'a, L: SocketListener> Accept<'a, L> {
    pub(super) fn new(listener: &'a L) -> Self {
        Self { listener, turn: listener.acceptor().accept() }
    }
}

impl<L> Unpin for Accept<'_, L> {}

impl<L: SocketListener> Future for Accept<'_, L> {
    type Output = io::Result<(L::Stream, L::Address)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let acceptor = self.listener.acceptor();
        Pin::new(&mut self.turn).poll(context).map(|answer| acceptor.answer::<L>(answer))
    }
}

impl<L> fmt::Debug for Accept<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}

/// The connections of a listener: [`TcpListener::incoming`] and [`UnixListener::incoming`](super::UnixListener::incoming).
#[derive(Debug)]
pub struct Incoming<'a, L = TcpListener>(pub(super) &'a L);

impl<L: SocketListener> Incoming<'_, L> {
    /// The next connection.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn next(&mut self) -> io::Result<L::Stream> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same as a poll.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<L::Stream>> {
        poll_accept(self.0, context).map_ok(|(stream, _)| stream)
    }
}

/// Polls a listener for a connection.
pub(super) fn poll_accept<L: SocketListener>(
    listener: &L,
    context: &mut Context<'_>,
) -> Poll<io::Result<(L::Stream, L::Address)>> {
    let acceptor = listener.acceptor();
    acceptor.poll_accept(context).map(|answer| acceptor.answer::<L>(answer))
}

/// The methods of a listener.
macro_rules! listener {
    ($type:ident, $stream:ident, $address:ty) => {
        impl $type {
            /// Accepts the next connection.
            ///
            /// Cancel-safe: dropped before its end, it has accepted nothing.
            ///
            /// # Errors
            /// When the process or the machine is out of descriptors or memory. The listener stays usable, and the
            /// connection stays in its backlog; an accept that is repeated at once fails at once, so sleep a little (or
            /// close something) first. The system's error is the [`source`](std::error::Error::source).
            pub fn accept(&self) -> $crate::net::Accept<'_, Self> {
                $crate::net::Accept::new(self)
            }

            /// The same as a poll, for hand-written futures. The waker is kept until a connection or an error comes.
            ///
            /// # Errors
            /// As [`accept`](Self::accept).
            pub fn poll_accept(
                &self,
                context: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<($stream, $address)>> {
                $crate::net::accept::poll_accept(self, context)
            }

            /// The connections, one after the other, for ever.
            pub fn incoming(&self) -> $crate::net::Incoming<'_, Self> {
                $crate::net::Incoming(self)
            }
        }

        impl $crate::net::accept::Listening for $type {
            fn acceptor(&self) -> &$crate::net::accept::Acceptor {
                &self.0
            }
        }

        impl ::std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                self.0.fd().raw()
            }
        }

        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($type)).field("fd", &self.0.fd().raw()).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use listener;
