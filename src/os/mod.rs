//! The OS layer: one machine as the runtime sees it. Object-safe, completion-shaped, chosen at run time.
//!
//! Nothing here names the runtime. The backends are `epoll`, `uring` and the simulator's world (`pirn-sim`). README.md beside this file says what each path costs, and how io_uring fits.
//!
//! # Laws of a driver
//! 1. Every submitted op resolves exactly once, with the kernel's result.
//! 2. Buffer, descriptor and address of an op belong to the op until its terminal completion, whatever happens to the future. A wait for readiness alone may be lent its descriptor ([`Submit::wait`]).
//! 3. A cancelled op resolves too: with `ECANCELED`, or with its result if that came first. What it delivers all the same is in its completion, for the adopter to close or keep.
//! 4. A token's generation is checked before dispatch.
//! 5. A cancel names the op's own driver; an op's home never changes.
//! 6. `unpark` is in the kernel when it returns, and sticky: the next `poll` returns at once if none was blocked.
//! 7. No staged entry is dropped because a queue is full.
//! 8. An unbounded wait needs a wake source armed in the kernel.
//! 9. `Send` sends all of its bytes, once and in order, or fails. File reads and writes may be short.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::SystemTime;

pub use self::address::{Address, SocketKind, UnixAddress};
pub use self::choose::choose;
pub(crate) use self::choose::fall_back;
pub use self::datagram::{RecvMessage, SendMessage, refuses_segments};
pub use self::epoll::epoll;
pub use self::file::FileOp;
pub use self::op::{Completion, Interest, Op, Submitted, Token, Yielded};
pub use self::uring::uring;
use crate::time::Instant;

mod address;
mod alarm;
mod choose;
mod datagram;
mod epoll;
pub mod file;
mod live;
pub mod op;
mod signal;
pub mod signals;
#[cfg(feature = "coro")]
pub(crate) mod stack;
mod sys;
mod thread;
mod uring;

/// An open descriptor with whatever its backend keeps about it. Closed when the last reference goes, so never under an op.
pub type Fd = Arc<dyn Descriptor>;

/// What a backend puts behind an [`Fd`]: it finds its own type again through [`Any`].
pub trait Descriptor: Any + Send + Sync + fmt::Debug {
    /// The number the kernel gave it.
    fn raw(&self) -> RawFd;
    /// A second descriptor of the same open socket, for code outside of the runtime. Fails while the backend holds bytes
    /// of it that were not read. The simulator has none to give.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this descriptor exists in the simulator only: there is none of the system to hand out",
        ))
    }
}

