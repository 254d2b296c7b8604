//! Pirn on either backend.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Peer;

/// On io_uring, or on epoll; with a flight recorder of so many events a worker, or none.
pub(crate) struct Pirn<const URING: bool, const EVENTS: usize = 0>;

/// A handle whose task is expected to finish.
pub(crate) struct Handle<T>(pirn::task::JoinHandle<T>);

impl<T> Future for Handle<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a benchmark's task failed"))
    }
}

impl<const URING: bool, const EVENTS: usize> Peer for Pirn<URING, EVENTS> {
    type Handle<T: Send + 'static> = Handle<T>;

    fn run<T: Send + 'static>(workers: usize, main: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = pirn::Builder::new()
            .workers(workers)
            .recorder(EVENTS)
            .backend(if URING { pirn::Backend::Uring } else { pirn::Backend::Epoll })
            .build()
            .expect("pirn's runtime can't be built");
        runtime.block_on(async { pirn::spawn(main).await.expect("a benchmark's main task failed") })
    }

    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Handle<T> {
        Handle(pirn::spawn(task))
    }

    fn detach<T: Send + 'static>(handle: Handle<T>) {
        handle.0.detach();
    }

    fn cancel<T: Send + 'static>(handle: Handle<T>) {
        handle.0.abort();
    }

    async fn sleep(span: Duration) {
        pirn::time::sleep(span).await;
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        pirn::yield_now()
    }

    async fn serve_echo(_buffer: usize, ready: impl FnOnce(SocketAddr) + Send + 'static) {
        let listener =
            pirn::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bind");
        ready(listener.local_addr().expect("the listener's address"));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            pirn::spawn(async move {
                // Its buffers are the worker's; the other runtimes have none to lend.
                while let Ok(bytes) = stream.receive().await
                    && !bytes.is_empty()
                {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    }
}
