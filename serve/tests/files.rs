//! What is served, and how: one request, one answer.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use pirn_hyper::Limits;

use crate::site::{Outcome, Site, everywhere};

fn test(test: impl AsyncFn(&Site) -> Outcome) {
    everywhere(Limits::default(), test);
}

/// Bytes that differ everywhere, more than one read of the server brings.
fn large() -> Vec<u8> {
    (0..300_001_u32).flat_map(|at| at.to_le_bytes()).collect()
}

#[test]
fn files_with_types_tags_and_dates() {
    test(async |site| {
        site.put("tea.txt", "hot");
        site.put("sub/page.html", "<p>");
        site.put("empty", "");
        site.put("large.bin", large());
        let tea = site.get("/tea.txt", "").await;
        assert_eq!((tea.status, tea.text().as_str()), (200, "hot"));
        assert_eq!(tea.field("content-type"), "text/plain; charset=utf-8");
        assert_eq!(tea.field("content-length"), "3");
        assert_eq!(tea.field("accept-ranges"), "bytes");
        assert_eq!(tea.field("x-content-type-options"), "nosniff");
        assert!(tea.field("etag").starts_with('"'), "{tea:?}");
        assert!(tea.field("last-modified").ends_with(" GMT"), "{tea:?}");
        assert!(!tea.field("date").is_empty(), "{tea:?}");
        assert_eq!(site.get("/sub/page.html?x=/../y", "").await.text(), "<p>");
        let empty = site.get("/empty", "").await;
        assert_eq!((empty.status, empty.field("content-length")), (200, "0"));
        assert_eq!(empty.field("content-type"), "application/octet-stream");
        let whole = site.get("/large.bin", "").await;
        assert!(whole.body == large(), "{} bytes came", whole.body.len());
        assert_eq!(site.get("/absent", "").await.status, 404);
        assert_eq!(site.get("/tea.txt/", "").await.status, 404);
        assert_eq!(site.get("/tea.txt/x", "").await.status, 404);
        Ok(())
    });
}

#[test]
fn head_says_what_get_would() {
    test(async |site| {
        site.put("large.bin", large());
        site.put("d/x", "");
        for path in ["/large.bin", "/d/", "/d", "/absent", "/../x"] {
            let (get, head) = (site.get(path, "").await, site.ask("HEAD", path, "").await);
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            for field in ["content-length", "content-type", "etag", "last-modified", "location"] {
                assert_eq!(head.field(field), get.field(field), "{path}: {field}");
            }
            assert_eq!(get.field("content-length"), get.body.len().to_string(), "{path}");
        }
        Ok(())
    });
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    test(async |site| {
        site.put("tea.txt", "hot");
        let path = site.root().join("tea.txt");
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        std::fs::File::options().write(true).open(&path)?.set_modified(then)?;
        let tea = site.get("/tea.txt", "").await;
        assert_eq!(tea.field("last-modified"), "Tue, 14 Nov 2023 22:13:20 GMT");
        let (tag, date) = (tea.field("etag"), tea.field("last-modified"));
        let later = "Wed, 15 Nov 2023 00:00:00 GMT";
        let earlier = "Tue, 14 Nov 2023 22:13:19 GMT";
        for (fields, status) in [
            (format!("if-none-match: {tag}\r\n"), 304),
            (format!("if-none-match: \"other\", W/{tag}\r\n"), 304),
            ("if-none-match: *\r\n".to_owned(), 304),
            ("if-none-match: \"other\"\r\n".to_owned(), 200),
            (format!("if-modified-since: {date}\r\n"), 304),
            (format!("if-modified-since: {later}\r\n"), 304),
            (format!("if-modified-since: {earlier}\r\n"), 200),
            ("if-modified-since: tomorrow\r\n".to_owned(), 200),
            (format!("if-none-match: \"other\"\r\nif-modified-since: {later}\r\n"), 200),
            (format!("if-match: {tag}\r\n"), 200),
            ("if-match: \"other\"\r\n".to_owned(), 412),
            (format!("if-unmodified-since: {earlier}\r\n"), 412),
            (format!("if-unmodified-since: {date}\r\n"), 200),
        ] {
            let answer = site.get("/tea.txt", &fields).await;
            assert_eq!(answer.status, status, "{fields}");
            assert_eq!(answer.body.is_empty(), status == 304, "{fields}");
            if status == 304 {
                assert_eq!((answer.field("etag"), answer.field("last-modified")), (tag, date), "{fields}");
            }
        }
        site.put("tea.txt", "not");
        assert_eq!(site.get("/tea.txt", &format!("if-none-match: {tag}\r\n")).await.status, 200);
        Ok(())
    });
}

