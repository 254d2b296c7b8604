//! A TCP connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::read::{self, ReadSide, Take};
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::write::{self, WriteSide};
use super::{ToSocketAddrs, addr, connect};
use crate::io::Port;
use crate::os::{Fd, SocketOption};
use crate::sync::Mutex;

/// A TCP connection.
///
/// All methods take `&self`: one task may read while another writes. Where two tasks read (or write) at once, only
/// the one that asked last is woken.
///
/// A write hands its bytes to the kernel, or, where the kernel takes none, at most 64 KiB of them to a send that
/// goes on by itself; the next write waits for that. Its error is reported by every later write, flush and
/// shutdown. Dropping the stream sends what was accepted, then closes.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::{TcpListener, TcpStream};
///
/// pirn::Runtime::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     let mut bytes = [0; 5];
///     server.read_exact(&mut bytes).await?;
///     assert_eq!(&bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpStream {
    fd: Fd,
    port: Arc<dyn Port>,
    read: Mutex<ReadSide>,
    write: Mutex<WriteSide>,
}

impl TcpStream {
    pub(super) fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        Self { fd, port, read: Mutex::default(), write: Mutex::default() }
    }

    /// Connects to the first of the addresses that answers.
    ///
    /// Cancel-safe: dropped before its end, it closes the socket.
    ///
    /// # Errors
    /// The last address' error with its name: refused, unreachable, timed out (by the kernel, after about two
    /// minutes; use [`timeout`](crate::time::timeout) for less), or no descriptor left.
    pub async fn connect(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        addr::each(addresses, connect::connect).await
    }

    /// Takes over a connected stream of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(stream.into())?;
        Ok(Self::new(fd, port))
    }

    /// Flushes, and gives the connection to `std`, non-blocking as it is (`set_nonblocking(false)` changes that).
    ///
    /// Not cancel-safe: dropped before its end, it closes the stream.
    ///
    /// # Errors
    /// With the stream: if the flush failed, if the backend received bytes ahead of the reader (read them first), or if
    /// the process has no descriptor left (the stream's own is duplicated).
    pub async fn into_std(self) -> Result<std::net::TcpStream, (Self, io::Error)> {
        if let Err(error) = self.flush().await {
            return Err((self, error));
        }
        match self.fd.duplicate() {
            Ok(fd) => Ok(fd.into()),
            Err(error) => Err((self, error)),
        }
    }

    /// Reads into `buffer` and returns how many bytes; 0 is the end of the stream (or an empty buffer).
    ///
    /// Cancel-safe: dropped before its end, it has taken nothing.
    ///
    /// # Errors
    /// The connection's: reset by the peer, timed out.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, buffer)).await
    }

    /// Reads into several buffers, one after the other, like [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read_vectored(context, buffers)).await
    }

    /// Fills `buffer`.
    ///
    /// Not cancel-safe: dropped before its end, it may have taken bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `UnexpectedEof` if the stream ends first.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]).await? {
                0 => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("the stream ended after {filled} of {} bytes", buffer.len()),
                    ));
                }
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads and leaves the bytes for the next read.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let into = &mut [IoSliceMut::new(buffer)];
            read::poll(&self.read, &self.port, &self.fd, context, into, Take::Peek)
        })
        .await
    }

    /// Writes from `buffer` and returns how many bytes were accepted.
    ///
    /// Cancel-safe: dropped before its end, it has accepted nothing.
    ///
    /// # Errors
    /// The connection's: reset or closed by the peer, shut down for writing; also why bytes of an earlier write
    /// could not be sent.
    pub async fn write(&self, buffer: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write(context, buffer)).await
    }

    /// Writes from several buffers, one after the other, like [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write_vectored(context, buffers)).await
    }

    /// Writes all of `buffer`.
    ///
    /// Not cancel-safe: dropped before its end, it may have written a part, and that part is sent.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&self, buffer: &[u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let count = self.write(rest).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Waits until the kernel has taken all bytes that writes accepted.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// Why they could not be sent.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|context| write::poll_flush(&self.write, &self.port, context)).await
    }

    /// Shuts down one or both directions; for writing, after a [`flush`](Self::flush).
    ///
    /// Cancel-safe: dropped before its end, it has shut down nothing.
    ///
    /// # Errors
    /// As [`flush`](Self::flush), and `NotConnected` if the connection is gone.
    pub async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read {
            return self.port.os().shutdown(&self.fd, how);
        }
        poll_fn(|context| self.poll_shutdown(context, how)).await
    }

    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_vectored(context, &mut [IoSliceMut::new(buffer)])
    }

    pub(super) fn poll_read_vectored(
        &self,
        context: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        read::poll(&self.read, &self.port, &self.fd, context, into, Take::Away)
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    pub(super) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write::poll_write(&self.write, &self.port, &self.fd, context, from)
    }

    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        write::poll_flush(&self.write, &self.port, context)
    }

    pub(super) fn poll_shutdown(&self, context: &mut Context<'_>, how: Shutdown) -> Poll<io::Result<()>> {
        write::poll_shutdown(&self.write, &self.port, &self.fd, context, how)
    }

    /// Two borrowed halves, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Two owned halves, for two tasks. The connection closes when both are gone.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf(Arc::clone(&stream)), OwnedWriteHalf(stream))
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.os().local_addr(&self.fd)?.ip()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.port.os().peer_addr(&self.fd)?.ip()
    }

    /// Takes the error that the kernel keeps for the socket, if any (SO_ERROR).
    ///
    /// # Errors
    /// The system's, for the question itself.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self.option(SocketOption::Error(None))? {
            SocketOption::Error(errno) => Ok(errno.map(io::Error::from_raw_os_error)),
            other => Err(mismatch(other)),
        }
    }

    /// Whether small segments leave at once (TCP_NODELAY). The kernel's default is no.
    ///
    /// # Errors
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        match self.option(SocketOption::NoDelay(false))? {
            SocketOption::NoDelay(on) => Ok(on),
            other => Err(mismatch(other)),
        }
    }

    /// Sets TCP_NODELAY.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(on))
    }

    /// Hops a packet may take (IP_TTL).
    ///
    /// # Errors
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        match self.option(SocketOption::Ttl(0))? {
            SocketOption::Ttl(hops) => Ok(hops),
            other => Err(mismatch(other)),
        }
    }

    /// Sets IP_TTL, 1 to 255.
    ///
    /// # Errors
    /// The system's, for a value out of range.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.set_option(SocketOption::Ttl(hops))
    }

    /// How long the kernel tries to send what is left after a close (SO_LINGER); `None`: in the background, for as long as it takes.
    ///
    /// # Errors
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match self.option(SocketOption::Linger(None))? {
            SocketOption::Linger(seconds) => Ok(seconds.map(|seconds| Duration::from_secs(seconds.into()))),
            other => Err(mismatch(other)),
        }
    }

    /// Sets SO_LINGER, in whole seconds (rounded up, at most 65,535). With zero, closing resets the connection.
    /// With more, the close that comes with the last reference may block its thread that long.
    ///
    /// # Errors
    /// The system's.
    pub fn set_linger(&self, span: Option<Duration>) -> io::Result<()> {
        let seconds = |span: Duration| {
            let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
            u16::try_from(whole).unwrap_or(u16::MAX)
        };
        self.set_option(SocketOption::Linger(span.map(seconds)))
    }

    /// Bytes the kernel may hold for this side's reader (SO_RCVBUF; the kernel doubles what was set).
    ///
    /// # Errors
    /// The system's.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        match self.option(SocketOption::ReceiveBuffer(0))? {
            SocketOption::ReceiveBuffer(bytes) => Ok(bytes),
            other => Err(mismatch(other)),
        }
    }

    /// Sets SO_RCVBUF, which also ends the kernel's own tuning of it.
    ///
    /// # Errors
    /// The system's.
    pub fn set_recv_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.set_option(SocketOption::ReceiveBuffer(bytes))
    }

    /// Bytes the kernel may hold that were not sent or not acknowledged (SO_SNDBUF; the kernel doubles what was set).
    ///
    /// # Errors
    /// The system's.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        match self.option(SocketOption::SendBuffer(0))? {
            SocketOption::SendBuffer(bytes) => Ok(bytes),
            other => Err(mismatch(other)),
        }
    }

    /// Sets SO_SNDBUF, which also ends the kernel's own tuning of it.
    ///
    /// # Errors
    /// The system's.
    pub fn set_send_buffer_size(&self, bytes: u32) -> io::Result<()> {
        self.set_option(SocketOption::SendBuffer(bytes))
    }

    fn option(&self, option: SocketOption) -> io::Result<SocketOption> {
        self.port.os().option(&self.fd, option)
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.port.os().set_option(&self.fd, option)
    }
}

/// A machine that answers another question than it was asked.
fn mismatch(answer: SocketOption) -> io::Error {
    io::Error::other(format!("the machine answered {answer:?} to the question for another option"))
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.read.get_mut().abandon(self.port.as_ref());
        self.write.get_mut().release(self.port.as_ref());
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("fd", &self.fd.raw()).finish_non_exhaustive()
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_read(&self, context, buffer)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_read_vectored(&self, context, buffers)
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_write(&self, context, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_write_vectored(&self, context, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_flush(&self, context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_shutdown(context, Shutdown::Write)) {
            // Closed by the peer is closed.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

super::split::futures_io!(TcpStream, read, |stream| stream);
super::split::futures_io!(TcpStream, write, |stream| stream);
