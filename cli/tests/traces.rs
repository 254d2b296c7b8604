//! Every trace in `traces/` is replayed on the code of today; a fresh one is replayed strictly in another process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn pirn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pirn")).args(arguments).output().expect("the pirn binary starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    let files =
        std::fs::read_dir(folder).expect("the folder traces is there").map(|file| file.unwrap().path());
    let mut traces: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
    traces.sort();
    traces
}

#[test]
fn bugs_of_the_past_do_not_come_back() {
    let traces = traces();
    assert!(traces.len() >= 3, "traces holds {} traces", traces.len());
    for trace in traces {
        let output = pirn(&["replay", "--guided", trace.to_str().unwrap()]);
        let text = text(&output);
        assert!(output.status.success(), "{} fails again:\n{text}", trace.display());
        assert!(text.contains("recorded choices"), "the fit is reported:\n{text}");
    }
}

#[test]
fn a_trace_of_a_bug_says_what_it_was() {
    for trace in traces() {
        let json = std::fs::read_to_string(&trace).unwrap();
        let failed = ["violation", "deadlock", "panic"]
            .iter()
            .any(|what| json.contains(&format!("\"verdict\": \"{what}\"")));
        assert!(failed, "{} records no failure", trace.display());
    }
}

#[test]
fn a_fresh_trace_replays_strictly_and_an_edited_one_does_not() {
    let folder = std::env::temp_dir().join(format!("pirn-traces-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let old = traces().into_iter().next().expect("there is a trace");
    // Recorded on the code that had the bug: strictly it differs from today's, and the error names where.
    let output = pirn(&["replay", old.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("differs"), "{}", text(&output));

    let broken = folder.join("broken.json");
    let json = std::fs::read_to_string(&old).unwrap();
    std::fs::write(&broken, &json[..json.len() / 2]).unwrap();
    let output = pirn(&["replay", broken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("broken.json"), "{}", text(&output));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A folder of its own, removed when the test ends well.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pirn-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A trace of today's code that passes and has recorded choices, of the first such seed from `seed` on: its path, its JSON.
fn fresh(folder: &Folder, seed: u64) -> (String, String) {
    for seed in seed..seed + 20 {
        // The one that `run` replays in a process of its own.
        let output = pirn(&["run", "pingpong", "--seconds", "0.1", "--seed", &seed.to_string()]);
        assert!(output.status.success(), "{}", text(&output));
        let path = std::env::temp_dir().join(format!("pirn-pingpong-{seed}.json"));
        let json = std::fs::read_to_string(&path).unwrap();
        if json.lines().any(|line| line.starts_with('[')) {
            return (folder.file("fresh.json", &json), json);
        }
    }
    panic!("no trace of 20 has a recorded choice");
}

fn refused(arguments: &[&str], says: &[&str]) {
    let output = pirn(arguments);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    for part in says {
        assert!(text.contains(part), "{arguments:?} does not say `{part}`: {text}");
    }
}

#[test]
fn a_walk_through_a_trace_stops_where_it_is_asked_to() {
    let folder = Folder::new("walk");
    let (path, _) = fresh(&folder, 100);
    let output = pirn(&["replay", &path, "--until", "PollStart", "--state"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("PollStart") && said.contains("polling task"), "{said}");
    let output = pirn(&["replay", &path, "--until", "5", "--events", "2"]);
    let said = text(&output);
    assert!(output.status.success() && said.contains("the last 2 of"), "{said}");
    let output = pirn(&["replay", &path, "--full"]);
    let said = text(&output);
    assert!(
        output.status.success() && said.contains("spawns task 1") && said.contains("outcome: pass"),
        "{said}"
    );
    let output = pirn(&["replay", &path, "--prefix", "1", "--seed", "9"]);
    assert!(
        output.status.success() && text(&output).contains("then explored with seed 9"),
        "{}",
        text(&output)
    );
    refused(&["replay", &path, "--until", "Nap"], &["no event is called so", "PollStart"]);
    refused(&["replay", &path, "--until", "0"], &["the events 1 to"]);
    refused(&["replay", &path, "--until", "99999999"], &["the events 1 to"]);
    refused(&["replay", &path, "--prefix", "99999999"], &["recorded choices"]);
    refused(&["replay", &path, "--seed", "9"], &["--prefix"]);
}

#[test]
fn bad_traces_are_refused_and_named() {
    let folder = Folder::new("bad");
    let (path, json) = fresh(&folder, 200);
    assert_eq!(pirn(&["replay", &path]).status.code(), Some(0));
    let bad = |name: &str, text: &str, says: &[&str]| refused(&["replay", &folder.file(name, text)], says);
    bad("truncated.json", &json[..json.len() - 40], &["truncated.json", "ends in the middle"]);
    bad("empty.json", "", &["ends in the middle"]);
    bad("future.json", &json.replace("\"format\": 2", "\"format\": 7"), &["format 7", "reads format 2"]);
    bad("text.json", "once upon a time", &["no trace"]);
    let first = json.lines().find(|line| line.starts_with('[')).expect("a recorded choice");
    let fields: Vec<&str> = first.trim_matches(['[', ']', ',']).split(',').collect();
    let with = |pick: &str| {
        let mut fields = fields.clone();
        fields[6] = pick;
        json.replacen(
            first,
            &format!("[{}]{}", fields.join(","), if first.ends_with(',') { "," } else { "" }),
            1,
        )
    };
    bad("impossible.json", &with("4000"), &["recorded choice 1", "picks"]);
    bad("zero.json", &with("0"), &["choice 1", "impossible"]);
    bad("other.json", &json.replace("\"program\": \"pingpong\"", "\"program\": \"chess\""), &["`chess`"]);
    refused(&["replay", folder.0.join("nowhere.json").to_str().unwrap()], &["nowhere.json"]);

    // A file of two gigabytes takes no two gigabytes.
    let large = folder.0.join("large.json");
    std::fs::File::create(&large).unwrap().set_len(2 << 30).unwrap();
    refused(&["replay", large.to_str().unwrap()], &["too many for a trace"]);

    // What a newer version adds is no reason to refuse.
    let unknown = json.replacen("\"seed\":", "\"mood\": [1, 2], \"seed\":", 1);
    assert_eq!(pirn(&["replay", &folder.file("unknown.json", &unknown)]).status.code(), Some(0));
}
