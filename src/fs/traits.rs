//! Reads and writes at the cursor: as methods, and as the traits of futures-io.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::file::{File, nothing_written};

impl File {
    /// Reads at the cursor and moves it; 0 is the end of the file (or an empty buffer). The count may be short.
    ///
    /// Cancel-safe: dropped before its end, it has not moved the cursor.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and why an abandoned write failed.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cursor.forget_looks(self.port.as_ref());
        poll_fn(|context| self.poll_read_here(context, &mut [IoSliceMut::new(buffer)])).await
    }

    /// Fills `buffer` from the cursor on and moves it.
    ///
    /// Not cancel-safe: dropped before its end, it may have moved the cursor.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `UnexpectedEof` if the file ends first.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]).await? {
                0 => {
                    let message = format!("the file ends at {} of {} bytes", filled, buffer.len());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Appends all from the cursor to the end of the file to `bytes`, and returns how many.
    ///
    /// Cancel-safe: what was read is in `bytes`, and the cursor is behind it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        const STEP: usize = 64 << 10;
        let mut piece = vec![0; STEP];
        let mut total = 0;
        loop {
            match self.read(&mut piece).await? {
                0 => return Ok(total),
                count => {
                    bytes.extend_from_slice(&piece[..count]);
                    total += count;
                }
            }
        }
    }

    /// Writes at the cursor and moves it; the count may be short. The bytes are the kernel's when it returns.
    ///
    /// Not cancel-safe: dropped before its end, it may write all the same, and then the cursor is behind what it wrote.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at), and why an abandoned write failed.
    pub async fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.flush().await?;
        poll_fn(|context| self.poll_write_here(context, &[IoSlice::new(buffer)])).await
    }

    /// Writes all of `buffer` at the cursor and moves it.
    ///
    /// Not cancel-safe, as [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            match self.write(rest).await? {
                0 => return Err(nothing_written()),
                count => rest = &rest[count..],
            }
        }
        Ok(())
    }

    /// Waits for a write that was abandoned. Writes that were awaited need no flush.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_settled(context)).await
    }

    /// Moves the cursor and returns where it is. It may stand behind the end of the file; a write there leaves a hole of zeros.
    ///
    /// Cancel-safe: dropped before its end, it has not moved the cursor.
    ///
    /// # Errors
    /// `InvalidInput` for a place before the start; why an abandoned write failed.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.cursor.forget_looks(self.port.as_ref());
        poll_fn(|context| self.poll_seek_here(context, to)).await
    }
}

/// Without a future of its own to be dropped, a read that is polled once and not again stays in flight; the next poll takes
/// what it brought, as it was then.
impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_here(context, &mut [IoSliceMut::new(buffer)])
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_here(context, buffers)
    }
}

impl AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_here(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_here(context, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_settled(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl AsyncSeek for File {
    fn poll_seek(self: Pin<&mut Self>, context: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        self.get_mut().poll_seek_here(context, to)
    }
}
