//! One connection, from its first byte to its last.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use pirn::net::TcpStream;
use pirn::time::Instant;

use super::activity::{Activity, Entry, Underway, Watched};
use super::shared::Shared;
use super::stop::{Phase, Watch};
use super::transport::Transport;
use super::{Answered, Peer, Server, Stats, sniff};
use crate::{PirnExecutor, PirnTimer};

/// What hyper buffers of a connection in each direction at most, and of a stream of HTTP/2.
const BUFFER: usize = 128 << 10;

/// How long a connection without a request may stay once the server has told its client that it ends. Clients of HTTP/2 need not react to that,
/// and those of HTTP/1 may be in the midst of a head. It is closed after one to two times this.
const QUIET: Duration = Duration::from_millis(500);

type BoxError = Box<dyn Error + Send + Sync>;

pub(super) struct Connection<S> {
    pub(super) server: Arc<Server>,
    pub(super) peer: SocketAddr,
    pub(super) service: S,
}

/// Why a connection ended.
enum End {
    Well,
    /// An error of the peer, of TLS or of HTTP.
    Failed,
    SlowHead,
    Stalled,
    /// The server ends.
    Aborted,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) async fn run(self, stream: TcpStream, watch: Watch) {
        let stats = Arc::clone(&self.server.stats);
        // An answer that waits for the client's acknowledgement of the one before helps nobody. Refused: it is gone, as reads will tell.
        let _ = stream.set_nodelay(true);
        let stream = Arc::new(stream);
        let end = self.begin(Shared(Arc::clone(&stream)), watch).await;
        if !matches!(end, End::Well) {
            // What was accepted would wait for a client who does not read, and keep the descriptor. What the kernel has may still
            // reach one that was told of an error.
            if !matches!(end, End::Failed) {
                let _ = stream.set_linger(Some(Duration::ZERO));
            }
            let _ = stream.abort();
        }
        let counter = match end {
            End::Failed => &stats.failed,
            End::SlowHead => &stats.slow_heads,
            End::Stalled => &stats.stalled,
            End::Well | End::Aborted => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    #[cfg(feature = "tls")]
    async fn begin(self, stream: Shared, mut watch: Watch) -> End {
        let Some(config) = self.server.tls.clone() else { return self.plain(stream, watch).await };
        let handshake = futures_rustls::TlsAcceptor::from(config).accept(stream);
        let stream = match first(self.server.limits.head, &mut watch, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return End::Failed,
            Err(end) => return end,
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.speak(http2, stream, Vec::new(), watch).await
    }

    #[cfg(not(feature = "tls"))]
    async fn begin(self, stream: Shared, watch: Watch) -> End {
        self.plain(stream, watch).await
    }

    async fn plain(self, mut stream: Shared, mut watch: Watch) -> End {
        match first(self.server.limits.head, &mut watch, sniff::sniff(&mut stream)).await {
            Ok(Ok((_, ahead))) if ahead.is_empty() => End::Well,
            Ok(Ok((http2, ahead))) => self.speak(http2, stream, ahead, watch).await,
            Ok(Err(_)) => End::Failed,
            Err(end) => end,
        }
    }

    async fn speak<T>(self, http2: bool, stream: T, ahead: Vec<u8>, watch: Watch) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::<Activity>::default();
        let transport = Transport::new(stream, ahead, &activity);
        let limits = &self.server.limits.clone();
        let service = Watching {
            service: self.service,
            peer: self.peer,
            activity: Arc::clone(&activity),
            server: self.server,
        };
        if http2 {
            activity.is_http2();
            let mut builder = http2::Builder::new(PirnExecutor);
            builder
                .timer(PirnTimer)
                .keep_alive_interval(limits.ping)
                .keep_alive_timeout(limits.ping)
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .max_send_buf_size(BUFFER);
            let connection = pin!(builder.serve_connection(transport, service));
            drive(connection, watch, limits.stall, &activity).await
        } else {
            let mut builder = http1::Builder::new();
            builder
                .timer(PirnTimer)
                .header_read_timeout(limits.head)
                .max_headers(limits.fields)
                .max_header_size(limits.head_bytes)
                .max_buf_size(BUFFER.max(limits.head_bytes));
            let connection = pin!(builder.serve_connection(transport, service));
            drive(connection, watch, limits.stall, &activity).await
        }
    }
}

/// The beginning of a connection, within its time. A server that ends has no request of it to wait for.
async fn first<F: Future>(limit: Duration, watch: &mut Watch, future: F) -> Result<F::Output, End> {
    let mut future = pin!(pirn::time::timeout(limit, future));
    poll_fn(|context| {
        if watch.poll(context) != Phase::Run {
            return Poll::Ready(Err(End::Aborted));
        }
        future.as_mut().poll(context).map(|result| result.map_err(|_| End::SlowHead))
    })
    .await
}

/// A connection of hyper's.
trait Driven: Future<Output = hyper::Result<()>> {
    fn finish(self: Pin<&mut Self>);
}

impl<T, S, B> Driven for http1::Connection<T, S>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<T, S, B> Driven for http2::Connection<T, S, PirnExecutor>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Sees a connection through: tells it when the server ends, and cuts it off when its client stalls.
async fn drive(
    mut connection: Pin<&mut impl Driven>,
    mut watch: Watch,
    stall: Duration,
    activity: &Activity,
) -> End {
    let mut look = pirn::time::sleep(stall);
    let mut owed_at = None;
    let mut quiet = None;
    let mut idle_at = None;
    poll_fn(|context: &mut Context<'_>| {
        match watch.poll(context) {
            Phase::Run => {}
            Phase::Drain if quiet.is_some() => {}
            Phase::Drain => {
                quiet = Some(pirn::time::sleep(QUIET));
                connection.as_mut().finish();
            }
            Phase::Abort => return Poll::Ready(End::Aborted),
        }
        if let Poll::Ready(result) = connection.as_mut().poll(context) {
            return Poll::Ready(match result {
                Ok(()) => End::Well,
                Err(error) if error.is_timeout() => End::SlowHead,
                Err(_) => End::Failed,
            });
        }
        while Pin::new(&mut look).poll(context).is_ready() {
            let (owes, moves) = activity.look();
            if owes && owed_at == Some(moves) {
                return Poll::Ready(End::Stalled);
            }
            owed_at = owes.then_some(moves);
            look.reset(Instant::now() + stall);
        }
        while let Some(quiet) = &mut quiet
            && Pin::new(&mut *quiet).poll(context).is_ready()
        {
            let idle = activity.idle();
            if idle.is_some() && idle == idle_at {
                return Poll::Ready(End::Well);
            }
            idle_at = idle;
            quiet.reset(Instant::now() + QUIET);
        }
        Poll::Pending
    })
    .await
}

