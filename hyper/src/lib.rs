//! Pirn under [hyper](https://docs.rs/hyper/1), and under all that asks for tokio's `AsyncRead` and `AsyncWrite`.
//!
//! hyper 1 brings HTTP and asks its user for a runtime, through four small traits. They are here, under names that say what they
//! stand in for: [`PirnIo`] (`TokioIo` of hyper-util), [`PirnExecutor`] (`TokioExecutor`), [`PirnTimer`] (`TokioTimer`). A program that
//! moves from tokio changes these names and the accept loop.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use hyper::body::Incoming;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//! use pirn_hyper::{PirnIo, PirnTimer};
//!
//! async fn serve(stream: pirn::net::TcpStream) -> hyper::Result<()> {
//!     let hello = service_fn(|request: Request<Incoming>| async move {
//!         Ok::<_, Infallible>(Response::new(format!("{} you asked for\n", request.uri().path())))
//!     });
//!     hyper::server::conn::http1::Builder::new()
//!         .timer(PirnTimer)
//!         .serve_connection(PirnIo::new(stream), hello)
//!         .await
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # pirn::Runtime::new()?.block_on(async {
//! let listener = pirn::net::TcpListener::bind("127.0.0.1:0").await?;
//! let client = pirn::net::TcpStream::connect(listener.local_addr()?).await?;
//! let (stream, _) = listener.accept().await?;
//! let server = pirn::spawn(serve(stream));
//!
//! client.write_all(b"GET /tea HTTP/1.0\r\n\r\n").await?;
//! let mut answer = Vec::new();
//! client.read_to_end(&mut answer).await?;
//! assert!(answer.ends_with(b"/tea you asked for\n"));
//! server.await??;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! For a service in production there is [`Server`]: it accepts connections up to a limit, serves HTTP/1 and HTTP/2, over TLS if asked to,
//! gives clients up that are too slow, and drains at the end.
//!
//! axum and everything else made of tower services goes in through hyper-util's `TowerToHyperService`; TLS is a
//! futures-rustls stream inside of [`PirnIo`]. `docs/from-tokio.md` has the table.
//!
//! None of it needs tokio's runtime. Of tokio there are two traits (feature `tokio`) and, in the server, locks that work anywhere.

pub use self::executor::{PirnExecutor, PirnLocalExecutor};
pub use self::io::PirnIo;
#[cfg(feature = "server")]
pub use self::server::{Answered, Drained, Limits, Peer, Server, Stats};
pub use self::timer::PirnTimer;

mod executor;
mod io;
#[cfg(feature = "server")]
mod server;
mod timer;
