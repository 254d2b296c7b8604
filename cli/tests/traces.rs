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
        assert!(json.contains("\"verdict\": \"violation\""), "{} records no violation", trace.display());
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
