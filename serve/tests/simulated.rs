//! The same handler and the same server on simulated hosts: short reads and slow disks, partitions, resets, a server that crashes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use pirn::net::{TcpListener, TcpStream};
use pirn::time::{sleep, timeout};
use pirn_hyper::{Limits, Server};
use pirn_serve::Files;
use pirn_sim::{Explore, Faults, Simulation};

use crate::site::Answer;

/// More than one read of the server, and less than one.
const FILES: [(&str, usize); 4] =
    [("large.bin", 66_000), ("small.txt", 100), ("empty", 0), ("d/index.html", 10)];

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 253) as u8).collect()
}

/// Makes the site, then serves it for two minutes, in which the client is done, or else the run fails.
async fn server() -> io::Result<()> {
    if !pirn::fs::try_exists("/site/whole").await? {
        pirn::fs::create_dir_all("/site/d").await?;
        for (name, length) in FILES {
            put(&format!("/site/{name}"), &content(length)).await?;
        }
        put("/secret", b"SECRET").await?;
        if pirn::fs::read_link("/site/leaves").await.is_err() {
            pirn::fs::symlink("../secret", "/site/leaves").await?;
        }
        sync(&["/site/d", "/site", "/"]).await?;
        put("/site/whole", b"").await?;
        sync(&["/site"]).await?;
    }
    let files = Arc::new(Files::open("/site").await?);
    let service = service_fn(move |request: Request<Incoming>| {
        let files = Arc::clone(&files);
        async move { Ok::<_, Infallible>(files.respond(&request).await) }
    });
    let limits = Limits {
        connections: 3,
        head: Duration::from_secs(5),
        stall: Duration::from_secs(5),
        drain: Duration::from_secs(10),
        ..Limits::default()
    };
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    Server::new().limits(limits).serve(listener, service, sleep(Duration::from_secs(120))).await;
    Ok(())
}

/// Makes a file that outlives a crash, once its folder is synced.
async fn put(path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = pirn::fs::File::create(path).await?;
    file.write_all_at(bytes, 0).await?;
    file.sync_all().await
}

async fn sync(folders: &[&str]) -> io::Result<()> {
    for folder in folders {
        pirn::fs::File::open(folder).await?.sync_all().await?;
    }
    Ok(())
}

async fn get(path: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect(SocketAddr::new(pirn_sim::host_addr("server"), 80)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let answer = Answer::parse(&bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
    match answer.field("content-length").parse::<usize>() {
        Ok(length) if length == answer.body.len() => Ok(answer),
        // Cut off, and it can be seen.
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Asks until there is an answer: each time within ten seconds, and a few dozen times.
async fn insist(path: &str) -> Answer {
    for _ in 0..40 {
        if let Ok(Ok(answer)) = timeout(Duration::from_secs(10), get(path)).await
            && answer.status < 500
        {
            return answer;
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("{path} is not served");
}

async fn client() -> io::Result<()> {
    sleep(Duration::from_millis(200)).await;
    let mut asking = pirn::task::JoinSet::new();
    for (name, length) in FILES {
        asking.spawn(async move {
            let path = format!("/{}", name.trim_end_matches("index.html"));
            let answer = insist(&path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.body == content(length), "{path}: {} bytes", answer.body.len());
        });
    }
    asking.spawn(async {
        let answer = insist("/leaves").await;
        assert_eq!((answer.status, answer.text().contains("SECRET")), (404, false));
    });
    asking.join_all().await;
    Ok(())
}

fn explored(system: &Simulation, seeds: u64) {
    let report = system.explore(Explore { seeds, ..Explore::default() });
    if let Some(failure) = report.failure {
        let story = system.story(&failure.outcome.trace, false).map(|story| story.to_string());
        panic!("seed {}: {}\n{}", failure.outcome.seed, failure.outcome.verdict, story.unwrap_or_default());
    }
}

fn site(faults: &str) -> Simulation {
    Simulation::new("site")
        .workers(1..=2)
        .faults(Faults::parse(faults).expect("names of faults"))
        .host("server", server)
        .host("client", client)
}

#[test]
fn every_file_arrives_whole() {
    explored(&site("default"), 200);
}

#[test]
fn in_spite_of_a_bad_network_and_a_slow_disk() {
    explored(&site("mild, resets, partitions, delays"), 200);
}

#[test]
fn in_spite_of_crashes() {
    let power = || async {
        sleep(Duration::from_millis(200 + pirn_sim::random() % 200)).await;
        pirn_sim::crash("server", Duration::from_secs(3));
    };
    explored(&site("default").host("power", power), 200);
}

/// A file that is replaced in place, shorter, between the look at it and its read is answered as it is then.
#[test]
fn a_file_that_became_shorter_is_looked_at_again() {
    let program = async || -> io::Result<()> {
        pirn::fs::create_dir_all("/site").await?;
        put("/site/file", &content(1000)).await?;
        let files = Files::open("/site").await?;
        let shortening = pirn::spawn(async {
            let file = pirn::fs::OpenOptions::new().write(true).open("/site/file").await?;
            file.set_len(10).await
        });
        for _ in 0..3 {
            let response = files.respond(&Request::get("/file").body(()).expect("a request")).await;
            let length = hyper::body::Body::size_hint(response.body()).exact();
            assert_eq!(response.status(), 200);
            assert!(matches!(length, Some(10 | 1000)), "{length:?}");
            assert_eq!(response.headers()["content-length"], length.expect("a length").to_string().as_str());
        }
        shortening.await.expect("no panic")
    };
    let system = Simulation::new("shorter").workers(1..=3).host("server", program);
    explored(&system, 200);
}
