//! Room for a batch of datagrams.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::os::{Fd, Os, RecvMessage};

/// Room for datagrams that are received together, and after that, the datagrams.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::{RecvBatch, UdpSocket};
///
/// pirn::Runtime::new()?.block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     let to = server.local_addr()?;
///     client.send_batch(&[(b"one", to), (b"two", to)]).await?;
///     let mut batch = RecvBatch::new(32, 1500);
///     let mut seen = Vec::new();
///     while seen.len() < 2 {
///         server.recv_batch(&mut batch).await?;
///         seen.extend(batch.iter().map(|datagram| datagram.bytes.to_vec()));
///     }
///     assert_eq!(seen, [b"one", b"two"]);
///     Ok(())
/// })
/// # }
/// ```
pub struct RecvBatch {
    room: Vec<u8>,
    size: usize,
    came: Vec<Came>,
}

/// One message of the kernel's: a datagram, or several joined.
#[derive(Debug)]
struct Came {
    count: usize,
    segment: usize,
    truncated: bool,
    from: SocketAddr,
}

/// A datagram of a [`RecvBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// It was longer, and the rest is lost.
    pub truncated: bool,
}

impl RecvBatch {
    /// Room for `count` datagrams of `size` bytes. One receive brings at most 32.
    ///
    /// # Panics
    /// If one of them is 0.
    pub fn new(count: usize, size: usize) -> Self {
        assert!(count > 0 && size > 0, "a batch of {count} datagrams of {size} bytes has no room: give both");
        Self { room: vec![0; count * size], size, came: Vec::with_capacity(count) }
    }

    /// The datagrams, in the order in which they came. Joined ones are taken apart.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.room.chunks(self.size).zip(&self.came).flat_map(|(room, came)| {
            let each = if came.segment > 0 { came.segment } else { came.count.max(1) };
            let bytes = &room[..came.count];
            // An empty datagram is one too.
            let empty = bytes.is_empty().then_some(bytes);
            empty.into_iter().chain(bytes.chunks(each)).map(move |bytes| Datagram {
                bytes,
                from: came.from,
                truncated: came.truncated,
            })
        })
    }

    /// Messages that came: datagrams, if none were joined.
    pub fn len(&self) -> usize {
        self.came.len()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.came.is_empty()
    }

    /// Receives what is there.
    pub(super) fn fill(&mut self, os: &dyn Os, fd: &Fd) -> io::Result<Option<usize>> {
        self.came.clear();
        let mut messages: Vec<RecvMessage<'_>> =
            self.room.chunks_mut(self.size).map(RecvMessage::new).collect();
        let count = os.try_recv_batch(fd, &mut messages, false)?;
        for message in &messages[..count.unwrap_or(0)] {
            let from = message.from.clone().ip()?;
            let &RecvMessage { count, segment, truncated, .. } = message;
            self.came.push(Came { count, segment, truncated, from });
        }
        Ok(count)
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch")
            .field("size", &self.size)
            .field("came", &self.came)
            .finish_non_exhaustive()
    }
}