impl dyn Descriptor {
    /// The backend's own type, if it is this one.
    pub fn downcast_ref<T: Descriptor>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Whether a call failed for want of descriptors or memory, and may succeed when some are free again.
pub(crate) fn ran_out(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// How many bytes the slices hold together; one of them is the usual case.
pub(crate) fn total<S: Deref<Target = [u8]>>(slices: &[S]) -> usize {
    match slices {
        [only] => only.len(),
        _ => slices.iter().map(|slice| slice.len()).sum(),
    }
}

/// One machine: clock, entropy, threads, sockets, files, drivers.
///
/// The calls here never block. `try_recv`, `try_send` and `try_accept` are the direct path of a backend whose kernel
/// can be asked at once; they may be called from any thread. `Ok(None)` says "not now, submit an op".
///
/// A *stream* is a connected TCP or Unix stream socket, or an end of a pipe (or of what reads and writes like one: a terminal, an eventfd);
/// `try_recv`, `try_send`, `Op::Recv` and `Op::Send` take them all. Datagrams go through `try_recv_batch` and `try_send_batch` on every backend, and
/// who has to wait submits `Op::Ready`: one wait serves a batch.
pub trait Os: Send + Sync + 'static {
    /// The name users see: `epoll`, `uring`, `sim`.
    fn name(&self) -> &'static str;
    /// Monotonic time.
    fn now(&self) -> Instant;
    /// Wall-clock time.
    fn wall(&self) -> SystemTime;
    /// 64 random bits.
    fn entropy(&self) -> u64;
    /// CPUs this process may use; at least 1.
    fn parallelism(&self) -> usize;
    /// Starts a thread.
    fn spawn_thread(
        &self,
        spec: ThreadSpec,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn ThreadHandle>>;
    /// The CPUs that the calling thread may use, by number. Empty: this machine has none to choose from.
    fn cpus(&self) -> Vec<usize> {
        Vec::new()
    }
    /// Has the calling thread run on these CPUs only.
    fn run_on(&self, _cpus: &[usize]) -> io::Result<()> {
        Ok(())
    }
    /// A number that differs between live threads and stays the same for one: who may poll what is `!Send`.
    fn thread_id(&self) -> u64;
    /// A driver for one worker. Called on any thread; `Reap::attach` follows on the owner's.
    fn driver(&self, config: &DriverConfig) -> io::Result<DriverParts>;

    /// A fresh socket.
    fn socket(&self, kind: SocketKind) -> io::Result<Fd>;
    /// Two connected Unix sockets.
    fn socket_pair(&self, kind: SocketKind) -> io::Result<(Fd, Fd)>;
    /// A pipe: its reading end, its writing end.
    fn pipe(&self) -> io::Result<(Fd, Fd)>;
    /// Binds a socket.
    fn bind(&self, fd: &Fd, address: &Address) -> io::Result<()>;
    /// Makes a bound socket a listener.
    fn listen(&self, fd: &Fd, backlog: u32) -> io::Result<()>;
    /// The socket's own address.
    fn local_addr(&self, fd: &Fd) -> io::Result<Address>;
    /// The address of the other side.
    fn peer_addr(&self, fd: &Fd) -> io::Result<Address>;
    /// Shuts down one or both directions.
    fn shutdown(&self, fd: &Fd, how: std::net::Shutdown) -> io::Result<()>;
    /// Sets an option.
    fn set_option(&self, fd: &Fd, option: SocketOption) -> io::Result<()>;
    /// Reads an option: the same variant with the value now in force.
    fn option(&self, fd: &Fd, option: SocketOption) -> io::Result<SocketOption>;
    /// Takes over an open descriptor that others share and that therefore stays as it is: for `Op::Ready` only. The simulator refuses.
    fn watch(&self, fd: OwnedFd) -> io::Result<Fd>;
    /// Takes an open descriptor over (sets it non-blocking). The simulator refuses.
    fn adopt(&self, fd: OwnedFd) -> io::Result<Fd>;

    /// Receives what is there; with `peek`, leaves it there. `Ok(Some(0))` is the end of the stream (if `into` has room).
    fn try_recv(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Option<usize>>;
    /// Receives what is there into the unused capacity of `into`, behind what it holds. What was received ahead may come in
    /// the memory it stands in, if `into` is empty: then `into` is another allocation, of at least `least`, and its own is freed.
    fn try_recv_owned(&self, fd: &Fd, into: &mut Vec<u8>, least: usize) -> io::Result<Option<usize>> {
        let _ = least;
        let held = into.len();
        into.resize(into.capacity(), 0);
        let came = self.try_recv(fd, &mut [IoSliceMut::new(&mut into[held..])], false);
        into.truncate(held + came.as_ref().map_or(0, |count| count.unwrap_or(0)));
        came
    }
    /// Sends what fits.
    fn try_send(&self, fd: &Fd, from: &[IoSlice<'_>]) -> io::Result<Option<usize>>;
    /// Accepts a connection that waits.
    fn try_accept(&self, fd: &Fd) -> io::Result<Option<(Fd, Address)>>;
    /// Receives datagrams, the first of the batch first; with `peek`, one, which stays. How many came, at least one.
    fn try_recv_batch(&self, fd: &Fd, batch: &mut [RecvMessage<'_>], peek: bool)
    -> io::Result<Option<usize>>;
    /// Sends datagrams, the first of the batch first. How many left, at least one: an error belongs to the first that did not.
    fn try_send_batch(&self, fd: &Fd, batch: &[SendMessage<'_>]) -> io::Result<Option<usize>>;

    /// The addresses of a host's name, in order of preference. Blocks: for the pool of `spawn_blocking`.
    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
    /// A stream that brings 8 bytes when the process gets the signal, however often it came since the last (a counter in the machine's byte order).
    /// The signal's default action ends with the first such stream, for good. Refused for signals that can't be caught.
    fn signal(&self, number: i32) -> io::Result<Fd>;
    /// Starts a child process. The descriptor is ready for reading when the child has ended. The simulator refuses.
    fn start_child(&self, command: &mut std::process::Command) -> io::Result<(std::process::Child, Fd)>;
    /// Sends a signal to a child by its descriptor: to that child, or to nobody.
    fn signal_child(&self, child: &Fd, number: i32) -> io::Result<()>;

    /// Reads from a file what is in memory, from `offset` on. `None`: the next byte is not, or nobody knows: submit a
    /// `FileOp::Read`. A short count says that the rest is not in memory, that the file ends,
    /// or that so much is enough for one call (`file::AT_ONCE`).
    fn try_read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<Option<usize>>;
    /// Reads from a file and waits for the medium on the calling thread: for threads that may block. A short count may come before the end of the
    /// file; 0 is the end (or no room).
    fn read_at(&self, fd: &Fd, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;
    /// Writes to a file what it takes without a wait, perhaps not all. `None`: submit a `FileOp::Write`.
    fn try_write_at(&self, fd: &Fd, from: &[IoSlice<'_>], offset: u64) -> io::Result<Option<usize>>;
    /// Whether all of `memory`, a part of a mapping of the file, is in memory. `None`: the system can't say.
    fn resident(&self, fd: &Fd, memory: &[u8]) -> Option<bool>;
    /// Takes an open file over. The simulator refuses.
    fn adopt_file(&self, fd: OwnedFd) -> io::Result<Fd>;
}

/// Which thread to start.
#[derive(Clone, Debug)]
pub struct ThreadSpec {
    /// Its name, shown by debuggers (15 bytes of it on Linux).
    pub name: String,
    /// Stack size in bytes; `None`: the platform's.
    pub stack: Option<usize>,
}

/// A started thread.
pub trait ThreadHandle: Send {
    /// Whether its body has returned.
    fn is_finished(&self) -> bool;
    /// Waits for its end.
    fn join(self: Box<Self>);
}

/// What a driver is made for.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The worker's number.
    pub worker: u32,
    /// Completions collected at most in one look.
    pub batch: usize,
    /// So many descriptors are at home here before a connection that one of their listeners accepted is at home where its task runs.
    pub near: usize,
}

/// The three parts of a driver.
pub struct DriverParts {
    /// The owner's half.
    pub submit: Box<dyn Submit>,
    /// The other half.
    pub reap: Box<dyn Reap>,
    /// The interrupter.
    pub unpark: Arc<dyn Unpark>,
}

/// The owner's half: used inside task polls by the thread on the seat, by no other. What it stages is visible to whoever holds [`Reap`].
pub trait Submit: Send {
    /// Starts an op. `Done`: resolved at once, and no completion will come.
    fn submit(&mut self, token: Token, op: Op) -> Submitted;
    /// [`Op::Ready`] whose descriptor is only lent: the caller keeps it until the op has resolved, or its cancel was asked for, and
    /// if the descriptor then goes first, the op is cancelled by that. The most frequent op of all costs no reference count.
    fn wait(&mut self, token: Token, fd: &Fd, interest: Interest) -> Submitted {
        self.submit(token, Op::Ready { fd: Arc::clone(fd), interest })
    }
    /// Asks for an early end of an op submitted here. Its completion still comes, exactly once.
    fn cancel(&mut self, token: Token);
}

/// The other half: flush what is staged, wait, collect. Held by one thread at a time.
pub trait Reap: Send {
    /// Called once on the thread that will own the driver, before first use.
    fn attach(&mut self) -> io::Result<()>;
    /// Waits as told and appends completions. Returns early on `unpark`; may return early without a reason.
    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> io::Result<()>;
    /// The last call on the thread that owns the driver, at a shutdown, when nothing is in flight any more or nobody waits for it
    /// any longer: what it holds of descriptors that are gone is closed now, not when the last handle of the runtime goes.
    fn detach(&mut self) {}
}

/// Interrupts a blocked [`Reap::poll`].
pub trait Unpark: Send + Sync {
    /// See law 6.
    fn unpark(&self);
    /// How many descriptors are registered here: ops submitted to other drivers may wait for a look at this one.
    fn at_home(&self) -> usize {
        0
    }
}

/// How long a look may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until this moment, in nanoseconds of the monotonic clock, or a completion or an unpark.
    Until(Instant),
    /// Until a completion or an unpark.
    Forever,
}

/// Who made the socket at the other end of a Unix stream, or listened there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process; `None` if it can't be seen from here.
    pub pid: Option<i32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// A socket option with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// TCP_NODELAY.
    NoDelay(bool),
    /// SO_REUSEADDR.
    ReuseAddress(bool),
    /// SO_REUSEPORT.
    ReusePort(bool),
    /// SO_KEEPALIVE.
    KeepAlive(bool),
    /// SO_RCVBUF, bytes.
    ReceiveBuffer(u32),
    /// SO_SNDBUF, bytes.
    SendBuffer(u32),
    /// IP_TTL.
    Ttl(u32),
    /// SO_LINGER, seconds.
    Linger(Option<u16>),
    /// SO_ERROR, an errno taken by reading it. Can't be set.
    Error(Option<i32>),
    /// SO_BROADCAST.
    Broadcast(bool),
    /// IP_MULTICAST_LOOP: whether this machine receives what it sends.
    MulticastLoopV4(bool),
    /// IPV6_MULTICAST_LOOP.
    MulticastLoopV6(bool),
    /// IP_MULTICAST_TTL.
    MulticastTtlV4(u32),
    /// IP_ADD_MEMBERSHIP: group, address of the interface. Can't be read.
    JoinV4(Ipv4Addr, Ipv4Addr),
    /// IP_DROP_MEMBERSHIP. Can't be read.
    LeaveV4(Ipv4Addr, Ipv4Addr),
    /// IPV6_ADD_MEMBERSHIP: group, index of the interface (0: any). Can't be read.
    JoinV6(Ipv6Addr, u32),
    /// IPV6_DROP_MEMBERSHIP. Can't be read.
    LeaveV6(Ipv6Addr, u32),
    /// IPV6_V6ONLY.
    OnlyV6(bool),
    /// UDP_GRO: the kernel may hand out datagrams of one sender joined.
    Gro(bool),
    /// SO_PEERCRED. Can't be set.
    PeerCredentials(Option<Credentials>),
}
