//! Requests that nobody sends by accident: a right status or a close, and everybody else is served.

use hyper::body::Bytes;
use pirn::time::timeout;
use pirn_hyper::Limits;

use crate::site::{Answer, PATIENCE, Site, everywhere};

async fn is_served(site: &Site) {
    let answer = timeout(PATIENCE, site.get("/tea.txt", "")).await.expect("others are served");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hot"));
}

/// The statuses of all answers in what came.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let starts = bytes.windows(7).enumerate().filter(|(_, window)| window == b"HTTP/1.");
    starts.filter_map(|(at, _)| Answer::parse(&bytes[at..])).map(|answer| answer.status).collect()
}

#[test]
fn traversal_in_many_spellings() {
    everywhere(Limits::default(), async |site| {
        std::fs::write(site.folder.join("secret"), "SECRET")?;
        site.put("tea.txt", "hot");
        site.put("d/x", "");
        for path in [
            "/../secret",
            "/d/../../secret",
            "/%2e%2e/secret",
            "/%2E%2E%2Fsecret",
            "/..%2fsecret",
            "/d/..%2f..%2fsecret",
            "/%252e%252e/secret",
            "/..\\secret",
            "/..%5csecret",
            "/....//secret",
            "/..;/secret",
            "/%c0%ae%c0%ae/secret",
            "/%e0%80%ae%e0%80%ae/secret",
            "/./../secret",
            "/d/./../../secret",
            "//../secret",
            "/..%00/secret",
            "/tea.txt/../../secret",
            "/d//..//..//secret",
            "http://localhost/../secret",
            "/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        ] {
            for method in ["GET", "HEAD"] {
                let answer = site.ask(method, path, "").await;
                assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
                assert!(!answer.text().contains("SECRET") && !answer.text().contains("root:"), "{path}");
            }
        }
        is_served(site).await;
        Ok(())
    });
}

#[test]
fn a_request_cut_off_at_every_byte() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        let request =
            b"GET /tea.txt HTTP/1.1\r\nhost: localhost\r\nrange: bytes=0-1\r\nconnection: close\r\n\r\n";
        for length in 0..request.len() {
            let stream = site.connect().await;
            stream.write_all(&request[..length]).await?;
            stream.shutdown(std::net::Shutdown::Write).await?;
            let came = crate::site::to_the_end(&stream).await;
            assert!(statuses(&came).iter().all(|status| *status == 400), "{length} bytes: {came:?}");
        }
        assert_eq!(statuses(&site.raw(request).await), [206]);
        is_served(site).await;
        Ok(())
    });
}

#[test]
fn heads_that_are_too_large() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        let long_field = format!("x: {}\r\n", "y".repeat(100_000));
        let many_fields = "x: y\r\n".repeat(10_000);
        for fields in [long_field, many_fields] {
            let request = format!("GET /tea.txt HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
            let came = site.raw(request.as_bytes()).await;
            assert!(matches!(statuses(&came)[..], [] | [431]), "{}", String::from_utf8_lossy(&came));
        }
        let came =
            site.raw(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)).as_bytes()).await;
        assert!(matches!(statuses(&came)[..], [] | [414 | 431]), "{}", String::from_utf8_lossy(&came));
        // A head without an end: the server has to stop reading long before the client has sent all.
        let stream = site.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await?;
        let mut sent = 0_u64;
        let flood = vec![b'x'; 1 << 16];
        while sent < 1 << 30 && timeout(PATIENCE, stream.write_all(&flood)).await.expect("no stop").is_ok() {
            sent += flood.len() as u64;
        }
        assert!(sent < 64 << 20, "the server took {sent} bytes of one head");
        is_served(site).await;
        Ok(())
    });
}

#[test]
fn nonsense() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        let head = "GET /tea.txt HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        let with = |fields: &[u8]| [head.as_bytes(), fields, b"\r\n"].concat();
        for (request, refused) in [
            (with(b"content-length: 5\r\ncontent-length: 6\r\n"), true),
            (with(b"content-length: -1\r\n"), true),
            (with(b"content-length: 99999999999999999999999\r\n"), true),
            (with(b"content-length: 5\r\ntransfer-encoding: chunked\r\n"), false),
            (with(b"transfer-encoding: chunked, identity\r\n"), true),
            (with(b"transfer-encoding : chunked\r\n"), true),
            (with(b"x\xff\xfe: y\r\n"), true),
            (with(b"x: \xff\xfe\r\n"), false),
            (with(b"x: \x00\r\n"), true),
            (with(b" folded: y\r\n"), true),
            (with(b"range: bytes=\xff-\r\nif-none-match: \xff\r\naccept-encoding: \xff\r\n"), false),
            (b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), true),
            (b"GET /tea.txt HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(), true),
            (b"GET\r\n\r\n".to_vec(), true),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), true),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), true),
            (b"\0".repeat(1_000), true),
        ] {
            let came = site.raw(&request).await;
            let shown = String::from_utf8_lossy(&request);
            match statuses(&came)[..] {
                [] => assert!(refused, "no answer to {shown}"),
                [status] => assert_eq!(status >= 400, refused, "{status} for {shown}"),
                ref many => panic!("{many:?} for {shown}"),
            }
        }
        let announced = site.get("/tea.txt", "content-length: 1000000000\r\n").await;
        assert_eq!(announced.status, 413);
        is_served(site).await;
        Ok(())
    });
}

