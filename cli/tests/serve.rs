//! `pirn serve` as a process: its options, TLS and HTTP/2 by curl, its log and counters, and its end by a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server in a process of its own, with a folder of its own.
struct Served {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Served {
    fn start(name: &str, options: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("pirn-serve-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("site")).expect("a folder can be made");
        std::fs::write(folder.join("site/tea.txt"), "hot").expect("a file can be made");
        std::fs::write(folder.join("site/large.bin"), vec![7; 32 << 20]).expect("a file can be made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_pirn"))
            .arg("serve")
            .arg(folder.join("site"))
            .args(["--listen", "127.0.0.1:0", "--log"])
            .arg(folder.join("log"))
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        said.read_line(&mut line).expect("it says where it listens");
        let address = line.split("://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("no address in `{line}`")).to_owned();
        Self { child, address, folder }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn signal(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(status.expect("there is a kill").success());
    }

    /// Waits for its end, and returns its exit code.
    fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("there is a log")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn sigterm_finishes_what_is_under_way() {
    for os in ["epoll", "auto"] {
        let mut served = Served::start(&format!("term-{os}"), &["--os", os, "--metrics"]);
        assert!(served.get("/tea.txt").ends_with("\r\n\r\nhot"));
        let metrics = served.get("/metrics");
        assert!(metrics.contains("\nhttp_responses_total{code=\"2xx\"} 1\n"), "{metrics}");
        assert!(metrics.contains("\npirn_worker_polls_total{worker=\"0\"} "), "{metrics}");
        assert!(metrics.contains("\npirn_poll_seconds_bucket{le=\"+Inf\"} "), "{metrics}");
        well_formed(&metrics);
        let mut busy = TcpStream::connect(&served.address).expect("it listens");
        busy.write_all(b"GET /large.bin HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
        let mut begin = [0; 1 << 10];
        busy.read_exact(&mut begin).expect("the answer begins");
        // Idle, and so no reason to wait.
        let _idle = TcpStream::connect(&served.address).expect("it listens");
        served.signal();
        std::thread::sleep(Duration::from_millis(100));
        let mut rest = Vec::new();
        busy.read_to_end(&mut rest).expect("the answer goes on");
        let all = [&begin[..], &rest].concat();
        let head = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(all.len() - head, 32 << 20, "the answer under way is whole");
        assert_eq!(served.ended(), Some(0));
        let log = served.log();
        assert!(log.contains("] \"GET /tea.txt HTTP/1.1\" 200 3 "), "{log}");
        assert!(log.contains(&format!("] \"GET /large.bin HTTP/1.1\" 200 {} ", 32 << 20)), "{log}");
    }
}

/// Each family of figures is announced once, before its figures, which are numbers.
fn well_formed(metrics: &str) {
    let body = metrics.split_once("\r\n\r\n").expect("a head").1;
    let mut announced = Vec::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(!announced.contains(&name), "{name} is announced twice");
            announced.push(name);
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a figure");
            let family = announced.last().expect("figures follow their announcement");
            assert!(name.starts_with(family), "{line} under {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(announced.len() > 20, "{announced:?}");
}

#[test]
fn a_signal_leaves_a_dump() {
    let folder = std::env::temp_dir().join(format!("pirn-serve-cli-dumps-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let served = Served::start("dump", &["--dump", &folder.to_string_lossy()]);
    assert!(served.get("/tea.txt").ends_with("hot"));
    let status = Command::new("kill").arg("-USR1").arg(served.child.id().to_string()).status();
    assert!(status.expect("there is a kill").success());
    let start = Instant::now();
    let (path, dump) = loop {
        let found = std::fs::read_dir(&folder).expect("the folder is there").flatten().next();
        let found =
            found.map(|entry| (entry.path(), std::fs::read_to_string(entry.path()).unwrap_or_default()));
        match found {
            Some(found) if found.1.contains("\nend\t") => break found,
            _ => assert!(start.elapsed() < Duration::from_secs(60), "no dump came"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let recorded = dump.lines().filter(|line| line.starts_with("e\t")).count();
    assert!(recorded > 10, "{recorded} events were recorded");
    assert!(
        dump.contains("hyper/src/server/mod.rs:"),
        "the connection's task is known by where it was spawned"
    );
    let page = folder.join("page.html");
    let view = Command::new(env!("CARGO_BIN_EXE_pirn")).arg("view").arg(path).arg("-o").arg(&page).status();
    assert!(view.expect("the program starts").success() && page.exists());
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn a_connection_that_does_not_end_is_cut_off() {
    let mut served = Served::start("cut", &["--drain", "1"]);
    let mut stuck = TcpStream::connect(&served.address).expect("it listens");
    stuck.write_all(b"GET /large.bin HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    stuck.read_exact(&mut [0; 1 << 10]).expect("the answer begins");
    let start = Instant::now();
    served.signal();
    assert_eq!(served.ended(), Some(0));
    println!("it took {:?}", start.elapsed());
    assert!(served.log().ends_with(" cut\n"), "{}", served.log());
}

#[test]
fn tls_and_both_versions_by_curl() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hyper/tests/data");
    let (certificate, key) = (data.join("test-only.pem"), data.join("test-only.key"));
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let served = Served::start("tls", &["--tls", &certificate, &key]);
    let url = format!("https://{}/tea.txt", served.address);
    for (version, name) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let curl = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", version, "--cacert"])
            .arg(data.join("ca.pem"))
            .args(["--write-out", " %{http_version} %{http_code}", &url])
            .output();
        let Ok(curl) = curl else {
            println!("no curl here: TLS is not tried from outside");
            return;
        };
        let (said, complained) =
            (String::from_utf8_lossy(&curl.stdout), String::from_utf8_lossy(&curl.stderr));
        if name == "2" && complained.contains("does not support") {
            println!("this curl has no HTTP/2: {complained}");
            continue;
        }
        assert_eq!(said, format!("hot {name} 200"), "{complained}");
    }
}

#[test]
fn bad_options_are_named() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pirn")).arg("serve").args(arguments).output();
        let output = output.expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["no/such/folder"]);
    assert!(code == Some(2) && said.contains("no/such/folder"), "{said}");
    let (code, said) = run(&["Cargo.toml"]);
    assert!(code == Some(2) && said.contains("is no folder"), "{said}");
    let (code, said) = run(&[".", "--tls", "Cargo.toml", "Cargo.toml"]);
    assert!(code == Some(2) && said.contains("PEM"), "{said}");
    let (code, said) = run(&[".", "--connections", "0"]);
    assert!(code == Some(2) && said.contains("1 to"), "{said}");
}
