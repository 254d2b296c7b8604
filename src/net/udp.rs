//! UDP sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use super::batch::RecvBatch;
use super::connect::connect_fd;
use super::datagram::{Readiness, connected};
use super::options::{common_options, options};
use super::{ToSocketAddrs, addr};
use crate::os::{Address, Interest, SendMessage, SocketKind, SocketOption, refuses_segments};

/// How a UDP socket is made: what has to be said before it is bound.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # pirn::Runtime::new()?.block_on(async {
/// use pirn::net::UdpOptions;
///
/// // One socket a worker: the kernel spreads senders over them.
/// let first = UdpOptions::new().reuse_port(true).bind("127.0.0.1:0").await?;
/// let second = UdpOptions::new().reuse_port(true).bind(first.local_addr()?).await?;
/// assert_eq!(first.local_addr()?, second.local_addr()?);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpOptions {
    reuse_address: bool,
    reuse_port: bool,
    only_v6: bool,
}

impl UdpOptions {
    /// None of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// SO_REUSEADDR: whether several sockets may be bound to the address, which all receive what is sent to a multicast group.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// SO_REUSEPORT: whether other sockets of this user may share the address; each sender stays with one of them.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// IPV6_V6ONLY: whether an IPv6 socket hears IPv6 alone.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = on;
        self
    }

    /// Binds a socket to the first of the addresses that can be bound; port 0 is a free one.
    ///
    /// # Errors
    /// With the address: in use, not this machine's, a port below 1,024 without the right to it.
    pub async fn bind(self, addresses: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        addr::first(addresses, "bind", |address| self.bind_to(address)).await
    }

    fn bind_to(self, address: SocketAddr) -> io::Result<UdpSocket> {
        let port = super::port()?;
        let os = port.os();
        let fd = os.socket(SocketKind::udp(address))?;
        let options = [
            (self.reuse_address, SocketOption::ReuseAddress(true)),
            (self.reuse_port, SocketOption::ReusePort(true)),
            (self.only_v6, SocketOption::OnlyV6(true)),
        ];
        for (_, option) in options.into_iter().filter(|(on, _)| *on) {
            os.set_option(&fd, option)?;
        }
        os.bind(&fd, &address.into())?;
        Ok(UdpSocket(Readiness::new(fd, port)))
    }
}

/// A UDP socket.
///
/// All methods take `&self`, and any number of tasks may use it at once. Sends and receives go to the kernel directly; who has to
/// wait holds no buffer in the kernel or in Pirn, so a future that is dropped has lost nothing. Under load,
/// [`recv_batch`](Self::recv_batch) and [`send_batch`](Self::send_batch) move up to 32 datagrams a call, and with
/// [`set_gro`](Self::set_gro) and [`send_segmented`](Self::send_segmented) each of those may stand for many.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pirn::net::UdpSocket;
///
/// pirn::Runtime::new()?.block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.send_to(b"hello", server.local_addr()?).await?;
///     let mut bytes = [0; 1500];
///     let (count, from) = server.recv_from(&mut bytes).await?;
///     assert_eq!(&bytes[..count], b"hello");
///     assert_eq!(from, client.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket(Readiness);

connected!(UdpSocket);
common_options!(UdpSocket);

