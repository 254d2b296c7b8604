//! A tower service, an axum router, through hyper-util's adapter.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use pirn_hyper::{PirnIo, PirnTimer};
use std::sync::Arc;

use super::{everywhere, pair};

async fn greet(State(greeting): State<Arc<str>>, Path(name): Path<String>) -> String {
    format!("{greeting}, {name}")
}

#[test]
fn a_router_of_axum_with_state_and_extractors() {
    everywhere(async || {
        let (client, server) = pair().await?;
        let router = Router::new().route("/greet/{name}", get(greet)).with_state(Arc::from("Hello"));
        let served = pirn::spawn(
            http1::Builder::new()
                .timer(PirnTimer)
                .serve_connection(PirnIo::new(server), TowerToHyperService::new(router)),
        );
        client.write_all(b"GET /greet/Ada HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nHello, Ada"), "{answer}");
        served.await??;
        Ok(())
    });
}