#[test]
fn dates_that_http_cannot_write() {
    test(async |site| {
        for (name, date) in [
            ("old", SystemTime::UNIX_EPOCH - Duration::from_secs(1_000_000_000)),
            ("far", SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000)),
        ] {
            site.put(name, name);
            let file = std::fs::File::options().write(true).open(site.root().join(name))?;
            if let Err(error) = file.set_modified(date) {
                println!("this file system has no such date: {error}");
                continue;
            }
            let answer = site.get(&format!("/{name}"), "").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, name));
            let tag = format!("if-none-match: {}\r\n", answer.field("etag"));
            assert_eq!(site.get(&format!("/{name}"), &tag).await.status, 304);
        }
        Ok(())
    });
}

#[test]
fn parts_of_files() {
    test(async |site| {
        let large = large();
        site.put("large.bin", &large);
        let length = large.len();
        let tag = site.ask("HEAD", "/large.bin", "").await.field("etag").to_owned();
        for (range, from, to) in [
            ("0-0", 0, 1),
            ("1-", 1, length),
            ("65535-65536", 65_535, 65_537),
            ("-10", length - 10, length),
            ("5-99999999999", 5, length),
        ] {
            let fields = format!("range: bytes={range}\r\nif-range: {tag}\r\n");
            let part = site.get("/large.bin", &fields).await;
            assert_eq!(part.status, 206, "{range}");
            assert_eq!(part.field("content-range"), format!("bytes {from}-{}/{length}", to - 1));
            assert!(part.body == large[from..to], "{range}: {} bytes", part.body.len());
        }
        let none = site.get("/large.bin", &format!("range: bytes={length}-\r\n")).await;
        assert_eq!((none.status, none.field("content-range")), (416, format!("bytes */{length}").as_str()));
        let other = site.get("/large.bin", "range: bytes=0-0\r\nif-range: \"other\"\r\n").await;
        assert_eq!((other.status, other.body.len()), (200, length));
        assert_eq!(site.get("/large.bin", "range: bytes=0-1,5-6\r\n").await.status, 200);
        Ok(())
    });
}

#[test]
fn compressed_twins() {
    test(async |site| {
        site.put("app.js", "plain");
        site.put("app.js.gz", "gzipped");
        site.put("app.js.br", "brotli");
        let plain = site.get("/app.js", "").await;
        assert_eq!((plain.text().as_str(), plain.field("content-encoding")), ("plain", ""));
        let br = site.get("/app.js", "accept-encoding: gzip, br\r\n").await;
        assert_eq!((br.text().as_str(), br.field("content-encoding")), ("brotli", "br"));
        assert_eq!(br.field("content-type"), plain.field("content-type"));
        assert_eq!(br.field("vary"), "accept-encoding");
        assert_ne!(br.field("etag"), plain.field("etag"));
        let gzip = site.get("/app.js", "accept-encoding: gzip, br;q=0\r\n").await;
        assert_eq!((gzip.text().as_str(), gzip.field("content-encoding")), ("gzipped", "gzip"));
        // One that is older than the file is out of date.
        let old = SystemTime::now() - Duration::from_secs(3_600);
        std::fs::File::options().write(true).open(site.root().join("app.js.br"))?.set_modified(old)?;
        assert_eq!(site.get("/app.js", "accept-encoding: br\r\n").await.text(), "plain");
        Ok(())
    });
}

