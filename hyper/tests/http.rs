//! hyper's server and client over Pirn: both versions of HTTP, bodies of many sizes, its limits on time.

use std::convert::Infallible;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn;
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use pirn_hyper::{PirnExecutor, PirnIo, PirnTimer};

use super::{everywhere, pair};

/// Sends the body back, twice, with the path before it.
async fn twice(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let mut answer = request.uri().path().as_bytes().to_vec();
    let body = request.into_body().collect().await?.to_bytes();
    answer.extend_from_slice(&body);
    answer.extend_from_slice(&body);
    Ok(Response::new(Full::new(answer.into())))
}

fn request(path: &str, body: &Bytes) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "localhost");
    request.body(Full::new(body.clone())).expect("a request")
}

/// Bodies whose sizes meet the edges of buffers, and one that fills all of them.
fn bodies() -> impl Iterator<Item = Bytes> {
    let sizes = [0, 1, 1_023, 1_024, 1_025, 8_192, 65_537, 1 << 20];
    sizes.into_iter().map(|size| (0..size).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into())
}

fn check(path: &str, body: &Bytes, answer: &[u8]) {
    let expected = [path.as_bytes(), body, body].concat();
    assert!(answer == expected, "{} bytes came back of {}", answer.len(), expected.len());
}

/// The end of a connection whose answers have all come. Either side may say good-bye to one that has left.
fn ended(result: hyper::Result<()>) -> hyper::Result<()> {
    use std::error::Error as _;
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};

    result.or_else(|error| {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let left = cause.is_some_and(|cause| matches!(cause.kind(), BrokenPipe | ConnectionReset));
        if left { Ok(()) } else { Err(error) }
    })
}

pub(crate) async fn http1<S>(client: S, server: S) -> super::Outcome
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let server = pirn::spawn(
        server::conn::http1::Builder::new()
            .timer(PirnTimer)
            .serve_connection(PirnIo::new(server), service_fn(twice)),
    );
    let (mut sender, connection) = conn::http1::handshake(PirnIo::new(client)).await?;
    let connection = pirn::spawn(connection);
    for body in bodies() {
        sender.ready().await?;
        let answer = sender.send_request(request("/one", &body)).await?;
        check("/one", &body, &answer.into_body().collect().await?.to_bytes());
    }
    drop(sender);
    connection.await??;
    server.await??;
    Ok(())
}

pub(crate) async fn http2<S>(client: S, server: S) -> super::Outcome
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let server = pirn::spawn(
        server::conn::http2::Builder::new(PirnExecutor)
            .timer(PirnTimer)
            .keep_alive_interval(Duration::from_secs(5))
            .serve_connection(PirnIo::new(server), service_fn(twice)),
    );
    let (sender, connection) = conn::http2::Builder::new(PirnExecutor).handshake(PirnIo::new(client)).await?;
    let connection = pirn::spawn(connection);
    // All at once, over the one connection.
    let mut answers = pirn::task::JoinSet::new();
    for body in bodies() {
        let mut sender = sender.clone();
        answers.spawn(async move {
            let answer = sender.send_request(request("/two", &body)).await?;
            check("/two", &body, &answer.into_body().collect().await?.to_bytes());
            Ok::<(), hyper::Error>(())
        });
    }
    while let Some(answer) = answers.join_next().await {
        answer??;
    }
    drop(sender);
    ended(connection.await?)?;
    ended(server.await?)?;
    Ok(())
}

#[test]
fn http_1_with_bodies_of_many_sizes() {
    everywhere(async || {
        let (client, server) = pair().await?;
        http1(client, server).await
    });
}

#[test]
fn http_2_with_requests_side_by_side() {
    everywhere(async || {
        let (client, server) = pair().await?;
        http2(client, server).await
    });
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    everywhere(async || {
        let (client, server) = pair().await?;
        let never = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(String::from("the head was never whole")))
        });
        let served = server::conn::http1::Builder::new()
            .timer(PirnTimer)
            .header_read_timeout(Duration::from_millis(50))
            .serve_connection(PirnIo::new(server), never);
        client.write_all(b"GET / HTTP/1.1\r\nhost: ").await?;
        let error = pirn::time::timeout(Duration::from_secs(20), served).await?;
        let error = error.expect_err("the head was cut off");
        assert!(error.is_timeout(), "{error:?}");
        Ok(())
    });
}

#[test]
fn a_reset_of_hypers_timer_keeps_the_sleep() {
    use hyper::rt::Timer;

    everywhere(async || {
        let start = std::time::Instant::now();
        let mut sleep = PirnTimer.sleep(Duration::from_secs(3_600));
        let place = std::ptr::from_ref(&*sleep).cast::<u8>();
        PirnTimer.reset(&mut sleep, start + Duration::from_millis(20));
        assert_eq!(std::ptr::from_ref(&*sleep).cast::<u8>(), place, "a reset allocates nothing");
        pirn::time::timeout(Duration::from_secs(20), sleep).await?;
        assert!(start.elapsed() >= Duration::from_millis(20));
        PirnTimer.sleep_until(start).await;
        Ok(())
    });
}