impl UdpSocket {
    /// Binds a socket to the first of the addresses that can be bound; port 0 is a free one. With the default [`UdpOptions`].
    ///
    /// # Errors
    /// With the address: in use, not this machine's, a port below 1,024 without the right to it.
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        UdpOptions::new().bind(addresses).await
    }

    /// Takes over a socket of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(socket.into())?;
        Ok(Self(Readiness::new(fd, port)))
    }

    /// Gives a second descriptor of the socket to `std`, non-blocking as it is.
    ///
    /// # Errors
    /// If the process has no descriptor left, and in the simulator.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        Ok(self.0.fd().duplicate()?.into())
    }

    /// Connects to the first of the addresses that can be: sends go there, and only what comes from there is received. Nothing is sent.
    ///
    /// # Errors
    /// The last address' error with its name.
    pub async fn connect(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        let mut last = None;
        for address in addr::resolve(addresses.to_socket_addrs()?).await? {
            match connect_fd(self.0.port(), self.0.fd(), address.into()).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(super::context(|| format!("cannot connect to {address}"), error)),
            }
        }
        Err(last.unwrap_or_else(addr::none))
    }

    /// Receives a datagram into `buffer`, and tells who sent it. What does not fit is lost.
    ///
    /// Cancel-safe: dropped before its end, it has received nothing. Any number of tasks may receive at once.
    ///
    /// # Errors
    /// The system's.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.0.recv(buffer, false).await?;
        Ok((count, from.ip()?))
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram to the next receive.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.0.recv(buffer, true).await?;
        Ok((count, from.ip()?))
    }

    /// As [`recv_from`](Self::recv_from), as a poll. The waker is kept until something comes.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let (count, from) = ready!(self.0.poll(Interest::Read, context, || self.0.try_recv(buffer, false)))?;
        Poll::Ready(Ok((count, from.ip()?)))
    }

    /// Receives a datagram that is there.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; the system's.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.0.try_recv(buffer, false)?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok((count, from.ip()?))
    }

    /// Sends a datagram, and returns how many bytes: all.
    ///
    /// Cancel-safe: dropped before its end, it has sent nothing. Any number of tasks may send at once.
    ///
    /// # Errors
    /// Too long for one datagram, no way to the address, and the system's others.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.send(bytes, Some(to.into())).await
    }

    /// As [`send_to`](Self::send_to), as a poll. The waker is kept until the kernel takes something.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll(Interest::Write, context, || self.0.try_send(bytes, Some(to.into())))
    }

    /// Sends a datagram if the kernel takes it at once.
    ///
    /// # Errors
    /// `WouldBlock` if it does not; as [`send_to`](Self::send_to).
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.try_send(bytes, Some(to.into()))?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Receives what is there, at least one datagram and at most 32 (or as many as the batch has room for), and returns how many.
    ///
    /// Cancel-safe: dropped before its end, it has received nothing.
    ///
    /// # Errors
    /// The system's; the batch is empty then.
    pub async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        self.0.wait(Interest::Read, || batch.fill(self.0.os(), self.0.fd())).await
    }

    /// Sends datagrams, and returns how many left: all, or those before the one that the system refused. The next send shows why.
    ///
    /// Not cancel-safe: dropped before its end, it may have sent some.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), for the first of them.
    pub async fn send_batch(&self, batch: &[(&[u8], SocketAddr)]) -> io::Result<usize> {
        let message = |&(bytes, to): &(_, SocketAddr)| SendMessage { bytes, to: Some(to.into()), segment: 0 };
        let messages: Vec<SendMessage<'_>> = batch.iter().map(message).collect();
        self.send_all(&messages).await
    }

    /// Sends `bytes` as datagrams of `size` bytes (the last may be shorter) to an address, or to whom the socket is connected to: in one call
    /// where the kernel has UDP_SEGMENT, else in batches. Returns how many bytes left.
    ///
    /// Not cancel-safe: dropped before its end, it may have sent some.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), for the first of them, and for a size of 0.
    pub async fn send_segmented(&self, bytes: &[u8], size: u16, to: Option<SocketAddr>) -> io::Result<usize> {
        if size == 0 {
            let message = "datagrams of 0 bytes never end: give a size of at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let size = usize::from(size);
        let to = to.map(Address::from);
        let mut sent = 0;
        // What one call takes: as many segments as every kernel that has them allows, within one datagram's length.
        let at_once = (size * SEGMENTS).min(LONGEST / size * size).max(size);
        while sent < bytes.len() {
            let part = &bytes[sent..(sent + at_once).min(bytes.len())];
            let left = match self.send_part(part, size, &to).await {
                Err(_) if sent > 0 => return Ok(sent),
                left => left?,
            };
            sent += left;
            if left < part.len() {
                break;
            }
        }
        Ok(sent)
    }

    async fn send_part(&self, part: &[u8], size: usize, to: &Option<Address>) -> io::Result<usize> {
        if part.len() > size {
            let message = [SendMessage { bytes: part, to: to.clone(), segment: size as u16 }];
            match self.send_all(&message).await {
                Ok(_) => return Ok(part.len()),
                // No UDP_SEGMENT in this kernel, or not on this way.
                Err(error) if refuses_segments(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let message = |bytes| SendMessage { bytes, to: to.clone(), segment: 0 };
        let messages: Vec<SendMessage<'_>> = part.chunks(size).map(message).collect();
        let count = self.send_all(&messages).await?;
        Ok(messages[..count].iter().map(|message| message.bytes.len()).sum())
    }

    /// Sends the messages, in as many calls as it takes; how many left before one was refused.
    async fn send_all(&self, messages: &[SendMessage<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < messages.len() {
            let rest = &messages[sent..];
            let call = || self.0.os().try_send_batch(self.0.fd(), rest);
            sent += match self.0.wait(Interest::Write, call).await {
                Err(_) if sent > 0 => return Ok(sent),
                count => count?,
            };
        }
        Ok(sent)
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.os().local_addr(self.0.fd())?.ip()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.os().peer_addr(self.0.fd())?.ip()
    }

    /// Joins a multicast group on the interface with the given address (unspecified: the system's choice).
    ///
    /// # Errors
    /// The system's.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.set_option(SocketOption::JoinV4(group, interface))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// The system's, if the socket is not in it.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.set_option(SocketOption::LeaveV4(group, interface))
    }

    /// Joins a multicast group on the interface with the given index (0: the system's choice).
    ///
    /// # Errors
    /// The system's.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_option(SocketOption::JoinV6(group, interface))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// The system's, if the socket is not in it.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_option(SocketOption::LeaveV6(group, interface))
    }
}

/// Segments of one call that every kernel with UDP_SEGMENT takes.
const SEGMENTS: usize = 64;
/// Bytes of a UDP datagram at most, over IPv4.
const LONGEST: usize = 65_507;

options! { UdpSocket:
    /// Whether it may send to a broadcast address (SO_BROADCAST).
    broadcast,
    /// Sets SO_BROADCAST.
    set_broadcast: Broadcast(bool, false);
    /// Hops a packet may take (IP_TTL).
    ttl,
    /// Sets IP_TTL, 1 to 255.
    set_ttl: Ttl(u32, 0);
    /// Whether this machine receives what the socket sends to its groups (IP_MULTICAST_LOOP).
    multicast_loop_v4,
    /// Sets IP_MULTICAST_LOOP.
    set_multicast_loop_v4: MulticastLoopV4(bool, false);
    /// Hops a multicast packet may take (IP_MULTICAST_TTL).
    multicast_ttl_v4,
    /// Sets IP_MULTICAST_TTL, 0 to 255.
    set_multicast_ttl_v4: MulticastTtlV4(u32, 0);
    /// Whether this machine receives what the socket sends to its groups (IPV6_MULTICAST_LOOP).
    multicast_loop_v6,
    /// Sets IPV6_MULTICAST_LOOP.
    set_multicast_loop_v6: MulticastLoopV6(bool, false);
    /// Whether the kernel may hand out datagrams of one sender joined (UDP_GRO).
    gro,
    /// Sets UDP_GRO. A [`RecvBatch`] takes them apart again, if its buffers are large enough (64 KiB); the receives of single datagrams
    /// do not: use one or the other.
    set_gro: Gro(bool, false);
}
