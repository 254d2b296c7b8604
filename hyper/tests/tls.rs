//! rustls over Pirn through futures-rustls: both sides, ALPN, and HTTP inside.

use std::sync::Arc;

use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use pirn::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{everywhere, http, pair};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn acceptor(protocols: &[&[u8]]) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("data/test-only.pem"))
        .collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("data/test-only.key"))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector(protocols: &[&[u8]]) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(include_bytes!("data/ca.pem"))?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Both ends, after the handshake.
async fn secured(
    wanted: &[&[u8]],
    offered: &[&[u8]],
) -> Result<(TlsStream<TcpStream>, TlsStream<TcpStream>)> {
    let (client, server) = pair().await?;
    let accepted = pirn::spawn(acceptor(offered)?.accept(server));
    let name = ServerName::try_from("localhost")?;
    let client = connector(wanted)?.connect(name, client).await?;
    Ok((client.into(), accepted.await??.into()))
}

/// What the two sides agreed on.
fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    match stream {
        TlsStream::Client(stream) => stream.get_ref().1.alpn_protocol(),
        TlsStream::Server(stream) => stream.get_ref().1.alpn_protocol(),
    }
}

#[test]
fn http_2_is_agreed_on_and_served() {
    everywhere(async || {
        let (client, server) = secured(&[b"h2", b"http/1.1"], &[b"h2", b"http/1.1"]).await?;
        assert_eq!(agreed(&client), Some(&b"h2"[..]));
        assert_eq!(agreed(&server), Some(&b"h2"[..]));
        http::http2(client, server).await
    });
}

#[test]
fn http_1_where_a_client_knows_no_other() {
    everywhere(async || {
        let (client, server) = secured(&[b"http/1.1"], &[b"h2", b"http/1.1"]).await?;
        assert_eq!(agreed(&server), Some(&b"http/1.1"[..]));
        http::http1(client, server).await
    });
}

#[test]
fn a_stranger_is_refused() {
    everywhere(async || {
        let (client, server) = pair().await?;
        let accepted = pirn::spawn(acceptor(&[])?.accept(server));
        let name = ServerName::try_from("elsewhere.example")?;
        let error = connector(&[])?.connect(name, client).await.expect_err("the name is another");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(accepted.await?.is_err());
        Ok(())
    });
}
