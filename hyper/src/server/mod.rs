//! A server with limits: what stands between a listener and a service in production.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_lite::FutureExt as _;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use pirn::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::connection::Connection;
pub use self::limits::Limits;
pub use self::stats::{Answered, Stats};
use self::stop::{Phase, Stop};

mod activity;
mod connection;
mod limits;
mod shared;
mod sniff;
mod stats;
mod stop;
mod transport;

/// How long no connection is accepted after the system refused one: it lacks descriptors or memory.
const REFUSED: Duration = Duration::from_millis(50);
/// What connections have to end in when their time is up: a scheduler's time, not a network's.
const ABORT: Duration = Duration::from_secs(5);

type Log = dyn Fn(&Answered) + Send + Sync;

/// Whose request it is: in the extensions of every request that a [`Server`] hands to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// A server of HTTP/1 and HTTP/2 over TCP, with limits on everything a client may take.
///
/// ```
/// use std::convert::Infallible;
///
/// use hyper::body::Incoming;
/// use hyper::service::service_fn;
/// use hyper::{Request, Response};
/// use pirn_hyper::{Limits, Server};
///
/// # fn main() -> std::io::Result<()> {
/// # pirn::Runtime::new()?.block_on(async {
/// let hello = service_fn(|_: Request<Incoming>| async {
///     Ok::<_, Infallible>(Response::new(String::from("hello\n")))
/// });
/// let listener = pirn::net::TcpListener::bind("127.0.0.1:0").await?;
/// // Here: at once. In a program: a signal.
/// let stop = std::future::ready(());
/// let drained = Server::new().limits(Limits { connections: 100, ..Limits::default() }).serve(listener, hello, stop).await;
/// assert_eq!(drained.aborted, 0);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Server {
    limits: Limits,
    stats: Arc<Stats>,
    log: Option<Arc<Log>>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut off because they had not ended by [`Limits::drain`].
    pub aborted: usize,
}

impl Server {
    /// A server with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls `log` for each answer, when its last byte was handed over or its connection was lost. It runs on a worker and must not block.
    #[must_use]
    pub fn log(mut self, log: impl Fn(&Answered) + Send + Sync + 'static) -> Self {
        self.log = Some(Arc::new(log));
        self
    }

    /// Serves over TLS. Names in `alpn_protocols` of the configuration that are neither `h2` nor `http/1.1` mean HTTP/1.1.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Its counters, which go on while it serves.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `stop` is ready, then drains: no connection is accepted any more, those that are open may finish the requests that they
    /// have sent, and after [`Limits::drain`] what is left is cut off.
    ///
    /// At the limit of connections it stops accepting until one ends: more wait in the kernel's queue. When the system refuses a connection, it
    /// waits a moment and tries again.
    ///
    /// Not cancel-safe: dropped before its end, it leaves open connections to themselves.
    pub async fn serve<S, B>(
        self,
        listener: TcpListener,
        service: S,
        stop: impl Future<Output = ()>,
    ) -> Drained
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let limit = self.limits.connections.clamp(1, Limits::MOST_CONNECTIONS);
        let places = Arc::new(Semaphore::new(limit));
        let phase = Stop::new();
        let server = Arc::new(self);
        let mut stop = pin!(stop);
        let mut pause = None;
        loop {
            let next = async {
                if let Some(pause) = pause.take() {
                    pirn::time::sleep(pause).await;
                }
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            };
            // First the end: a queue that never runs dry must not keep it away.
            let ended = async {
                stop.as_mut().await;
                None
            };
            let Some((place, accepted)) = ended.or(next).await else { break };
            match accepted {
                Ok((stream, peer)) => {
                    let open = Open::new(&server.stats, place);
                    let connection =
                        Connection { server: Arc::clone(&server), peer, service: service.clone() };
                    let watch = phase.watch();
                    pirn::spawn(async move {
                        let _open = open;
                        connection.run(stream, watch).await;
                    })
                    .detach();
                }
                Err(error) => {
                    server.stats.refused.fetch_add(1, Relaxed);
                    // A connection that is gone already says nothing about the next one.
                    pause = (error.kind() != io::ErrorKind::ConnectionAborted).then_some(REFUSED);
                }
            }
        }
        // From here on the kernel refuses new connections.
        drop(listener);
        phase.set(Phase::Drain);
        let all = |places: Arc<Semaphore>| async move { drop(places.acquire_many(limit as u32).await) };
        let mut aborted = 0;
        if pirn::time::timeout(server.limits.drain, all(Arc::clone(&places))).await.is_err() {
            aborted = limit - places.available_permits();
            phase.set(Phase::Abort);
            // A service that blocks its worker can't be ended; nor is there a reason to wait for it.
            let _ = pirn::time::timeout(ABORT, all(places)).await;
        }
        Drained { aborted }
    }
}

/// An open connection, in the books.
struct Open {
    stats: Arc<Stats>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(stats: &Arc<Stats>, place: OwnedSemaphorePermit) -> Self {
        stats.accepted.fetch_add(1, Relaxed);
        stats.open.fetch_add(1, Relaxed);
        Self { stats: Arc::clone(stats), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stats.open.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}
