//! A stream as `std::io` knows it, for direct-style code and libraries that are no friends of futures.

use core::future::poll_fn;
use core::pin::Pin;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use futures_io::{AsyncRead, AsyncWrite};

use super::wait;

/// [`std::io::Read`] and [`std::io::Write`] over a stream, inside a coroutine: a call that would block the thread
/// suspends the coroutine instead. So `BufReader`, `read_to_end`, parsers and writers of std's traits work over any of
/// Pirn's streams and files.
///
/// A write returns when the stream has accepted the bytes; `flush` waits until the kernel has taken them. A coroutine that is cancelled
/// unwinds from the call it waits in, as from every [`wait`].
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::coro::{self, Direct};
/// use pirn::net::{TcpListener, TcpStream};
/// use std::io::{BufRead, BufReader, Write};
///
/// pirn::Runtime::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let server = coro::spawn(move || -> std::io::Result<()> {
///         let (stream, _) = coro::wait(listener.accept())?;
///         for line in BufReader::new(Direct(&stream)).lines() {
///             writeln!(Direct(&stream), "{}", line?.to_uppercase())?;
///         }
///         Ok(())
///     });
///     let client = TcpStream::connect(address).await?;
///     client.write_all(b"hello\n").await?;
///     let mut answer = [0; 6];
///     client.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"HELLO\n");
///     drop(client);
///     server.await.expect("no panic")
/// })
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Direct<S>(
    /// The stream, or a reference to it.
    pub S,
);

/// # Panics
/// All methods: outside of a coroutine.
impl<S: AsyncRead + Unpin> Read for Direct<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait(poll_fn(|context| Pin::new(&mut self.0).poll_read(context, buffer)))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        wait(poll_fn(|context| Pin::new(&mut self.0).poll_read_vectored(context, buffers)))
    }
}

/// # Panics
/// All methods: outside of a coroutine.
impl<S: AsyncWrite + Unpin> Write for Direct<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        wait(poll_fn(|context| Pin::new(&mut self.0).poll_write(context, buffer)))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        wait(poll_fn(|context| Pin::new(&mut self.0).poll_write_vectored(context, buffers)))
    }

    fn flush(&mut self) -> io::Result<()> {
        wait(poll_fn(|context| Pin::new(&mut self.0).poll_flush(context)))
    }
}
