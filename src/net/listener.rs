//! A TCP listener.

use core::ops::ControlFlow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::waiters::Waiters;
use super::{TcpStream, ToSocketAddrs, addr};
use crate::io::{InFlight, Polled, Port, Started, Wakers, locked};
use crate::os::{Address, Completion, Fd, Op, SocketKind, SocketOption, Yielded};
use crate::sync::Mutex;

/// How a listener is made.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_address: true, reuse_port: false }
    }
}

impl ListenOptions {
    /// A backlog of 1,024, SO_REUSEADDR, no SO_REUSEPORT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connections the kernel keeps for the next accepts; capped by net.core.somaxconn.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// SO_REUSEADDR: whether the port may be bound while old connections of it are in TIME_WAIT.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// SO_REUSEPORT: whether other listeners may share the port; the kernel spreads connections over them.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Binds and listens.
    ///
    /// # Errors
    /// With the address: in use, not this machine's, a port below 1,024 without the right to it.
    pub async fn bind(self, addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        // Not through `addr::each`: rustc could not tell that the future of a closure is Send.
        let mut last = None;
        for address in addresses.to_socket_addrs()? {
            match self.listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => {
                    last = Some(super::context(|| format!("cannot listen on {address}"), error));
                }
            }
        }
        Err(last.unwrap_or_else(addr::none))
    }

    fn listen(self, address: SocketAddr) -> io::Result<TcpListener> {
        let port = super::port()?;
        let os = port.os();
        let fd = os.socket(SocketKind::tcp(address))?;
        if self.reuse_address {
            os.set_option(&fd, SocketOption::ReuseAddress(true))?;
        }
        if self.reuse_port {
            os.set_option(&fd, SocketOption::ReusePort(true))?;
        }
        os.bind(&fd, &address.into())?;
        os.listen(&fd, self.backlog)?;
        Ok(TcpListener::new(fd, port))
    }
}

/// A socket that accepts connections.
///
/// Any number of tasks may accept at once. An accept that waits when the listener is dropped never resolves, so
/// the borrow checker forbids it.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # pirn::Runtime::new()?.block_on(async {
/// use pirn::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr()?);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpListener {
    fd: Fd,
    port: Arc<dyn Port>,
    accept: Mutex<AcceptSide>,
    waiters: Arc<Waiters>,
    /// The waker of the accept in flight: all waiters.
    all: Waker,
}

/// The accept in flight belongs to the listener: a connection that comes with no accept pending is the next one's.
#[derive(Debug, Default)]
struct AcceptSide {
    op: Option<InFlight>,
}

impl TcpListener {
    fn new(fd: Fd, port: Arc<dyn Port>) -> Self {
        let waiters = Arc::<Waiters>::default();
        let all = Waker::from(Arc::clone(&waiters));
        Self { fd, port, accept: Mutex::default(), waiters, all }
    }