#[test]
fn what_follows_a_body_is_no_request() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        // The body of the first looks like a second request, and is none.
        let inner = "GET /absent HTTP/1.1\r\nhost: x\r\n\r\n";
        let request = format!(
            "GET /tea.txt HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{inner}GET /tea.txt HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            inner.len()
        );
        assert_eq!(statuses(&site.raw(request.as_bytes()).await), [200, 200]);
        // Both lengths: a chunked body, and the connection is not used again.
        let request =
            b"GET /tea.txt HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
            0\r\n\r\nGET /absent HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answers = statuses(&site.raw(request).await);
        assert!(matches!(answers[..], [200] | [400] | [200, 404]), "{answers:?}");
        is_served(site).await;
        Ok(())
    });
}

/// How a client of HTTP/2 begins: its settings are the defaults.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// GET / of http://x, in HPACK.
const HEAD: &[u8] = b"\x82\x86\x84\x41\x01x";

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat().into()
}

/// A whole request on a stream.
pub(crate) fn get(stream: u32) -> Bytes {
    frame(1, 5, stream, HEAD)
}

/// A stream of frames in pieces; `None`: that was all.
type Flood = Box<dyn FnMut(u32) -> Option<Vec<u8>> + Send>;

/// So many times the same frames.
fn repeated(frames: &Bytes, times: usize) -> Flood {
    let piece = frames.repeat(100);
    Box::new(move |at| (at < times as u32 / 100).then(|| piece.clone()))
}

/// The floods, by name.
fn floods() -> Vec<(&'static str, Flood)> {
    let resets = |code: &'static [u8], times: u32| -> Flood {
        Box::new(move |at| {
            let streams = (100 * at..100 * (at + 1)).map(|at| 2 * at + 1);
            (at < times / 100)
                .then(|| streams.flat_map(|at| [get(at), frame(3, 0, at, code)].concat()).collect())
        })
    };
    vec![
        ("settings", repeated(&frame(4, 0, 0, b"\0\x04\0\0\xff\xff"), 30_000)),
        ("pings", repeated(&frame(6, 0, 0, b"12345678"), 30_000)),
        ("priorities", repeated(&frame(2, 0, 1, b"\0\0\0\0\x10"), 30_000)),
        ("window updates", repeated(&frame(8, 0, 0, b"\0\0\0\x01"), 30_000)),
        ("rapid resets", resets(b"\0\0\0\x08", 50_000)),
        ("resets by mistakes", {
            // A window that grows by nothing is the client's mistake, and the server has to reset the stream.
            Box::new(move |at| {
                let streams = (100 * at..100 * (at + 1)).map(|at| 2 * at + 1);
                (at < 200).then(|| {
                    streams.flat_map(|at| [get(at), frame(8, 0, at, b"\0\0\0\0")].concat()).collect()
                })
            })
        }),
        ("empty continuations", {
            let frames = repeated(&frame(9, 0, 1, b""), 30_000);
            after(frame(1, 0, 1, HEAD), frames)
        }),
        ("1 GiB of one head", {
            // Fields of the same 16 KiB each, which are not indexed.
            let field = [b"\x00\x01x\x7f\xfb\x7e".to_vec(), vec![b'y'; 16_384 - 6]].concat();
            let frames = repeated(&frame(9, 0, 1, &field), (1 << 30) / 16_384);
            after(frame(1, 0, 1, HEAD), frames)
        }),
        ("empty data", after(frame(1, 4, 1, HEAD), repeated(&frame(0, 0, 1, b""), 30_000))),
        ("a frame that is too long", once(frame(0, 0, 1, &[0; 100_000]))),
        ("a stream that is not open", repeated(&frame(0, 0, 7, b"x"), 100)),
        ("a dynamic table that is not there", once(frame(1, 5, 1, b"\xff\xff\xff\xff\x0f"))),
        ("frames of no known kind", repeated(&frame(0xee, 0xff, 1, b"what is this"), 30_000)),
    ]
}

fn once(frame: Bytes) -> Flood {
    Box::new(move |at| (at == 0).then(|| frame.to_vec()))
}

fn after(first: Bytes, mut flood: Flood) -> Flood {
    Box::new(move |at| if at == 0 { Some(first.to_vec()) } else { flood(at - 1) })
}

#[test]
fn floods_of_http_2() {
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        let mut under_way = pirn::task::JoinSet::new();
        for (what, mut flood) in floods() {
            let address = site.address;
            under_way.spawn(async move {
                let stream = pirn::net::TcpStream::connect(address).await.expect("it listens");
                let mut sent = 0;
                let send = async {
                    let mut piece = Some(PREFACE.to_vec());
                    let mut at = 0;
                    while let Some(bytes) = piece
                        && stream.write_all(&bytes).await.is_ok()
                    {
                        sent += bytes.len();
                        piece = flood(at);
                        at += 1;
                    }
                    let _ = stream.shutdown(std::net::Shutdown::Write).await;
                };
                // One that takes what comes: who does not read is another test.
                let take = async { drop(crate::site::to_the_end(&stream).await) };
                timeout(PATIENCE, both(send, take)).await.unwrap_or_else(|_| panic!("stuck by {what}"));
                assert!(sent < 64 << 20, "the server took {sent} bytes of {what}");
            });
        }
        // Others are served meanwhile.
        let mut polite = 0;
        while !under_way.is_empty() {
            is_served(site).await;
            polite += 1;
            while let Some(flood) = under_way.try_join_next() {
                flood?;
            }
        }
        println!("{polite} answers meanwhile");
        Ok(())
    });
}

/// Polls two futures until both are done.
async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let (mut one, mut two) = (false, false);
    std::future::poll_fn(|context| {
        one = one || first.as_mut().poll(context).is_ready();
        two = two || second.as_mut().poll(context).is_ready();
        if one && two { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