/// The service of a connection, whose requests know their peer and whose answers are watched.
struct Watching<S> {
    service: S,
    peer: SocketAddr,
    activity: Arc<Activity>,
    server: Arc<Server>,
}

impl<S, B> Service<Request<Incoming>> for Watching<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<Watched<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let stats = &self.server.stats;
        stats.requests.fetch_add(1, Relaxed);
        request.extensions_mut().insert(Peer(self.peer));
        let entry = self.server.log.as_ref().map(|log| {
            let answered = Answered {
                peer: self.peer,
                method: request.method().clone(),
                uri: request.uri().clone(),
                version: request.version(),
                status: hyper::StatusCode::OK,
                bytes: 0,
                whole: false,
                took: Duration::ZERO,
            };
            Box::new(Entry { answered, start: Instant::now(), log: Arc::clone(log) })
        });
        Answering {
            future: Box::pin(self.service.call(request)),
            request: Some(Underway::new(&self.activity)),
            stats: Arc::clone(stats),
            entry,
        }
    }
}

/// The future of a watched answer.
struct Answering<F> {
    future: Pin<Box<F>>,
    request: Option<Underway>,
    stats: Arc<Stats>,
    entry: Option<Box<Entry>>,
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Watched<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.future.as_mut().poll(context).map(|result| {
            result.map(|response| {
                let class = usize::from(response.status().as_u16() / 100).min(5);
                this.stats.answers[class].fetch_add(1, Relaxed);
                let mut entry = this.entry.take();
                if let Some(entry) = &mut entry {
                    entry.answered.status = response.status();
                }
                let request = this.request.take().expect("a future that has answered is not polled again");
                response.map(|body| Watched::new(body, request, &this.stats, entry))
            })
        })
    }
}