    /// Binds and listens with the default [`ListenOptions`].
    ///
    /// # Errors
    /// As [`ListenOptions::bind`].
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        ListenOptions::new().bind(addresses).await
    }

    /// Takes over a listener of `std`, and sets it non-blocking.
    ///
    /// # Errors
    /// Outside of a runtime, and under the simulator, where sockets of the system do not exist.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        let port = super::port()?;
        let fd = port.os().adopt(listener.into())?;
        Ok(Self::new(fd, port))
    }

    /// Accepts the next connection.
    ///
    /// Cancel-safe: dropped before its end, it has accepted nothing.
    ///
    /// # Errors
    /// When the process or the machine is out of descriptors or memory. The listener stays usable, and the
    /// connection stays in its backlog; an accept that is repeated at once fails at once, so sleep a little (or
    /// close something) first. The system's error is the [`source`](std::error::Error::source).
    pub fn accept(&self) -> Accept<'_> {
        Accept { listener: self, key: None }
    }

    /// The same as a poll, for hand-written futures. The waker is kept until a connection or an error comes.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.poll_keeping(context, Waiters::keep_common)
    }

    /// The connections, one after the other, for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.os().local_addr(&self.fd)?.ip()
    }

    /// Hops a packet may take (IP_TTL), which accepted connections inherit.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.port.os().set_option(&self.fd, SocketOption::Ttl(hops))
    }

    /// Polls for a connection; while there is none, `keep` keeps the caller's waker.
    fn poll_keeping(
        &self,
        context: &mut Context<'_>,
        keep: impl FnOnce(&Waiters, &Waker),
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        ready!(crate::io::poll_budget(context));
        let mut answer = self.poll_once();
        if answer.is_pending() {
            // In this order: a connection that comes in between finds this waker, or the second look finds it.
            keep(&self.waiters, context.waker());
            answer = self.poll_once();
        }
        answer.map_err(|error| {
            let here =
                self.local_addr().map_or_else(|_| String::from("a socket"), |address| address.to_string());
            let what = format!(
                "cannot accept a connection on {here} now (the listener stays open: free what ran out, and pause before the next accept)"
            );
            super::context(|| what, error)
        })
    }

    fn poll_once(&self) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let answer =
            locked(&self.accept, &self.all, |side, wakers| side.step(self.port.as_ref(), &self.fd, wakers));
        answer.map(|answer| {
            let (fd, peer) = answer?;
            Ok((TcpStream::new(fd, Arc::clone(&self.port)), peer.ip()?))
        })
    }
}

impl AcceptSide {
    fn step(
        &mut self,
        port: &dyn Port,
        fd: &Fd,
        wakers: &mut Wakers<'_>,
    ) -> ControlFlow<Poll<io::Result<(Fd, Address)>>> {
        loop {
            let completion = match &self.op {
                Some(op) => match op.poll(port, wakers) {
                    Polled::Ready(completion) => completion,
                    Polled::Pending => return ControlFlow::Break(Poll::Pending),
                    Polled::NeedsWaker => return ControlFlow::Continue(()),
                },
                None => {
                    match port.os().try_accept(fd) {
                        Ok(Some(connection)) => return ControlFlow::Break(Poll::Ready(Ok(connection))),
                        Ok(None) => {}
                        Err(error) => return ControlFlow::Break(Poll::Ready(Err(error))),
                    }
                    match port.start(Op::Accept { fd: Arc::clone(fd) }) {
                        Started::Done(completion) => completion,
                        Started::InFlight(token) => {
                            self.op = Some(InFlight::new(token));
                            continue;
                        }
                    }
                }
            };
            self.op = None;
            return ControlFlow::Break(Poll::Ready(connection(completion)));
        }
    }
}

fn connection(completion: Completion) -> io::Result<(Fd, Address)> {
    completion.result?;
    match completion.yielded {
        Yielded::Accepted(fd, peer) => Ok((fd, peer)),
        other => Err(io::Error::other(format!("an accept brought {other:?} and no connection"))),
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        if let Some(op) = self.accept.get_mut().op.take() {
            drop(op.cancel(self.port.as_ref()));
        }
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("fd", &self.fd.raw()).finish_non_exhaustive()
    }
}

/// The future of [`TcpListener::accept`].
#[derive(Debug)]
#[must_use = "an accept does nothing until it is awaited"]
pub struct Accept<'a> {
    listener: &'a TcpListener,
    key: Option<u64>,
}

impl Future for Accept<'_> {
    type Output = io::Result<(TcpStream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let answer = this.listener.poll_keeping(context, |waiters, waker| waiters.keep(waker, &mut this.key));
        if answer.is_ready() {
            this.listener.waiters.forget(&mut this.key);
        }
        answer
    }
}

impl Drop for Accept<'_> {
    fn drop(&mut self) {
        self.listener.waiters.forget(&mut self.key);
    }
}

/// The connections of a listener: [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Incoming<'_> {
    /// The next connection.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn next(&mut self) -> io::Result<TcpStream> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same as a poll.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.0.poll_accept(context).map_ok(|(stream, _)| stream)
    }
}
