//! smol: `Executor` on threads of its own, async-io's reactor.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::Peer;

pub(crate) struct Smol;

static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

impl Peer for Smol {
    type Handle<T: Send + 'static> = smol::Task<T>;

    fn run<T: Send + 'static>(workers: usize, main: impl Future<Output = T> + Send + 'static) -> T {
        for _ in 0..workers {
            std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
        }
        let (send, receive) = std::sync::mpsc::channel();
        EXECUTOR
            .spawn(async move {
                let _ = send.send(main.await);
            })
            .detach();
        receive.recv().expect("a benchmark's main task failed")
    }

    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> smol::Task<T> {
        EXECUTOR.spawn(task)
    }

    fn detach<T: Send + 'static>(handle: smol::Task<T>) {
        handle.detach();
    }

    fn cancel<T: Send + 'static>(handle: smol::Task<T>) {
        drop(handle);
    }

    async fn sleep(span: Duration) {
        smol::Timer::after(span).await;
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }

    async fn serve_echo(buffer: usize, ready: impl FnOnce(SocketAddr) + Send + 'static) {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        ready(listener.local_addr().expect("the listener's address"));
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            EXECUTOR
                .spawn(async move {
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
                })
                .detach();
        }
    }
}
