//! tokio's multi-thread runtime.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Peer;

/// With eager driver handoff, or as it comes.
pub(crate) struct Tokio<const EAGER: bool = false>;

/// A handle whose task is expected to finish.
pub(crate) struct Handle<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Handle<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a benchmark's task failed"))
    }
}

impl<const EAGER: bool> Peer for Tokio<EAGER> {
    type Handle<T: Send + 'static> = Handle<T>;

    fn run<T: Send + 'static>(workers: usize, main: impl Future<Output = T> + Send + 'static) -> T {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(workers).enable_all();
        #[cfg(tokio_unstable)]
        if EAGER {
            builder.enable_eager_driver_handoff();
        }
        let runtime = builder.build().expect("tokio's runtime can't be built");
        runtime.block_on(async { tokio::spawn(main).await.expect("a benchmark's main task failed") })
    }

    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Handle<T> {
        Handle(tokio::spawn(task))
    }

    fn detach<T: Send + 'static>(handle: Handle<T>) {
        drop(handle);
    }

    fn cancel<T: Send + 'static>(handle: Handle<T>) {
        handle.0.abort();
    }

    fn sleep(span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    async fn serve_echo(buffer: usize, ready: impl FnOnce(SocketAddr) + Send + 'static) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        ready(listener.local_addr().expect("the listener's address"));
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            tokio::spawn(async move {
                let mut bytes = vec![0; buffer];
                loop {
                    match stream.read(&mut bytes).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => {
                            if stream.write_all(&bytes[..n]).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    }
}
