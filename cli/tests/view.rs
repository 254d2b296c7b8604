//! `pirn view`: pages and Perfetto files of dumps and traces, looked at by a browser where one is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn pirn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pirn")).args(arguments).output().expect("the pirn binary starts")
}

/// Runs it, demands success and returns what it said.
fn fine(arguments: &[&str]) -> String {
    let output = pirn(arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pirn {}: {text}", arguments.join(" "));
    text
}

/// A folder of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pirn-view-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a fresh folder");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path of letters").to_owned()
    }

    /// A dump of a live echo server.
    fn dump(&self) -> String {
        let folder = self.0.to_str().expect("a path of letters");
        let arguments = ["run", "echo", "--os", "epoll", "--workers", "2", "--connections", "8"];
        fine(&[&arguments[..], &["--seconds", "0.4", "--dump", folder]].concat());
        let files = fs::read_dir(&self.0).expect("readable").flatten().map(|entry| entry.path());
        let mut dumps: Vec<_> =
            files.filter(|path| path.to_string_lossy().ends_with("server.dump")).collect();
        assert_eq!(dumps.len(), 1, "{dumps:?}");
        dumps.remove(0).to_str().expect("a path of letters").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn trace() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/injector-overflow-owes-a-wake.json");
    path.to_str().expect("a path of letters").to_owned()
}

/// The timeline in a page.
fn data(page: &str) -> Value {
    let text = fs::read_to_string(page).expect("the page was written");
    let (_, rest) = text.split_once("id=\"data\">").expect("the page holds data");
    let (json, _) = rest.split_once("</script>").expect("they end");
    assert!(!text.contains("/*DATA*/") && !text.contains("/*PROGRAM*/") && !text.contains("/*STYLE*/"));
    assert!(
        !text.contains("src=") && !text.contains("http://") && !text.contains("https://"),
        "self-contained"
    );
    serde_json::from_str(json).expect("the data are JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list"))
}

/// What holds for every timeline; how many polls it has.
fn check(timeline: &Value) -> usize {
    let end = timeline["end"].as_u64().expect("an end");
    let lanes = list(timeline, "lanes");
    let mut polls = 0;
    for lane in lanes {
        let mut last = 0;
        for span in list(lane, "spans") {
            let (from, to) = (span["from"].as_u64().unwrap(), span["to"].as_u64().unwrap());
            assert!(
                last <= from && from <= to && to <= end,
                "{span} in {}, which is at {last} of {end}",
                lane["name"]
            );
            // Nothing on a thread runs beside something else.
            last = to;
            if span["kind"] == "poll" {
                polls += 1;
                let task = span["task"].as_u64().expect("a poll has a task").to_string();
                assert!(
                    timeline["tasks"][&task]["label"]
                        .as_str()
                        .is_some_and(|label| label.starts_with("task "))
                );
            }
        }
    }
    for arrow in list(timeline, "arrows") {
        assert!(arrow["start"].as_u64() <= arrow["end"].as_u64(), "{arrow}");
        assert!(
            ["from", "to"].iter().all(|side| arrow[side].as_u64().unwrap() < lanes.len() as u64),
            "{arrow}"
        );
    }
    polls
}

#[test]
fn a_dump_becomes_a_page_and_a_perfetto_file() {
    let folder = Folder::new("dump");
    let dump = folder.dump();
    let page = folder.file("out.html");
    let said = fine(&["view", &dump, "-o", &page]);
    let timeline = data(&page);
    let polls = check(&timeline);
    assert!(polls > 20 && said.contains("2 lanes"), "{said}");
    assert!(list(&timeline, "arrows").iter().any(|arrow| arrow["kind"] == "wake"), "wakes lead to polls");
    let tasks = timeline["tasks"].as_object().expect("tasks");
    assert!(tasks.values().any(|task| task["name"].as_str().is_some_and(|name| name.contains("echo"))));
    look(&page, "2 lanes");

    let json = folder.file("out.json");
    fine(&["view", &dump, "--perfetto", "-o", &json]);
    let perfetto: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).expect("JSON");
    let events = list(&perfetto, "traceEvents");
    let of = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    assert!(
        of("X") >= polls && of("s") == of("f") && of("s") > 0,
        "X {}, s {}, f {}",
        of("X"),
        of("s"),
        of("f")
    );
    assert!(events.iter().all(|event| event["dur"].as_f64().is_none_or(|time| time >= 0.0)));
}

#[test]
fn a_trace_becomes_a_page() {
    let folder = Folder::new("trace");
    let page = folder.file("trace.html");
    let said = fine(&["view", &trace(), "--guided", "-o", &page]);
    let timeline = data(&page);
    assert!(check(&timeline) > 3, "{said}");
    assert_eq!(timeline["unit"], "steps");
    let on: usize = list(&timeline, "lanes").iter().map(|lane| list(lane, "on").len()).sum();
    assert!(on > 3, "threads took turns: {on}");
    look(&page, " lanes, ");
}

#[test]
fn what_cant_be_viewed_is_refused_with_a_reason() {
    let folder = Folder::new("bad");
    let (future, cut, noise) = (folder.file("future.dump"), folder.file("cut.dump"), folder.file("noise"));
    fs::write(&future, "pirn-dump\t9\nend\t1\n").unwrap();
    fs::write(&cut, "pirn-dump\t1\nabout\tos\tepoll\n").unwrap();
    fs::write(&noise, "{\"not\": \"a trace\"}").unwrap();
    for (file, reason) in [
        (future.as_str(), "format 9"),
        (&cut, "cut off"),
        (&noise, "noise"),
        (&folder.file("absent"), "can't be read"),
    ] {
        let output = pirn(&["view", file]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {text}");
        assert!(text.contains(reason), "{file}: {text}");
    }
}

/// Opens the page in a browser without a screen: its program must run to its end and say what it drew.
fn look(page: &str, drawn: &str) {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let browser = std::env::split_paths(&paths)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    let Some(browser) = browser else {
        eprintln!("skipped: no browser ({}) is installed to look at {page}", names.join(", "));
        return;
    };
    let profile = format!("{page}-profile");
    let out = format!("{page}-dom");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--virtual-time-budget=5000", "--window-size=1400,800"])
        .arg(format!("--user-data-dir={profile}"))
        .arg("--dump-dom")
        .arg(format!("file://{page}"))
        .stdout(fs::File::create(&out).expect("a file for the page"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let started = Instant::now();
    while child.try_wait().expect("the browser's state").is_none() {
        if started.elapsed() > Duration::from_secs(90) {
            let _ = child.kill();
            let _ = child.wait();
            eprintln!("skipped: the browser did not come to an end in 90 s");
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = fs::read_to_string(&out).expect("what the browser wrote");
    if text.is_empty() {
        eprintln!("skipped: the browser wrote nothing: it can't run here");
        return;
    }
    let ready = text.split_once("data-ready=\"").map(|(_, rest)| rest.split('"').next().unwrap_or(""));
    assert!(ready.is_some_and(|ready| ready.contains(drawn)), "the page's program did not end: {ready:?}");
}
