//! `pirn serve`: a folder over HTTP, as a service in production would be run.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use pirn::net::TcpListener;
use pirn::signal::{SignalKind, signal};
use pirn::{Backend, Builder, Handle};
use pirn_hyper::{Answered, Limits, Server, Stats};
use pirn_serve::{Body, Files};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::args::{Machine, Serve};
use crate::failure::Failure;

/// Events that each worker remembers for a dump.
const EVENTS: usize = 1 << 14;
/// Lines of the access log that may wait to be written; more are left out, and counted.
const LINES: usize = 4_096;

/// Serves until a signal says that it is enough.
pub(crate) fn serve(args: &Serve) -> Result<(), Failure> {
    let tls = match args.tls.as_deref() {
        Some([certificate, key]) => Some(tls(certificate, key)?),
        _ => None,
    };
    raise_descriptor_limit();
    let mut builder = Builder::new().backend(match args.os {
        Machine::Auto => Backend::Auto,
        Machine::Epoll => Backend::Epoll,
        Machine::Uring => Backend::Uring,
    });
    if let Some(workers) = args.workers {
        builder = builder.workers(workers);
    }
    if let Some(folder) = &args.dump {
        builder = builder
            .recorder(EVENTS)
            .dump_on_panic(folder)
            .dump_on_signal(SignalKind::user_defined1(), folder);
    }
    // Whoever asks for figures asks for times, too.
    builder = builder.timing(args.metrics || args.dump.is_some());
    let runtime = builder.build().map_err(|error| Failure::input(format!("no runtime: {error}")))?;
    runtime.block_on(run(args, tls)).map_err(Failure::input)
}

/// As many descriptors as the process may have: each connection is one, and each answer from a file another.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is valid. Refused, the limit stays as it is.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

fn tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let bad = |at: &Path, what: &str, error: &dyn std::fmt::Display| {
        Failure::input(format!("{}: {error}; --tls takes {what} in PEM form", at.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificate, "a chain of certificates", &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, "a private key", &error))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.map_err(|error| bad(certificate, "a certificate and its key", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn run(args: &Serve, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let files = Files::open(&args.folder).await?.listing(!args.no_listing).hidden(args.hidden);
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(args.listen).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let said = format!(
        "serving {} on {scheme}://{} ({} workers on {})\nSIGTERM or Ctrl-C: requests under way are finished, at most {} s; once more: at once\n",
        args.folder.display(),
        listener.local_addr()?,
        Handle::current().metrics().workers.len(),
        Handle::current().os().name(),
        args.drain,
    );
    // In one write, and whether anybody reads it or not.
    let _ = io::stdout().write_all(said.as_bytes());
    let limits =
        Limits { connections: args.connections, drain: Duration::from_secs(args.drain), ..Limits::default() };
    let mut server = Server::new().limits(limits);
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    let log = match &args.log {
        Some(path) => {
            let (log, writer) = start_log(path)?;
            server = server.log(move |answered| log.put(answered));
            Some(writer)
        }
        None => None,
    };
    let stats = server.stats();
    let site = Arc::new(Site {
        files,
        metrics: args.metrics,
        stats: Arc::clone(&stats),
        runtime: Handle::current(),
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.respond(&request).await) }
    });
    let stop = async {
        either(terminate.recv(), interrupt.recv()).await;
        eprintln!("draining; once more to end at once");
        pirn::spawn(async move {
            either(terminate.recv(), interrupt.recv()).await;
            std::process::exit(130);
        })
        .detach();
    };
    let drained = server.serve(listener, service, stop).await;
    if let Some(writer) = log {
        writer.await??;
    }
    match drained.aborted {
        0 => eprintln!("{} requests were served, all to their end", stats.requests()),
        cut => eprintln!("{} requests were served; {cut} connections had to be cut off", stats.requests()),
    }
    Ok(())
}

/// Waits for the first of two.
async fn either<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    std::future::poll_fn(|context| {
        if first.as_mut().poll(context).is_ready() || second.as_mut().poll(context).is_ready() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// What is served: files, and counters if asked for.
struct Site {
    files: Files,
    metrics: bool,
    stats: Arc<Stats>,
    runtime: Handle,
}

impl Site {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Body> {
        if self.metrics && request.method() == Method::GET && request.uri().path() == "/metrics" {
            let mut text = self.stats.prometheus();
            self.runtime.metrics().write_prometheus(&mut text).expect("a String takes all");
            let mut response = Response::new(Body::bytes(text));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            return response;
        }
        self.files.respond(request).await
    }
}

/// Where workers put lines of the access log.
struct Log {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

type Writer = pirn::task::JoinHandle<io::Result<()>>;

/// Opens the log (`-`: standard output) and starts its writer, which ends with the last sender.
fn start_log(path: &PathBuf) -> io::Result<(Log, Writer)> {
    let to: Box<dyn io::Write + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdout())
    } else {
        let file = std::fs::File::options().append(true).create(true).open(path);
        Box::new(file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?)
    };
    let (lines, receiver) = sync_channel(LINES);
    let lost = Arc::<AtomicU64>::default();
    let log = Log { lines, lost: Arc::clone(&lost) };
    Ok((log, pirn::spawn_blocking(move || write_log(to, &receiver, &lost))))
}

fn write_log(to: Box<dyn io::Write + Send>, lines: &Receiver<String>, lost: &AtomicU64) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    while let Ok(line) = lines.recv() {
        to.write_all(line.as_bytes())?;
        while let Ok(line) = lines.try_recv() {
            to.write_all(line.as_bytes())?;
        }
        match lost.swap(0, Relaxed) {
            0 => {}
            lost => writeln!(to, "# {lost} lines are missing: they came faster than they could be written")?,
        }
        to.flush()?;
    }
    to.flush()
}

impl Log {
    /// A line as in the Common Log Format, but with HTTP's date, then the time that the answer took in microseconds, and `cut` if the client
    /// did not get all of it.
    fn put(&self, answered: &Answered) {
        let line = format!(
            "{} - - [{}] \"{} {} {:?}\" {} {} {}{}\n",
            answered.peer.ip(),
            httpdate::fmt_http_date(SystemTime::now()),
            answered.method,
            answered.uri.to_string().escape_default(),
            answered.version,
            answered.status.as_u16(),
            answered.bytes,
            answered.took.as_micros(),
            if answered.whole { "" } else { " cut" },
        );
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}
