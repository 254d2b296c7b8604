//! tokio's traits, as the crate h2 uses them: its server and client straight over Pirn's streams.

use std::future::poll_fn;

use h2::{client, server};
use hyper::body::Bytes;
use hyper::{Request, Response};
use pirn_hyper::PirnIo;

use super::{everywhere, pair};

#[test]
fn h2_over_tokios_traits() {
    everywhere(async || {
        let (client, server) = pair().await?;
        let served = pirn::spawn(async move {
            let mut connection = server::handshake(PirnIo::new(server)).await?;
            while let Some(stream) = connection.accept().await {
                let (request, mut respond) = stream?;
                assert_eq!(request.uri().path(), "/tea");
                let mut body = respond.send_response(Response::new(()), false)?;
                body.send_data(Bytes::from(vec![7; 40_000]), true)?;
            }
            Ok::<(), h2::Error>(())
        });
        let (mut sender, connection) = client::handshake(PirnIo::new(client)).await?;
        let connection = pirn::spawn(connection);
        let request = Request::get("http://localhost/tea").body(())?;
        let (response, _) = sender.send_request(request, true)?;
        let mut body = response.await?.into_body();
        let mut count = 0;
        while let Some(part) = poll_fn(|context| body.poll_data(context)).await {
            let part = part?;
            assert!(part.iter().all(|&byte| byte == 7));
            body.flow_control().release_capacity(part.len())?;
            count += part.len();
        }
        assert_eq!(count, 40_000);
        drop((sender, body));
        connection.await??;
        served.await??;
        Ok(())
    });
}
