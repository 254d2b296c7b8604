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

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat().into()
}

#[test]
fn floods_of_http_2() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // GET / of http://x, in HPACK.
    const HEAD: &[u8] = b"\x82\x86\x84\x41\x01x";
    everywhere(Limits::default(), async |site| {
        site.put("tea.txt", "hot");
        let settings = frame(4, 0, 0, b"");
        let floods: [(&str, Vec<u8>); 6] = [
            ("settings", frame(4, 0, 0, b"\0\x04\0\0\xff\xff").repeat(20_000)),
            ("pings", frame(6, 0, 0, b"12345678").repeat(20_000)),
            ("empty continuations", {
                let mut flood = frame(1, 0, 1, HEAD).to_vec();
                flood.extend(frame(9, 0, 1, b"").repeat(100_000));
                flood
            }),
            (
                "rapid resets",
                (0..20_000_u32)
                    .flat_map(|at| {
                        [frame(1, 5, 2 * at + 1, HEAD), frame(3, 0, 2 * at + 1, b"\0\0\0\x08")].concat()
                    })
                    .collect(),
            ),
            ("a frame that is too long", frame(0, 0, 1, &[0; 100_000]).to_vec()),
            ("frames of a stream that is not open", frame(0, 0, 7, b"x").repeat(10)),
        ];
        for (what, flood) in floods {
            let stream = site.connect().await;
            let flood = [PREFACE, &settings, &flood].concat();
            // A client that reads nothing, then one that takes what comes.
            let sent = async {
                let _ = stream.write_all(&flood).await;
                let _ = stream.shutdown(std::net::Shutdown::Write).await;
            };
            let came = async { crate::site::to_the_end(&stream).await.len() };
            timeout(PATIENCE, both(sent, came)).await.unwrap_or_else(|_| panic!("stuck by {what}"));
            is_served(site).await;
        }
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
