//! What a stream received, in a buffer of the worker's (`io/buffers.rs`).

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::io::give_back;

/// Bytes that a stream [received](super::TcpStream::receive), in a buffer of the runtime's; empty: the stream has ended.
///
/// Dropped, the buffer goes back to the worker: keep it no longer than you need it, and copy out what stays.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # pirn::Runtime::new()?.block_on(async {
/// use pirn::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _) = listener.accept().await?;
/// client.write_all(b"hello").await?;
/// client.shutdown(std::net::Shutdown::Write).await?;
///
/// let mut length = 0;
/// loop {
///     let received = server.receive().await?;
///     if received.is_empty() {
///         break;
///     }
///     length += received.len();
/// }
/// assert_eq!(length, 5);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Default, PartialEq, Eq)]
pub struct Received {
    bytes: Vec<u8>,
}

impl Received {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes, to keep. Their capacity is that of the buffer, up to 64 KiB.
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Received {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.bytes.len())
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            give_back(std::mem::take(&mut self.bytes));
        }
    }
}