#[test]
fn folders() {
    test(async |site| {
        site.put("with/index.html", "the index");
        site.put("list/b.txt", "");
        site.put("list/a/x", "");
        site.put("list/<b>&\"'", "");
        site.put("list/javascript:alert(1)", "");
        site.put("list/.hidden", "");
        site.put(std::ffi::OsStr::from_bytes(b"list/\xff"), "bytes");
        site.put(".well-known/x", "known");
        assert_eq!(site.get("/with/", "").await.text(), "the index");
        let moved = site.get("/with?q", "").await;
        assert_eq!((moved.status, moved.field("location")), (301, "/with/"));
        let list = site.get("/list/", "").await;
        assert_eq!((list.status, list.field("content-type")), (200, "text/html; charset=utf-8"));
        let page = list.text();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(at("href=\"./a/\"") < at("href=\"./b.txt\""), "folders come first");
        at("href=\"./%3Cb%3E%26%22%27\">&lt;b&gt;&amp;&quot;&#39;</a>");
        at("href=\"./javascript%3Aalert(1)\"");
        at("href=\"./%FF\"");
        at("href=\"../\"");
        assert!(!page.contains("hidden") && !page.contains("<b>"), "{page}");
        assert_eq!(site.get("/list/%FF", "").await.text(), "bytes");
        assert_eq!(site.get("/list/.hidden", "").await.status, 404);
        assert_eq!(site.get("/.well-known/x", "").await.text(), "known");
        assert!(!site.get("/", "").await.text().contains("href=\"../\""));
        Ok(())
    });
}

#[test]
fn nothing_outside_of_the_folder_and_nothing_but_files() {
    test(async |site| {
        std::fs::write(site.folder.join("secret"), "SECRET")?;
        std::fs::create_dir(site.folder.join("other"))?;
        std::fs::write(site.folder.join("other/secret"), "SECRET")?;
        site.put("d/inside", "inside");
        let root = site.root();
        symlink("d/inside", root.join("stays"))?;
        symlink("../d/inside", root.join("d/stays"))?;
        symlink("../secret", root.join("leaves"))?;
        symlink(site.folder.join("secret"), root.join("absolute"))?;
        symlink("../other", root.join("folder"))?;
        symlink("/proc/self/environ", root.join("magic"))?;
        symlink("loop", root.join("loop"))?;
        assert_eq!(site.get("/stays", "").await.text(), "inside");
        assert_eq!(site.get("/d/stays", "").await.text(), "inside");
        for path in ["/leaves", "/absolute", "/folder/secret", "/folder/", "/folder", "/magic", "/loop"] {
            let answer = site.get(path, "").await;
            assert_eq!((answer.status, answer.text().contains("SECRET")), (404, false), "{path}");
        }
        let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status();
        if made.is_ok_and(|status| status.success()) {
            assert_eq!(site.get("/pipe", "").await.status, 404, "and nobody waits for a writer");
        } else {
            println!("no mkfifo here: pipes are not tried");
        }
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket"));
        assert!(site.get("/socket", "").await.status >= 400);
        Ok(())
    });
}

#[test]
fn a_file_that_shrinks_under_its_reader_breaks_the_connection_off() {
    test(async |site| {
        let large = vec![7; 16 << 20];
        site.put("large.bin", &large);
        let stream = site.connect().await;
        stream.write_all(b"GET /large.bin HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut bytes = vec![0; 1 << 16];
        stream.read_exact(&mut bytes).await?;
        std::fs::File::options().write(true).open(site.root().join("large.bin"))?.set_len(1 << 20)?;
        let rest = crate::site::to_the_end(&stream).await;
        assert!(bytes.len() + rest.len() < large.len(), "{} bytes came", rest.len());
        assert_eq!(site.get("/large.bin", "").await.body.len(), 1 << 20);
        Ok(())
    });
}

#[test]
fn other_methods() {
    test(async |site| {
        site.put("tea.txt", "hot");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let answer = site.ask(method, "/tea.txt", "content-length: 0\r\n").await;
            assert_eq!((answer.status, answer.field("allow")), (405, "GET, HEAD"), "{method}");
        }
        assert_eq!(site.ask("OPTIONS", "*", "").await.status, 405);
        Ok(())
    });
}
