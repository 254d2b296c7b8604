//! The messages of a batch that is received or sent on a datagram socket.

use std::io;

use super::{Address, UnixAddress};

/// A datagram to receive, and after that, what came.
#[derive(Debug)]
pub struct RecvMessage<'a> {
    /// Where its bytes go.
    pub into: &'a mut [u8],
    /// Bytes that came: as many as fitted.
    pub count: usize,
    /// It was longer, and the rest is lost.
    pub truncated: bool,
    /// Who sent it.
    pub from: Address,
    /// With UDP_GRO, the kernel may join datagrams of one sender: each has this many bytes, the last perhaps fewer. 0: it is one.
    pub segment: usize,
}

impl<'a> RecvMessage<'a> {
    /// Room for one.
    pub fn new(into: &'a mut [u8]) -> Self {
        Self { into, count: 0, truncated: false, from: Address::Unix(UnixAddress::Unnamed), segment: 0 }
    }
}

/// A datagram to send.
#[derive(Clone, Debug)]
pub struct SendMessage<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whom to; `None`: whom the socket is connected to.
    pub to: Option<Address>,
    /// UDP_SEGMENT: the kernel (or the card) cuts the bytes into datagrams of this many, the last perhaps of fewer. 0: it is one.
    pub segment: u16,
}

/// Whether a send may have failed because the kernel, or the way the datagrams take, has no UDP_SEGMENT.
pub fn refuses_segments(error: &io::Error) -> bool {
    let errnos = [libc::EINVAL, libc::EIO, libc::EOPNOTSUPP, libc::ENOPROTOOPT];
    error.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
}
