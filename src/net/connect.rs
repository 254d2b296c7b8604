//! Connecting.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::TcpStream;
use crate::io::{InFlight, Port, Started};
use crate::os::{Address, Fd, Op, SocketKind};

/// An attempt in flight; dropped, it is cancelled, and its socket closes with it.
struct Attempt<'a> {
    port: &'a dyn Port,
    op: Option<InFlight>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(op) = self.op.take() {
            drop(op.cancel(self.port));
        }
    }
}

/// Connects to one address.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    attempt(address).await.map_err(|error| super::context(|| format!("cannot connect to {address}"), error))
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let port = super::port()?;
    let fd = port.os().socket(SocketKind::tcp(address))?;
    connect_fd(&port, &fd, address.into()).await?;
    Ok(TcpStream::new(fd, port))
}

/// Connects a socket.
pub(super) async fn connect_fd(port: &Arc<dyn Port>, fd: &Fd, address: Address) -> io::Result<()> {
    wait(port.as_ref(), Op::Connect { fd: Arc::clone(fd), address }).await.map(drop)
}

/// The number of an op. Dropped before its end, it cancels it.
pub(super) async fn wait(port: &dyn Port, op: Op) -> io::Result<usize> {
    let completion = match port.start(op) {
        Started::Done(completion) => completion,
        Started::InFlight(token) => {
            let mut attempt = Attempt { port, op: Some(InFlight::new(token)) };
            let completion = poll_fn(|context| {
                let op = attempt.op.as_ref().expect("an attempt is polled until its end");
                op.poll_unlocked(attempt.port, context)
            })
            .await;
            // Spent with its completion: nothing is left to cancel.
            attempt.op = None;
            completion
        }
    };
    completion.result
}
