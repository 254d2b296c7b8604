//! Names for hosts, so that a program need not know whether it is live.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::net::{TcpListener, TcpStream};
use pirn::time::{sleep, timeout};

/// Where every simulated server listens.
const PORT: u16 = 7;
/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// How hosts find one another.
#[derive(Clone)]
pub(crate) struct Net {
    /// Live: who listens where. `None`: simulated.
    live: Option<Arc<Mutex<BTreeMap<String, SocketAddr>>>>,
    listen: Option<SocketAddr>,
}

impl Net {
    /// The loopback; the first server listens at `listen`, if given.
    pub(crate) fn live(listen: Option<SocketAddr>) -> Self {
        Self { live: Some(Arc::default()), listen }
    }

    /// The simulated network.
    pub(crate) fn simulated() -> Self {
        Self { live: None, listen: None }
    }

    /// Listens under a name.
    pub(crate) async fn listen(&self, name: &str) -> io::Result<TcpListener> {
        let Some(live) = &self.live else { return TcpListener::bind(("0.0.0.0", PORT)).await };
        let first = live.lock().expect("no panic").is_empty();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(self.listen.filter(|_| first).unwrap_or(any)).await?;
        let address = listener.local_addr()?;
        println!("{name} listens on {address}");
        live.lock().expect("no panic").insert(name.to_owned(), address);
        Ok(listener)
    }

    /// Connects to a host, and waits for it if it is not there yet.
    pub(crate) async fn connect(&self, name: &str) -> io::Result<TcpStream> {
        let connect = async {
            loop {
                let address = match &self.live {
                    None => Some(SocketAddr::new(pirn_sim::host_addr(name), PORT)),
                    Some(live) => live.lock().expect("no panic").get(name).copied(),
                };
                if let Some(address) = address
                    && let Ok(stream) = TcpStream::connect(address).await
                {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, connect).await?
    }

    /// How long a server serves: live, for ever; simulated, so long that its clients are done, for a run ends with its last host.
    pub(crate) async fn closing_time(&self) -> io::Result<()> {
        match self.live {
            Some(_) => std::future::pending().await,
            None => sleep(Duration::from_secs(300)).await,
        }
        Ok(())
    }
}
