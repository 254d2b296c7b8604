//! Datagrams: what UDP sockets and Unix datagram sockets have in common.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::{Attempt, Shared, Turn};
use crate::io::Port;
use crate::os::{Address, Completion, Fd, Interest, Op, Os, RecvMessage, SendMessage, SocketOption};

/// A descriptor that is called directly, and who waits until it is ready.
pub(crate) struct Readiness {
    fd: Fd,
    port: Arc<dyn Port>,
    read: Shared,
    write: Shared,
}

/// A call on a descriptor, to be made again whenever it is ready.
pub(crate) struct Ready<'a, F> {
    fd: &'a Fd,
    interest: Interest,
    call: F,
}

impl<T, F: FnMut() -> io::Result<Option<T>>> Attempt for Ready<'_, F> {
    type Output = T;

    fn call(&mut self) -> io::Result<Option<T>> {
        (self.call)()
    }

    fn op(&self) -> Op {
        Op::Ready { fd: Arc::clone(self.fd), interest: self.interest }
    }

    fn completed(&mut self, completion: Completion) -> io::Result<Option<T>> {
        completion.result.map(|_| None)
    }
}

impl Readiness {
    pub(crate) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self { fd, port, read: Shared::default(), write: Shared::default() }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    pub(crate) fn port(&self) -> &Arc<dyn Port> {
        &self.port
    }

    pub(crate) fn os(&self) -> &dyn Os {
        self.port.os().as_ref()
    }

    fn side(&self, interest: Interest) -> &Shared {
        match interest {
            Interest::Read => &self.read,
            Interest::Write => &self.write,
        }
    }

    /// Makes a call until it has an answer, each time the descriptor is ready. Any number of tasks may do so at once.
    pub(crate) fn wait<T, F: FnMut() -> io::Result<Option<T>>>(
        &self,
        interest: Interest,
        call: F,
    ) -> Turn<'_, Ready<'_, F>> {
        self.attempt(interest, Ready { fd: &self.fd, interest, call })
    }

    /// The future of an attempt.
    pub(crate) fn attempt<A: Attempt>(&self, interest: Interest, attempt: A) -> Turn<'_, A> {
        self.side(interest).wait(self.port.as_ref(), attempt)
    }

    /// The same as a poll.
    pub(crate) fn poll<T, F: FnMut() -> io::Result<Option<T>>>(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
        call: F,
    ) -> Poll<io::Result<T>> {
        let mut attempt = Ready { fd: &self.fd, interest, call };
        self.side(interest).poll(self.port.as_ref(), context, &mut attempt)
    }

    pub(crate) fn option(&self, option: SocketOption) -> io::Result<SocketOption> {
        self.os().option(&self.fd, option)
    }

    pub(crate) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.os().set_option(&self.fd, option)
    }

    /// One datagram, if it is there.
    pub(crate) fn try_recv(&self, buffer: &mut [u8], peek: bool) -> io::Result<Option<(usize, Address)>> {
        let mut message = [RecvMessage::new(buffer)];
        let came = self.os().try_recv_batch(&self.fd, &mut message, peek)?;
        let [message] = message;
        Ok(came.map(|_| (message.count, message.from)))
    }

    /// One datagram, if the kernel takes it.
    pub(crate) fn try_send(&self, bytes: &[u8], to: Option<Address>) -> io::Result<Option<usize>> {
        let sent = self.os().try_send_batch(&self.fd, &[SendMessage { bytes, to, segment: 0 }])?;
        Ok(sent.map(|_| bytes.len()))
    }

    pub(crate) async fn recv(&self, buffer: &mut [u8], peek: bool) -> io::Result<(usize, Address)> {
        self.wait(Interest::Read, || self.try_recv(buffer, peek)).await
    }

    pub(crate) async fn send(&self, bytes: &[u8], to: Option<Address>) -> io::Result<usize> {
        self.wait(Interest::Write, || self.try_send(bytes, to.clone())).await
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.read.abandon(self.port.as_ref());
        self.write.abandon(self.port.as_ref());
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.fd.raw())
    }
}

/// The methods of a datagram socket for the one it is connected to, and what every descriptor has.
macro_rules! connected {
    ($type:ident) => {
        impl $type {
            /// Receives a datagram into `buffer` and returns how many bytes. What does not fit is lost.
            ///
            /// Cancel-safe: dropped before its end, it has received nothing. Any number of tasks may receive at once.
            ///
            /// # Errors
            /// The system's. A connected UDP socket tells here that an earlier datagram found no receiver.
            pub async fn recv(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                self.0.recv(buffer, false).await.map(|(count, _)| count)
            }

            /// As [`recv`](Self::recv), and leaves the datagram to the next receive.
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            pub async fn peek(&self, buffer: &mut [u8]) -> ::std::io::Result<usize> {
                self.0.recv(buffer, true).await.map(|(count, _)| count)
            }

            /// Sends a datagram to whom the socket is connected to, and returns how many bytes: all.
            ///
            /// Cancel-safe: dropped before its end, it has sent nothing. Any number of tasks may send at once.
            ///
            /// # Errors
            /// Not connected, too long for one datagram, or that an earlier datagram found no receiver.
            pub async fn send(&self, bytes: &[u8]) -> ::std::io::Result<usize> {
                self.0.send(bytes, None).await
            }

            /// Waits until a receive would not wait (or would fail).
            ///
            /// Cancel-safe. It may be wrong: another task may be faster.
            ///
            /// # Errors
            /// The system's.
            pub async fn readable(&self) -> ::std::io::Result<()> {
                $crate::net::async_fd::ready(&self.0, $crate::os::Interest::Read).await
            }

            /// Waits until a send would not wait (or would fail).
            ///
            /// Cancel-safe. It may be wrong: another task may be faster.
            ///
            /// # Errors
            /// The system's.
            pub async fn writable(&self) -> ::std::io::Result<()> {
                $crate::net::async_fd::ready(&self.0, $crate::os::Interest::Write).await
            }

            fn option(
                &self,
                option: $crate::os::SocketOption,
            ) -> ::std::io::Result<$crate::os::SocketOption> {
                self.0.option(option)
            }

            fn set_option(&self, option: $crate::os::SocketOption) -> ::std::io::Result<()> {
                self.0.set_option(option)
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

pub(super) use connected;
