//! Echo: a server that sends back what comes, and clients that compare.

use std::io;

use futures_lite::FutureExt as _;
use pirn::net::{TcpListener, TcpStream};

use crate::net::Net;
use crate::run::{Host, host};

pub(crate) fn hosts() -> Vec<Host> {
    vec![host("server", server), host("client", client)]
}

async fn server(net: Net) -> io::Result<()> {
    let listener = net.listen("server").await?;
    serve(listener).or(net.closing_time()).await
}

/// Serves until accepting fails.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks is its client's business.
        pirn::spawn(echo(stream)).detach();
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            count => stream.write_all(&bytes[..count]).await?,
        }
    }
}

async fn client(net: Net) -> io::Result<()> {
    let mut asking = pirn::task::JoinSet::new();
    for number in 0..4 {
        let net = net.clone();
        asking.spawn(async move { ask(&net, "server", number).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}

/// Sends messages of growing size, ends its side, and wants all of them back.
pub(crate) async fn ask(net: &Net, server: &str, number: usize) -> io::Result<()> {
    let stream = net.connect(server).await?;
    let sent: Vec<u8> = (0..1_000 * number + 1).map(|at| (at * 7 + number) as u8).collect();
    let (reader, writer) = stream.into_split();
    let message = sent.clone();
    let writing = pirn::spawn(async move {
        writer.write_all(&message).await?;
        writer.shutdown().await
    });
    let mut came = Vec::new();
    reader.read_to_end(&mut came).await?;
    writing.await??;
    assert!(came == sent, "{} bytes came back of {}", came.len(), sent.len());
    Ok(())
}
