//! The adapters against the real libraries, on each live backend.

mod grpc;
mod http;
mod tls;
mod tower;
mod traits;

use std::future::Future;

use pirn::net::{TcpListener, TcpStream};
use pirn::{Backend, Builder};

/// What a test may end with.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Runs a test on each backend that this machine has.
fn everywhere<F: Future<Output = Outcome>>(test: impl Fn() -> F) {
    for backend in [Backend::Epoll, Backend::Uring] {
        let runtime = match Builder::new().workers(2).backend(backend).build() {
            Ok(runtime) => runtime,
            Err(error) if backend == Backend::Uring => {
                println!("not on io_uring: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        runtime.block_on(test()).unwrap_or_else(|error| panic!("on {backend:?}: {error:?}"));
    }
}

/// Two ends of a connection: who connected, who accepted.
async fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}
