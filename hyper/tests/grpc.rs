//! tonic without its transport: gRPC services as a tower service under the server of this crate, and generated clients over hyper's connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, Uri};
use hyper_util::service::TowerToHyperService;
use pirn::net::{TcpListener, TcpStream};
use pirn_hyper::{PirnExecutor, PirnIo, PirnTimer, Server};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::everywhere;

/// A connection, as tonic's clients want it.
#[derive(Clone)]
struct Channel(SendRequest<Body>);

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[test]
fn a_service_of_tonic_and_its_client() {
    everywhere(async || {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("tea", Serving).await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = pirn::spawn(async move {
            let service = TowerToHyperService::new(Routes::new(health));
            Server::new().serve(listener, service, async { drop(stopped.await) }).await
        });

        let stream = PirnIo::new(TcpStream::connect(address).await?);
        let (sender, connection) =
            http2::Builder::new(PirnExecutor).timer(PirnTimer).handshake(stream).await?;
        let connection = pirn::spawn(connection);
        let origin: Uri = format!("http://{address}").parse()?;
        let mut client = HealthClient::with_origin(Channel(sender), origin);

        // A call, a call that fails, and a stream that goes on.
        let answer = client.check(of("tea")).await?.into_inner();
        assert_eq!(answer.status, Serving as i32);
        let unknown = client.check(of("coffee")).await.expect_err("nobody knows it");
        assert_eq!(unknown.code(), tonic::Code::NotFound);
        let mut changes = client.watch(of("tea")).await?.into_inner();
        assert_eq!(changes.message().await?.expect("the first").status, Serving as i32);
        reporter.set_service_status("tea", NotServing).await;
        assert_eq!(changes.message().await?.expect("a change").status, NotServing as i32);

        drop((changes, client));
        connection.await??;
        drop(stop);
        assert_eq!(server.await?.aborted, 0);
        Ok(())
    });
}
