//! A folder, a server of it, and a client that writes what it is told and reads what comes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use pirn::net::{TcpListener, TcpStream, UnixStream};
use pirn::{Backend, Builder};
use pirn_hyper::{Drained, Limits, Server, Stats};
use pirn_serve::Files;

/// What a test may end with.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How long anything may take here before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A site that is served.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    /// Closed to end the server.
    stop: Option<UnixStream>,
    server: Option<pirn::task::JoinHandle<Drained>>,
}

/// Runs a test against a new site on each backend that this machine has.
pub(crate) fn everywhere(limits: Limits, test: impl AsyncFn(&Site) -> Outcome) {
    for backend in [Backend::Epoll, Backend::Uring] {
        let runtime = match Builder::new().workers(2).backend(backend).build() {
            Ok(runtime) => runtime,
            Err(error) if backend == Backend::Uring => {
                println!("not on io_uring: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        runtime
            .block_on(async {
                let mut site = Site::start(limits.clone()).await?;
                test(&site).await?;
                site.stop().await
            })
            .unwrap_or_else(|error| panic!("on {backend:?}: {error}"));
        // Nothing of a client who does not read is left to be sent.
        runtime.shutdown_timeout(PATIENCE).unwrap_or_else(|error| panic!("on {backend:?}: {error}"));
    }
}

impl Site {
    async fn start(limits: Limits) -> Result<Self, Box<dyn std::error::Error>> {
        static SITES: AtomicU64 = AtomicU64::new(0);
        let name = format!("pirn-serve-{}-{}", std::process::id(), SITES.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("site"))?;
        let folder = folder.canonicalize()?;
        let files = Arc::new(Files::open(folder.join("site")).await?);
        let service = service_fn(move |request: Request<Incoming>| {
            let files = Arc::clone(&files);
            async move { Ok::<_, Infallible>(files.respond(&request).await) }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let server = Server::new().limits(limits);
        let stats = server.stats();
        let server = pirn::spawn(async move {
            let stopped = async { drop(stopped.read(&mut [0]).await) };
            server.serve(listener, service, stopped).await
        });
        let stop = Some(stop);
        Ok(Self { folder, address, stats, stop, server: Some(server) })
    }

    /// Where the served files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("site")
    }

    /// Makes a file of the site.
    pub(crate) fn put(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders can be made");
        std::fs::write(path, content).expect("files can be made");
    }

    /// Ends the server, which nothing may keep.
    async fn stop(&mut self) -> Outcome {
        drop(self.stop.take());
        let server = self.server.take().expect("it is stopped once");
        let drained =
            pirn::time::timeout(PATIENCE, server).await.map_err(|_| "the server does not end")??;
        assert_eq!(drained.aborted, 0, "connections were left open");
        assert_eq!(self.stats.open(), 0);
        Ok(())
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Sends bytes, then reads to the end, which the server has to make.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let stream = self.connect().await;
        // The server may have seen enough before all is written.
        let _ = stream.write_all(bytes).await;
        to_the_end(&stream).await
    }

    /// A GET with more fields, each with its end of line.
    pub(crate) async fn get(&self, path: &str, fields: &str) -> Answer {
        self.ask("GET", path, fields).await
    }

    /// A request.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &str) -> Answer {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n");
        Answer::parse(&self.raw(request.as_bytes()).await)
            .unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }
}

/// All that comes, until the server ends the connection.
pub(crate) async fn to_the_end(stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let end = pirn::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = end.expect("the server ends the connection");
    bytes
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An answer of HTTP/1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first answer in what came; `None` if there is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let fields = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Some(Self { status, fields, body: bytes[end + 4..].to_vec() })
    }

    /// A field; empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
