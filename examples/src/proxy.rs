//! A TCP proxy in front of echo: two directions a connection, each ended when its reader ends, both when one fails or nothing moves.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use futures_lite::FutureExt as _;
use futures_lite::future::zip;
use pirn::net::TcpStream;
use pirn::time::timeout;

use crate::echo;
use crate::net::Net;
use crate::run::{Host, host};

/// How long a connection may stand still.
const IDLE: Duration = Duration::from_secs(300);

pub(crate) fn hosts() -> Vec<Host> {
    vec![host("proxy", proxy), host("behind", behind), host("client", client)]
}

async fn behind(net: Net) -> io::Result<()> {
    let listener = net.listen("behind").await?;
    echo::serve(listener).or(net.closing_time()).await
}

async fn proxy(net: Net) -> io::Result<()> {
    let listener = net.listen("proxy").await?;
    let serve = async {
        loop {
            let (near, _) = listener.accept().await?;
            let net = net.clone();
            pirn::spawn(async move {
                if let Err(error) = join(&net, near).await {
                    eprintln!("proxy: {error}");
                }
            })
            .detach();
        }
    };
    serve.or(net.closing_time()).await
}

async fn join(net: &Net, near: TcpStream) -> io::Result<()> {
    let far = net.connect("behind").await?;
    let (there, back) = zip(copy(&near, &far), copy(&far, &near)).await;
    there.and(back)
}

/// One direction. An end of the reader ends the writer, so that a client which has said all still hears the answer.
async fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        match timeout(IDLE, from.read(&mut bytes)).await?? {
            0 => return to.shutdown(Shutdown::Write).await,
            count => timeout(IDLE, to.write_all(&bytes[..count])).await??,
        }
    }
}

async fn client(net: Net) -> io::Result<()> {
    let mut asking = pirn::task::JoinSet::new();
    for number in 0..4 {
        let net = net.clone();
        asking.spawn(async move { echo::ask(&net, "proxy", number).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}
